//! Sites, edges and clients for tests.

pub(crate) mod client;
pub(crate) mod dns;
pub(crate) mod frames;
pub(crate) mod metrics;
pub(crate) mod origin;
pub(crate) mod server;
pub(crate) mod tls;

use std::time::{Duration, Instant};

use breakwater_edge::{Change, Edge, EdgeOptions, Limits, LogTarget};
use breakwater_edge_config::bundle::{KeyPair, SiteBundle};
use breakwater_edge_config::{
    AddressPolicy, CertificateRef, ContentHash, Document, FixedResponse, HeaderEdits, HostPattern, PathMatch,
    RegionSettings, RequestMatch, Route, RouteAction, SiteConfig, SiteId, TlsVersion,
};

/// How long anything may take before a test says that it didn't happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `holds`.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what} didn't happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Options for tests: free ports on the loopback, two workers, no log.
pub(crate) fn options() -> EdgeOptions {
    EdgeOptions {
        http: vec!["127.0.0.1:0".parse().unwrap()],
        https: vec!["127.0.0.1:0".parse().unwrap()],
        workers: 2,
        pin_workers: false,
        access_log: LogTarget::Off,
        cache_max_bytes: 64 << 20,
        rate_table_bytes: 1 << 20,
        limits: Limits {
            // Tests' visitors that leave are gone.
            half_closed: Duration::from_millis(50),
            ..Limits::default()
        },
        ..EdgeOptions::default()
    }
}

/// An edge that listens, with these sites.
pub(crate) fn edge_with(options: EdgeOptions, sites: Vec<SiteBundle>) -> Edge {
    let edge = Edge::start(options).unwrap();
    let mut changes = vec![region()];
    changes.extend(sites.into_iter().map(site_change));
    assert_eq!(edge.apply(changes), []);
    edge.set_complete();
    edge.listen().unwrap();
    edge
}

pub(crate) fn region() -> Change {
    region_allowing(&["127.0.0.0/8"])
}

/// Settings under which origins may have these addresses besides public ones.
pub(crate) fn region_allowing(nets: &[&str]) -> Change {
    put(
        "region-settings",
        Document::Region(RegionSettings {
            region: "test".to_owned(),
            origin_addresses: AddressPolicy {
                allow: nets.iter().map(|net| net.parse().unwrap()).collect(),
                deny: Vec::new(),
            },
            ..RegionSettings::default()
        }),
    )
}

pub(crate) fn site_change(site: SiteBundle) -> Change {
    put(
        &format!("site-{}", site.config.id.name),
        Document::Site(Box::new(site)),
    )
}

pub(crate) fn put(name: &str, document: Document) -> Change {
    let hash = breakwater_edge_config::bundle::hash(&document.to_files().unwrap());
    Change::Put {
        name: name.to_owned(),
        hash,
        document,
    }
}

pub(crate) fn unreadable(name: &str) -> Change {
    Change::Unreadable {
        name: name.to_owned(),
        hash: ContentHash::of(b"unreadable"),
        reason: "needs an edge that reads form 9".to_owned(),
    }
}

/// A site of one host that answers everything with `body`.
pub(crate) fn fixed_site(name: &str, host: &str, body: &str) -> SiteBundle {
    let mut config = empty_site(name, host);
    config.routes = vec![route("all", None, RouteAction::Respond(fixed(200, body)))];
    SiteBundle::plain(config)
}

pub(crate) fn fixed(status: u16, body: &str) -> FixedResponse {
    FixedResponse {
        status,
        content_type: "text/plain".to_owned(),
        body: body.to_owned(),
    }
}

pub(crate) fn route(name: &str, prefix: Option<&str>, action: RouteAction) -> Route {
    Route {
        name: name.to_owned(),
        matches: RequestMatch {
            path: prefix.map(|prefix| PathMatch::Prefix(prefix.to_owned())),
            ..RequestMatch::default()
        },
        action,
        rewrite: None,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        cache: None,
        rates: Vec::new(),
        opaque_paths: false,
    }
}

pub(crate) fn empty_site(name: &str, host: &str) -> SiteConfig {
    let json = serde_json::json!({
        "id": {"home": "test", "namespace": "shop", "name": name},
        "uid": format!("uid-{name}"),
        "hosts": [host],
        "routes": [],
    });
    serde_json::from_value(json).unwrap()
}

pub(crate) fn id(name: &str) -> SiteId {
    SiteId {
        home: "test".to_owned(),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    }
}

/// Gives a site a certificate.
pub(crate) fn with_certificate(mut site: SiteBundle, names: &[&str], pair: KeyPair) -> SiteBundle {
    let key_pair = format!("pair{}", site.config.certificates.len());
    site.config.certificates.push(CertificateRef {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        key_pair: key_pair.clone(),
    });
    site.key_pairs.insert(key_pair, pair);
    site
}

pub(crate) fn with_hosts(mut site: SiteBundle, hosts: &[&str]) -> SiteBundle {
    site.config.hosts = hosts
        .iter()
        .map(|host| HostPattern::parse(host).unwrap())
        .collect();
    site
}

pub(crate) fn with_min_version(mut site: SiteBundle, version: TlsVersion) -> SiteBundle {
    site.config.tls.min_version = version;
    site
}

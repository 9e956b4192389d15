//! TLS to origins: who is asked for, who is trusted, what the edge shows of itself, and that no connection
//! made for one is used for another.

use std::net::SocketAddr;
use std::sync::Arc;

use breakwater_edge::Edge;
use breakwater_edge_config::bundle::{KeyPair, SiteBundle};
use breakwater_edge_config::{HostHeader, Origin, OriginProtocol, OriginTls};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::client::{Raw, RawAnswer};
use crate::support::metrics::{Metrics, measured};
use crate::support::origin::{RawOrigin, forward_site, origin_at};
use crate::support::server::{Server, Speaks, text};
use crate::support::tls::{Authority, server};
use crate::support::{edge_with, options, with_hosts};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A site that trusts `authority`, its own in place of the public ones.
fn site(name: &str, host: &str, address: SocketAddr, authority: Option<&Authority>) -> SiteBundle {
    let tls = OriginTls {
        ca_file: authority.map(|_| "own".to_owned()),
        ..OriginTls::default()
    };
    let mut site = forward_site(
        name,
        host,
        Origin {
            tls: Some(tls),
            ..origin_at(&[address])
        },
    );
    if let Some(authority) = authority {
        site.ca_files.insert("own".to_owned(), authority.pem());
    }
    site
}

fn tls(site: &mut SiteBundle) -> &mut OriginTls {
    site.config.origins[0].tls.as_mut().unwrap()
}

fn with_client(mut site: SiteBundle, pair: KeyPair) -> SiteBundle {
    tls(&mut site).client_key_pair = Some("client".to_owned());
    site.key_pairs.insert("client".to_owned(), pair);
    site
}

async fn set_up(sites: Vec<SiteBundle>) -> (Edge, Raw) {
    let edge = edge_with(measured(options()), sites);
    let visitor = Raw::connect(edge.addresses().http[0]).await;
    (edge, visitor)
}

async fn accept(origin: &RawOrigin, config: &Arc<ServerConfig>) -> Raw<TlsStream<TcpStream>> {
    let io = origin.accept().await.io;
    Raw::new(TlsAcceptor::from(Arc::clone(config)).accept(io).await.unwrap())
}

fn told(answer: &RawAnswer) -> (u16, &str) {
    (
        answer.status,
        answer.field("breakwater-reason").unwrap_or_default(),
    )
}

#[tokio::test]
async fn the_name_that_is_asked_for_is_the_host_that_is_sent_or_the_configured_one() {
    let authority = Authority::new();
    let names = ["a.example", "origin.example", "sni.example"];
    let config = server(&authority.issue(&names), &["http/1.1"], None);
    for (host, name, sent, asked) in [
        (None, None, "a.example", "a.example"),
        (Some("origin.example"), None, "origin.example", "origin.example"),
        (None, Some("sni.example"), "a.example", "sni.example"),
        (
            Some("origin.example"),
            Some("sni.example"),
            "origin.example",
            "sni.example",
        ),
    ] {
        let origin = RawOrigin::bind();
        let mut site = site("a", "a.example", origin.address, Some(&authority));
        tls(&mut site).server_name = name.map(str::to_owned);
        if let Some(host) = host {
            site.config.origins[0].host_header = HostHeader::Fixed(host.to_owned());
        }
        let (_edge, mut visitor) = set_up(vec![site]).await;
        let answering = async {
            let mut connection = accept(&origin, &config).await;
            assert_eq!(connection.io.get_ref().1.server_name(), Some(asked));
            assert_eq!(connection.request().await.unwrap().field("host"), Some(sent));
            connection.send(OK).await;
        };
        let (answer, ()) = tokio::join!(visitor.get("a.example", "/"), answering);
        assert_eq!(answer.body, b"ok");
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_for_another_name_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    for (certificate, trusted, accepted) in [
        (authority.issue(&["a.example"]), Some(&authority), true),
        (
            authority.issue(&["b.example", "a.example"]),
            Some(&authority),
            true,
        ),
        (authority.issue(&["b.example"]), Some(&authority), false),
        (authority.issue(&["a.example"]), Some(&other), false),
        (authority.issue(&["a.example"]), None, false),
    ] {
        let config = server(&certificate, &[], None);
        let origin = Server::start(Speaks::Tls1(config), |_| async { text("ok") });
        let (_edge, mut visitor) = set_up(vec![site("a", "a.example", origin.address, trusted)]).await;
        let answer = visitor.get("a.example", "/").await;
        let expected = if accepted { (200, "") } else { (502, "origin-tls") };
        assert_eq!(told(&answer), expected);
        assert_eq!(origin.requests(), usize::from(accepted));
    }
}

#[tokio::test]
async fn an_origin_that_speaks_another_protocol_is_refused() {
    let authority = Authority::new();
    let pair = authority.issue(&["a.example"]);
    for (alpn, protocol) in [("http/1.1", OriginProtocol::Http2), ("h2", OriginProtocol::Http1)] {
        let config = server(&pair, &[alpn], None);
        let origin = Server::start(Speaks::Tls1(config), |_| async { text("ok") });
        let mut site = site("a", "a.example", origin.address, Some(&authority));
        site.config.origins[0].protocol = protocol;
        let (_edge, mut visitor) = set_up(vec![site]).await;
        assert_eq!(
            told(&visitor.get("a.example", "/").await),
            (502, "origin-tls"),
            "{alpn}"
        );
        assert_eq!(origin.requests(), 0);
    }
    let plain = Server::named("no TLS here");
    let (_edge, mut visitor) = set_up(vec![site("a", "a.example", plain.address, Some(&authority))]).await;
    assert_eq!(told(&visitor.get("a.example", "/").await), (502, "origin-tls"));
}

#[tokio::test]
async fn an_origin_that_wants_a_client_certificate_gets_the_sites_own() {
    let authority = Authority::new();
    let config = server(&authority.issue(&["a.example"]), &[], Some(&authority));
    let foreign = Authority::new().issue(&["edge.example"]);
    let own = authority.issue(&["edge.example"]);
    for (pair, accepted) in [(None, false), (Some(foreign), false), (Some(own), true)] {
        let origin = Server::start(Speaks::Tls1(Arc::clone(&config)), |_| async { text("ok") });
        let mut site = site("a", "a.example", origin.address, Some(&authority));
        if let Some(pair) = pair {
            site = with_client(site, pair);
        }
        let (_edge, mut visitor) = set_up(vec![site]).await;
        let answer = visitor.get("a.example", "/").await;
        let expected = if accepted { (200, "") } else { (502, "origin-tls") };
        assert_eq!(told(&answer), expected);
        assert_eq!(origin.requests(), usize::from(accepted));
    }
}

#[tokio::test]
async fn two_sites_with_one_origin_never_share_its_connections() {
    let authority = Authority::new();
    let config = server(
        &authority.issue(&["a.example", "b.example"]),
        &[],
        Some(&authority),
    );
    let origin = RawOrigin::bind();
    let pairs = [
        authority.issue(&["tenant-a.example"]),
        authority.issue(&["tenant-b.example"]),
    ];
    let sites = ["a", "b"].into_iter().zip(&pairs).map(|(name, pair)| {
        let mut site = site(name, &format!("{name}.example"), origin.address, Some(&authority));
        // Even the name that is asked for is the same.
        tls(&mut site).server_name = Some("a.example".to_owned());
        with_client(site, pair.clone())
    });
    let (edge, mut visitor) = set_up(sites.collect()).await;
    let mut metrics = Metrics::of(&edge).await;
    let mut shown = Vec::new();
    let mut connections = Vec::new();
    for (n, host) in ["a.example", "b.example"].into_iter().enumerate() {
        let answering = async {
            let mut connection = accept(&origin, &config).await;
            shown.push(connection.io.get_ref().1.peer_certificates().unwrap()[0].to_vec());
            assert_eq!(connection.request().await.unwrap().field("host"), Some(host));
            connection.send(OK).await;
            connections.push(connection);
        };
        let (answer, ()) = tokio::join!(visitor.get(host, "/"), answering);
        assert_eq!(answer.status, 200);
        metrics.until_idle(n as u64 + 1).await;
    }
    assert_ne!(shown[0], shown[1]);
    // Each goes on with its own.
    for (connection, host) in connections.iter_mut().zip(["a.example", "b.example"]) {
        let answering = async {
            assert_eq!(connection.request().await.unwrap().field("host"), Some(host));
            connection.send(OK).await;
        };
        let (answer, ()) = tokio::join!(visitor.get(host, "/"), answering);
        assert_eq!(answer.status, 200);
    }
    assert!(origin.has_no_more());
}

#[tokio::test]
async fn a_connection_for_one_name_serves_no_other() {
    let authority = Authority::new();
    let hosts = ["a.example", "b.example"];
    let config = server(&authority.issue(&hosts), &[], None);
    let origin = RawOrigin::bind();
    let site = with_hosts(site("a", "a.example", origin.address, Some(&authority)), &hosts);
    let (edge, mut visitor) = set_up(vec![site]).await;
    let mut metrics = Metrics::of(&edge).await;
    let mut connections = Vec::new();
    for (n, host) in hosts.into_iter().enumerate() {
        let answering = async {
            let mut connection = accept(&origin, &config).await;
            assert_eq!(connection.io.get_ref().1.server_name(), Some(host));
            connection.request().await.unwrap();
            connection.send(OK).await;
            connections.push(connection);
        };
        let (answer, ()) = tokio::join!(visitor.get(host, "/"), answering);
        assert_eq!(answer.status, 200);
        metrics.until_idle(n as u64 + 1).await;
    }
}

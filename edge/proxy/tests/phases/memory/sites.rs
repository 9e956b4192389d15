use std::net::SocketAddr;

use breakwater_edge_config::{
    Balancing, Endpoint, Endpoints, HeaderEdits, HostHeader, HostPattern, Origin, OriginProtocol,
    OriginTimeouts, RequestMatch, Retries, Route, RouteAction, SiteConfig, SiteId, TlsVersion,
};
use breakwater_edge_proxy::{ConnFacts, Protocol, TlsFacts};

/// A site `name` for one host with one origin `app` and one route to it.
pub(crate) fn site(name: &str, host: &str) -> SiteConfig {
    SiteConfig {
        id: SiteId {
            home: "eu".to_owned(),
            namespace: "team".to_owned(),
            name: name.to_owned(),
        },
        uid: format!("uid-{name}"),
        hosts: vec![HostPattern::parse(host).unwrap()],
        certificates: Vec::new(),
        tls: breakwater_edge_config::TlsSettings::default(),
        origins: vec![origin("app")],
        routes: vec![route("all")],
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        security_headers: breakwater_edge_config::SecurityHeaders::default(),
        cors: None,
        hotlink: None,
        client_address: breakwater_edge_config::ClientAddress::default(),
        rates: Vec::new(),
        cache: None,
        shared: Vec::new(),
        purges: None,
        debug_headers: false,
    }
}

pub(crate) fn origin(name: &str) -> Origin {
    Origin {
        name: name.to_owned(),
        endpoints: Endpoints::Addresses {
            list: vec![Endpoint {
                address: "192.0.2.9".parse().unwrap(),
                port: 80,
                weight: 1,
            }],
        },
        tls: None,
        protocol: OriginProtocol::Http1,
        host_header: HostHeader::Visitor,
        timeouts: OriginTimeouts::default(),
        retries: Retries { attempts: 1 },
        balancing: Balancing::RoundRobin,
        health_check: None,
        max_connections: 100,
        max_requests: 100,
    }
}

pub(crate) fn route(name: &str) -> Route {
    Route {
        name: name.to_owned(),
        matches: RequestMatch::default(),
        action: RouteAction::Forward {
            origin: "app".to_owned(),
        },
        rewrite: None,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        cache: None,
        rates: Vec::new(),
        opaque_paths: false,
    }
}

/// A connection without TLS from an address.
pub(crate) fn connection(protocol: Protocol, peer: &str) -> ConnFacts {
    ConnFacts {
        id: 1,
        peer: SocketAddr::new(peer.parse().unwrap(), 50_000),
        local: "192.0.2.1:80".parse().unwrap(),
        protocol,
        tls: None,
    }
}

/// A connection over TLS 1.3 with a certificate for these names.
pub(crate) fn tls_connection(protocol: Protocol, names: &[&str]) -> ConnFacts {
    let names: Vec<_> = names
        .iter()
        .map(|name| HostPattern::parse(name).unwrap())
        .collect();
    ConnFacts {
        local: "192.0.2.1:443".parse().unwrap(),
        tls: Some(TlsFacts {
            names: names.into(),
            version: TlsVersion::Tls13,
        }),
        ..connection(protocol, "198.51.100.7")
    }
}

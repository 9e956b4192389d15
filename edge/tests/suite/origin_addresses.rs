//! Which addresses are connected to: the rule is asked with the address itself, however the edge came by it.

use std::net::SocketAddr;

use breakwater_edge::{Edge, EdgeOptions};
use breakwater_edge_config::bundle::SiteBundle;
use breakwater_edge_config::{Endpoint, Endpoints, HealthCheck, Origin};

use crate::support::client::{Raw, RawAnswer};
use crate::support::dns::NameServer;
use crate::support::metrics::{Metrics, measured};
use crate::support::origin::{RawOrigin, forward_site, origin_at};
use crate::support::server::{Server, Speaks, text};
use crate::support::{options, region_allowing, site_change};

const HOST: &str = "a.example";

fn edge_allowing(nets: &[&str], options: EdgeOptions, site: SiteBundle) -> Edge {
    let edge = Edge::start(measured(options)).unwrap();
    assert_eq!(edge.apply(vec![region_allowing(nets), site_change(site)]), []);
    edge.set_complete();
    edge.listen().unwrap();
    edge
}

fn asking(server: &NameServer) -> EdgeOptions {
    EdgeOptions {
        name_servers: Some(vec![server.address]),
        ..options()
    }
}

fn named(port: u16) -> Origin {
    Origin {
        endpoints: Endpoints::Dns {
            name: "origin.example".to_owned(),
            port,
        },
        ..origin_at(&[])
    }
}

fn told(answer: &RawAnswer) -> (u16, Option<&str>) {
    (answer.status, answer.field("breakwater-reason"))
}

const FORBIDDEN: (u16, Option<&str>) = (502, Some("origin-forbidden"));

#[tokio::test]
async fn an_address_that_the_region_does_not_allow_is_never_connected_to_not_even_to_check_it() {
    for class in ["written", "service"] {
        let raw = RawOrigin::bind();
        let list = vec![Endpoint {
            address: raw.address.ip(),
            port: raw.address.port(),
            weight: 1,
        }];
        let origin = Origin {
            endpoints: match class {
                "service" => Endpoints::Service { list },
                _ => Endpoints::Addresses { list },
            },
            health_check: Some(HealthCheck {
                path: "/".to_owned(),
                host: None,
                interval_ms: 5,
                timeout_ms: 1000,
                healthy_threshold: 1,
                unhealthy_threshold: 1,
                statuses: Vec::new(),
            }),
            ..origin_at(&[])
        };
        let edge = edge_allowing(&[], options(), forward_site("a", HOST, origin));
        let mut visitor = Raw::connect(edge.addresses().http[0]).await;
        assert_eq!(told(&visitor.get(HOST, "/").await), FORBIDDEN, "{class}");
        let mut metrics = Metrics::of(&edge).await;
        metrics
            .until("breakwater_origin_endpoints", &["state=\"forbidden\""], 1)
            .await;
        assert!(raw.has_no_more(), "{class}");
    }
}

#[tokio::test]
async fn a_name_that_stands_for_a_forbidden_address_is_refused_whatever_it_stands_for_besides() {
    for addresses in [
        &["127.0.0.1"][..],
        &["169.254.169.254"],
        &["::1", "127.0.0.1"],
        &["::ffff:127.0.0.1"],
        &["10.0.0.1", "192.168.0.1", "fe80::1", "fd00:ec2::254", "0.0.0.0"],
    ] {
        let raw = RawOrigin::bind();
        let dns = NameServer::start(addresses);
        let site = forward_site("a", HOST, named(raw.address.port()));
        let edge = edge_allowing(&[], asking(&dns), site);
        let mut visitor = Raw::connect(edge.addresses().http[0]).await;
        assert_eq!(told(&visitor.get(HOST, "/").await), FORBIDDEN, "{addresses:?}");
        assert!(raw.has_no_more(), "{addresses:?}");
    }
}

#[tokio::test]
async fn of_a_names_addresses_the_allowed_ones_are_used() {
    let allowed = Server::named("allowed");
    let port = allowed.address.port();
    let place: SocketAddr = ([127, 0, 0, 2], port).into();
    let forbidden = RawOrigin::bind_to(place);
    let dns = NameServer::start(&["127.0.0.2", "127.0.0.1"]);
    let site = forward_site("a", HOST, named(port));
    let edge = edge_allowing(&["127.0.0.1/32"], asking(&dns), site);
    for _ in 0..10 {
        let mut visitor = Raw::connect(edge.addresses().http[0]).await;
        assert_eq!(visitor.get(HOST, "/").await.body, b"allowed");
    }
    assert!(forbidden.has_no_more());
}

#[tokio::test]
async fn a_name_that_comes_to_stand_for_a_forbidden_address_is_refused_from_then_on() {
    let allowed = Server::named("allowed");
    let port = allowed.address.port();
    let forbidden = RawOrigin::bind_to(([127, 0, 0, 2], port).into());
    let dns = NameServer::start(&["127.0.0.1"]);
    let site = forward_site("a", HOST, named(port));
    let edge = edge_allowing(&["127.0.0.1/32"], asking(&dns), site);
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    assert_eq!(visitor.get(HOST, "/").await.body, b"allowed");
    dns.set(&["127.0.0.2"]);
    let mut metrics = Metrics::of(&edge).await;
    // The answer's time to live passes first, which is five seconds at least.
    metrics
        .until("breakwater_origin_endpoints", &["state=\"forbidden\""], 1)
        .await;
    assert_eq!(told(&visitor.get(HOST, "/").await), FORBIDDEN);
    assert!(forbidden.has_no_more());
    metrics.until("breakwater_origin_connections", &[], 0).await;
}

#[tokio::test]
async fn a_change_of_the_rule_holds_at_once_for_connections_that_are_there_too() {
    let raw = RawOrigin::bind();
    let site = forward_site("a", HOST, origin_at(&[raw.address]));
    let edge = edge_allowing(&["127.0.0.0/8"], options(), site);
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    let answering = async {
        let mut connection = raw.accept().await;
        connection.request().await.unwrap();
        connection.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        connection
    };
    let (answer, mut connection) = tokio::join!(visitor.get(HOST, "/"), answering);
    assert_eq!(answer.status, 204);
    Metrics::of(&edge).await.until_idle(1).await;
    assert_eq!(edge.apply(vec![region_allowing(&["127.0.0.2/32"])]), []);
    assert!(connection.ends().await, "an idle connection closes");
    assert_eq!(told(&visitor.get(HOST, "/").await), FORBIDDEN);
    assert!(raw.has_no_more());
    assert_eq!(edge.apply(vec![region_allowing(&["127.0.0.1/32"])]), []);
    let answering = async {
        let mut connection = raw.accept().await;
        connection.request().await.unwrap();
        connection.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    };
    let (answer, ()) = tokio::join!(visitor.get(HOST, "/"), answering);
    assert_eq!(answer.status, 204);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told_as_such() {
    let dns = NameServer::start(&[]);
    let edge = edge_allowing(&[], asking(&dns), forward_site("a", HOST, named(80)));
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    assert_eq!(told(&visitor.get(HOST, "/").await), (502, Some("origin-dns")));
}

#[tokio::test]
async fn the_next_address_of_a_name_is_tried_when_nobody_listens_at_one_even_for_a_post() {
    let answer = |_| async { text("here") };
    let server = Server::start_at("127.0.0.3:0".parse().unwrap(), Speaks::Http1, answer);
    let dns = NameServer::start(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let site = forward_site("a", HOST, named(server.address.port()));
    let edge = edge_allowing(&["127.0.0.0/8"], asking(&dns), site);
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    for _ in 0..6 {
        visitor
            .send(&format!(
                "POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 3\r\n\r\npay"
            ))
            .await;
        assert_eq!(visitor.answer().await.unwrap().body, b"here");
    }
    assert_eq!(server.requests(), 6);
}

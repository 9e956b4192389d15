//! Endpoints that fail are left out and come back: those that fail their checks, and those that can't be
//! connected to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use breakwater_edge::Edge;
use breakwater_edge_config::{HealthCheck, Origin, OriginProtocol};
use http::StatusCode;

use crate::support::client::Raw;
use crate::support::metrics::{Metrics, measured};
use crate::support::origin::{Nowhere, forward_site, origin_at};
use crate::support::server::{Server, Speaks, text};
use crate::support::{edge_with, options, until};

const HOST: &str = "a.example";

fn check() -> HealthCheck {
    HealthCheck {
        path: "/health?deep=1".to_owned(),
        host: None,
        interval_ms: 10,
        timeout_ms: 100,
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        statuses: Vec::new(),
    }
}

fn checked(addresses: &[SocketAddr]) -> Origin {
    Origin {
        health_check: Some(check()),
        ..origin_at(addresses)
    }
}

/// What a server does when it is checked.
#[derive(Clone, Default)]
struct Condition {
    is_ill: Arc<AtomicBool>,
    is_stuck: Arc<AtomicBool>,
}

fn patient(name: &'static str, condition: &Condition) -> Server {
    let condition = condition.clone();
    Server::start(Speaks::Http1, move |request| {
        let condition = condition.clone();
        async move {
            let mut answer = text(name);
            if request.uri().path() == "/health" {
                if condition.is_stuck.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                if condition.is_ill.load(Ordering::Relaxed) {
                    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
            }
            answer
        }
    })
}

async fn set_up(origin: Origin) -> (Edge, Raw, Metrics) {
    let edge = edge_with(measured(options()), vec![forward_site("a", HOST, origin)]);
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    // Origins that nobody asked for have no metrics.
    visitor.get(HOST, "/").await;
    let metrics = Metrics::of(&edge).await;
    (edge, visitor, metrics)
}

async fn until_state(metrics: &mut Metrics, state: &str, count: u64) {
    let label = format!("state=\"{state}\"");
    metrics
        .until("breakwater_origin_endpoints", &[&label], count)
        .await;
}

/// Who answers ten requests.
async fn answering(visitor: &mut Raw) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..10 {
        let answer = visitor.get(HOST, "/").await;
        assert_eq!(answer.status, 200);
        names.push(String::from_utf8(answer.body).unwrap());
    }
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn an_endpoint_that_fails_its_checks_is_left_out_until_it_passes_them_again() {
    let condition = Condition::default();
    for failing in [&condition.is_ill, &condition.is_stuck] {
        let (ill, well) = (patient("ill", &condition), patient("well", &Condition::default()));
        let (_edge, mut visitor, mut metrics) = set_up(checked(&[ill.address, well.address])).await;
        assert_eq!(answering(&mut visitor).await, ["ill", "well"]);
        failing.store(true, Ordering::Relaxed);
        until_state(&mut metrics, "unhealthy", 1).await;
        assert_eq!(answering(&mut visitor).await, ["well"]);
        failing.store(false, Ordering::Relaxed);
        until_state(&mut metrics, "healthy", 2).await;
        assert_eq!(answering(&mut visitor).await, ["ill", "well"]);
    }
}

#[tokio::test]
async fn an_endpoint_that_takes_no_connections_fails_its_checks() {
    let well = patient("well", &Condition::default());
    let gone = Nowhere::new();
    let (_edge, mut visitor, mut metrics) = set_up(checked(&[gone.address, well.address])).await;
    until_state(&mut metrics, "unhealthy", 1).await;
    assert_eq!(answering(&mut visitor).await, ["well"]);
    let address = gone.address;
    drop(gone);
    let _back = Server::start_at(address, Speaks::Http1, |_| async { text("back") });
    until_state(&mut metrics, "healthy", 2).await;
    assert_eq!(answering(&mut visitor).await, ["back", "well"]);
}

#[tokio::test]
async fn when_all_fail_their_checks_all_are_asked() {
    let condition = Condition::default();
    condition.is_ill.store(true, Ordering::Relaxed);
    let servers = [patient("a", &condition), patient("b", &condition)];
    let (_edge, mut visitor, mut metrics) = set_up(checked(&[servers[0].address, servers[1].address])).await;
    until_state(&mut metrics, "unhealthy", 2).await;
    assert_eq!(answering(&mut visitor).await, ["a", "b"]);
}

#[tokio::test]
async fn a_check_asks_what_is_configured_in_the_protocol_of_the_origin() {
    for (speaks, protocol) in [
        (Speaks::Http1, OriginProtocol::Http1),
        (Speaks::Http2, OriginProtocol::Http2),
    ] {
        let seen = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&seen);
        let server = Server::start(speaks, move |request| {
            let noted = Arc::clone(&noted);
            async move {
                let host = request.headers().get("host").cloned();
                let host = host.map(|host| host.to_str().unwrap().to_owned());
                let authority = request.uri().authority().map(ToString::to_string);
                let agent = request.headers()["user-agent"].to_str().unwrap().to_owned();
                let target = request.uri().path_and_query().unwrap().to_string();
                let asked = (request.method().to_string(), target, host.or(authority), agent);
                noted.lock().unwrap().get_or_insert(asked);
                text("ok")
            }
        });
        let origin = Origin {
            protocol,
            ..checked(&[server.address])
        };
        let _edge = edge_with(options(), vec![forward_site("a", HOST, origin)]);
        until("the first check", || seen.lock().unwrap().is_some()).await;
        let asked = seen.lock().unwrap().clone().unwrap();
        assert_eq!(
            asked,
            (
                "GET".to_owned(),
                "/health?deep=1".to_owned(),
                Some(HOST.to_owned()),
                "breakwater-health-check".to_owned()
            )
        );
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_connected_to_is_left_out_for_a_while_and_tried_again() {
    let gone = Nowhere::new();
    let well = Server::named("well");
    let mut origin = origin_at(&[gone.address, well.address]);
    origin.retries.attempts = 1;
    let (_edge, mut visitor, mut metrics) = set_up(origin).await;
    for _ in 0..3 {
        assert_eq!(answering(&mut visitor).await, ["well"]);
    }
    until_state(&mut metrics, "ejected", 1).await;
    let failed = metrics
        .value("breakwater_origin_failures_total", &["kind=\"connect\""])
        .await;
    assert_eq!(failed, 3, "after three failures it isn't asked any more");
    let address = gone.address;
    drop(gone);
    let back = Server::start_at(address, Speaks::Http1, |_| async { text("back") });
    until_state(&mut metrics, "healthy", 2).await;
    assert_eq!(answering(&mut visitor).await, ["back", "well"]);
    assert!(back.requests() > 0);
}

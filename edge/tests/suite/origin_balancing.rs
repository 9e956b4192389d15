//! Which endpoint gets a request.

use std::collections::{BTreeMap, BTreeSet};

use breakwater_edge::{Edge, EdgeOptions};
use breakwater_edge_config::{Balancing, Endpoints, HashKey, Origin};

use crate::support::client::Raw;
use crate::support::origin::{forward_site, origin_at};
use crate::support::server::{Server, Speaks};
use crate::support::{edge_with, options, site_change, until};

const HOST: &str = "a.example";
const NAMES: [&str; 5] = ["v", "w", "x", "y", "z"];

fn servers(count: usize) -> Vec<Server> {
    NAMES[..count].iter().map(|name| Server::named(name)).collect()
}

fn origin(servers: &[Server], balancing: Balancing) -> Origin {
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    Origin {
        balancing,
        ..origin_at(&addresses)
    }
}

fn with_weights(mut origin: Origin, weights: &[u16]) -> Origin {
    let Endpoints::Addresses { list } = &mut origin.endpoints else {
        panic!("an origin of addresses");
    };
    for (endpoint, weight) in list.iter_mut().zip(weights) {
        endpoint.weight = *weight;
    }
    origin
}

fn edge_before(origin: Origin) -> Edge {
    edge_with(options(), vec![forward_site("a", HOST, origin)])
}

/// The name of the server that answers.
async fn asked(visitor: &mut Raw, target: &str, fields: &str) -> String {
    visitor
        .send(&format!("GET {target} HTTP/1.1\r\nhost: {HOST}\r\n{fields}\r\n"))
        .await;
    let answer = visitor.answer().await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    String::from_utf8(answer.body).unwrap()
}

#[tokio::test]
async fn in_turn_each_gets_its_weight_exactly_and_evenly_spread() {
    let servers = servers(4);
    let edge = edge_before(with_weights(
        origin(&servers, Balancing::RoundRobin),
        &[1, 2, 3, 0],
    ));
    let mut turns = Vec::new();
    for _ in 0..10 {
        // Whichever worker a visitor comes to, there is one order.
        let mut visitor = Raw::connect(edge.addresses().http[0]).await;
        for _ in 0..6 {
            turns.push(asked(&mut visitor, "/", "").await);
        }
    }
    let counts: Vec<_> = servers.iter().map(Server::requests).collect();
    assert_eq!(counts, [10, 20, 30, 0]);
    for six in turns.chunks(6) {
        assert_eq!(six, &turns[..6]);
        let repeated = six.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert_eq!(repeated, 0, "never twice in a row: {six:?}");
    }
}

#[tokio::test]
async fn one_that_does_not_answer_gets_hardly_any_more_when_requests_are_counted() {
    let stuck = Server::start(Speaks::Http1, |_| std::future::pending());
    let quick = Server::named("quick");
    let addresses = [stuck.address, quick.address];
    let edge = edge_with(
        EdgeOptions {
            workers: 1,
            ..options()
        },
        vec![forward_site(
            "a",
            HOST,
            Origin {
                balancing: Balancing::LeastRequests,
                ..origin_at(&addresses)
            },
        )],
    );
    let mut visitors = Vec::new();
    for n in 1..=20 {
        let mut visitor = Raw::connect(edge.addresses().http[0]).await;
        visitor
            .send(&format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n"))
            .await;
        visitors.push(visitor);
        until("the request reached one of them", || {
            stuck.requests() + quick.requests() == n
        })
        .await;
    }
    // The first, and perhaps one while the answer of the other was on its way.
    assert!(stuck.requests() <= 2, "{}", stuck.requests());
}

#[tokio::test]
async fn of_two_that_answer_at_once_each_gets_about_half_when_requests_are_counted() {
    let servers = servers(2);
    let edge = edge_before(origin(&servers, Balancing::LeastRequests));
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    for _ in 0..200 {
        asked(&mut visitor, "/", "").await;
    }
    // Fifty of two hundred is seven standard deviations away.
    assert!(servers[0].requests() > 50 && servers[1].requests() > 50);
}

#[tokio::test]
async fn the_same_key_goes_to_the_same_endpoint_and_few_move_when_one_goes() {
    let mut servers = servers(5);
    let hashed = Balancing::ConsistentHash { key: HashKey::Path };
    let edge = edge_before(origin(&servers, hashed.clone()));
    let mut homes: BTreeMap<String, String> = BTreeMap::new();
    for _ in 0..3 {
        let mut visitor = Raw::connect(edge.addresses().http[0]).await;
        for n in 0..60 {
            let path = format!("/{n}");
            let home = asked(&mut visitor, &path, "").await;
            assert_eq!(*homes.entry(path).or_insert_with(|| home.clone()), home);
        }
    }
    let used: BTreeSet<_> = homes.values().map(String::as_str).collect();
    assert_eq!(used, BTreeSet::from(NAMES));
    drop(servers.remove(2));
    let changed = forward_site("a", HOST, origin(&servers, hashed));
    assert_eq!(edge.apply(vec![site_change(changed)]), []);
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    for (path, home) in &homes {
        let now = asked(&mut visitor, path, "").await;
        assert_ne!(now, NAMES[2]);
        assert!(
            home == NAMES[2] || *home == now,
            "{path} moved from {home} to {now}"
        );
    }
}

#[tokio::test]
async fn a_field_may_be_the_key_and_requests_without_it_take_turns() {
    let servers = servers(5);
    let key = HashKey::Header("x-session".to_owned());
    let edge = edge_before(origin(&servers, Balancing::ConsistentHash { key }));
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    let mut homes = BTreeSet::new();
    for session in 0..20 {
        let field = format!("x-session: {session}\r\n");
        let home = asked(&mut visitor, "/a", &field).await;
        assert_eq!(asked(&mut visitor, "/b", &field).await, home);
        homes.insert(home);
    }
    assert!(homes.len() > 1);
    let mut turns = BTreeSet::new();
    for _ in 0..5 {
        turns.insert(asked(&mut visitor, "/", "").await);
    }
    assert_eq!(turns.len(), 5);
}

#[tokio::test]
async fn a_visitors_address_may_be_the_key() {
    let servers = servers(5);
    let key = HashKey::ClientAddress;
    let edge = edge_before(origin(&servers, Balancing::ConsistentHash { key }));
    let mut homes = BTreeSet::new();
    for n in 1..=20 {
        let mut home = None;
        for _ in 0..2 {
            let mut visitor = Raw::connect_from([127, 0, 1, n].into(), edge.addresses().http[0]).await;
            let asked = asked(&mut visitor, "/", "").await;
            assert_eq!(*home.get_or_insert_with(|| asked.clone()), asked);
        }
        homes.extend(home);
    }
    assert!(homes.len() > 1);
}

#[tokio::test]
async fn without_any_weight_there_is_no_endpoint() {
    let servers = servers(2);
    let edge = edge_before(with_weights(origin(&servers, Balancing::RoundRobin), &[0, 0]));
    let mut visitor = Raw::connect(edge.addresses().http[0]).await;
    let answer = visitor.get(HOST, "/").await;
    assert_eq!(
        (answer.status, answer.field("breakwater-reason")),
        (503, Some("origin-unavailable"))
    );
    assert_eq!(servers.iter().map(Server::connections).sum::<usize>(), 0);
}

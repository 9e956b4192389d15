//! A process takes the place of another.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use breakwater_edge::{Edge, EdgeOptions};

use crate::support::client::Raw;
use crate::support::{edge_with, fixed_site, options, until};

const HOST: &str = "a.example";

/// A process with this state directory that answers `body`, at the addresses of the one before.
fn edge(state: &Path, before: Option<&Edge>, body: &str) -> Edge {
    let mut options = EdgeOptions {
        state_dir: Some(state.to_owned()),
        admin: Some("127.0.0.1:0".parse().unwrap()),
        ..options()
    };
    if let Some(before) = before {
        let addresses = before.addresses();
        (options.http, options.https, options.admin) = (addresses.http, addresses.https, addresses.admin);
    }
    edge_with(options, vec![fixed_site("a", HOST, body)])
}

async fn ask(address: SocketAddr) -> String {
    let answer = Raw::connect(address).await.get(HOST, "/").await;
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body.clone()).unwrap()
}

/// Somebody who opens connections without pause and is answered on each.
async fn visit(address: SocketAddr, stop: Arc<AtomicBool>) -> usize {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        ask(address).await;
        answered += 1;
    }
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_is_lost_however_often_a_process_takes_the_others_place() {
    let state = tempfile::tempdir().unwrap();
    let mut serving = edge(state.path(), None, "0");
    let address = serving.addresses().http[0];
    let stop = Arc::new(AtomicBool::new(false));
    let visitors: Vec<_> = (0..8)
        .map(|_| tokio::spawn(visit(address, Arc::clone(&stop))))
        .collect();
    for n in 1..20 {
        let next = edge(state.path(), Some(&serving), &n.to_string());
        assert_eq!(next.addresses(), serving.addresses());
        serving.drain(Duration::from_secs(10)).await;
        assert_eq!(ask(address).await, n.to_string());
        serving = next;
    }
    stop.store(true, Ordering::Relaxed);
    for visitor in visitors {
        assert!(visitor.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn the_process_before_serves_its_connections_and_accepts_no_more() {
    let state = tempfile::tempdir().unwrap();
    let old = edge(state.path(), None, "old");
    let address = old.addresses().http[0];
    let mut kept = Raw::connect(address).await;
    kept.get(HOST, "/").await;
    let new = edge(state.path(), Some(&old), "new");
    let mut in_a_row = 0;
    while in_a_row < 50 {
        in_a_row = if ask(address).await == "new" {
            in_a_row + 1
        } else {
            0
        };
    }
    for _ in 0..3 {
        let answer = kept.get(HOST, "/").await;
        assert_eq!(
            (answer.body.as_slice(), answer.field("connection")),
            (&b"old"[..], None)
        );
    }
    assert!(!old.status().draining);
    drop(new);
}

#[tokio::test]
async fn who_doesnt_say_that_it_serves_takes_nothing() {
    let state = tempfile::tempdir().unwrap();
    let old = edge(state.path(), None, "old");
    let address = old.addresses().http[0];
    let wanted = format!(r#"{{"version":1,"wanted":[{{"role":"http","address":"{address}"}}]}}"#);
    let other = wanted.replace(r#""version":1"#, r#""version":2"#);
    for (line, is_answered) in [
        (wanted.as_str(), true),
        (&other, false),
        ("nonsense", false),
        ("", false),
    ] {
        let mut stream = UnixStream::connect(state.path().join("handover.sock")).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // The descriptors that come with the answer are closed.
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0) == 1, is_answered, "{line}");
        drop(stream);
        assert_eq!(ask(address).await, "old");
    }
    let new = edge(state.path(), Some(&old), "new");
    old.drain(Duration::from_secs(10)).await;
    assert_eq!(ask(address).await, "new");
    drop(new);
}

#[tokio::test]
async fn what_a_dead_process_left_keeps_nobody_from_listening() {
    let state = tempfile::tempdir().unwrap();
    let dead = edge(state.path(), None, "dead");
    let address = dead.addresses().http[0];
    dead.drain(Duration::from_secs(10)).await;
    drop(dead);
    assert!(state.path().join("handover.sock").exists());
    let new = edge_with(
        EdgeOptions {
            state_dir: Some(state.path().to_owned()),
            http: vec![address],
            ..options()
        },
        vec![fixed_site("a", HOST, "new")],
    );
    assert_eq!(ask(address).await, "new");
    drop(new);
}

#[tokio::test]
async fn the_admin_servers_address_passes_too() {
    let state = tempfile::tempdir().unwrap();
    let old = edge(state.path(), None, "old");
    let admin = old.addresses().admin.unwrap();
    ask(old.addresses().http[0]).await;
    assert_eq!(accepted(admin), Some(1));
    let new = edge(state.path(), Some(&old), "new");
    let served = new.addresses().http[0];
    until("the new one's metrics are shown", || accepted(admin) == Some(0)).await;
    assert_eq!(ask(served).await, "new");
}

/// How many connections the process has accepted whose admin server answers; `None`: nobody's does.
fn accepted(admin: SocketAddr) -> Option<u64> {
    let mut stream = std::net::TcpStream::connect(admin).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")
        .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    lines.find_map(|line| {
        line.strip_prefix("breakwater_connections_accepted_total ")?
            .parse()
            .ok()
    })
}

use std::time::Duration;

use breakwater_edge::{Edge, EdgeOptions, LogTarget, Probe, probe};

use crate::support::client::Raw;
use crate::support::{edge_with, fixed_site, options, region, site_change, unreadable, until};

#[tokio::test]
async fn probes_over_the_socket_follow_the_life_of_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("admin.sock");
    let ask = |what| probe(what, &socket, Duration::from_secs(5));
    assert!(ask(Probe::Live).is_err());
    let edge = Edge::start(EdgeOptions {
        admin_socket: Some(socket.clone()),
        ..options()
    })
    .unwrap();
    ask(Probe::Live).unwrap();
    let no = ask(Probe::Ready).unwrap_err().to_string();
    assert!(no.contains("waiting for its configuration"), "{no}");
    edge.apply(vec![region(), site_change(fixed_site("a", "a.example", "a"))]);
    edge.set_complete();
    assert!(
        ask(Probe::Ready)
            .unwrap_err()
            .to_string()
            .contains("not listening yet")
    );
    edge.listen().unwrap();
    ask(Probe::Ready).unwrap();
    edge.drain(Duration::from_secs(1)).await;
    assert!(ask(Probe::Ready).unwrap_err().to_string().contains("draining"));
    ask(Probe::Live).unwrap();
    drop(edge);
    assert!(ask(Probe::Live).is_err());
    assert!(!socket.exists());
}

#[tokio::test]
async fn metrics_count_requests_by_site_class_and_reason() {
    let options = EdgeOptions {
        admin: Some("127.0.0.1:0".parse().unwrap()),
        ..options()
    };
    let edge = edge_with(options, vec![fixed_site("a", "a.example", "hello")]);
    edge.apply(vec![unreadable("site-broken")]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    for _ in 0..3 {
        client.get("a.example", "/").await;
    }
    client
        .send("GET / HTTP/1.1\r\nhost: unknown.example\r\n\r\n")
        .await;
    assert!(client.ends().await);
    let mut admin = Raw::connect(edge.addresses().admin.unwrap()).await;
    let mut text = String::new();
    for _ in 0..200 {
        text = String::from_utf8(admin.get("admin", "/metrics").await.body).unwrap();
        if text.contains("breakwater_connections 0\n") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for line in [
        "breakwater_requests_total{site=\"test/shop/a\",class=\"2xx\"} 3\n",
        "breakwater_requests_total{site=\"\",class=\"none\"} 1\n",
        "breakwater_requests_by_reason_total{reason=\"unknown-host\"} 1\n",
        "breakwater_requests_by_reason_total{reason=\"route-respond\"} 3\n",
        "breakwater_requests_by_protocol_total{protocol=\"h1\"} 4\n",
        "breakwater_request_duration_seconds_count 4\n",
        "breakwater_connections_accepted_total 1\n",
        "breakwater_connections 0\n",
        "breakwater_sites 1\n",
        "breakwater_config_failures 1\n",
        "breakwater_ready 1\n",
        "breakwater_body_bytes_total{site=\"test/shop/a\"} 15\n",
        "# EOF\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn each_request_is_a_line_of_the_log_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let options = EdgeOptions {
        access_log: LogTarget::File(log.clone()),
        ..options()
    };
    let edge = edge_with(options, vec![fixed_site("a", "a.example", "hello")]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    client.get("a.example", "/x?y='z'").await;
    client
        .send("GET / HTTP/1.1\r\nhost: unknown.example\r\nuser-agent: t\r\n\r\n")
        .await;
    assert!(client.ends().await);
    // No phase sees this one.
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    client.send("GET / HTTP/1.1\r\nhost : a.example\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 400);
    until("all lines", || {
        std::fs::read_to_string(&log).unwrap().lines().count() == 3
    })
    .await;
    let text = std::fs::read_to_string(&log).unwrap();
    let mut lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    // Each worker writes its own lines when it likes.
    let order = ["route-respond", "unknown-host", "bad-field-name"];
    lines.sort_by_key(|line| order.iter().position(|reason| line["reason"] == **reason));
    assert_eq!(lines[0]["site"], "test/shop/a");
    assert_eq!(lines[0]["target"], "/x?y='z'");
    assert_eq!(
        (&lines[0]["status"], &lines[0]["body_bytes"]),
        (&200.into(), &5.into())
    );
    assert_eq!(lines[0]["reason"], "route-respond");
    assert_eq!(
        (&lines[1]["status"], &lines[1]["reason"]),
        (&0.into(), &"unknown-host".into())
    );
    assert_eq!(
        (&lines[2]["status"], &lines[2]["reason"]),
        (&400.into(), &"bad-field-name".into())
    );
    assert_eq!(
        (&lines[2]["method"], &lines[2]["target"]),
        (&"GET".into(), &"/".into())
    );
    assert_eq!(
        (&lines[1]["host"], &lines[1]["user_agent"]),
        (&"unknown.example".into(), &"t".into())
    );
}

#[tokio::test]
async fn a_line_of_the_log_is_bounded_whatever_the_visitor_writes() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let options = EdgeOptions {
        access_log: LogTarget::File(log.clone()),
        ..options()
    };
    let edge = edge_with(options, vec![fixed_site("a", "a.example", "hello")]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    let (target, agent) = ("t".repeat(9 << 10), "\"".repeat(9 << 10));
    client
        .send(&format!(
            "GET / HTTP/1.1\r\nhost: a.example\r\nuser-agent: {agent}\r\nreferer: {agent}\r\n\r\n"
        ))
        .await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert_eq!(client.get("a.example", &format!("/{target}")).await.status, 414);
    until("the lines", || {
        std::fs::read_to_string(&log).unwrap().lines().count() == 2
    })
    .await;
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let line = &lines[1];
    assert_eq!(line["target"].as_str().unwrap().len(), 8 << 10);
    assert_eq!(line["reason"], "target-too-long");
    let line = &lines[0];
    assert_eq!(line["user_agent"].as_str().unwrap().len(), 1 << 10);
    assert_eq!(line["referer"].as_str().unwrap().len(), 1 << 10);
}

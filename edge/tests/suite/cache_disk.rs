//! The cache's second tier, in a whole edge: what was stored is served after a restart without asking the origin.

use std::path::Path;
use std::time::Duration;

use breakwater_edge::{CacheDisk, Edge, EdgeOptions};

use crate::support::client::Raw;
use crate::support::origin::{RawOrigin, caching_site, origin_at};
use crate::support::{edge_with, options, until};

const HOST: &str = "a.example";

fn with_disk(dir: &Path) -> EdgeOptions {
    EdgeOptions {
        cache_disk: Some(CacheDisk {
            dir: dir.to_owned(),
            max_bytes: 64 << 20,
        }),
        ..options()
    }
}

/// How many answers its files hold, once it has them.
async fn on_disk(edge: &Edge, wanted: usize) {
    until("the files hold what is wanted", || {
        edge.status().cache_disk_entries == Some(wanted)
    })
    .await;
}

async fn answer(origin: &RawOrigin, body: &str) {
    let mut asked = origin.accept().await;
    asked.request().await.unwrap();
    let length = body.len();
    asked
        .send(&format!(
            "HTTP/1.1 200 OK\r\ncache-control: max-age=600\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;
}

#[tokio::test]
async fn what_was_stored_is_served_after_a_restart_and_by_the_process_that_comes_next() {
    let dir = tempfile::tempdir().unwrap();
    let origin = RawOrigin::bind();
    let site = || caching_site("a", HOST, origin_at(&[origin.address]));
    let body = "x".repeat(200_000);

    let first = edge_with(with_disk(dir.path()), vec![site()]);
    let mut visitor = Raw::connect(first.addresses().http[0]).await;
    visitor
        .send(&format!("GET /a HTTP/1.1\r\nhost: {HOST}\r\n\r\n"))
        .await;
    answer(&origin, &body).await;
    assert_eq!(visitor.answer().await.unwrap().status, 200);
    on_disk(&first, 1).await;

    // The next begins while the first still has the files.
    let second = edge_with(with_disk(dir.path()), vec![site()]);
    first.drain(Duration::from_secs(5)).await;
    on_disk(&second, 1).await;
    for _ in 0..2 {
        let got = Raw::connect(second.addresses().http[0])
            .await
            .get(HOST, "/a")
            .await;
        assert_eq!(got.body, body.as_bytes());
        assert!(got.field("cache-status").unwrap().contains("hit"), "{}", got.head);
        assert!(got.field("age").is_some());
    }
    assert!(origin.has_no_more(), "nothing was asked of the origin again");
    second.drain(Duration::from_secs(5)).await;
}

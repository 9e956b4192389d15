//! What policies list is there before the first visitor asks.

use breakwater_edge_config::CachePolicy;
use breakwater_edge_config::bundle::SiteBundle;

use crate::support::client::Raw;
use crate::support::origin::{RawOrigin, caching_site, origin_at};
use crate::support::{edge_with, options, site_change};

fn listing(origin: &RawOrigin, paths: &[&str]) -> SiteBundle {
    let mut site = caching_site("a", "a.example", origin_at(&[origin.address]));
    site.config.cache = Some(CachePolicy {
        prewarm: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..CachePolicy::rfc()
    });
    site
}

const FRESH: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=600\r\ncontent-length: 4\r\n\r\nwarm";

#[tokio::test]
async fn a_list_is_fetched_when_it_comes_and_what_was_added_when_it_changes() {
    let origin = RawOrigin::bind();
    let edge = edge_with(options(), vec![listing(&origin, &["/a?b"])]);
    let http = edge.addresses().http[0];
    let host = format!("a.example:{}", http.port());
    let mut at_origin = origin.accept().await;
    let asked = at_origin.request().await.unwrap();
    assert_eq!(asked.line(), "GET /a?b");
    assert_eq!(asked.field("cdn-loop"), Some("breakwater"));
    at_origin.send(FRESH).await;
    let mut client = Raw::connect(http).await;
    let hit = client.get(&host, "/a?b").await;
    let status = hit.field("cache-status").unwrap();
    assert!(
        status.starts_with("breakwater; hit") || status.contains("collapsed"),
        "{status}"
    );
    assert_eq!(hit.body, b"warm");

    assert_eq!(
        edge.apply(vec![site_change(listing(&origin, &["/a?b", "/c"]))]),
        []
    );
    assert_eq!(at_origin.request().await.unwrap().line(), "GET /c");
    at_origin.send(FRESH).await;
    assert_eq!(client.get(&host, "/c").await.body, b"warm");
    assert!(origin.has_no_more());
}

//! Content codings over real sockets: what visitors decode is what the origin sent.

use std::io::Read as _;

use breakwater_edge_config::bundle::SiteBundle;
use breakwater_edge_config::{CachePolicy, Compression, Encoding};

use crate::support::client::{Raw, RawAnswer};
use crate::support::origin::{RawOrigin, caching_site, origin_at};
use crate::support::{edge_with, options};

fn site(origin: &RawOrigin) -> SiteBundle {
    let mut site = caching_site("a", "a.example", origin_at(&[origin.address]));
    site.config.cache = Some(CachePolicy {
        compression: Some(Compression {
            encodings: vec![Encoding::Brotli, Encoding::Zstd, Encoding::Gzip],
            min_bytes: 1_024,
        }),
        ..CachePolicy::rfc()
    });
    site
}

/// Text that no encoder makes very small.
fn text(length: usize) -> String {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + u8::try_from((state >> 33) % 20).unwrap())
    };
    (0..length).map(|_| next()).collect()
}

fn decoded(answer: &RawAnswer) -> String {
    let body = &answer.body[..];
    let mut out = Vec::new();
    match answer.field("content-encoding") {
        Some("br") => brotli::Decompressor::new(body, 4096).read_to_end(&mut out),
        Some("zstd") => zstd::stream::read::Decoder::new(body)
            .unwrap()
            .read_to_end(&mut out),
        Some("gzip") => flate2::read::GzDecoder::new(body).read_to_end(&mut out),
        other => {
            assert_eq!(other, None);
            out.extend_from_slice(body);
            Ok(0)
        }
    }
    .unwrap();
    String::from_utf8(out).unwrap()
}

async fn ask(client: &mut Raw, port: u16, accepted: &str) {
    client
        .send(&format!(
            "GET / HTTP/1.1\r\nhost: a.example:{port}\r\naccept-encoding: {accepted}\r\n\r\n"
        ))
        .await;
}

/// Long enough for several steps of an encoder, and for a window to move.
#[tokio::test]
async fn every_coding_gives_back_what_the_origin_sent_the_first_time_and_from_the_cache() {
    let origin = RawOrigin::bind();
    let edge = edge_with(options(), vec![site(&origin)]);
    let http = edge.addresses().http[0];
    let mut client = Raw::connect(http).await;
    let body = text(700_000);
    let rows = [
        ("gzip, deflate, br, zstd", Some("br"), "br"),
        ("gzip, zstd", Some("zstd"), "zstd"),
        ("gzip", Some("gzip"), "gzip"),
        ("deflate", None, "identity"),
    ];
    let mut at_origin = None;
    for (accepted, coding, asked_for) in rows {
        ask(&mut client, http.port(), accepted).await;
        let raw = match &mut at_origin {
            Some(raw) => raw,
            none => none.insert(origin.accept().await),
        };
        let asked = raw.request().await.unwrap();
        assert_eq!(asked.field("accept-encoding"), Some(asked_for));
        raw.send(&format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: max-age=600\r\netag: \"1\"\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        let first = client.answer().await.unwrap();
        assert_eq!(first.field("content-encoding"), coding, "{accepted}");
        assert!(decoded(&first) == body, "{accepted}");
        ask(&mut client, http.port(), accepted).await;
        let hit = client.answer().await.unwrap();
        let status = hit.field("cache-status").unwrap();
        assert!(status.starts_with("breakwater; hit"), "{status}");
        assert_eq!(hit.field("vary"), Some("Accept-Encoding"));
        assert!(decoded(&hit) == body, "{accepted}");
    }
}

/// The visitor doesn't wait for the rest of an answer whose origin pauses.
#[tokio::test]
async fn what_came_is_sent_although_the_origin_pauses() {
    let origin = RawOrigin::bind();
    let edge = edge_with(options(), vec![site(&origin)]);
    let http = edge.addresses().http[0];
    let mut client = Raw::connect(http).await;
    ask(&mut client, http.port(), "gzip").await;
    let mut raw = origin.accept().await;
    raw.request().await.unwrap();
    raw.send(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncache-control: max-age=600\r\n\
         transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
    )
    .await;
    let head = client.head().await.unwrap();
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let (mut came, mut told) = (Vec::new(), [0; 5]);
    while flate2::read::GzDecoder::new(&came[..])
        .read_exact(&mut told)
        .is_err()
    {
        came.extend_from_slice(&client.chunk().await.unwrap().expect("not the end"));
    }
    assert_eq!(&told, b"first");
    raw.send("6\r\nsecond\r\n0\r\n\r\n").await;
    while let Some(more) = client.chunk().await.unwrap() {
        came.extend_from_slice(&more);
    }
    let mut whole = String::new();
    flate2::read::GzDecoder::new(&came[..])
        .read_to_string(&mut whole)
        .unwrap();
    assert_eq!(whole, "firstsecond");
}

/// What was compressed of a body that breaks off is no body.
#[tokio::test]
async fn a_body_that_breaks_off_is_broken_off_for_the_visitor_and_not_stored() {
    let origin = RawOrigin::bind();
    let edge = edge_with(options(), vec![site(&origin)]);
    let http = edge.addresses().http[0];
    let mut client = Raw::connect(http).await;
    ask(&mut client, http.port(), "br").await;
    let mut raw = origin.accept().await;
    raw.request().await.unwrap();
    let part = text(100_000);
    raw.send(&format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: max-age=600\r\ncontent-length: 200000\r\n\r\n{part}"
    ))
    .await;
    drop(raw);
    assert!(client.answer().await.is_none(), "never a clean end");
    let mut client = Raw::connect(http).await;
    ask(&mut client, http.port(), "br").await;
    let mut raw = origin.accept().await;
    raw.request().await.unwrap();
    raw.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.unwrap().body, b"ok");
}

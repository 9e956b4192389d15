//! What could be read in two ways: each shape is refused, or stands in docs/known-gaps.md.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use breakwater_edge::{EdgeOptions, Http1};
use tokio::io::AsyncWriteExt;

use crate::support::client::Raw;
use crate::support::origin::{RawOrigin, forward_site, origin_at};
use crate::support::{edge_with, options};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// This status, and the connection ends.
    Refused(u16),
    /// No answer; the connection ends.
    Closed,
    /// This status, and the connection goes on.
    Answered(u16),
}

use Outcome::{Answered, Closed, Refused};

/// Name, request, what has to become of it, and what becomes of it with the reference, where that differs.
type Case = (&'static str, &'static [u8], Outcome, Option<Outcome>);

const CASES: &[Case] = &[
    ("plain", b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n", Answered(200), None),
    ("chunked", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Answered(200), None),
    ("te-and-cl", b"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400), Some(Refused(200))),
    ("cl-and-te", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n", Refused(400), Some(Refused(200))),
    ("te-twice", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400), None),
    ("te-gzip-chunked", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Refused(400), None),
    ("te-chunked-gzip", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", Refused(400), None),
    ("te-identity", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: identity\r\n\r\n", Refused(400), None),
    ("te-upper-case", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n", Refused(400), None),
    ("te-vertical-tab", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Refused(400), None),
    ("te-in-1.0", b"POST / HTTP/1.0\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400), None),
    ("cl-twice-equal", b"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc", Refused(400), Some(Answered(200))),
    ("cl-twice", b"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", Refused(400), None),
    ("cl-list", b"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 3, 3\r\n\r\nabc", Refused(400), None),
    ("cl-plus", b"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: +3\r\n\r\nabc", Refused(400), None),
    ("cl-minus", b"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: -3\r\n\r\nabc", Refused(400), None),
    ("cl-hex", b"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 0x3\r\n\r\nabc", Refused(400), None),
    ("cl-empty", b"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: \r\n\r\n", Refused(400), None),
    ("cl-zero-in-front", b"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 03\r\n\r\nabc", Refused(400), None),
    ("cl-overflow", b"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 18446744073709551616\r\n\r\n", Refused(400), None),
    ("bare-lf-line", b"GET / HTTP/1.1\nhost: a.example\r\n\r\n", Refused(400), Some(Answered(200))),
    ("bare-lf-field", b"GET / HTTP/1.1\r\nhost: a.example\nx: y\r\n\r\n", Refused(400), Some(Answered(200))),
    ("bare-lf-end", b"GET / HTTP/1.1\r\nhost: a.example\r\n\n", Refused(400), Some(Answered(200))),
    ("bare-cr-value", b"GET / HTTP/1.1\r\nhost: a.example\r\nx: a\rb\r\n\r\n", Refused(400), None),
    ("nul-value", b"GET / HTTP/1.1\r\nhost: a.example\r\nx: a\0b\r\n\r\n", Refused(400), None),
    ("nul-name", b"GET / HTTP/1.1\r\nhost: a.example\r\nx\0: a\r\n\r\n", Refused(400), None),
    ("control-value", b"GET / HTTP/1.1\r\nhost: a.example\r\nx: a\x01b\r\n\r\n", Refused(400), None),
    ("obs-fold", b"GET / HTTP/1.1\r\nhost: a.example\r\nx: a\r\n b\r\n\r\n", Refused(400), None),
    ("fold-first", b"GET / HTTP/1.1\r\n host: a.example\r\n\r\n", Refused(400), None),
    ("space-before-colon", b"GET / HTTP/1.1\r\nhost : a.example\r\n\r\n", Refused(400), None),
    ("no-colon", b"GET / HTTP/1.1\r\nhost: a.example\r\nx\r\n\r\n", Refused(400), None),
    ("empty-name", b"GET / HTTP/1.1\r\nhost: a.example\r\n: x\r\n\r\n", Refused(400), None),
    ("name-with-slash", b"GET / HTTP/1.1\r\nhost: a.example\r\nx/y: x\r\n\r\n", Refused(400), None),
    ("chunk-size-plus", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", Refused(400), None),
    ("chunk-size-0x", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", Refused(400), None),
    ("chunk-size-space", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", Refused(400), Some(Answered(200))),
    ("chunk-size-underscore", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n0_3\r\nabc\r\n0\r\n\r\n", Refused(400), None),
    ("chunk-size-overflow", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", Refused(400), None),
    ("chunk-lf-after-size", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", Refused(400), None),
    ("chunk-lf-in-extension", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n", Refused(400), None),
    ("chunk-cr-in-extension", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n3;a\rb\r\nabc\r\n0\r\n\r\n", Refused(400), None),
    ("chunk-extension-unnamed", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n3;\r\nabc\r\n0\r\n\r\n", Refused(400), Some(Answered(200))),
    ("chunk-extension-malformed", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n3;[a]\r\nabc\r\n0\r\n\r\n", Refused(400), Some(Answered(200))),
    ("chunk-no-crlf-after", b"POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n", Refused(400), None),
    ("host-missing", b"GET / HTTP/1.1\r\n\r\n", Refused(400), None),
    ("host-missing-1.0", b"GET / HTTP/1.0\r\n\r\n", Refused(400), None),
    ("host-twice", b"GET / HTTP/1.1\r\nhost: a.example\r\nhost: a.example\r\n\r\n", Refused(400), None),
    ("host-two", b"GET / HTTP/1.1\r\nhost: a.example\r\nhost: b.example\r\n\r\n", Refused(400), None),
    ("host-list", b"GET / HTTP/1.1\r\nhost: a.example, b.example\r\n\r\n", Refused(400), None),
    ("host-user", b"GET / HTTP/1.1\r\nhost: me@a.example\r\n\r\n", Refused(400), None),
    ("absolute-form", b"GET http://a.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n", Answered(200), None),
    ("absolute-form-differs", b"GET http://a.example/ HTTP/1.1\r\nhost: b.example\r\n\r\n", Refused(400), None),
    ("absolute-form-user", b"GET http://me@a.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n", Refused(400), None),
    ("fragment", b"GET /a#b?c HTTP/1.1\r\nhost: a.example\r\n\r\n", Refused(400), Some(Answered(200))),
    ("control-in-target", b"GET /a\x01b HTTP/1.1\r\nhost: a.example\r\n\r\n", Refused(400), None),
    ("tab-in-target", b"GET /a\tb HTTP/1.1\r\nhost: a.example\r\n\r\n", Refused(400), None),
    ("raw-utf8-in-target", b"GET /\xc3\xa4 HTTP/1.1\r\nhost: a.example\r\n\r\n", Refused(400), None),
    ("crlf-in-path", b"GET /a%0d%0ab HTTP/1.1\r\nhost: a.example\r\n\r\n", Refused(400), None),
    ("space-in-target", b"GET /a b HTTP/1.1\r\nhost: a.example\r\n\r\n", Refused(400), None),
    ("target-without-slash", b"GET a HTTP/1.1\r\nhost: a.example\r\n\r\n", Refused(400), None),
    ("asterisk", b"GET * HTTP/1.1\r\nhost: a.example\r\n\r\n", Refused(400), None),
    ("connect", b"CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n", Refused(405), None),
    ("trace", b"TRACE / HTTP/1.1\r\nhost: a.example\r\n\r\n", Refused(405), None),
    ("version-1.2", b"GET / HTTP/1.2\r\nhost: a.example\r\n\r\n", Answered(200), Some(Refused(400))),
    ("version-2", b"GET / HTTP/2.0\r\nhost: a.example\r\n\r\n", Refused(505), Some(Refused(400))),
    ("version-0.9", b"GET /\r\n\r\n", Refused(400), None),
    ("two-spaces", b"GET  / HTTP/1.1\r\nhost: a.example\r\n\r\n", Refused(400), None),
    ("content-type-twice", b"GET / HTTP/1.1\r\nhost: a.example\r\ncontent-type: text/plain\r\ncontent-type: text/html\r\n\r\n", Refused(400), None),
    ("upgrade-h2c", b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n", Answered(200), None),
    ("preface-h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Closed, None),
    ("unknown-host", b"GET / HTTP/1.1\r\nhost: b.example\r\n\r\n", Closed, None),
];

async fn outcome(address: SocketAddr, request: &[u8]) -> Outcome {
    let mut client = Raw::connect(address).await;
    client.io.write_all(request).await.unwrap();
    let Some(answer) = client.answer().await else {
        return Closed;
    };
    // Whoever goes on answers this one too.
    let next = b"GET /next HTTP/1.1\r\nhost: a.example\r\n\r\n";
    if client.io.write_all(next).await.is_ok() && client.answer().await.is_some() {
        Answered(answer.status)
    } else {
        Refused(answer.status)
    }
}

/// Answers `ok` to what it reads to its end, on every connection.
async fn serve(origin: RawOrigin) {
    loop {
        let mut asked = origin.accept().await;
        tokio::spawn(async move {
            while asked.request().await.is_some() {
                asked.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        });
    }
}

async fn outcomes(http1: Http1) -> Vec<(&'static str, Outcome)> {
    let origin = RawOrigin::bind();
    let site = forward_site("a", "a.example", origin_at(&[origin.address]));
    let serving = tokio::spawn(serve(origin));
    let edge = edge_with(EdgeOptions { http1, ..options() }, vec![site]);
    let address = edge.addresses().http[0];
    let mut all = Vec::new();
    for (name, request, ..) in CASES {
        all.push((*name, outcome(address, request).await));
    }
    serving.abort();
    all
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused() {
    let wanted: Vec<_> = CASES
        .iter()
        .map(|(name, _, wanted, _)| (*name, *wanted))
        .collect();
    assert_eq!(outcomes(Http1::Own).await, wanted);
}

#[tokio::test]
async fn the_reference_differs_where_the_page_of_known_gaps_says_so() {
    let wanted: Vec<_> = CASES
        .iter()
        .map(|(name, _, wanted, gap)| (*name, gap.unwrap_or(*wanted)))
        .collect();
    assert_eq!(outcomes(Http1::Hyper).await, wanted);
}

/// A row of the page's table for each gap, and no other.
#[test]
fn the_page_of_known_gaps_lists_exactly_these() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/known-gaps.md");
    let page = std::fs::read_to_string(page).unwrap();
    let table = page.split("\n## The reference for HTTP/1.1").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows: BTreeSet<&str> = rows.collect();
    let gaps = CASES.iter().filter(|(.., gap)| gap.is_some());
    let gaps: BTreeSet<&str> = gaps.map(|(name, ..)| *name).collect();
    assert_eq!(rows, gaps);
}

#[tokio::test]
async fn the_line_of_a_chunk_has_at_most_256_bytes() {
    let origin = RawOrigin::bind();
    let site = forward_site("a", "a.example", origin_at(&[origin.address]));
    let serving = tokio::spawn(serve(origin));
    let edge = edge_with(options(), vec![site]);
    let address = edge.addresses().http[0];
    for (bytes, wanted) in [(256, Answered(200)), (257, Refused(400))] {
        let extension = "x".repeat(bytes - "3;\r\n".len());
        let request = format!(
            "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n3;{extension}\r\nabc\r\n0\r\n\r\n"
        );
        assert_eq!(
            outcome(address, request.as_bytes()).await,
            wanted,
            "{bytes} bytes"
        );
    }
    serving.abort();
}

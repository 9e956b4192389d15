//! Published classes of request smuggling and desynchronisation, with real bytes on both sides: whatever an
//! attacker sends, an origin is never asked for what stands inside of a body, and whoever asks next gets what they
//! asked for.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use breakwater_edge::Edge;
use breakwater_edge_config::{RouteAction, bundle::SiteBundle};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

use crate::support::client::{Raw, RawRequest};
use crate::support::origin::{RawOrigin, caching_site, origin_at};
use crate::support::{edge_with, fixed, options, route};

const HOST: &str = "a.example";

/// What no origin may ever be asked for.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: a.example\r\nx: ";

/// An edge in front of an origin that tells what it was asked for.
struct Rig {
    edge: Edge,
    asked: Arc<Mutex<Vec<RawRequest>>>,
    serving: JoinHandle<()>,
}

impl Rig {
    fn new() -> Self {
        let origin = RawOrigin::bind();
        let mut site = caching_site("a", HOST, origin_at(&[origin.address]));
        let answer = route("fixed", Some("/fixed"), RouteAction::Respond(fixed(200, "fixed")));
        site.config.routes.insert(0, answer);
        Self::with(site, origin)
    }

    fn with(site: SiteBundle, origin: RawOrigin) -> Self {
        let asked = Arc::<Mutex<Vec<RawRequest>>>::default();
        let serving = tokio::spawn(serve(origin, Arc::clone(&asked)));
        let edge = edge_with(options(), vec![site]);
        Self { edge, asked, serving }
    }

    fn address(&self) -> SocketAddr {
        self.edge.addresses().http[0]
    }

    /// The lines of all requests that reached the origin.
    fn lines(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|request| request.line().to_owned()).collect()
    }

    /// Someone else asks for something else, on a connection of their own.
    async fn assert_others_are_served(&self, class: &str) {
        for target in ["/hit", "/pass", "/fixed"] {
            let answer = Raw::connect(self.address()).await.get(HOST, target).await;
            assert_eq!(answer.status, 200, "{class} {target}");
            let own = target.trim_start_matches('/');
            assert_eq!(String::from_utf8_lossy(&answer.body), own, "{class} {target}");
        }
    }

    /// The attacks got as far as the origin, each as the one request that it is.
    fn assert_passed(&self, line: &str) {
        let lines = self.lines();
        assert!(lines.iter().any(|passed| passed == line), "{lines:?}");
    }

    fn assert_nothing_smuggled(&self, class: &str) {
        let lines = self.lines();
        assert!(
            !lines.iter().any(|line| line.contains("smuggled")),
            "{class}: {lines:?}"
        );
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers each request with the last part of its path, storable below `/hit`.
async fn serve(origin: RawOrigin, asked: Arc<Mutex<Vec<RawRequest>>>) {
    loop {
        let mut connection = origin.accept().await;
        let asked = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Some(request) = connection.request().await {
                let path = request.line().split(' ').nth(1).unwrap_or_default().to_owned();
                asked.lock().unwrap().push(request);
                let control = if path.starts_with("/hit") {
                    "max-age=600"
                } else {
                    "no-store"
                };
                let body = path.trim_start_matches('/');
                connection
                    .send(&format!(
                        "HTTP/1.1 200 OK\r\ncache-control: {control}\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    ))
                    .await;
            }
        });
    }
}

/// Sends `attack` on one connection and then a request for `/own` on the same: whatever is answered, `/own` is
/// answered as itself or not at all.
async fn attack(rig: &Rig, class: &str, attack: &[u8]) {
    let mut attacker = Raw::connect(rig.address()).await;
    let own = format!("GET /own HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    if attacker.io.write_all(attack).await.is_ok() && attacker.io.write_all(own.as_bytes()).await.is_ok() {
        while let Some(answer) = attacker.answer().await {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(
                !body.contains("smuggled"),
                "{class}: answered for what stood in a body"
            );
            if body == "own" {
                break;
            }
        }
    }
    rig.assert_others_are_served(class).await;
    rig.assert_nothing_smuggled(class);
}

#[tokio::test]
async fn a_body_that_nobody_reads_never_becomes_a_request() {
    let rig = Rig::new();
    // Stored, so that the attacks below are hits.
    assert_eq!(
        Raw::connect(rig.address()).await.get(HOST, "/hit").await.status,
        200
    );
    let length = SMUGGLED.len();
    for target in ["/hit", "/fixed", "/pass", "/nothing%00", "*"] {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE", "PUT"] {
            for extra in [
                "",
                "expect: 100-continue\r\n",
                "connection: content-length\r\n",
                "connection: keep-alive\r\n",
            ] {
                let request = format!(
                    "{method} {target} HTTP/1.1\r\nhost: {HOST}\r\n{extra}content-length: {length}\r\n\r\n{SMUGGLED}"
                );
                attack(&rig, &format!("{method} {target} {extra}"), request.as_bytes()).await;
            }
        }
    }
    for line in ["GET /pass", "POST /pass", "PUT /hit", "GET /own"] {
        rig.assert_passed(line);
    }
}

#[tokio::test]
async fn a_chunked_body_that_nobody_reads_never_becomes_a_request() {
    let rig = Rig::new();
    assert_eq!(
        Raw::connect(rig.address()).await.get(HOST, "/hit").await.status,
        200
    );
    let body = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    for target in ["/hit", "/fixed", "/pass"] {
        for method in ["GET", "HEAD", "POST"] {
            let request = format!(
                "{method} {target} HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n{body}"
            );
            attack(&rig, &format!("{method} {target}"), request.as_bytes()).await;
        }
    }
}

/// Lengths that two readers take differently: CL.TE, TE.CL, TE.TE and the ways to hide one of them.
#[tokio::test]
async fn a_length_that_is_told_in_two_ways_never_splits_a_request() {
    let rig = Rig::new();
    let codings = [
        "transfer-encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked\x0b",
        " Transfer-Encoding: chunked",
        "X: X\nTransfer-Encoding: chunked",
        "X: X\rTransfer-Encoding: chunked",
        "Transfer-Encoding\r\n : chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer_Encoding: chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked;a=b",
        "Transfer-Encoding: cow",
        "Content-Encoding: chunked",
        "Foo: bar\r\n\rTransfer-Encoding: chunked",
        "Transfer-Encoding: chunKed",
    ];
    for coding in codings {
        // Whoever reads chunks sees the end at once; whoever counts, a longer body.
        let chunked_first = format!("0\r\n\r\n{SMUGGLED}");
        let by_length = format!(
            "POST /pass HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {}\r\n{coding}\r\n\r\n{chunked_first}",
            chunked_first.len()
        );
        attack(&rig, &format!("CL.TE {coding:?}"), by_length.as_bytes()).await;
        // Whoever counts sees the end after the first line.
        let line = format!("{:x}\r\n", SMUGGLED.len());
        let by_chunks = format!(
            "POST /pass HTTP/1.1\r\nhost: {HOST}\r\n{coding}\r\ncontent-length: {}\r\n\r\n{line}{SMUGGLED}\r\n0\r\n\r\n",
            line.len()
        );
        attack(&rig, &format!("TE.CL {coding:?}"), by_chunks.as_bytes()).await;
    }
    // Two of these say nothing about the transfer.
    rig.assert_passed("POST /pass");
}

/// Line ends, sizes and extensions of chunks that two readers take differently.
#[tokio::test]
async fn a_chunk_that_is_read_in_two_ways_never_splits_a_request() {
    let rig = Rig::new();
    let inner = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a.example\r\nx: ";
    for body in [
        // A line end inside of an extension.
        format!("3;\nabc\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()),
        format!("3\n;abc\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()),
        format!("3;a=\"\n\"\r\nabc\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()),
        // The end of a chunk's data that isn't CRLF.
        format!("3\r\nabc{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()),
        format!("3\r\nabc\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()),
        format!("3\r\nabcXX{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()),
        // Sizes.
        format!("ffffffffffffffff\r\n{inner}"),
        format!("100000000000000{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()),
        format!("-1\r\n{inner}\r\n0\r\n\r\n"),
        format!("0x3\r\nabc\r\n{inner}\r\n0\r\n\r\n"),
        format!("\r\n{inner}\r\n0\r\n\r\n"),
        // Trailers that would pass for fields of the head.
        format!("0\r\ncontent-length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()),
        format!("0\r\ntransfer-encoding: chunked\r\n\r\n{SMUGGLED}"),
        "0\r\nhost: evil.example\r\ncookie: x\r\n\r\n".to_owned(),
    ] {
        let request =
            format!("POST /pass HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        let mut attacker = Raw::connect(rig.address()).await;
        // What follows a whole body is the attacker's own next request, and no smuggling.
        attacker.io.write_all(request.as_bytes()).await.unwrap();
        attacker.io.shutdown().await.unwrap();
        while attacker.answer().await.is_some() {}
        rig.assert_others_are_served(&body).await;
    }
    let asked = rig.asked.lock().unwrap();
    for request in asked.iter().filter(|request| request.line().starts_with("POST")) {
        assert!(
            !String::from_utf8_lossy(&request.body).contains("smuggled"),
            "a body with a malformed chunk reached the origin to its end: {request:?}"
        );
    }
    assert!(asked.iter().all(|request| request.field("host") == Some(HOST)));
    assert!(asked.iter().all(|request| request.field("cookie").is_none()));
}

/// An attacker that waits for 100 (Continue), or says so, and then sends something else.
#[tokio::test]
async fn an_expectation_never_splits_a_request() {
    let rig = Rig::new();
    assert_eq!(
        Raw::connect(rig.address()).await.get(HOST, "/hit").await.status,
        200
    );
    for target in ["/hit", "/fixed", "/pass"] {
        for expect in [
            "100-continue",
            "100-Continue",
            "y 100-continue",
            "100-continue, 100-continue",
            "x",
        ] {
            for method in ["GET", "POST"] {
                let class = format!("{method} {target} {expect}");
                let head = format!(
                    "{method} {target} HTTP/1.1\r\nhost: {HOST}\r\nexpect: {expect}\r\ncontent-length: {}\r\n\r\n",
                    SMUGGLED.len()
                );
                let mut attacker = Raw::connect(rig.address()).await;
                attacker.send(&head).await;
                // Whatever is answered to the head, the body comes only now.
                let first = attacker.any_answer().await;
                assert!(
                    first.is_none_or(|answer| !String::from_utf8_lossy(&answer.body).contains("smuggled"))
                );
                let rest = format!("{SMUGGLED}\r\n\r\nGET /own HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
                if attacker.io.write_all(rest.as_bytes()).await.is_ok() {
                    while let Some(answer) = attacker.answer().await {
                        let body = String::from_utf8_lossy(&answer.body).into_owned();
                        assert!(!body.contains("smuggled"), "{class}");
                        if body == "own" {
                            break;
                        }
                    }
                }
                rig.assert_others_are_served(&class).await;
                rig.assert_nothing_smuggled(&class);
            }
        }
    }
}

/// An upgrade that is refused leaves HTTP, not a tunnel to the origin around every phase.
#[tokio::test]
async fn a_refused_upgrade_is_no_tunnel() {
    let rig = Rig::new();
    for (version, upgrade) in [
        ("13", "websocket"),
        ("777", "websocket"),
        ("13", "WebSocket, h2c"),
        ("13", "h2c"),
    ] {
        let request = format!(
            "GET /pass HTTP/1.1\r\nhost: {HOST}\r\nconnection: upgrade\r\nupgrade: {upgrade}\r\n\
             sec-websocket-version: {version}\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let mut attacker = Raw::connect(rig.address()).await;
        attacker.send(&request).await;
        assert_eq!(
            attacker.answer().await.unwrap().status,
            200,
            "the origin declines"
        );
        // Read by the edge as a request like any other, so refused for its host.
        attacker
            .send("GET /smuggled HTTP/1.1\r\nhost: internal.example\r\n\r\n")
            .await;
        assert!(attacker.answer().await.is_none(), "{upgrade} {version}");
        rig.assert_nothing_smuggled(upgrade);
        rig.assert_others_are_served(upgrade).await;
    }
}

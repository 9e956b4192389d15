//! What a hit costs in the whole process, from the visitor's socket to the log: no allocation.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are outside of what clippy takes for a test"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use breakwater_edge::{Change, Edge, EdgeOptions, LogTarget};
use breakwater_edge_config::bundle::{SiteBundle, hash};
use breakwater_edge_config::{
    AddressPolicy, Balancing, Document, Endpoint, Endpoints, HeaderEdits, HostHeader, Origin, OriginProtocol,
    OriginTimeouts, RegionSettings, RequestMatch, Retries, Route, RouteAction, SiteConfig,
};

/// Counts the process's allocations.
struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged; the counter doesn't allocate.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: as the trait asks; passed on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: as the trait asks; passed on.
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `alloc` above, so from the system's allocator, with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Answers each connection's requests with as many bytes as the path's last part says.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for io in listener.incoming() {
            thread::spawn(move || answer(io.unwrap()));
        }
    });
    address
}

fn answer(mut io: TcpStream) {
    let mut seen = Vec::new();
    let mut buf = [0; 4096];
    while let Ok(read @ 1..) = io.read(&mut buf) {
        seen.extend_from_slice(&buf[..read]);
        if !seen.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut seen)).unwrap();
        let length: usize = text.split([' ', '/']).nth(2).unwrap().parse().unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/css\r\netag: \"a\"\r\nlast-modified: Thu, 14 Jan 2021 08:00:00 GMT\r\n\
             cache-control: public, max-age=3600\r\ncontent-length: {length}\r\n\r\n"
        );
        io.write_all(head.as_bytes()).unwrap();
        io.write_all(&vec![b'a'; length]).unwrap();
    }
}

fn put(name: &str, document: Document) -> Change {
    let hash = hash(&document.to_files().unwrap());
    Change::Put {
        name: name.to_owned(),
        hash,
        document,
    }
}

fn edge(log: LogTarget) -> Edge {
    let origin = origin();
    let edge = Edge::start(EdgeOptions {
        http: vec!["127.0.0.1:0".parse().unwrap()],
        workers: 1,
        pin_workers: false,
        cache_max_bytes: 64 << 20,
        rate_table_bytes: 1 << 20,
        access_log: log,
        ..EdgeOptions::default()
    })
    .unwrap();
    let site = serde_json::json!({
        "id": {"home": "test", "namespace": "shop", "name": "a"},
        "uid": "uid-a",
        "hosts": ["a.example"],
        "routes": [],
    });
    let mut site: SiteConfig = serde_json::from_value(site).unwrap();
    site.origins = vec![Origin {
        name: "main".to_owned(),
        endpoints: Endpoints::Addresses {
            list: vec![Endpoint {
                address: origin.ip(),
                port: origin.port(),
                weight: 1,
            }],
        },
        tls: None,
        protocol: OriginProtocol::Http1,
        host_header: HostHeader::Visitor,
        timeouts: OriginTimeouts::default(),
        retries: Retries { attempts: 0 },
        balancing: Balancing::RoundRobin,
        health_check: None,
        max_connections: 8,
        max_requests: 64,
    }];
    site.routes = vec![Route {
        name: "all".to_owned(),
        matches: RequestMatch::default(),
        action: RouteAction::Forward {
            origin: "main".to_owned(),
        },
        rewrite: None,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        cache: None,
        rates: Vec::new(),
        opaque_paths: false,
    }];
    let region = RegionSettings {
        region: "test".to_owned(),
        origin_addresses: AddressPolicy {
            allow: vec!["127.0.0.0/8".parse().unwrap()],
            deny: Vec::new(),
        },
        ..RegionSettings::default()
    };
    let site = SiteBundle::plain(site);
    let failures = edge.apply(vec![
        put("region-settings", Document::Region(region)),
        put("site-a", Document::Site(Box::new(site))),
    ]);
    assert_eq!(failures, []);
    edge.set_complete();
    edge.listen().unwrap();
    edge
}

/// A visitor with buffers of its own.
struct Visitor {
    io: TcpStream,
    buf: Vec<u8>,
}

impl Visitor {
    fn new(address: SocketAddr) -> Self {
        let io = TcpStream::connect(address).unwrap();
        io.set_nodelay(true).unwrap();
        io.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let buf = vec![0; 4 << 20];
        Self { io, buf }
    }

    /// Sends requests and reads as many answers, each a 200 or a 304; allocates nothing. True for a hit.
    fn exchange(&mut self, requests: &[u8], answers: usize, has_body: bool) -> bool {
        self.io.write_all(requests).unwrap();
        let (mut read, mut at) = (0, 0);
        for _ in 0..answers {
            at += loop {
                if let Some(length) = answer_length(&self.buf[at..read], has_body) {
                    break length;
                }
                let more = self.io.read(&mut self.buf[read..]).unwrap();
                assert!(more > 0, "the connection ended");
                read += more;
            };
        }
        assert_eq!(at, read);
        self.buf[..read].windows(HIT.len()).any(|w| w == HIT)
    }
}

const HIT: &[u8] = b"cache-status: breakwater; hit";

/// The length of the answer that these bytes begin with, once it is complete.
fn answer_length(bytes: &[u8], has_body: bool) -> Option<usize> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 ") || head.starts_with("HTTP/1.1 304 "),
        "{head}"
    );
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let body = length
        .filter(|_| has_body)
        .map_or(0, |length| length.parse().unwrap());
    (bytes.len() >= end + body).then_some(end + body)
}

#[test]
fn a_hit_allocates_nothing_in_the_whole_process() {
    let directory = tempfile::tempdir().unwrap();
    let edge = edge(LogTarget::File(directory.path().join("access.log")));
    let mut visitor = Visitor::new(edge.addresses().http[0]);
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let request = |method: &str, bytes: usize, fields: &str| {
        format!(
            "{method} /{bytes} HTTP/1.1\r\nHost: a.example\r\nUser-Agent: {agent}\r\nAccept: */*\r\n\
             Accept-Encoding: gzip, br\r\nCookie: a=b; c=d\r\nReferer: https://a.example/\r\n{fields}\r\n"
        )
        .into_bytes()
    };
    let validating = "If-None-Match: \"a\"\r\n";
    for (what, request, has_body, at_once) in [
        ("1 KiB", request("GET", 1024, ""), true, 1),
        ("32 KiB", request("GET", 32 << 10, ""), true, 1),
        ("1 MiB", request("GET", 1 << 20, ""), true, 1),
        ("HEAD", request("HEAD", 1024, ""), false, 1),
        ("304", request("GET", 1024, validating), false, 1),
        ("1 KiB, eight at a time", request("GET", 1024, ""), true, 8),
    ] {
        let many = request.repeat(at_once);
        let mut is_hit = false;
        let mut window = |requests: usize| {
            let before = COUNT.load(Relaxed);
            for _ in 0..requests / at_once {
                is_hit = visitor.exchange(&many, at_once, has_body);
            }
            COUNT.load(Relaxed) - before
        };
        // The first is a miss, and what it brings is at hand a moment later.
        for _ in 0..3 {
            window(8);
        }
        // Buffers grow, those of the log too.
        window(1000);
        // Other work in the process only ever adds: one quiet stretch proves it.
        let windows: Vec<u64> = (0..10).map(|_| window(500)).collect();
        assert!(
            windows.contains(&0),
            "{what}: {windows:?} allocations in 500 hits each"
        );
    }
}

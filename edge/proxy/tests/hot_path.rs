//! What a hit costs in the phases: no allocation, and a bound on the time of a change of one site in many.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are outside of what clippy takes for a test"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use breakwater_edge_cache::{Cache, CacheConfig};
use breakwater_edge_config::{
    Balancing, CacheKey, CachePolicy, ClientAddress, Cors, Endpoints, HeaderEdits, HostHeader, HostPattern,
    Hotlink, Origin, OriginPattern, OriginProtocol, OriginTimeouts, PolicyId, QueryKey, RateKey, RateRule,
    RequestMatch, Retries, Route, RouteAction, SecurityHeaders, SiteConfig, SiteId, TlsSettings,
};
use breakwater_edge_guard::{RateTable, Seed};
use breakwater_edge_proxy::compile::{Directory, Shared as Policies, Site};
use breakwater_edge_proxy::{
    BodyHint, ConnFacts, Fields, FillStep, Now, OriginHead, Protocol, RequestHead, Scratch, Shared, Step,
    Worker,
};

/// Counts this thread's allocations.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counter doesn't allocate (its
// initialiser is const and it has no destructor).
unsafe impl GlobalAlloc for Counting {
    // SAFETY: as the trait asks; passed on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
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

fn rate(key: RateKey) -> RateRule {
    RateRule {
        id: PolicyId(format!("RateRule/team/{key:?}")),
        matches: Vec::new(),
        key,
        requests: 1_000_000,
        period_ms: 1,
        burst: 1_000_000,
        status: 429,
    }
}

/// A site with everything that a hit passes through.
fn config(index: usize) -> SiteConfig {
    let name = format!("site-{index}");
    let host = |prefix: &str| HostPattern::parse(&format!("{prefix}{name}.example.com")).unwrap();
    SiteConfig {
        id: SiteId {
            home: "eu".to_owned(),
            namespace: "team".to_owned(),
            name: name.clone(),
        },
        uid: format!("uid-{index}"),
        hosts: vec![host(""), host("www.")],
        certificates: Vec::new(),
        tls: TlsSettings::default(),
        origins: vec![Origin {
            name: "app".to_owned(),
            endpoints: Endpoints::Dns {
                name: "origin.example".to_owned(),
                port: 80,
            },
            tls: None,
            protocol: OriginProtocol::Http1,
            host_header: HostHeader::Visitor,
            timeouts: OriginTimeouts::default(),
            retries: Retries::default(),
            balancing: Balancing::RoundRobin,
            health_check: None,
            max_connections: 1,
            max_requests: 1,
        }],
        routes: vec![Route {
            name: "all".to_owned(),
            matches: RequestMatch::default(),
            action: RouteAction::Forward {
                origin: "app".to_owned(),
            },
            rewrite: None,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            cache: None,
            rates: Vec::new(),
            opaque_paths: false,
        }],
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits {
            remove: vec!["server".to_owned()],
            set: vec![("x-site".to_owned(), name.clone())],
            add: Vec::new(),
        },
        security_headers: SecurityHeaders {
            no_sniff: true,
            ..SecurityHeaders::default()
        },
        cors: Some(Cors {
            allow_origins: vec![OriginPattern::Exact("https://app.example".to_owned())],
            allow_methods: Vec::new(),
            allow_headers: Vec::new(),
            expose_headers: Vec::new(),
            allow_credentials: true,
            max_age_secs: 1,
        }),
        hotlink: Some(Hotlink {
            allow_referers: vec![HostPattern::parse("app.example").unwrap()],
            allow_empty: true,
            extensions: vec!["css".to_owned()],
            redirect: None,
        }),
        client_address: ClientAddress {
            trusted_proxies: vec!["198.51.100.0/24".parse().unwrap()],
            header: None,
        },
        rates: [
            RateKey::ClientAddress,
            RateKey::Cookie("sid".to_owned()),
            RateKey::Site,
        ]
        .into_iter()
        .map(rate)
        .collect(),
        cache: Some(CachePolicy {
            key: CacheKey {
                device_class: true,
                query: QueryKey::Deny(vec!["utm".to_owned()]),
                sort_query: true,
                headers: vec!["x-tenant".to_owned()],
                cookies: vec!["theme".to_owned()],
            },
            ..CachePolicy::rfc()
        }),
        shared: Vec::new(),
        purges: None,
        debug_headers: false,
    }
}

fn compiled(config: SiteConfig) -> Arc<Site> {
    Arc::new(Site::compile(Arc::new(config), &Policies::default()).unwrap())
}

fn worker() -> Worker {
    let directory = Arc::new(Directory::default());
    directory.change(|change| change.set(compiled(config(0))));
    Worker::new(Arc::new(Shared {
        directory,
        cache: Cache::new(&CacheConfig::new(16 << 20, [1; 16])).unwrap(),
        rates: Arc::new(RateTable::new(1 << 16, Seed([2; 16])).unwrap()),
        loop_id: "breakwater".into(),
        workers: 1,
    }))
}

fn conn() -> ConnFacts {
    ConnFacts {
        id: 1,
        peer: "198.51.100.7:5000".parse().unwrap(),
        local: "192.0.2.1:80".parse().unwrap(),
        protocol: Protocol::Http1,
        tls: None,
    }
}

const REQUEST: [(&str, &str); 11] = [
    ("Host", "site-0.example.com"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Origin", "https://app.example"),
    ("Connection", "keep-alive"),
    ("Referer", "https://app.example/page"),
    ("X-Forwarded-For", "203.0.113.9, 198.51.100.8"),
    ("Cookie", "sid=1; theme=dark; lang=de"),
    ("X-Tenant", "7"),
];

const ANSWER: [(&str, &str); 7] = [
    ("Date", "Fri, 15 Jan 2027 08:00:00 GMT"),
    ("Server", "nginx"),
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "public, max-age=3600"),
    ("ETag", "\"abc\""),
    ("Last-Modified", "Thu, 14 Jan 2027 08:00:00 GMT"),
    ("Vary", "Accept-Encoding"),
];

fn index<'a>(lines: &'a [(&'a str, &'a str)]) -> Fields<'a> {
    Fields::from_lines(lines.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()))).unwrap()
}

fn head<'a>() -> RequestHead<'a> {
    RequestHead {
        method: b"GET",
        target: b"/assets/app.css?v=3&utm=mail&a=1",
        fields: index(&REQUEST),
        ..RequestHead::default()
    }
}

/// Stores the answer.
fn fill(worker: &Worker, now: Now) {
    let step = worker.on_head(&conn(), &head(), now, &mut Scratch::default());
    let Step::Wait {
        fill: Some(mut fill), ..
    } = step
    else {
        panic!("{step:?}")
    };
    fill.on_send(now);
    let answer = OriginHead {
        status: 200,
        fields: index(&ANSWER),
        body: BodyHint::Length(1024),
    };
    assert_eq!(fill.on_head(&answer, now), FillStep::Body);
    fill.write(vec![b'a'; 1024].into()).unwrap();
    fill.finish(None).unwrap().stored.unwrap();
}

#[test]
fn a_hit_allocates_nothing_once_the_buffers_have_grown() {
    let (worker, conn, mut scratch) = (worker(), conn(), Scratch::default());
    let now = Now {
        mono_ns: 1_000_000_000,
        wall_ms: 1_800_000_000_000,
    };
    fill(&worker, now);
    let mut hit = || {
        let before = COUNT.with(Cell::get);
        let head = head();
        let step = worker.on_head(&conn, &head, now, &mut scratch);
        assert!(
            matches!(&step, Step::Serve { body, .. } if body.remaining() > 0),
            "{step:?}"
        );
        drop(step);
        COUNT.with(Cell::get) - before
    };
    // The buffers grow, and the worker takes the entry to hand.
    for _ in 0..8 {
        hit();
    }
    assert_eq!(hit(), 0);
    // The best of many short runs: other work on the machine only ever adds.
    let rounds = 500_u32;
    let best = (0..400).map(|_| {
        let start = Instant::now();
        (0..rounds).for_each(|_| assert_eq!(hit(), 0));
        start.elapsed() / rounds
    });
    println!(
        "a hit in the phases, building the head included: {:?}",
        best.min().unwrap_or_default()
    );
}

#[test]
fn one_site_of_ten_thousand_is_replaced_by_copying_pointers() {
    let directory = Directory::default();
    let sites: Vec<_> = (0..10_000).map(|at| compiled(config(at))).collect();
    let start = Instant::now();
    directory.change(|change| sites.into_iter().for_each(|site| change.set(site)));
    println!("10,000 sites in one change: {:?}", start.elapsed());
    let held = directory.current();
    let rounds = 1_000_u32;
    let changed: Vec<_> = (0..rounds).map(|at| compiled(config(at as usize * 7))).collect();
    let before = COUNT.with(Cell::get);
    let start = Instant::now();
    for site in changed {
        directory.change(|change| change.set(site));
    }
    let each = start.elapsed() / rounds;
    let allocations = (COUNT.with(Cell::get) - before) / u64::from(rounds);
    println!("one of 10,000 replaced: {each:?}, {allocations} allocations");
    assert!(
        allocations < 20,
        "{allocations} allocations a change: more than the touched parts were copied"
    );
    assert_eq!(held.sites().count(), 10_000);
    assert_eq!(
        directory.current().find("www.site-77.example.com").unwrap().uid(),
        "uid-77"
    );
}

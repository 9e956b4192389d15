//! The in-memory adaptor: clients and origins are values, every exchange moves when the test says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use breakwater_edge_config::{
    Balancing, Endpoint, Endpoints, HeaderEdits, HostHeader, HostPattern, Origin, OriginProtocol,
    OriginTimeouts, RequestMatch, Retries, Route, RouteAction, SiteConfig, SiteId, TlsVersion,
};
use breakwater_edge_guard::{RateTable, Seed};
use breakwater_edge_proxy::compile::{Directory, Shared as Policies, Site};
use breakwater_edge_proxy::{
    BodyHint, ConnFacts, End, Event, FetchPlan, Fields, Now, OriginFailure, OriginHead, Protocol, Reason,
    RequestHead, Scratch, Shared, Step, TlsFacts, Worker,
};

/// Owned `(name, value)` lines.
pub(crate) type Lines = Vec<(String, String)>;

pub(crate) fn lines(of: &[(&str, &str)]) -> Lines {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn index(lines: &Lines) -> Fields<'_> {
    Fields::from_lines(lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A request as a client writes it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) authority: Option<&'static str>,
    pub(crate) fields: Lines,
    pub(crate) body: BodyHint,
    pub(crate) http10: bool,
}

impl Request {
    pub(crate) fn new(method: &'static str, host: &str, target: &str) -> Self {
        Self {
            method,
            target: target.to_owned(),
            authority: None,
            fields: lines(&[("host", host)]),
            body: BodyHint::None,
            http10: false,
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", "shop.example", target)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: self.method.as_bytes(),
            http10: self.http10,
            scheme: None,
            authority: self.authority.map(str::as_bytes),
            target: self.target.as_bytes(),
            fields: index(&self.fields),
            body: self.body,
        }
    }
}

/// What a client saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) fields: Lines,
    pub(crate) body: String,
    pub(crate) length: Option<u64>,
    pub(crate) ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Whole,
    WholeThenClose,
    Closed(Reason),
    Reset(Reason),
    Upgraded,
    Aborted,
}

impl Got {
    /// The values of a field, joined by `, `.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self.fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// A request that an origin received.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) plan: FetchPlan,
    client: usize,
}

impl Asked {
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let values: Vec<_> =
            self.plan.fields.iter().filter(|(n, _)| *n == name.as_bytes()).map(|(_, v)| text(v)).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// `METHOD authority target`.
    pub(crate) fn line(&self) -> String {
        let plan = &self.plan;
        format!("{} {} {}", text(&plan.method), text(&plan.authority), text(&plan.target))
    }
}

/// An origin's answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Lines,
    pub(crate) body: &'static str,
}

impl Answer {
    pub(crate) fn new(status: u16, fields: &[(&str, &str)], body: &'static str) -> Self {
        Self { status, fields: lines(fields), body }
    }

    pub(crate) fn ok() -> Self {
        Self::new(200, &[("content-type", "text/plain")], "hello")
    }
}

struct Exchange {
    conn: ConnFacts,
    request: Request,
    scratch: Scratch,
    got: Got,
}

/// A whole edge: sites, one worker, a clock, clients and origins.
pub(crate) struct World {
    pub(crate) directory: Arc<Directory>,
    pub(crate) worker: Worker,
    pub(crate) now: Now,
    /// Everything that origins were asked, in order.
    pub(crate) asked: Vec<Asked>,
    /// The connection that the next clients use.
    pub(crate) conn: ConnFacts,
    exchanges: Vec<Exchange>,
}

/// A site `name` for one host with one origin `app` and one route to it.
pub(crate) fn site(name: &str, host: &str) -> SiteConfig {
    SiteConfig {
        id: SiteId { home: "eu".to_owned(), namespace: "team".to_owned(), name: name.to_owned() },
        uid: format!("uid-{name}"),
        hosts: vec![HostPattern::parse(host).unwrap()],
        certificates: Vec::new(),
        tls: breakwater_edge_config::TlsSettings::default(),
        origins: vec![origin("app")],
        routes: vec![route("all")],
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        security_headers: breakwater_edge_config::SecurityHeaders::default(),
        cors: None,
        hotlink: None,
        client_address: breakwater_edge_config::ClientAddress::default(),
        rates: Vec::new(),
        cache: None,
        shared: Vec::new(),
        debug_headers: false,
    }
}

pub(crate) fn origin(name: &str) -> Origin {
    Origin {
        name: name.to_owned(),
        endpoints: Endpoints::Addresses {
            list: vec![Endpoint { address: "192.0.2.9".parse().unwrap(), port: 80, weight: 1 }],
        },
        tls: None,
        protocol: OriginProtocol::Http1,
        host_header: HostHeader::Visitor,
        timeouts: OriginTimeouts::default(),
        retries: Retries { attempts: 1 },
        balancing: Balancing::RoundRobin,
        health_check: None,
        max_connections: 100,
        max_requests: 100,
    }
}

pub(crate) fn route(name: &str) -> Route {
    Route {
        name: name.to_owned(),
        matches: RequestMatch::default(),
        action: RouteAction::Forward { origin: "app".to_owned() },
        rewrite: None,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        cache: None,
        rates: Vec::new(),
        opaque_paths: false,
    }
}

impl World {
    /// An edge that serves `site`, with a plain HTTP/1.1 client at 198.51.100.7.
    pub(crate) fn new(site: SiteConfig) -> Self {
        let directory = Arc::new(Directory::default());
        let rates = Arc::new(RateTable::new(1 << 16, Seed([7; 16])).unwrap());
        let shared = Shared { directory: Arc::clone(&directory), rates, loop_id: "breakwater".into() };
        let world = Self {
            directory,
            worker: Worker::new(Arc::new(shared)),
            now: Now { mono_ns: 1_000_000_000, wall_ms: 1_800_000_000_000 },
            asked: Vec::new(),
            conn: connection(Protocol::Http1, "198.51.100.7"),
            exchanges: Vec::new(),
        };
        world.serve(site);
        world
    }

    /// The shop with changes.
    pub(crate) fn shop(change: impl FnOnce(&mut SiteConfig)) -> Self {
        let mut config = site("shop", "shop.example");
        change(&mut config);
        Self::new(config)
    }

    /// Adds a site or replaces it.
    pub(crate) fn serve(&self, site: SiteConfig) {
        self.serve_with(site, &Policies::default());
    }

    pub(crate) fn serve_with(&self, site: SiteConfig, policies: &Policies) {
        let site = Arc::new(Site::compile(Arc::new(site), policies).unwrap());
        self.directory.change(|change| change.set(site));
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now.mono_ns += u64::try_from(time.as_nanos()).unwrap();
        self.now.wall_ms += u64::try_from(time.as_millis()).unwrap();
    }

    /// A client's request up to where it waits for an origin, or is done.
    pub(crate) fn open(&mut self, request: Request) -> usize {
        let mut exchange = Exchange {
            conn: self.conn.clone(),
            request,
            scratch: Scratch::default(),
            got: Got::default(),
        };
        let head = exchange.request.head();
        let step = self.worker.on_head(&exchange.conn, &head, self.now, &mut exchange.scratch);
        drop(head);
        self.exchanges.push(exchange);
        let client = self.exchanges.len() - 1;
        self.take(client, step, None);
        client
    }

    /// What a client has seen so far.
    pub(crate) fn got(&self, client: usize) -> &Got {
        &self.exchanges[client].got
    }

    /// The origin answers the request that it was asked as the `asked`th.
    pub(crate) fn answer(&mut self, asked: usize, answer: &Answer) {
        let client = self.asked[asked].client;
        let head = OriginHead {
            status: answer.status,
            fields: index(&answer.fields),
            body: BodyHint::Length(answer.body.len() as u64),
        };
        self.event(client, Event::OriginHead(&head), Some(answer));
    }

    /// The request to the origin fails.
    pub(crate) fn fail(&mut self, asked: usize, failure: OriginFailure) {
        let client = self.asked[asked].client;
        self.event(client, Event::OriginFailed(failure), None);
    }

    fn event(&mut self, client: usize, event: Event<'_>, answer: Option<&Answer>) {
        let exchange = &mut self.exchanges[client];
        let head = exchange.request.head();
        let step = self.worker.on_event(&exchange.conn, &head, event, self.now, &mut exchange.scratch);
        drop(head);
        self.take(client, step, answer);
    }

    /// A request and, where the origin is asked, this answer.
    pub(crate) fn exchange(&mut self, request: Request, answer: &Answer) -> Got {
        let before = self.asked.len();
        let client = self.open(request);
        if self.asked.len() > before {
            self.answer(before, answer);
        }
        self.got(client).clone()
    }

    /// A request that must not reach the origin.
    pub(crate) fn refused(&mut self, request: Request) -> Got {
        let before = self.asked.len();
        let client = self.open(request);
        assert_eq!(self.asked.len(), before, "the origin was asked");
        self.got(client).clone()
    }

    /// What the origin is asked for a request, answered 200.
    pub(crate) fn forwarded(&mut self, request: Request) -> &Asked {
        let before = self.asked.len();
        self.exchange(request, &Answer::ok());
        &self.asked[before]
    }

    fn take(&mut self, client: usize, step: Step, answer: Option<&Answer>) {
        let exchange = &mut self.exchanges[client];
        match step {
            Step::Reply { body, close } => {
                exchange.head();
                exchange.got.body = text(&body);
                exchange.got.ended = Some(if close { Ended::WholeThenClose } else { Ended::Whole });
            }
            Step::Fetch(plan) => self.asked.push(Asked { plan: *plan, client }),
            Step::Retry => {
                let plan = self.asked.iter().rev().find(|a| a.client == client).unwrap().plan.clone();
                self.asked.push(Asked { plan, client });
            }
            Step::Stream => {
                exchange.head();
                exchange.got.body = answer.unwrap().body.to_owned();
                exchange.got.ended = Some(Ended::Whole);
            }
            Step::Upgrade => {
                exchange.head();
                exchange.got.ended = Some(Ended::Upgraded);
            }
            Step::Close(reason) => exchange.got.ended = Some(Ended::Closed(reason)),
            Step::Reset(reason) => exchange.got.ended = Some(Ended::Reset(reason)),
        }
    }

    /// The record of a client's request as `(status, reason, client, route)`.
    pub(crate) fn record(&self, client: usize) -> (u16, Option<Reason>, String, Option<String>) {
        let Exchange { conn, request, scratch, got } = &self.exchanges[client];
        let end = End { body_bytes: got.body.len() as u64, ..End::default() };
        let head = request.head();
        let record = self.worker.record(conn, &head, &end, self.now, scratch);
        (record.status, record.reason, record.client.to_string(), record.route.map(str::to_owned))
    }
}

impl Exchange {
    fn head(&mut self) {
        let response = &self.scratch.response;
        self.got.status = response.status;
        self.got.length = response.length;
        self.got.fields = response.fields.iter().map(|(name, value)| (text(name), text(value))).collect();
    }
}

/// A connection without TLS from an address.
pub(crate) fn connection(protocol: Protocol, peer: &str) -> ConnFacts {
    ConnFacts {
        id: 1,
        peer: SocketAddr::new(peer.parse().unwrap(), 50_000),
        local: "192.0.2.1:80".parse().unwrap(),
        protocol,
        tls: None,
    }
}

/// A connection over TLS 1.3 with a certificate for these names.
pub(crate) fn tls_connection(protocol: Protocol, names: &[&str]) -> ConnFacts {
    let names: Vec<_> = names.iter().map(|name| HostPattern::parse(name).unwrap()).collect();
    ConnFacts {
        local: "192.0.2.1:443".parse().unwrap(),
        tls: Some(TlsFacts { names: names.into(), version: TlsVersion::Tls13 }),
        ..connection(protocol, "198.51.100.7")
    }
}

//! What policies list is fetched before the first visitor asks: when a site's configuration becomes active, and
//! after it was purged.
//!
//! The requests are the edge's own and go the way of visitors' requests through the phases and into the cache. They
//! are few at a time, so that visitors are served as if they weren't. Each edge warms itself; one that stops, or
//! whose listeners another process serves from, doesn't.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use breakwater_edge_cache::Served;
use breakwater_edge_config::{HostPattern, SiteId, TlsVersion};
use breakwater_edge_proxy::compile::{Site, Warm};
use breakwater_edge_proxy::{
    BodyHint, Chunk, ConnFacts, End, Event, Fields, Protocol, Reason, RequestHead, Scratch, Step, TlsFacts,
};
use futures::StreamExt as _;
use http_body_util::{BodyExt as _, Empty};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::ask::{InterimSender, VisitorBody};
use super::client_body::Broken;
use super::payload::Payload;
use super::sockets::{Listener, Role};
use super::steps::{Outcome, Visitor, decide};
use super::worker::Local;
use crate::observe::Warmed;

/// How often sites are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A site is warmed within this time of its cause, at a moment of its own: the edges of a region don't ask an origin
/// all at once.
const SPREAD: Duration = Duration::from_secs(3);
/// A site that is purged again and again is warmed no more often than this.
const PAUSE: Duration = Duration::from_secs(5);
/// Requests at a time: of one site, and of all.
const AT_A_TIME: usize = 2;
const AT_A_TIME_OF_ALL: usize = 8;

/// The ports that visitors come by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ports {
    http: Option<u16>,
    https: Option<u16>,
}

impl Ports {
    /// Of several, the first.
    pub(crate) fn of(listeners: &[Listener]) -> Self {
        let first = |role: Role| {
            let listener = listeners.iter().find(|listener| listener.place.role == role)?;
            Some(listener.place.address.port())
        };
        Self {
            http: first(Role::Http),
            https: first(Role::Https),
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// What visitors name as the host: with the port where it isn't the scheme's own. `None`: no visitor comes that
    /// way here.
    fn authority(self, warm: &Warm) -> Option<String> {
        let (listens, own) = if warm.tls {
            (self.https?, 443)
        } else {
            (self.http?, 80)
        };
        let port = warm.port.unwrap_or(listens);
        let host = &warm.host;
        Some(if port == own {
            host.to_string()
        } else {
            format!("{host}:{port}")
        })
    }
}

/// What is known of a site that is warmed.
struct Known {
    /// The configuration that it was warmed for; its memory isn't used for another while this is held.
    site: Weak<Site>,
    purge_seq: u64,
    /// When it is warmed next.
    due: Option<Instant>,
    earliest: Instant,
    busy: Rc<Cell<bool>>,
}

impl Known {
    fn new(site: &Arc<Site>, purge_seq: u64, now: Instant) -> Self {
        Self {
            site: Arc::downgrade(site),
            purge_seq,
            due: Some(soon(now)),
            earliest: now,
            busy: Rc::default(),
        }
    }

    /// Looks for a cause to warm it.
    fn update(&mut self, site: &Arc<Site>, purge_seq: u64, now: Instant) {
        let same = std::ptr::eq(self.site.as_ptr(), Arc::as_ptr(site));
        if !same || self.purge_seq != purge_seq {
            self.site = Arc::downgrade(site);
            self.purge_seq = purge_seq;
            self.due.get_or_insert_with(|| soon(now).max(self.earliest));
        }
    }

    fn take_due(&mut self, now: Instant) -> bool {
        let due = !self.busy.get() && self.due.is_some_and(|due| due <= now);
        if due {
            self.due = None;
            self.earliest = now + PAUSE;
        }
        due
    }
}

fn soon(now: Instant) -> Instant {
    now + SPREAD.mul_f64(fastrand::f64())
}

/// Warms the sites of this process for as long as it is let.
pub(crate) async fn run(local: Rc<Local>, ports: Ports) {
    let permits = Rc::new(Semaphore::new(AT_A_TIME_OF_ALL));
    let mut known: HashMap<SiteId, Known> = HashMap::new();
    let mut generation = None;
    let mut sites: Vec<Arc<Site>> = Vec::new();
    // Each task ends with this one.
    let mut walks = tokio::task::JoinSet::new();
    loop {
        tokio::time::sleep(LOOK).await;
        if !local.common.given.borrow().is_empty() {
            return;
        }
        let proxy = &local.common.proxy;
        if generation != Some(proxy.directory.generation()) {
            let snapshot = proxy.directory.current();
            generation = Some(snapshot.generation());
            sites = snapshot
                .sites()
                .filter(|site| !site.warm().is_empty())
                .cloned()
                .collect();
            known.retain(|id, _| sites.iter().any(|site| site.id() == id));
        }
        let now = Instant::now();
        for site in &sites {
            let purge_seq = site.purge_seq(&proxy.cache);
            let entry = known
                .entry(site.id().clone())
                .or_insert_with(|| Known::new(site, purge_seq, now));
            entry.update(site, purge_seq, now);
            if entry.take_due(now) {
                let busy = Busy::new(&entry.busy);
                let (local, site, permits) = (Rc::clone(&local), Arc::clone(site), Rc::clone(&permits));
                walks.spawn_local(async move {
                    walk(&local, &site, ports, &permits).await;
                    drop(busy);
                });
            }
        }
        while walks.try_join_next().is_some() {}
    }
}

/// Says that a site is being warmed, until it is dropped.
struct Busy(Rc<Cell<bool>>);

impl Busy {
    fn new(busy: &Rc<Cell<bool>>) -> Self {
        busy.set(true);
        Self(Rc::clone(busy))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Fetches what a site's policies list.
async fn walk(local: &Rc<Local>, site: &Site, ports: Ports, permits: &Semaphore) {
    let counts: [Cell<u64>; 4] = Default::default();
    let (counts, began) = (&counts, Instant::now());
    futures::stream::iter(site.warm())
        .for_each_concurrent(AT_A_TIME, |warm| async move {
            let Some(authority) = ports.authority(warm) else {
                return;
            };
            let Ok(_permit) = permits.acquire().await else {
                return;
            };
            let result = Warmer::new(local, warm, authority).run().await;
            local.recorder.counters().warmed(result);
            if let Some(count) = counts.get(result as usize) {
                count.set(count.get() + 1);
            }
        })
        .await;
    let count = |of: Warmed| counts.get(of as usize).map_or(0, Cell::get);
    tracing::info!(
        site = %site.id(),
        stored = count(Warmed::Stored),
        there = count(Warmed::There),
        not_stored = count(Warmed::NotStored),
        failed = count(Warmed::Failed),
        milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "the cache was warmed"
    );
}

/// One request of the edge's own.
struct Warmer<'w> {
    local: &'w Rc<Local>,
    warm: &'w Warm,
    authority: String,
    facts: ConnFacts,
    scratch: Box<Scratch>,
    aborted: Option<Reason>,
}

impl<'w> Warmer<'w> {
    fn new(local: &'w Rc<Local>, warm: &'w Warm, authority: String) -> Self {
        let own = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let tls = warm.tls.then(|| TlsFacts {
            names: HostPattern::parse(&warm.host).into_iter().collect(),
            version: TlsVersion::Tls13,
        });
        Self {
            facts: ConnFacts {
                id: local.connection_id(),
                peer: own,
                local: own,
                protocol: Protocol::Http1,
                tls,
            },
            scratch: local.scratch(),
            local,
            warm,
            authority,
            aborted: None,
        }
    }

    async fn run(mut self) -> Warmed {
        let first = {
            let local = self.local;
            let Some(head) = head(self.warm, &self.authority) else {
                return Warmed::Failed;
            };
            local
                .phases
                .on_warm(&self.facts, &head, local.now(), &mut self.scratch)
        };
        let result = match first {
            // Nobody would get the answer.
            Step::Fetch(_) => Warmed::NotStored,
            first => match decide(&mut self, first).await {
                Outcome::Send { payload, .. } => self.settle(payload).await,
                Outcome::Switch(_) | Outcome::Silence { .. } | Outcome::Refuse(_) => Warmed::Failed,
            },
        };
        self.local.give_back(self.scratch);
        result
    }

    /// Reads the answer to its end: a fill goes no faster than its readers.
    async fn settle(&self, payload: Payload) -> Warmed {
        if let Payload::Filling(mut reader) = payload {
            loop {
                match poll_fn(|cx| reader.poll_chunk(cx)).await {
                    Chunk::Data(_) => {}
                    Chunk::End(_) => break,
                    Chunk::Abort(_) => return Warmed::Failed,
                }
            }
        }
        let Some(head) = head(self.warm, &self.authority) else {
            return Warmed::Failed;
        };
        let end = End {
            aborted: self.aborted,
            ..End::default()
        };
        let (local, scratch) = (self.local, &self.scratch);
        let record = local
            .phases
            .record(&self.facts, &head, &end, local.now(), scratch);
        match record.cache {
            Some(cache) if cache.stored => Warmed::Stored,
            Some(cache) if cache.served == Served::Hit || cache.collapsed => Warmed::There,
            Some(_) if record.status < 500 => Warmed::NotStored,
            // A redirect or an answer of the configuration's own needs no cache.
            None if matches!(record.reason, Some(Reason::RouteRedirect | Reason::RouteRespond)) => {
                Warmed::NotStored
            }
            _ => Warmed::Failed,
        }
    }
}

/// As browsers ask, as far as it matters to what is stored.
fn head<'h>(warm: &'h Warm, authority: &'h str) -> Option<RequestHead<'h>> {
    let lines: [(&[u8], &[u8]); 4] = [
        (b"host", authority.as_bytes()),
        (b"user-agent", warm.user_agent.as_bytes()),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip, deflate, br, zstd"),
    ];
    Some(RequestHead {
        method: b"GET",
        target: warm.target.as_bytes(),
        fields: Fields::from_lines(lines).ok()?,
        body: BodyHint::None,
        ..RequestHead::default()
    })
}

impl Visitor for Warmer<'_> {
    fn local(&self) -> &Rc<Local> {
        self.local
    }

    fn head(&self) -> Option<RequestHead<'_>> {
        head(self.warm, &self.authority)
    }

    fn on_event(&mut self, event: Event<'_, '_>) -> Option<Step> {
        let local = self.local;
        let head = head(self.warm, &self.authority)?;
        let scratch = &mut self.scratch;
        Some(
            local
                .phases
                .on_event(&self.facts, &head, event, local.now(), scratch),
        )
    }

    fn body(&mut self) -> VisitorBody {
        Empty::new().map_err(|never| match never {}).boxed_unsync()
    }

    fn broken(&self) -> Option<Broken> {
        None
    }

    fn set_streaming(&mut self) {}

    fn set_aborted(&mut self, reason: Reason) {
        self.aborted = Some(reason);
    }

    fn interim(&self) -> Option<InterimSender> {
        None
    }

    fn can_switch(&self) -> bool {
        false
    }
}

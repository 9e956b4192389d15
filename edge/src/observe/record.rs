use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use breakwater_edge_proxy::{ConnFacts, Now, Reason, Record};
use serde::Serialize;

use super::counters::{CACHES, Counters, SiteCounters, cache_index};
use super::log::LineBuffer;

/// Counts and logs the requests of one worker.
#[derive(Debug)]
pub(crate) struct Recorder {
    counters: Arc<Counters>,
    lines: RefCell<LineBuffer>,
    resolved: RefCell<Resolved>,
}

/// Counters of sites by the place of the site's name in memory, which holds as long as the configuration's
/// generation does.
#[derive(Debug, Default)]
struct Resolved {
    generation: u64,
    sites: HashMap<usize, Arc<SiteCounters>>,
}

impl Recorder {
    pub(crate) fn new(counters: Arc<Counters>, lines: LineBuffer) -> Self {
        Self {
            counters,
            lines: RefCell::new(lines),
            resolved: RefCell::default(),
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes a finished request.
    pub(crate) fn record(&self, record: &Record<'_>, connection: u64) {
        self.counters
            .request(record.protocol, record.reason, record.duration);
        let count = |site: &SiteCounters| {
            site.request(record.status, record.cache.as_ref(), record.body_bytes);
            if record.origin_attempts > 0 {
                site.origin(
                    u64::from(record.origin_attempts),
                    record.reason.is_some_and(is_origins_fault),
                );
            }
        };
        match record.site {
            None => count(&self.counters.unknown_site),
            Some(id) => {
                let mut resolved = self.resolved.borrow_mut();
                if record.generation > resolved.generation {
                    resolved.generation = record.generation;
                    resolved.sites.clear();
                }
                if record.generation == resolved.generation {
                    let at = std::ptr::from_ref(id) as usize;
                    count(resolved.sites.entry(at).or_insert_with(|| self.counters.site(id)));
                } else {
                    // It began under an older configuration, whose memory may have been used again since.
                    count(&self.counters.site(id));
                }
            }
        }
        let mut lines = self.lines.borrow_mut();
        if lines.is_on() {
            lines.line(|out| write_line(out, record, connection));
        }
    }

    /// Takes a request that was refused before any phase saw it. `method` and `target` are what could be read
    /// of them.
    pub(crate) fn refused(
        &self,
        facts: &ConnFacts,
        (reason, status): (Reason, u16),
        (method, target): (&[u8], &[u8]),
        now: Now,
    ) {
        let peer = facts.peer.ip().to_canonical();
        let record = Record {
            site: None,
            route: None,
            origin: None,
            status,
            reason: Some(reason),
            cache: None,
            origin_attempts: 0,
            client: peer,
            peer,
            protocol: facts.protocol,
            tls: facts.tls.is_some(),
            method,
            host: "",
            target,
            user_agent: None,
            referer: None,
            body_bytes: 0,
            request_body_bytes: 0,
            duration: Duration::ZERO,
            time_to_answer: None,
            started_wall_ms: now.wall_ms,
            generation: 0,
        };
        self.record(&record, facts.id);
    }

    /// Hands log lines over to the writer.
    pub(crate) fn flush(&self) {
        self.lines.borrow_mut().flush();
    }
}

fn is_origins_fault(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::OriginUnavailable
            | Reason::OriginOverloaded
            | Reason::NoHealthyEndpoint
            | Reason::OriginDns
            | Reason::OriginForbidden
            | Reason::OriginTls
            | Reason::OriginConnect
            | Reason::OriginConnectTimeout
            | Reason::OriginTimeout
            | Reason::OriginReset
            | Reason::OriginProtocol
            | Reason::FillAborted
            | Reason::BodyTruncated
    )
}

/// A line of the access log.
#[derive(Serialize)]
struct Line<'a> {
    time_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    client: IpAddr,
    peer: IpAddr,
    connection: u64,
    protocol: &'static str,
    tls: bool,
    method: Cow<'a, str>,
    host: &'a str,
    target: Cow<'a, str>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    collapsed: bool,
    #[serde(skip_serializing_if = "is_zero")]
    origin_attempts: u8,
    body_bytes: u64,
    request_body_bytes: u64,
    duration_us: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_us: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<Cow<'a, str>>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(n: &u8) -> bool {
    *n == 0
}

/// Most bytes of what a visitor wrote that stand in a line of the log; the rest is left out. A line is part of
/// what may wait for the log's writer.
const MAX_METHOD_BYTES: usize = 32;
const MAX_TARGET_BYTES: usize = 8 << 10;
const MAX_FIELD_BYTES: usize = 1 << 10;

fn text(bytes: &[u8], most: usize) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.get(..most).unwrap_or(bytes))
}

fn write_line(out: &mut Vec<u8>, record: &Record<'_>, connection: u64) {
    let start = out.len();
    let cache = CACHES.get(cache_index(record.cache.as_ref())).copied();
    let line = Line {
        time_ms: record.started_wall_ms,
        site: record.site.map(ToString::to_string),
        route: record.route,
        origin: record.origin,
        client: record.client,
        peer: record.peer,
        connection,
        protocol: record.protocol.as_str(),
        tls: record.tls,
        method: text(record.method, MAX_METHOD_BYTES),
        host: record.host,
        target: text(record.target, MAX_TARGET_BYTES),
        status: record.status,
        reason: record.reason.map(Reason::as_str),
        cache: record.cache.and(cache),
        collapsed: record.cache.is_some_and(|cache| cache.collapsed),
        origin_attempts: record.origin_attempts,
        body_bytes: record.body_bytes,
        request_body_bytes: record.request_body_bytes,
        duration_us: record.duration.as_micros(),
        answer_us: record.time_to_answer.map(|time| time.as_micros()),
        user_agent: record.user_agent.map(|value| text(value, MAX_FIELD_BYTES)),
        referer: record.referer.map(|value| text(value, MAX_FIELD_BYTES)),
    };
    if serde_json::to_writer(&mut *out, &line).is_err() {
        // Only the writer could fail, and memory doesn't; never leave half a line.
        out.truncate(start);
    }
}

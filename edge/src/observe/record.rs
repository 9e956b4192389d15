use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use breakwater_edge_proxy::{ConnFacts, Now, Reason, Record};

use super::counters::{Counters, SiteCounters};
use super::line;
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
            lines.line(|out| line::write(out, record, connection));
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

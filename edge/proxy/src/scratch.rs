use std::net::IpAddr;
use std::sync::Arc;

use breakwater_edge_cache::{CacheStatus, FillWriter, Held, Hit, KeyBuilder, Now};

use crate::coding::Coding;
use crate::compile::{Route, Site};
use crate::fill::Report;
use crate::phases::body::RequestBody;
use crate::reason::Reason;
use crate::retry::Retries;
use crate::wire::ResponseHead;
use crate::worker::View;

/// Most bytes of each buffer that stay with a [`Scratch`] between requests: a few large heads must not leave
/// every one of a pool large.
const KEPT_BYTES: usize = 4 << 10;

/// The state of one request, and the buffers that requests after it use again. One a stream; the first call
/// of a request ([`Worker::on_head`](crate::Worker::on_head)) resets it and keeps its memory.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The head to send, where a step sends one.
    pub response: ResponseHead,
    /// Lower case, without port or trailing dot.
    pub(crate) host: String,
    /// Where the request names one.
    pub(crate) port: Option<u16>,
    pub(crate) state: State,
    pub(crate) key: KeyBuilder,
    /// The rewritten path.
    pub(crate) target: Vec<u8>,
    /// What of the query is in the key.
    pub(crate) query: Vec<u8>,
    /// Bytes that live no longer than one phase.
    pub(crate) bytes: Vec<u8>,
}

/// What has been decided so far.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The configuration that the request began with and ends with.
    pub(crate) view: Option<Arc<View>>,
    pub(crate) site: Option<u32>,
    pub(crate) route: Option<usize>,
    pub(crate) started: Now,
    /// When the answer's head was decided.
    pub(crate) answered: Option<Now>,
    pub(crate) client: Option<IpAddr>,
    /// The identified address is a trusted proxy's: limits by address would hit everybody behind it.
    pub(crate) client_is_proxy: bool,
    pub(crate) reason: Option<Reason>,
    pub(crate) cache: Option<CacheStatus>,
    /// What is stored, stale, and may be sent if the origin that is asked fails.
    pub(crate) stand_in: Option<Hit>,
    /// What is stored, stale, and what a HEAD that is passed on may tell of it.
    pub(crate) questioned: Option<Box<FillWriter>>,
    /// When the last attempt at the origin was sent, fills left aside.
    pub(crate) sent: Now,
    /// Attempts at the origin so far, fills left aside.
    pub(crate) attempts: u8,
    pub(crate) retries: Retries,
    /// How often the disk was read.
    pub(crate) loads: u8,
    /// How often a fill was begun or joined.
    pub(crate) begins: u8,
    /// What the fill that this request leads tells of itself.
    pub(crate) report: Option<Arc<Report>>,
    /// The request's body, where it is in the key.
    pub(crate) body: Option<RequestBody>,
    /// The memory for a body that is being read.
    pub(crate) held: Option<Held>,
    /// The policy calls the request a query, whatever its method: it changes nothing.
    pub(crate) is_query: bool,
    /// The class of codings that the visitor is given, where the policy compresses.
    pub(crate) coding: Option<Coding>,
    /// The plan asks for an upgrade.
    pub(crate) upgrade: bool,
}

impl Scratch {
    /// Lets go of what the last request held (its configuration above all, and what it was served of the cache)
    /// and keeps the buffers, as far as a usual request needs them: for a pool, after the record was made.
    pub fn release(&mut self) {
        self.state = State::default();
        self.response.fields.release(KEPT_BYTES);
        self.key.release(KEPT_BYTES);
        self.host.shrink_to(KEPT_BYTES);
        for buffer in [&mut self.target, &mut self.query, &mut self.bytes] {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
        }
    }

    pub(crate) fn begin(&mut self, view: Arc<View>, now: Now) {
        self.host.clear();
        self.port = None;
        self.response.reset(0);
        self.state = State {
            view: Some(view),
            started: now,
            ..State::default()
        };
    }
}

impl State {
    pub(crate) fn site<'v>(&self, view: &'v View) -> Option<&'v Arc<Site>> {
        view.snapshot().site(self.site?)
    }

    pub(crate) fn route<'s>(&self, site: &'s Site) -> Option<&'s Route> {
        site.routes.get(self.route?)
    }
}

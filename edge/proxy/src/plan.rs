use std::sync::Arc;

use breakwater_edge_config::{OriginProtocol, OriginTimeouts};
use bytes::Bytes;

use crate::compile::Site;
use crate::wire::FieldBuf;

/// What becomes of the client's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// The request has none.
    None,
    /// It goes to the origin as it comes, with this length where the client told one. Only now may the
    /// adaptor send 100 (Continue).
    Stream {
        /// `None`: its end comes with the framing.
        length: Option<u64>,
    },
    /// It was read before, and is sent from here.
    Whole(Bytes),
    /// The origin gets none; what the client sends is read and dropped (at most 64 KiB, else the connection
    /// closes after the answer).
    Discard,
}

/// A request to an origin, complete: the adaptor adds framing and nothing else.
///
/// The adaptor chooses an endpoint, sends, and reports the answer's head or a failure. It never follows
/// redirects, never retries of its own accord and never decodes a body.
#[derive(Clone, Debug)]
pub struct FetchPlan {
    /// The site; its UID is part of the connection pool's key, so that no site uses another's connections.
    pub site: Arc<Site>,
    /// Position in [`SiteConfig::origins`](breakwater_edge_config::SiteConfig::origins).
    pub origin: usize,
    /// What is spoken.
    pub protocol: OriginProtocol,
    /// The origin is spoken to over TLS: `:scheme` is `https`.
    pub tls: bool,
    /// The method.
    pub method: Vec<u8>,
    /// Path and query, or `*`.
    pub target: Vec<u8>,
    /// `Host` or `:authority`; `fields` holds none.
    pub authority: Vec<u8>,
    /// The fields, without any that belong to framing (`content-length`, `transfer-encoding`,
    /// `connection`, `upgrade`); over HTTP/2 `te: trailers` may be there.
    pub fields: FieldBuf,
    /// What becomes of the client's body.
    pub body: BodyMode,
    /// It may be sent again: its method is idempotent (RFC 9110 §9.2.2), or the site's policy calls it a query.
    pub repeatable: bool,
    /// How long each step may take.
    pub timeouts: OriginTimeouts,
    /// Input of consistent hashing; `None`: balance without it.
    pub hash: Option<u64>,
    /// The protocol to upgrade to (`websocket`): send `connection: upgrade` and `upgrade:` with this value;
    /// a 101 of the origin then turns both connections into plain byte streams. Always `None` over HTTP/2.
    pub upgrade: Option<Vec<u8>>,
    /// The answer may be long-lived and silent (gRPC, event streams): the adaptor replaces limits on body
    /// rates by an idle limit. Event streams are recognised by the answer instead.
    pub grpc: bool,
}

/// Why no answer came, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No address: the origin is marked unavailable, or its Service has no ready Pod.
    Unavailable,
    /// Its request limit is reached.
    Overloaded,
    /// Every endpoint is unhealthy.
    NoHealthyEndpoint,
    /// DNS failed.
    Dns,
    /// The address policy refuses every address.
    Forbidden,
    /// TCP refused or unreachable.
    Connect,
    /// TCP or TLS handshake timed out.
    ConnectTimeout,
    /// TLS alert or bad certificate.
    Tls,
    /// The head of the answer, or the next piece of its body, didn't come in time.
    Timeout,
    /// Closed or reset.
    Reset,
    /// The answer is malformed or against the protocol.
    Protocol,
    /// The client's body couldn't be read to its end: it went away, or its bytes are no body.
    ClientBody,
    /// The client's body came slower than allowed.
    ClientTimeout,
}

/// A failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginFailure {
    /// What happened.
    pub kind: FailureKind,
    /// At least one byte of the answer came.
    pub answer_began: bool,
    /// A byte of the client's body was taken that the adaptor can't send again.
    pub body_consumed: bool,
    /// The connection had served before and was idle: it may have been closed at the same moment.
    pub reused_connection: bool,
}

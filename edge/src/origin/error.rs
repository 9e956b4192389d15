use std::fmt;
use std::net::SocketAddr;

use breakwater_edge_proxy::{FailureKind, OriginFailure};

/// What went wrong with an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OriginErrorKind {
    /// It has no endpoint: marked unavailable, no ready Pod, or every weight is 0.
    Unavailable,
    /// Its request limit is reached, or no connection of an endpoint became free within the connect timeout.
    Overloaded,
    /// Its name doesn't resolve, and never did.
    Dns,
    /// The address policy refuses every address.
    Forbidden,
    /// TCP: refused, unreachable.
    Connect,
    /// TCP and TLS weren't done in time.
    ConnectTimeout,
    /// A bad certificate, an alert, or no common protocol.
    Tls,
    /// It stopped reading the request's body.
    SendTimeout,
    /// The head of the answer didn't come in time.
    FirstByteTimeout,
    /// The next piece of the answer's body didn't come in time.
    BetweenBytesTimeout,
    /// It closed or reset the connection, or the stream, before the answer's end.
    Reset,
    /// The answer is malformed or against the protocol.
    Protocol,
    /// The client's body couldn't be read to its end.
    ClientBody,
    /// The request can't be expressed in the protocol that the origin speaks.
    InvalidRequest,
}

impl OriginErrorKind {
    /// Every kind, in order of declaration.
    pub const ALL: [Self; 14] = [
        Self::Unavailable,
        Self::Overloaded,
        Self::Dns,
        Self::Forbidden,
        Self::Connect,
        Self::ConnectTimeout,
        Self::Tls,
        Self::SendTimeout,
        Self::FirstByteTimeout,
        Self::BetweenBytesTimeout,
        Self::Reset,
        Self::Protocol,
        Self::ClientBody,
        Self::InvalidRequest,
    ];

    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Dns => "dns",
            Self::Forbidden => "forbidden",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::SendTimeout => "send_timeout",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::BetweenBytesTimeout => "between_bytes_timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::ClientBody => "client_body",
            Self::InvalidRequest => "invalid_request",
        }
    }

    /// Another attempt may end better. Timeouts of a request that was sent aren't among them: an origin that
    /// is slow under load would get the load twice.
    pub(super) fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Connect | Self::ConnectTimeout | Self::Tls | Self::Reset
        )
    }
}

/// Why there is no answer, or not all of it.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own that a repetition depends on"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginError {
    /// What happened.
    pub kind: OriginErrorKind,
    /// Bytes of the answer that came, of its body once the head is through. Over HTTP/2 a head isn't counted
    /// before it is complete.
    pub bytes_seen: u64,
    /// A byte of the request may have reached the origin.
    pub request_sent: bool,
    /// The request may be sent again: no byte of the answer came, the method is idempotent, the body unsent
    /// or kept, the failure transient. The number of attempts and the budget are not looked at here.
    pub retryable: bool,
    /// The connection had served before.
    pub reused_connection: bool,
    /// Bytes of the client's body were taken that aren't kept.
    pub body_consumed: bool,
    /// The endpoint, once one was chosen.
    pub endpoint: Option<SocketAddr>,
    /// For people.
    pub detail: String,
}

impl OriginError {
    pub(super) fn new(kind: OriginErrorKind, detail: impl fmt::Display) -> Self {
        Self {
            kind,
            bytes_seen: 0,
            request_sent: false,
            retryable: false,
            reused_connection: false,
            body_consumed: false,
            endpoint: None,
            detail: detail.to_string(),
        }
    }

    /// The site, or this origin of it, was taken out of force in the meantime.
    pub(crate) fn gone() -> Self {
        Self::new(
            OriginErrorKind::Unavailable,
            "the origin isn't configured any more",
        )
    }

    pub(super) fn at(mut self, endpoint: SocketAddr) -> Self {
        self.endpoint = Some(endpoint);
        self
    }
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        if let Some(endpoint) = self.endpoint {
            write!(f, " at {endpoint}")?;
        }
        match self.detail.as_str() {
            "" => Ok(()),
            detail => write!(f, ": {detail}"),
        }
    }
}

impl std::error::Error for OriginError {}

/// What the phases are told.
impl From<&OriginError> for OriginFailure {
    fn from(error: &OriginError) -> Self {
        Self {
            kind: error.kind.into(),
            answer_began: error.bytes_seen > 0,
            body_consumed: error.body_consumed,
            reused_connection: error.reused_connection,
        }
    }
}

impl From<OriginErrorKind> for FailureKind {
    fn from(kind: OriginErrorKind) -> Self {
        match kind {
            OriginErrorKind::Unavailable => Self::Unavailable,
            OriginErrorKind::Overloaded => Self::Overloaded,
            OriginErrorKind::Dns => Self::Dns,
            OriginErrorKind::Forbidden => Self::Forbidden,
            OriginErrorKind::Connect => Self::Connect,
            OriginErrorKind::ConnectTimeout => Self::ConnectTimeout,
            OriginErrorKind::Tls => Self::Tls,
            OriginErrorKind::SendTimeout
            | OriginErrorKind::FirstByteTimeout
            | OriginErrorKind::BetweenBytesTimeout => Self::Timeout,
            OriginErrorKind::Reset => Self::Reset,
            OriginErrorKind::Protocol | OriginErrorKind::InvalidRequest => Self::Protocol,
            OriginErrorKind::ClientBody => Self::ClientBody,
        }
    }
}

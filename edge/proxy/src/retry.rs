use crate::plan::{FailureKind, OriginFailure};
use crate::reason::Reason;

/// How often a request to an origin may still be made again. Without any: the method isn't idempotent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retries {
    left: u8,
    /// Once beside those: a connection that had been idle may have been closed at the moment it was used.
    closed_while_idle: bool,
}

impl Retries {
    /// For an idempotent request.
    pub(crate) fn new(attempts: u8) -> Self {
        Self {
            left: attempts,
            closed_while_idle: true,
        }
    }

    /// Takes one for another attempt, if this failure allows any: what failed had no effect that anybody saw,
    /// and another attempt may end better. A timeout isn't repeated: an origin that is slow under load would
    /// get the load twice.
    pub(crate) fn take(&mut self, failure: OriginFailure) -> bool {
        let OriginFailure {
            kind,
            answer_began,
            body_consumed,
            reused_connection,
        } = failure;
        if answer_began || body_consumed {
            return false;
        }
        if kind == FailureKind::Reset && reused_connection && self.closed_while_idle {
            self.closed_while_idle = false;
            return true;
        }
        let transient = matches!(
            kind,
            FailureKind::Connect | FailureKind::ConnectTimeout | FailureKind::Tls | FailureKind::Reset
        );
        if transient && self.left > 0 {
            self.left -= 1;
            return true;
        }
        false
    }
}

impl FailureKind {
    /// The reason that a failure is told by.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Unavailable => Reason::OriginUnavailable,
            Self::Overloaded => Reason::OriginOverloaded,
            Self::NoHealthyEndpoint => Reason::NoHealthyEndpoint,
            Self::Dns => Reason::OriginDns,
            Self::Forbidden => Reason::OriginForbidden,
            Self::Connect => Reason::OriginConnect,
            Self::ConnectTimeout => Reason::OriginConnectTimeout,
            Self::Tls => Reason::OriginTls,
            Self::Timeout => Reason::OriginTimeout,
            Self::Reset => Reason::OriginReset,
            Self::Protocol => Reason::OriginProtocol,
            Self::ClientBody => Reason::MalformedMessage,
            Self::ClientTimeout => Reason::BodyTimeout,
        }
    }
}

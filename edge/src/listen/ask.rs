use breakwater_edge_proxy::{BodyHint, FailureKind, FetchPlan, OriginFailure};
use http::{header, response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::client_body::ClientBody;
use super::head::body_hint;
use super::worker::Local;

/// The body of an origin's answer.
pub(crate) type AnswerBody = Incoming;

/// An origin's answer.
pub(crate) struct Answer {
    pub(crate) head: response::Parts,
    pub(crate) body: AnswerBody,
    /// After a 101.
    pub(crate) upgraded: Option<OnUpgrade>,
}

impl Answer {
    pub(crate) fn hint(&self) -> BodyHint {
        body_hint(&self.body)
    }

    /// Server-sent events may be silent for long.
    pub(crate) fn is_event_stream(&self) -> bool {
        let media = self.head.headers.get(header::CONTENT_TYPE);
        media.is_some_and(|media| media.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream"))
    }
}

/// Sends a request to its origin and waits for the head of the answer.
pub(crate) async fn ask(
    local: &Local,
    plan: &FetchPlan,
    body: Option<ClientBody>,
) -> Result<Answer, OriginFailure> {
    let _ = (local, plan, body);
    Err(OriginFailure { kind: FailureKind::Unavailable, answer_began: false, body_consumed: false, reused_connection: false })
}

use breakwater_edge_proxy::{BodyHint, FailureKind, FetchPlan, OriginFailure};
use bytes::Bytes;
use http::{Response, header, response};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::mpsc;

use super::head::body_hint;
use super::worker::Local;
use crate::origin::{
    BodyError, Exchange, Facts, OriginBody, OriginError, OriginRequest, OriginResponse, OriginStream,
    RequestBody,
};

/// The body of an origin's answer.
pub(crate) type AnswerBody = OriginBody;

/// A visitor's body on its way to an origin.
pub(crate) type VisitorBody = UnsyncBoxBody<Bytes, BodyError>;

/// Where an origin's interim answers go (1xx; not 100 and 101).
pub(crate) type InterimSender = mpsc::Sender<Response<()>>;

/// An origin's answer.
pub(crate) struct Answer {
    pub(crate) head: response::Parts,
    pub(crate) body: AnswerBody,
    /// After a 101.
    pub(crate) upgraded: Option<OriginStream>,
}

impl Answer {
    pub(crate) fn hint(&self) -> BodyHint {
        body_hint(&self.body)
    }

    /// Server-sent events may be silent for long.
    pub(crate) fn is_event_stream(&self) -> bool {
        let media = self.head.headers.get(header::CONTENT_TYPE);
        media.is_some_and(|media| {
            media
                .as_bytes()
                .to_ascii_lowercase()
                .starts_with(b"text/event-stream")
        })
    }
}

impl From<OriginResponse> for Answer {
    fn from(response: OriginResponse) -> Self {
        let OriginResponse {
            head, body, upgraded, ..
        } = response;
        Self { head, body, upgraded }
    }
}

/// One plan's request to its origin, over all the attempts that the phases ask for.
#[derive(Default)]
pub(crate) struct Asking {
    exchange: Option<Exchange>,
}

impl Asking {
    /// Sends the request and waits for the head of the answer. After a failure a further call sends it
    /// again, where the origin's retry budget allows that; else it fails as before. `body` is asked for
    /// where the plan streams it.
    pub(crate) async fn ask(
        &mut self,
        local: &Local,
        plan: &FetchPlan,
        body: impl FnOnce() -> VisitorBody,
        interim: Option<InterimSender>,
    ) -> Result<Answer, OriginFailure> {
        let exchange = match &mut self.exchange {
            Some(exchange) => exchange,
            None => self
                .exchange
                .insert(begin(local, plan, body, interim).map_err(|error| report(plan, &error))?),
        };
        match exchange.send().await {
            Ok(answer) => Ok(answer.into()),
            Err(error) => Err(report(plan, &error)),
        }
    }
}

fn begin(
    local: &Local,
    plan: &FetchPlan,
    body: impl FnOnce() -> VisitorBody,
    interim: Option<InterimSender>,
) -> Result<Exchange, OriginError> {
    let config = plan.site.config();
    let origin = config
        .origins
        .get(plan.origin)
        .and_then(|origin| local.common.origins.get(config, &origin.name))
        .ok_or_else(OriginError::gone)?;
    let facts = Facts {
        informational: interim,
        ..Facts::from_plan(plan)
    };
    origin.exchange(
        OriginRequest::from_plan(plan)?,
        RequestBody::from_plan(plan, body),
        facts,
    )
}

/// What the phases are told; the reason in words is for those who run the edge.
fn report(plan: &FetchPlan, error: &OriginError) -> OriginFailure {
    let failure = OriginFailure::from(error);
    if failure.kind != FailureKind::ClientBody {
        tracing::debug!(site = %plan.site.id(), %error, "an origin gave no answer");
    }
    failure
}

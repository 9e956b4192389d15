use breakwater_edge_proxy::{BodyHint, FailureKind, FetchPlan, OriginFailure};
use http::{header, response};
use http_body_util::BodyExt as _;

use super::client_body::ClientBody;
use super::head::body_hint;
use super::worker::Local;
use crate::origin::{
    Exchange, Facts, OriginBody, OriginError, OriginRequest, OriginResponse, OriginStream, RequestBody,
};

/// The body of an origin's answer.
pub(crate) type AnswerBody = OriginBody;

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
    /// again, where the origin's retry budget allows that; else it fails as before.
    pub(crate) async fn ask(
        &mut self,
        local: &Local,
        plan: &FetchPlan,
        body: Option<ClientBody>,
    ) -> Result<Answer, OriginFailure> {
        let exchange = match &mut self.exchange {
            Some(exchange) => exchange,
            None => self
                .exchange
                .insert(begin(local, plan, body).map_err(|error| report(plan, &error))?),
        };
        match exchange.send().await {
            Ok(answer) => Ok(answer.into()),
            Err(error) => Err(report(plan, &error)),
        }
    }
}

fn begin(local: &Local, plan: &FetchPlan, body: Option<ClientBody>) -> Result<Exchange, OriginError> {
    let config = plan.site.config();
    let origin = config
        .origins
        .get(plan.origin)
        .and_then(|origin| local.common.origins.get(config, &origin.name))
        .ok_or_else(OriginError::gone)?;
    let body = match body {
        Some(body) => RequestBody::from_plan(plan, || body.map_err(Into::into).boxed_unsync()),
        None => RequestBody::Empty,
    };
    // Interim answers (1xx) are left out: hyper's server can't send them.
    origin.exchange(OriginRequest::from_plan(plan)?, body, Facts::from_plan(plan))
}

/// What the phases are told; the reason in words is for those who run the edge.
fn report(plan: &FetchPlan, error: &OriginError) -> OriginFailure {
    let failure = OriginFailure::from(error);
    if failure.kind != FailureKind::ClientBody {
        tracing::debug!(site = %plan.site.id(), %error, "an origin gave no answer");
    }
    failure
}

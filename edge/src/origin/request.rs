use breakwater_edge_config::{OriginProtocol, OriginTimeouts};
use breakwater_edge_proxy::{BodyMode, FetchPlan};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use tokio::sync::mpsc;

use super::error::{OriginError, OriginErrorKind};
use super::outgoing::{AttemptBody, BodyError, Outgoing, RequestBody};

/// A request, complete but for what belongs to framing and to the connection.
#[derive(Clone, Debug)]
pub struct OriginRequest {
    /// The method.
    pub method: Method,
    /// `Host` or `:authority`.
    pub authority: String,
    /// Path and query, or `*`.
    pub target: String,
    /// The fields, without `host`, `content-length`, `transfer-encoding`, `connection` and `upgrade`.
    pub headers: HeaderMap,
    /// The protocol to upgrade to, over HTTP/1.1: a 101 that names it turns the connection into a stream.
    pub upgrade: Option<HeaderValue>,
}

/// What else an exchange needs to know.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Input of consistent hashing; `None`: the endpoints take turns.
    pub hash: Option<u64>,
    /// Where informational answers go (103 and others, not 100 and 101); those that it has no room for are
    /// dropped. HTTP/1.1 only: the library doesn't show those of HTTP/2.
    pub informational: Option<mpsc::Sender<Response<()>>>,
    /// Silence of ten minutes is allowed between two pieces of the answer (gRPC). Event streams are
    /// recognised by the answer.
    pub is_long_lived: bool,
    /// It may be sent again although its method alone wouldn't allow it.
    pub is_repeatable: bool,
    /// In place of the origin's own.
    pub timeouts: Option<OriginTimeouts>,
}

impl OriginRequest {
    /// The request of a plan.
    pub fn from_plan(plan: &FetchPlan) -> Result<Self, OriginError> {
        let method = Method::from_bytes(&plan.method).map_err(invalid)?;
        let mut headers = HeaderMap::with_capacity(plan.fields.len() + 4);
        for (name, value) in plan.fields.iter() {
            let name = HeaderName::from_bytes(name).map_err(invalid)?;
            headers.append(name, HeaderValue::from_bytes(value).map_err(invalid)?);
        }
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).map_err(invalid);
        let upgrade = plan
            .upgrade
            .as_deref()
            .map(HeaderValue::from_bytes)
            .transpose()
            .map_err(invalid)?;
        Ok(Self {
            method,
            authority: text(&plan.authority)?,
            target: text(&plan.target)?,
            headers,
            upgrade,
        })
    }

    /// RFC 9110 §9.2.2; the same list that the phases go by.
    pub(super) fn is_idempotent(&self) -> bool {
        matches!(
            self.method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
        ) || self.method.as_str() == "QUERY"
    }

    /// The form that the library sends.
    pub(super) fn build(
        &self,
        protocol: OriginProtocol,
        tls: bool,
        outgoing: &Outgoing,
        body: AttemptBody,
    ) -> Result<Request<AttemptBody>, OriginError> {
        let target = PathAndQuery::try_from(self.target.as_str()).map_err(invalid)?;
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        match protocol {
            OriginProtocol::Http1 => {
                *request.uri_mut() = Uri::from(target);
                let host = HeaderValue::try_from(self.authority.as_str()).map_err(invalid)?;
                request.headers_mut().insert(HOST, host);
                self.frame(outgoing, request.headers_mut());
            }
            OriginProtocol::Http2 => {
                *request.version_mut() = Version::HTTP_2;
                let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
                let authority = Authority::try_from(self.authority.as_str()).map_err(invalid)?;
                let uri = Uri::builder()
                    .scheme(scheme)
                    .authority(authority)
                    .path_and_query(target);
                *request.uri_mut() = uri.build().map_err(invalid)?;
            }
        }
        Ok(request)
    }

    /// The library adds a length that it knows; the rest is said here.
    fn frame(&self, outgoing: &Outgoing, headers: &mut HeaderMap) {
        let meaningful = matches!(self.method, Method::POST | Method::PUT | Method::PATCH);
        match outgoing.length() {
            // RFC 9110 §8.6: some servers wait for a body, or answer 411, without it.
            Some(0) if meaningful => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"))),
            Some(0) => {}
            Some(length) => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from(length))),
            // Without it the library takes a GET to have no body, and its bytes for the next request.
            None => drop(headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))),
        }
        if let Some(protocol) = &self.upgrade {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, protocol.clone());
        }
    }
}

impl Facts {
    /// What a plan says of the exchange.
    pub fn from_plan(plan: &FetchPlan) -> Self {
        Self {
            hash: plan.hash,
            informational: None,
            is_long_lived: plan.grpc,
            is_repeatable: plan.repeatable,
            timeouts: Some(plan.timeouts),
        }
    }
}

impl RequestBody {
    /// The body that a plan asks for, from the client's.
    pub fn from_plan(plan: &FetchPlan, client: impl FnOnce() -> UnsyncBoxBody<Bytes, BodyError>) -> Self {
        match &plan.body {
            BodyMode::None | BodyMode::Discard => Self::Empty,
            BodyMode::Stream { length } => Self::Stream {
                body: client(),
                length: *length,
            },
            BodyMode::Whole(bytes) => Self::Stream {
                body: Full::new(bytes.clone())
                    .map_err(|never| match never {})
                    .boxed_unsync(),
                length: Some(bytes.len() as u64),
            },
        }
    }
}

fn invalid(error: impl std::fmt::Display) -> OriginError {
    OriginError::new(OriginErrorKind::InvalidRequest, error)
}

//! The one place where reasons become answers.

use breakwater_edge_cache::DateWriter;
use bytes::Bytes;

use crate::Now;
use crate::boundary::Step;
use crate::facts::Protocol;
use crate::phases::{Context, decorate};
use crate::reason::Reason;
use crate::scratch::Scratch;
use crate::wire::{Name, ResponseHead};

/// Why a phase ends the request.
#[derive(Debug)]
pub(crate) enum Exit {
    /// The standard answer of the reason.
    Error(Reason),
    /// The head is written, this is the body.
    Written(Reason, Bytes),
    /// No answer at all.
    Silent(Reason),
}

impl From<Reason> for Exit {
    fn from(reason: Reason) -> Self {
        Self::Error(reason)
    }
}

/// Writes the standard answer of a reason into `response` and returns its body: for requests that an adaptor
/// refuses before there is a head.
pub fn early(reason: Reason, now: Now, response: &mut ResponseHead) -> Bytes {
    let status = match reason.status() {
        0 => 400,
        status => status,
    };
    let body = Bytes::from_static(text(status).as_bytes());
    begin(response, status, now);
    response
        .fields
        .push(Name::ContentType, b"text/plain; charset=utf-8");
    response.fields.push(Name::CacheControl, b"no-store");
    if reason == Reason::MethodRefused {
        response
            .fields
            .push_named(b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    }
    response.length = Some(body.len() as u64);
    body
}

/// Begins the head of an answer that is made here.
pub(crate) fn begin(response: &mut ResponseHead, status: u16, now: Now) {
    response.reset(status);
    response
        .fields
        .push(Name::Date, DateWriter::default().write(now.wall_secs()));
}

/// Turns an early exit into a step.
pub(crate) fn exit(exit: Exit, cx: &Context<'_, '_>, scratch: &mut Scratch) -> Step {
    let (reason, body) = match exit {
        Exit::Silent(reason) => {
            scratch.state.reason = Some(reason);
            return match cx.conn.protocol {
                Protocol::Http1 => Step::Close(reason),
                Protocol::Http2 => Step::Reset(reason),
            };
        }
        Exit::Error(reason) => (reason, early(reason, cx.now, &mut scratch.response)),
        Exit::Written(reason, body) => (reason, body),
    };
    scratch.state.reason = Some(reason);
    scratch.state.answered = Some(cx.now);
    decorate::run(cx, scratch);
    let body = if cx.head.method == b"HEAD" {
        Bytes::new()
    } else {
        body
    };
    Step::Reply {
        body,
        close: must_close(reason),
    }
}

/// True where the bytes that follow on the connection can't be trusted to be a request.
fn must_close(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::MalformedMessage
            | Reason::HeadTooLarge
            | Reason::TooManyFields
            | Reason::HeadTimeout
            | Reason::BodyTimeout
            | Reason::BadMethod
            | Reason::MethodRefused
            | Reason::BadTarget
            | Reason::TargetTooLong
            | Reason::EncodedControl
            | Reason::UnsupportedVersion
            | Reason::RepeatedField
            | Reason::Backslash
            | Reason::BadHost
            | Reason::HostMismatch
            | Reason::BadFieldName
            | Reason::BadFieldValue
            | Reason::ConnectionField
            | Reason::BadContentLength
            | Reason::BadTransferEncoding
    )
}

fn text(status: u16) -> &'static str {
    match status {
        400 => "400 Bad Request\n",
        403 => "403 Forbidden\n",
        404 => "404 Not Found\n",
        405 => "405 Method Not Allowed\n",
        408 => "408 Request Timeout\n",
        414 => "414 URI Too Long\n",
        417 => "417 Expectation Failed\n",
        421 => "421 Misdirected Request\n",
        429 => "429 Too Many Requests\n",
        431 => "431 Request Header Fields Too Large\n",
        502 => "502 Bad Gateway\n",
        503 => "503 Service Unavailable\n",
        504 => "504 Gateway Timeout\n",
        505 => "505 HTTP Version Not Supported\n",
        508 => "508 Loop Detected\n",
        _ => "",
    }
}

/// The standard body of a status that the configuration chose.
pub(crate) fn body_of(status: u16) -> Bytes {
    Bytes::from_static(text(status).as_bytes())
}

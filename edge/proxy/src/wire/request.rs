use super::{Fields, Name};

/// What a message's framing says about its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyHint {
    /// None follows.
    #[default]
    None,
    /// One of this many bytes (0 is possible: `Content-Length: 0`).
    Length(u64),
    /// One whose end comes with the framing: chunked, an HTTP/2 stream without a length, until close.
    Streamed,
}

impl BodyHint {
    /// True when bytes may follow.
    pub fn may_have_bytes(self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }
}

/// A request's head as raw bytes of the adaptor's buffer. The adaptor passes the very same head again with
/// each event of the request.
///
/// An adaptor fills in what its protocol says and judges nothing: contradictions (Host against authority,
/// repeated lengths, …) are found by the `parse` phase, in every protocol alike. Header fields contain no
/// pseudo-fields.
#[derive(Clone, Debug, Default)]
pub struct RequestHead<'a> {
    /// The method as it came.
    pub method: &'a [u8],
    /// HTTP/1.0 (RFC 9112 §2.3); false for every later version.
    pub http10: bool,
    /// `:scheme`, or that of an absolute-form target; `None` where the request doesn't say.
    pub scheme: Option<&'a [u8]>,
    /// `:authority`, or that of an absolute-form target; not the Host field.
    pub authority: Option<&'a [u8]>,
    /// Raw path and query; `*` for `OPTIONS *`; an absolute form without a path gives `/`. Never decoded or
    /// normalised.
    pub target: &'a [u8],
    /// Field lines in wire order.
    pub fields: Fields<'a>,
    /// What the framing says about the body.
    pub body: BodyHint,
}

impl<'a> RequestHead<'a> {
    /// True when the client waits for 100 (Continue) before it sends the body (RFC 9110 §10.1.1).
    pub fn expects_continue(&self) -> bool {
        !self.http10
            && self
                .fields
                .get(Name::Expect)
                .is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue"))
    }

    /// The target up to the query.
    pub fn path(&self) -> &'a [u8] {
        split_target(self.target).0
    }

    /// The query with its `?`, or nothing.
    pub fn query_with_mark(&self) -> &'a [u8] {
        split_target(self.target).1
    }
}

/// Splits a target before the first `?`.
fn split_target(target: &[u8]) -> (&[u8], &[u8]) {
    let at = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
    target.split_at_checked(at).unwrap_or((target, b""))
}

/// The head of an origin's answer, borrowed from the adaptor's buffer.
#[derive(Clone, Debug, Default)]
pub struct OriginHead<'a> {
    /// 100 to 599.
    pub status: u16,
    /// Field lines in wire order.
    pub fields: Fields<'a>,
    /// What the framing says about the body.
    pub body: BodyHint,
}

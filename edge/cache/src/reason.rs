use std::fmt;

/// Why the cache did what it did. One enum for storing, using, waiting and leaving: the same word stands in
/// `Cache-Status` (`detail`), in the log line and in the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    // Not stored because of what the origin said.
    /// `no-store` of the answer.
    NoStore,
    /// `no-store` of the request.
    RequestNoStore,
    /// `private` without field names.
    Private,
    /// `Vary: *`.
    VaryStar,
    /// `Vary` names more fields, or longer values, than are stored.
    VaryTooLarge,
    /// `Set-Cookie`, and the policy does not allow it.
    SetCookie,
    /// The request had `Authorization` and the answer does not say that it may be shared (RFC 9111 §3.5).
    Authorization,
    /// The request had a cookie outside the key, and nothing says that the answer is for everybody.
    Cookie,
    /// A status that is not stored without an explicit lifetime, or never by default (400, 413).
    Status,
    /// Part of a representation.
    Partial,
    /// Neither a lifetime nor a validator: it could never be used.
    NoFreshness,
    /// The policy gives this status no lifetime.
    PolicyZero,
    /// Larger than the policy stores.
    TooLarge,
    /// No memory to be had for it.
    NoMemory,
    /// The method's answers aren't stored.
    Method,
    /// A path that origins read in more than one way.
    AmbiguousPath,
    /// The request's body is larger than the policy puts into a key, or there was no memory to keep it.
    BodyTooLarge,
    /// A GraphQL request that does something, or that can't be read.
    NotAQuery,
    // Not used, or not without asking.
    /// The policy turns the cache off, or a bypass rule matches.
    Bypass,
    /// Its lifetime is over.
    Expired,
    /// `no-cache` of the answer.
    NoCache,
    /// An unsafe method succeeded on the resource, or somebody made the entry stale.
    Invalidated,
    /// The request asks for a fresher answer.
    RequestDirective,
    /// Purged while it was being fetched.
    Purged,
    /// Purged softly: stale since then.
    SoftPurged,
    /// Stored before this edge began, and not every purge since then has come here yet.
    Unconfirmed,
    // Collapsing.
    /// The answer being fetched is for another variant.
    OtherVariant,
    /// A recent answer for this key could not be stored, so requests don't wait for each other.
    HitForMiss,
    /// Stored, but fresh for no time: each request asks for itself.
    NotShared,
    // The origin failed.
    /// No answer from the origin, or an error, before its head.
    OriginFailed,
    /// The origin's body ended early or was malformed.
    Truncated,
    /// The fetch was given up without a word, for instance because its task ended.
    Dropped,
    /// All readers left and the rest was not worth fetching.
    Abandoned,
    /// This reader fell too far behind an answer that isn't stored.
    Lagged,
}

impl Reason {
    /// The word for logs, metrics and fields. Lower case, a token of RFC 9110.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoStore => "no-store",
            Self::RequestNoStore => "request-no-store",
            Self::Private => "private",
            Self::VaryStar => "vary-star",
            Self::VaryTooLarge => "vary-too-large",
            Self::SetCookie => "set-cookie",
            Self::Authorization => "authorization",
            Self::Cookie => "cookie",
            Self::Status => "status",
            Self::Partial => "partial",
            Self::NoFreshness => "no-freshness",
            Self::PolicyZero => "policy-zero",
            Self::TooLarge => "too-large",
            Self::NoMemory => "no-memory",
            Self::Method => "method",
            Self::AmbiguousPath => "ambiguous-path",
            Self::BodyTooLarge => "body-too-large",
            Self::NotAQuery => "not-a-query",
            Self::Bypass => "bypass",
            Self::Expired => "expired",
            Self::NoCache => "no-cache",
            Self::Invalidated => "invalidated",
            Self::RequestDirective => "request-directive",
            Self::Purged => "purged",
            Self::SoftPurged => "soft-purged",
            Self::Unconfirmed => "unconfirmed",
            Self::OtherVariant => "other-variant",
            Self::HitForMiss => "hit-for-miss",
            Self::NotShared => "not-shared",
            Self::OriginFailed => "origin-failed",
            Self::Truncated => "truncated",
            Self::Dropped => "dropped",
            Self::Abandoned => "abandoned",
            Self::Lagged => "lagged",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

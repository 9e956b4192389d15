//! Why a request didn't end as an ordinary answer of its origin or of the cache: one enumeration, used alike
//! in the log line, the metric and the `Breakwater-Reason` field.

/// Makes the enumeration, its names and the list of all from one table.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $text:literal $status:literal,)*) => {
        /// Why a request ended early.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason, for metrics that exist from the start.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in logs, metrics and `Breakwater-Reason`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The status that it is answered with; 0: not answered, or the configuration says.
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                }
            }
        }
    };
}

reasons! {
    // parse
    /// The bytes aren't HTTP; told by the adaptor, which reads them.
    MalformedMessage "malformed-message" 400,
    /// A head larger than 32 KiB; told by the adaptor.
    HeadTooLarge "head-too-large" 431,
    /// More than 100 header fields; told by the adaptor.
    TooManyFields "too-many-fields" 431,
    /// The head didn't arrive in time; told by the adaptor.
    HeadTimeout "head-timeout" 408,
    /// The body didn't arrive in time; told by the adaptor.
    BodyTimeout "body-timeout" 408,
    /// The method isn't a token.
    BadMethod "bad-method" 400,
    /// CONNECT or TRACE.
    MethodRefused "method-refused" 405,
    /// The version isn't HTTP/1's; told by the adaptor.
    UnsupportedVersion "unsupported-version" 505,
    /// The target isn't a path, or holds `#`, a space, a control byte or one above ASCII; or its scheme isn't HTTP's.
    BadTarget "bad-target" 400,
    /// The target is longer than 8 KiB.
    TargetTooLong "target-too-long" 414,
    /// `%00`, `%0D` or `%0A` in the path.
    EncodedControl "encoded-control" 400,
    /// A raw `\` in the path.
    Backslash "backslash" 400,
    /// No Host, more than one, or one that isn't a host.
    BadHost "bad-host" 400,
    /// Host differs from the authority of the target.
    HostMismatch "host-mismatch" 400,
    /// A field's name isn't a token (in HTTP/2: a lower-case one).
    BadFieldName "bad-field-name" 400,
    /// A field's value holds NUL, CR, LF or another control byte, or Connection more than 32 names.
    BadFieldValue "bad-field-value" 400,
    /// Content-Type or Authorization more than once: which of them counts is anybody's guess.
    RepeatedField "repeated-field" 400,
    /// A field that belongs to HTTP/1.1 connections in HTTP/2 (RFC 9113 §8.2.2).
    ConnectionField "connection-field" 400,
    /// Content-Length is no number, begins with a zero that isn't all of it, or stands there twice.
    BadContentLength "bad-content-length" 400,
    /// Transfer-Encoding is anything but one `chunked`, came with Content-Length or in HTTP/1.0.
    BadTransferEncoding "bad-transfer-encoding" 400,
    /// An `Expect` other than `100-continue`.
    ExpectationFailed "expectation-failed" 417,
    // site
    /// No site has this host.
    UnknownHost "unknown-host" 0,
    /// The host isn't covered by this connection's certificate or TLS policy.
    Misdirected "misdirected" 421,
    // redirect
    /// Plain HTTP is sent to HTTPS.
    HttpsRedirect "https-redirect" 0,
    // admit
    /// This edge has forwarded this request before.
    Loop "loop" 508,
    /// A rate rule's limit.
    RateLimited "rate-limited" 0,
    /// A protected file used on a foreign page.
    Hotlink "hotlink" 403,
    /// The answer to a CORS preflight.
    Preflight "cors-preflight" 204,
    // route
    /// No route matches.
    NoRoute "no-route" 404,
    /// A route redirects.
    RouteRedirect "route-redirect" 0,
    /// A route answers.
    RouteRespond "route-respond" 0,
    // lookup
    /// `only-if-cached` and nothing usable is stored.
    OnlyIfCached "only-if-cached" 504,
    // fetch
    /// The origin doesn't exist here.
    OriginUnavailable "origin-unavailable" 503,
    /// The origin has as many requests as it may.
    OriginOverloaded "origin-overloaded" 503,
    /// No endpoint is healthy.
    NoHealthyEndpoint "no-healthy-endpoint" 503,
    /// The origin's name couldn't be resolved.
    OriginDns "origin-dns" 502,
    /// Every address is one that an origin may not have.
    OriginForbidden "origin-forbidden" 502,
    /// The origin's TLS handshake or certificate failed.
    OriginTls "origin-tls" 502,
    /// The connection to the origin couldn't be made.
    OriginConnect "origin-connect" 502,
    /// The connection to the origin took too long.
    OriginConnectTimeout "origin-connect-timeout" 504,
    /// The origin's answer took too long.
    OriginTimeout "origin-timeout" 504,
    /// The origin closed or reset the connection.
    OriginReset "origin-reset" 502,
    /// The origin's answer isn't HTTP as it should be.
    OriginProtocol "origin-protocol" 502,
    /// The fill that this request waited for broke off.
    FillAborted "fill-aborted" 502,
    // send
    /// The origin's body broke off midway; the client's was aborted too.
    BodyTruncated "body-truncated" 502,
    /// The client went away.
    ClientGone "client-gone" 499,
    /// The client gave up more requests of one HTTP/2 connection within 10 s than it may; told by the adaptor.
    TooManyResets "too-many-resets" 0,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

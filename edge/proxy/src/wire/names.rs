/// Makes the enumeration of known names with both directions of the mapping from one table.
macro_rules! names {
    ($($variant:ident $text:literal,)*) => {
        /// A field name that some phase looks at; every other is [`Name::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = $text] $variant,)*
            /// Any other name.
            Other,
        }

        impl Name {
            /// The name in lower case; empty for [`Name::Other`].
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other => "",
                }
            }

            fn of_lower(name: &str) -> Self {
                match name {
                    $($text => Self::$variant,)*
                    _ => Self::Other,
                }
            }
        }
    };
}

names! {
    Accept "accept",
    AcceptEncoding "accept-encoding",
    AccessControlAllowCredentials "access-control-allow-credentials",
    AccessControlAllowHeaders "access-control-allow-headers",
    AccessControlAllowMethods "access-control-allow-methods",
    AccessControlAllowOrigin "access-control-allow-origin",
    AccessControlExposeHeaders "access-control-expose-headers",
    AccessControlMaxAge "access-control-max-age",
    AccessControlRequestHeaders "access-control-request-headers",
    AccessControlRequestMethod "access-control-request-method",
    Age "age",
    Authorization "authorization",
    CacheControl "cache-control",
    CacheStatus "cache-status",
    CdnLoop "cdn-loop",
    Connection "connection",
    ContentLength "content-length",
    ContentLocation "content-location",
    ContentType "content-type",
    Cookie "cookie",
    Date "date",
    Etag "etag",
    Expect "expect",
    Forwarded "forwarded",
    Host "host",
    IfMatch "if-match",
    IfModifiedSince "if-modified-since",
    IfNoneMatch "if-none-match",
    IfRange "if-range",
    IfUnmodifiedSince "if-unmodified-since",
    KeepAlive "keep-alive",
    LastModified "last-modified",
    Location "location",
    Origin "origin",
    Pragma "pragma",
    ProxyConnection "proxy-connection",
    Range "range",
    Referer "referer",
    SetCookie "set-cookie",
    StrictTransportSecurity "strict-transport-security",
    Te "te",
    Trailer "trailer",
    TransferEncoding "transfer-encoding",
    Upgrade "upgrade",
    UserAgent "user-agent",
    Vary "vary",
    Via "via",
    XForwardedFor "x-forwarded-for",
    XForwardedHost "x-forwarded-host",
    XForwardedProto "x-forwarded-proto",
}

/// Longest known name.
const LONGEST: usize = 32;
/// How many known names there are.
pub(super) const KNOWN: usize = Name::Other as usize;

impl Name {
    /// Finds the name, whatever its case (RFC 9110 §5.1).
    pub fn of(name: &[u8]) -> Self {
        let mut lower = [0_u8; LONGEST];
        let Some(lower) = lower.get_mut(..name.len()) else {
            return Self::Other;
        };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        std::str::from_utf8(lower).map_or(Self::Other, Self::of_lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_whatever_their_case() {
        assert_eq!(Name::of(b"HOST"), Name::Host);
        assert_eq!(
            Name::of(b"Access-Control-Allow-Credentials"),
            Name::AccessControlAllowCredentials
        );
        assert_eq!(Name::of(b"x-mine"), Name::Other);
        assert_eq!(Name::of(b""), Name::Other);
        assert_eq!(Name::of(&[b'a'; 300]), Name::Other);
    }
}

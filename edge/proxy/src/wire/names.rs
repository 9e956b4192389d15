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

            const KNOWN: &[Self] = &[$(Self::$variant,)*];
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
    ContentEncoding "content-encoding",
    ContentLength "content-length",
    ContentLocation "content-location",
    ContentRange "content-range",
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

/// How many known names there are.
pub(super) const KNOWN: usize = Name::Other as usize;

/// Slots of [`BY_SLOT`].
const SLOTS: usize = 256;

/// The known names, each in a slot of its own: one comparison finds or refuses a name.
static BY_SLOT: [Name; SLOTS] = by_slot();

/// Where a name stands, whatever its case. The factors were found by trying; that no two names share a slot is
/// checked while this compiles, so a new name that collides needs new factors.
const fn slot(name: &[u8]) -> usize {
    let length = name.len();
    if length < 2 {
        return 0;
    }
    let (Some(first), Some(middle), Some(last)) =
        (name.first(), byte_at(name, length / 2), byte_at(name, length - 2))
    else {
        return 0;
    };
    // Setting this bit makes letters small and leaves digits and hyphens as they are.
    let (first, middle, last) = (*first | 0x20, middle | 0x20, last | 0x20);
    (length * 119 + first as usize * 48 + middle as usize * 120 + last as usize * 45) % SLOTS
}

const fn byte_at(name: &[u8], at: usize) -> Option<u8> {
    match name.split_at_checked(at) {
        Some((_, [byte, ..])) => Some(*byte),
        _ => None,
    }
}

#[allow(
    clippy::indexing_slicing,
    reason = "runs while this compiles; a bad index would be a compile error"
)]
const fn by_slot() -> [Name; SLOTS] {
    let mut table = [Name::Other; SLOTS];
    let mut at = 0;
    while at < KNOWN {
        let name = Name::KNOWN[at];
        let slot = slot(name.as_str().as_bytes());
        assert!(matches!(table[slot], Name::Other), "two names share a slot");
        table[slot] = name;
        at += 1;
    }
    table
}

impl Name {
    /// Finds the name, whatever its case (RFC 9110 §5.1).
    pub fn of(name: &[u8]) -> Self {
        let found = BY_SLOT.get(slot(name)).copied().unwrap_or(Self::Other);
        if found.as_str().as_bytes().eq_ignore_ascii_case(name) {
            found
        } else {
            Self::Other
        }
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
        for name in Name::KNOWN {
            assert_eq!(Name::of(name.as_str().to_ascii_uppercase().as_bytes()), *name);
        }
        assert_eq!(Name::of(b"x-mine"), Name::Other);
        assert_eq!(Name::of(b""), Name::Other);
        assert_eq!(Name::of(&[b'a'; 300]), Name::Other);
    }
}

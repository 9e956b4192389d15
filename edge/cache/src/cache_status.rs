//! `Cache-Status` (RFC 9211): what the cache did with a request, as one member of a structured list.

use std::io::Write as _;

use crate::Reason;

/// Why a request went to the origin (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fwd {
    /// The cache was told not to handle it.
    Bypass,
    /// The method requires it.
    Method,
    /// Nothing stored under the key.
    UriMiss,
    /// Something stored, but for other values of the fields in `Vary`.
    VaryMiss,
    /// Nothing usable, and it isn't known which of the two above.
    Miss,
    /// What is stored is fresh, but the request does not accept it.
    Request,
    /// What is stored is stale.
    Stale,
    /// Only part of it is stored.
    Partial,
}

impl Fwd {
    /// The token of RFC 9211.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// How the request was satisfied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Served {
    /// From the cache, without asking the origin.
    Hit,
    /// The origin was asked.
    Forwarded(Fwd),
}

/// One member of `Cache-Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    /// `hit` or `fwd`.
    pub served: Served,
    /// The origin's status, where it differs from the one sent (a 304 turned into a 200).
    pub fwd_status: Option<u16>,
    /// Seconds of freshness left, negative when stale; only with something stored.
    pub ttl_secs: Option<i64>,
    /// The origin's answer was, or is being, stored.
    pub stored: bool,
    /// This request waited for another's answer.
    pub collapsed: bool,
    /// More about why.
    pub detail: Option<Reason>,
}

impl CacheStatus {
    /// A status with nothing but how the request was served.
    pub fn new(served: Served) -> Self {
        Self {
            served,
            fwd_status: None,
            ttl_secs: None,
            stored: false,
            collapsed: false,
            detail: None,
        }
    }

    /// Appends the member to `out`. `cache` names this cache and must be a token of structured fields.
    pub fn write(&self, cache: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(cache.as_bytes());
        match self.served {
            Served::Hit => out.extend_from_slice(b"; hit"),
            Served::Forwarded(fwd) => {
                out.extend_from_slice(b"; fwd=");
                out.extend_from_slice(fwd.as_str().as_bytes());
                if let Some(status) = self.fwd_status {
                    // Writing to a Vec does not fail.
                    let _ = write!(out, "; fwd-status={status}");
                }
                if self.stored {
                    out.extend_from_slice(b"; stored");
                }
                if self.collapsed {
                    out.extend_from_slice(b"; collapsed");
                }
            }
        }
        if let Some(ttl) = self.ttl_secs {
            let _ = write!(out, "; ttl={ttl}");
        }
        if let Some(detail) = self.detail {
            out.extend_from_slice(b"; detail=");
            out.extend_from_slice(detail.as_str().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_written_as_the_rfc_has_them() {
        let hit = CacheStatus {
            ttl_secs: Some(-3),
            ..CacheStatus::new(Served::Hit)
        };
        let miss = CacheStatus {
            fwd_status: Some(200),
            stored: true,
            collapsed: true,
            ..CacheStatus::new(Served::Forwarded(Fwd::UriMiss))
        };
        let refused = CacheStatus {
            detail: Some(Reason::NoStore),
            ..CacheStatus::new(Served::Forwarded(Fwd::Stale))
        };
        for (status, text) in [
            (hit, "breakwater; hit; ttl=-3"),
            (
                miss,
                "breakwater; fwd=uri-miss; fwd-status=200; stored; collapsed",
            ),
            (refused, "breakwater; fwd=stale; detail=no-store"),
        ] {
            let mut out = Vec::new();
            status.write("breakwater", &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}

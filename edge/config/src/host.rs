use std::fmt;

use serde::{Deserialize, Serialize};

/// A host that a site serves: an exact name (`shop.example.com`) or a wildcard for one label
/// (`*.example.com`), as certificates understand it (RFC 9525 §6.3): `*.example.com` covers
/// `a.example.com`, not `a.b.example.com` and not `example.com`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    wildcard: bool,
    /// For a wildcard, what follows `*.`.
    name: String,
}

/// Why a text isn't a host pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a host: write a lower-case DNS name such as shop.example.com (international names in their \
     xn-- form), or *.example.com for every name one level below it; no port, no trailing dot, no IP address"
)]
pub struct HostError(pub String);

impl HostPattern {
    /// Parses a lower-case name of two labels or more, at most 253 octets (RFC 1123 §2.1), or `*.` and such
    /// a name. `localhost` and names under it are accepted for standalone use.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let error = || HostError(text.to_owned());
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(error());
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        let numeric = last.bytes().all(|b| b.is_ascii_digit());
        let single = !name.contains('.') && (wildcard || name != "localhost");
        if numeric || (single && name != "localhost") {
            return Err(error());
        }
        Ok(Self {
            wildcard,
            name: name.to_owned(),
        })
    }

    /// True for `*.…`.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The name; for a wildcard, what follows `*.`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True when `host` (lower case, no port) is covered.
    pub fn covers(&self, host: &str) -> bool {
        if !self.wildcard {
            return host == self.name;
        }
        host.split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest == self.name)
    }
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

impl TryFrom<String> for HostPattern {
    type Error = HostError;
    fn try_from(text: String) -> Result<Self, HostError> {
        Self::parse(&text)
    }
}

impl From<HostPattern> for String {
    fn from(host: HostPattern) -> Self {
        host.to_string()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wildcard {
            f.write_str("*.")?;
        }
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_and_wildcards_and_nothing_else() {
        for good in [
            "a.example",
            "*.a.example",
            "xn--bcher-kva.example",
            "localhost",
            "shop.localhost",
        ] {
            assert_eq!(HostPattern::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "*",
            "*.",
            "com",
            "*.com",
            "A.example",
            "a.example.",
            "a..b",
            "-a.example",
            "192.0.2.1",
            "a.*.b",
            "a.example:80",
            "a_b.example",
            "*.*.example.com",
            "[::1]",
        ] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_covers_exactly_one_label() {
        let wildcard = HostPattern::parse("*.example.com").unwrap();
        assert!(wildcard.covers("a.example.com"));
        for other in ["example.com", "a.b.example.com", ".example.com", "a.example.org"] {
            assert!(!wildcard.covers(other), "{other}");
        }
    }
}

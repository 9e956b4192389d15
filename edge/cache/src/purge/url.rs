//! URLs as purges compare them with keys.
//!
//! The scheme doesn't count: what visitors ask for by HTTPS may reach the edge as HTTP, behind whatever ends
//! their TLS. Both sides are percent-decoded once: whoever purges `/~a` means what visitors ask for as `/%7Ea` too. Two
//! URLs that only differ in what is encoded are purged together.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::key::KeyParts;

/// Where something is, in the form of a key: lower-case host without port, raw path, raw query.
#[derive(Clone, Copy, Debug)]
pub struct PurgeUrl<'a> {
    /// Without port.
    pub host: &'a [u8],
    /// The port, where it isn't the scheme's own.
    pub port: Option<u16>,
    /// The path of the key.
    pub path: &'a [u8],
    /// What of the query is in the key.
    pub query: Option<&'a [u8]>,
}

impl<'a> From<&KeyParts<'a>> for PurgeUrl<'a> {
    fn from(key: &KeyParts<'a>) -> Self {
        let own = matches!((key.scheme, key.port), (b"http", 80) | (b"https", 443));
        Self {
            host: key.host,
            port: (!own).then_some(key.port),
            path: key.path,
            query: key.query,
        }
    }
}

impl PurgeUrl<'_> {
    /// What the URL is known by: 30 bits, the same in every process.
    pub(super) fn hash(&self) -> u32 {
        let mut hasher = SipHasher13::new_with_keys(0x7075_7267, 0x6275_726c);
        let mut part = |bytes: &[u8]| {
            hasher.write_usize(bytes.len());
            hasher.write(bytes);
        };
        part(&self.host.to_ascii_lowercase());
        part(&self.port.unwrap_or(0).to_le_bytes());
        let mut decoded = Vec::with_capacity(self.path.len());
        decode(self.path, &mut decoded);
        part(&decoded);
        if let Some(query) = self.query {
            decoded.clear();
            decode(query, &mut decoded);
            part(&decoded);
        }
        (hasher.finish() >> 34) as u32
    }

    /// `host[:port]/path`, decoded, without the query: what prefixes and masks are compared with.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.host.len() + self.path.len() + 6);
        text.extend(self.host.iter().map(u8::to_ascii_lowercase));
        if let Some(port) = self.port {
            text.push(b':');
            text.extend_from_slice(port.to_string().as_bytes());
        }
        decode(self.path, &mut text);
        text
    }
}

/// Percent-decodes once; what isn't an encoded byte stays as it is.
pub fn decode(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%'
            && let [high, low, after @ ..] = after
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push(high << 4 | low);
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url<'a>(path: &'a str, query: Option<&'a str>) -> PurgeUrl<'a> {
        PurgeUrl {
            host: b"a.example",
            port: None,
            path: path.as_bytes(),
            query: query.map(str::as_bytes),
        }
    }

    #[test]
    fn encodings_of_the_same_bytes_are_one_url() {
        let same = [
            (url("/~a/b", None), url("/%7ea/%62", None)),
            (url("/a b", None), url("/a%20b", None)),
            (url("/", Some("q=ä")), url("/", Some("q=%C3%A4"))),
        ];
        for (one, other) in same {
            assert_eq!(one.hash(), other.hash(), "{one:?}");
            assert_eq!(one.text(), other.text());
        }
        let different = [
            (url("/a", None), url("/a", Some(""))),
            (url("/a", None), url("/A", None)),
            (url("/a%2", None), url("/a%", None)),
            (url("/a", Some("b")), url("/ab", Some(""))),
            (
                url("/a", None),
                PurgeUrl {
                    port: Some(8443),
                    ..url("/a", None)
                },
            ),
        ];
        for (one, other) in different {
            assert_ne!(one.hash(), other.hash(), "{one:?} {other:?}");
        }
    }

    #[test]
    fn the_text_has_a_port_only_where_it_is_not_the_schemes_own() {
        assert_eq!(url("/a%2fb", Some("q")).text(), b"a.example/a/b");
        let other = PurgeUrl {
            port: Some(8443),
            ..url("/", None)
        };
        assert_eq!(other.text(), b"a.example:8443/");
    }
}

//! The cache key: what makes two requests the same.
//!
//! Every part is preceded by its length, so no choice of bytes in one part can make it look like another's.
//! A keyed 128-bit hash finds an entry; the whole key, stored with the entry, decides.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::site::Site;

/// Methods whose answers may stand for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodClass {
    /// GET, and HEAD, which is answered from a GET's entry.
    Get,
    /// POST whose body is part of the key (policies that cache queries sent by POST).
    Post,
    /// QUERY, whose body is part of the key.
    Query,
}

/// What of the request's target is in every key.
#[derive(Clone, Copy, Debug)]
pub struct KeyTarget<'a> {
    /// `http` or `https`, as the visitor's connection has it.
    pub scheme: &'a [u8],
    /// Lower case, without port.
    pub host: &'a [u8],
    /// The port, the scheme's own where none was given.
    pub port: u16,
    /// See [`MethodClass`].
    pub method: MethodClass,
    /// The raw path, as received.
    pub path: &'a [u8],
    /// The raw query without its `?`, or what a policy left of it; `None` where there is no `?`.
    pub query: Option<&'a [u8]>,
}

/// Writes keys into a buffer that it keeps: no allocation once the buffer has grown.
#[derive(Debug, Default)]
pub struct KeyBuilder {
    bytes: Vec<u8>,
}

impl KeyBuilder {
    /// Begins a key: whose it is and under which policy it was made.
    ///
    /// `policy` is the fingerprint of everything in the site's policy that says what is in the key: entries
    /// made under another are never found. Drops what the buffer held.
    pub fn start(&mut self, site: &Site, policy: &[u8], target: &KeyTarget<'_>) -> &mut Self {
        self.bytes.clear();
        self.part(site.uid());
        self.part(policy);
        self.part(target.scheme);
        self.part(target.host);
        self.bytes.extend_from_slice(&target.port.to_le_bytes());
        self.bytes.push(match target.method {
            MethodClass::Get => 0,
            MethodClass::Post => 1,
            MethodClass::Query => 2,
        });
        self.part(target.path);
        self.optional(target.query);
        self
    }

    /// Adds a value that the policy names: a header field, a cookie, a hash of the body. Absent differs from
    /// empty.
    pub fn keyed(&mut self, name: &[u8], value: Option<&[u8]>) -> &mut Self {
        self.part(name);
        self.optional(value);
        self
    }

    /// Drops the key and keeps no more memory than this.
    pub fn release(&mut self, kept_bytes: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(kept_bytes);
    }

    /// The key so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn part(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(part);
    }

    fn optional(&mut self, part: Option<&[u8]>) {
        self.bytes.push(u8::from(part.is_some()));
        if let Some(part) = part {
            self.part(part);
        }
    }
}

/// What purges look at in a whole key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyParts<'a> {
    pub(crate) policy: &'a [u8],
    pub(crate) scheme: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) port: u16,
    pub(crate) path: &'a [u8],
    pub(crate) query: Option<&'a [u8]>,
}

impl<'a> KeyParts<'a> {
    /// Reads what [`KeyBuilder::start`] wrote. `None`: that isn't a key.
    pub(crate) fn read(mut key: &'a [u8]) -> Option<Self> {
        let _uid = take_part(&mut key)?;
        let policy = take_part(&mut key)?;
        let scheme = take_part(&mut key)?;
        let host = take_part(&mut key)?;
        let ([p0, p1, _method], rest) = key.split_first_chunk()?;
        key = rest;
        let path = take_part(&mut key)?;
        let (present, rest) = key.split_first()?;
        key = rest;
        let query = if *present == 1 {
            Some(take_part(&mut key)?)
        } else {
            None
        };
        Some(Self {
            policy,
            scheme,
            host,
            port: u16::from_le_bytes([*p0, *p1]),
            path,
            query,
        })
    }
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (part, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(part)
}

/// A key with its hash, see [`Cache::key`](crate::Cache::key).
#[derive(Clone, Copy, Debug)]
pub struct KeyRef<'a> {
    pub(crate) hash: u128,
    pub(crate) bytes: &'a [u8],
}

impl KeyRef<'_> {
    /// The keyed hash. It differs between processes unless they share the seed.
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// The whole key.
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }
}

/// Hashes keys with a cache's seed.
#[derive(Clone)]
pub(crate) struct KeyHasher(pub(crate) [u8; 16]);

impl KeyHasher {
    pub(crate) fn hash(&self, key: &[u8]) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(key);
        hasher.finish128().as_u128()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Parts = (
        String,
        String,
        String,
        Option<String>,
        Vec<(String, Option<String>)>,
    );

    fn key((uid, policy, path, query, keyed): &Parts) -> Vec<u8> {
        let site = Site::detached(uid.as_bytes());
        let target = KeyTarget {
            scheme: b"https",
            host: b"example.com",
            port: 443,
            method: MethodClass::Get,
            path: path.as_bytes(),
            query: query.as_ref().map(String::as_bytes),
        };
        let mut builder = KeyBuilder::default();
        builder.start(&site, policy.as_bytes(), &target);
        for (name, value) in keyed {
            builder.keyed(name.as_bytes(), value.as_ref().map(String::as_bytes));
        }
        builder.bytes().to_vec()
    }

    #[test]
    fn a_buffer_that_has_grown_is_used_again() {
        let site = Site::detached(b"uid");
        let target = KeyTarget {
            scheme: b"http",
            host: b"a",
            port: 80,
            method: MethodClass::Get,
            path: b"/a/long/path",
            query: Some(b"q"),
        };
        let mut builder = KeyBuilder::default();
        let first = builder
            .start(&site, b"p", &target)
            .keyed(b"n", Some(b"v"))
            .bytes()
            .to_vec();
        let room = builder.bytes.capacity();
        let second = builder
            .start(&site, b"p", &target)
            .keyed(b"n", Some(b"v"))
            .bytes()
            .to_vec();
        assert_eq!(first, second);
        assert_eq!(builder.bytes.capacity(), room);
    }

    #[test]
    fn a_key_says_what_it_was_made_from() {
        for query in [None, Some(&b""[..]), Some(b"a=b")] {
            let target = KeyTarget {
                scheme: b"https",
                host: b"a.example",
                port: 8443,
                method: MethodClass::Post,
                path: b"/a/b",
                query,
            };
            let mut builder = KeyBuilder::default();
            builder.start(&Site::detached(b"uid"), b"policy", &target);
            builder.keyed(b"cookie", Some(b"x"));
            let parts = KeyParts::read(builder.bytes()).unwrap();
            assert_eq!((parts.policy, parts.scheme), (&b"policy"[..], &b"https"[..]));
            assert_eq!((parts.host, parts.port), (&b"a.example"[..], 8443));
            assert_eq!((parts.path, parts.query), (&b"/a/b"[..], query));
        }
        assert!(KeyParts::read(b"not a key").is_none());
    }

    proptest! {
        #[test]
        fn keys_are_equal_only_when_all_parts_are(
            a in ("[a\0]{0,3}", "[a\0]{0,3}", "[a\0]{0,3}", prop::option::of("[a\0]{0,3}"),
                  prop::collection::vec(("[a\0]{0,2}", prop::option::of("[a\0]{0,2}")), 0..3)),
            b in ("[a\0]{0,3}", "[a\0]{0,3}", "[a\0]{0,3}", prop::option::of("[a\0]{0,3}"),
                  prop::collection::vec(("[a\0]{0,2}", prop::option::of("[a\0]{0,2}")), 0..3)),
        ) {
            prop_assert_eq!(key(&a) == key(&b), a == b);
        }
    }
}

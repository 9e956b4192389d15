//! The cache key of a request: everything that the origin's answer may depend on and that isn't left to
//! `Vary`.

use breakwater_edge_cache::{KeyTarget, MethodClass};
use breakwater_edge_config::{CacheKey, QueryKey};

use super::body::RequestBody;
use super::device::DeviceClass;
use super::{Context, cookies, device};
use crate::compile::{Route, Site};
use crate::scratch::Scratch;
use crate::wire::RequestHead;

/// Which of a target's answers a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyOf {
    /// This request's: its body is in the key where the policy says so.
    Request,
    /// What a GET of the same target is answered.
    Get,
}

/// Writes the key into `scratch.key`.
pub(crate) fn write(cx: &Context<'_, '_>, site: &Site, route: &Route, of: KeyOf, scratch: &mut Scratch) {
    let rules = &route.cache.0;
    let key = &rules.policy.key;
    let port = cx.port(scratch);
    let Scratch {
        host,
        query,
        key: builder,
        bytes,
        state,
        ..
    } = scratch;
    let body = state.body.as_ref().filter(|_| of == KeyOf::Request);
    let kept = self::query(cx.head, key, query);
    let builder = builder.start(
        site.cache_site(&cx.shared.cache),
        &route.cache_fingerprint,
        &KeyTarget {
            scheme: cx.scheme().as_bytes(),
            host: host.as_bytes(),
            port,
            method: body.map_or(MethodClass::Get, RequestBody::class),
            path: route.key_path(cx.head.path()),
            query: kept,
        },
    );
    if let Some(body) = body {
        body.write(cx.head, builder);
    }
    for name in &key.headers {
        let mut values = cx.head.fields.named(name.as_bytes());
        let first = values.next();
        match values.next() {
            None => builder.keyed(name.as_bytes(), first),
            Some(second) => {
                join(first.into_iter().chain([second]).chain(values), bytes);
                builder.keyed(name.as_bytes(), Some(bytes))
            }
        };
    }
    for name in &key.cookies {
        let mut values = cookies::values(&cx.head.fields, name.as_bytes());
        let first = values.next();
        // An origin may take the last of several: all of them count.
        match values.next() {
            None => builder.keyed(name.as_bytes(), first),
            Some(second) => {
                join(first.into_iter().chain([second]).chain(values), bytes);
                builder.keyed(name.as_bytes(), Some(bytes))
            }
        };
    }
    if key.device_class {
        let class = DeviceClass::of(&cx.head.fields);
        builder.keyed(device::FIELD.as_bytes(), Some(class.as_str().as_bytes()));
    }
}

/// Joins values; none of them can hold the line feed between them.
fn join<'a>(values: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    out.clear();
    for value in values {
        out.extend_from_slice(value);
        out.push(b'\n');
    }
}

/// What of a request's query counts, without its `?`; `None` where there is none or none of it does.
pub(crate) fn query<'q>(head: &'q RequestHead<'_>, key: &CacheKey, out: &'q mut Vec<u8>) -> Option<&'q [u8]> {
    select(head.query_with_mark().strip_prefix(b"?")?, key, out)
}

pub(crate) fn select<'q>(whole: &'q [u8], key: &CacheKey, out: &'q mut Vec<u8>) -> Option<&'q [u8]> {
    if matches!(key.query, QueryKey::All) && !key.sort_query {
        return Some(whole);
    }
    let counts = |name: &[u8]| match &key.query {
        QueryKey::All => true,
        QueryKey::None => false,
        QueryKey::Allow(names) => names.iter().any(|allowed| allowed.as_bytes() == name),
        QueryKey::Deny(names) => !names.iter().any(|denied| denied.as_bytes() == name),
    };
    let parameters = whole
        .split(|b| *b == b'&')
        .filter(|parameter| counts(name_of(parameter)));
    let mut parameters: smallvec::SmallVec<[&[u8]; 16]> = parameters.collect();
    if key.sort_query {
        // Stable, by name alone: the order of one name's values says something.
        parameters.sort_by(|one, other| name_of(one).cmp(name_of(other)));
    }
    out.clear();
    for (at, parameter) in parameters.iter().enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(parameter);
    }
    (!parameters.is_empty()).then_some(out)
}

fn name_of(parameter: &[u8]) -> &[u8] {
    parameter.split(|b| *b == b'=').next().unwrap_or_default()
}

/// True for a path that origins read in more than one way: encoded `/ \ ; # ?` and control bytes (some end a
/// path there), and dot segments, encoded or not.
pub(crate) fn is_ambiguous(path: &[u8]) -> bool {
    let dots = path.split(|b| *b == b'/').any(is_dot_segment);
    dots || (path.contains(&b'%') && path.windows(3).any(is_encoded_delimiter))
}

fn is_encoded_delimiter(window: &[u8]) -> bool {
    let [b'%', high, low] = window else { return false };
    matches!(
        (high, low.to_ascii_lowercase()),
        (b'0' | b'1', _) | (b'2', b'f' | b'3') | (b'3', b'b' | b'f') | (b'5', b'c') | (b'7', b'f')
    )
}

/// `.` or `..`, with dots encoded or not, and with parameters behind a `;`.
fn is_dot_segment(segment: &[u8]) -> bool {
    let mut rest = segment.split(|b| *b == b';').next().unwrap_or_default();
    let mut dots = 0;
    while !rest.is_empty() {
        let ([b'.', next @ ..] | [b'%', b'2', b'e' | b'E', next @ ..]) = rest else {
            return false;
        };
        dots += 1;
        rest = next;
    }
    matches!(dots, 1 | 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_origins_read_differently_are_found() {
        for path in [
            "/a%2fb",
            "/a%2Fb",
            "/a%3Bb",
            "/a%23",
            "/a%3f",
            "/a/../b",
            "/..",
            "/a/%2e%2E/b",
            "/a/.",
            "/a/..;x/b",
            "/a%5c",
            "/a%0a.css",
            "/a%0D",
            "/a%1f",
            "/a%7F",
        ] {
            assert!(is_ambiguous(path.as_bytes()), "{path}");
        }
        for path in [
            "/",
            "/a.b",
            "/a%20b",
            "/...",
            "/.well-known/x",
            "/a;b=1",
            "/a%2",
            "/%2ehidden",
            "//",
        ] {
            assert!(!is_ambiguous(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn the_query_counts_as_the_policy_says() {
        let key = |query, sort_query| CacheKey {
            query,
            sort_query,
            ..CacheKey::default()
        };
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (key, whole, kept) in [
            (key(QueryKey::All, false), "b=1&a=2", Some("b=1&a=2")),
            (key(QueryKey::All, false), "", Some("")),
            (key(QueryKey::All, true), "b=2&a=2&b=1", Some("a=2&b=2&b=1")),
            (key(QueryKey::None, false), "b=1", None),
            (
                key(QueryKey::Allow(names(&["a"])), false),
                "b=1&a=2&A=3&ab=4&a",
                Some("a=2&a"),
            ),
            (key(QueryKey::Allow(names(&["a"])), false), "b=1", None),
            (
                key(QueryKey::Deny(names(&["b"])), true),
                "c=1&b=1&a",
                Some("a&c=1"),
            ),
        ] {
            let mut out = Vec::new();
            let found = select(whole.as_bytes(), &key, &mut out);
            assert_eq!(found, kept.map(str::as_bytes), "{key:?} {whole}");
        }
    }
}

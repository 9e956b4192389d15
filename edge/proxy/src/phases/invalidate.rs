//! Invalidation (RFC 9111 §4.4): an unsafe method that succeeded makes what is stored for its target, and for
//! what its answer names, questionable. It is validated before it is used again.

use super::key::KeyOf;
use super::parse::split_authority;
use super::{Context, key, route};
use crate::scratch::Scratch;
use crate::wire::{Fields, Name, OriginHead, RequestHead};

/// Most references of one answer that are looked at.
const MAX_REFERENCES: usize = 4;

/// Stored answers for other values of keyed fields or cookies than this request's stay as they are.
pub(crate) fn run(cx: &Context<'_, '_>, answer: &OriginHead<'_>, scratch: &mut Scratch) {
    let safe = matches!(cx.head.method, b"GET" | b"HEAD" | b"OPTIONS" | b"QUERY");
    if safe || scratch.state.is_query || !(200..400).contains(&answer.status) {
        return;
    }
    target(cx, cx.head.target, scratch);
    let named = [Name::Location, Name::ContentLocation];
    let references = named.into_iter().flat_map(|name| answer.fields.all(name));
    for reference in references.take(MAX_REFERENCES) {
        if let Some(named) = resolve(cx, reference, scratch) {
            target(cx, &named, scratch);
        }
    }
}

/// What is stored was asked for by GET, which another route may serve.
fn target(cx: &Context<'_, '_>, target: &[u8], scratch: &mut Scratch) {
    let Some(site) = cx.site(scratch) else { return };
    let lines = cx.head.fields.iter().map(|field| (field.name, field.value));
    let Ok(fields) = Fields::from_lines(lines) else {
        return;
    };
    let get = RequestHead {
        method: b"GET",
        target,
        fields,
        ..RequestHead::default()
    };
    let Some(found) = route::find(&get, site).and_then(|at| site.routes.get(at)) else {
        return;
    };
    if found.cache.0.policy.enabled {
        let as_get = Context {
            shared: cx.shared,
            near: cx.near,
            view: cx.view,
            conn: cx.conn,
            head: &get,
            now: cx.now,
        };
        key::write(&as_get, site, found, KeyOf::Get, scratch);
        cx.shared.cache.invalidate(cx.shared.cache.key(&scratch.key));
    }
}

/// Path and query of a reference in an answer (RFC 3986 §5.2); `None` for another host's, which this answer has
/// no say about. The scheme doesn't count: an origin that is spoken to without TLS writes its own.
fn resolve(cx: &Context<'_, '_>, reference: &[u8], scratch: &Scratch) -> Option<Vec<u8>> {
    let reference = reference.split(|b| *b == b'#').next()?;
    let (default_port, relative) = match split_scheme(reference) {
        Some((b"http", rest)) => (80, rest),
        Some((b"https", rest)) => (443, rest),
        Some(_) => return None,
        None => (cx.port(scratch), reference),
    };
    let relative = match relative.strip_prefix(b"//") {
        Some(rest) => {
            let end = rest
                .iter()
                .position(|b| matches!(b, b'/' | b'?'))
                .unwrap_or(rest.len());
            let (authority, path) = rest.split_at_checked(end)?;
            let (host, port) = split_authority(authority)?;
            let port = port.unwrap_or(default_port);
            let same_port = port == cx.port(scratch) || (port == default_port && scratch.port.is_none());
            if !host.eq_ignore_ascii_case(scratch.host.as_bytes()) || !same_port {
                return None;
            }
            if path.starts_with(b"/") {
                path.to_vec()
            } else {
                [b"/", path].concat()
            }
        }
        None if relative.is_empty() => return None,
        None if relative.starts_with(b"/") => relative.to_vec(),
        None if relative.starts_with(b"?") => [cx.head.path(), relative].concat(),
        None => {
            let base = cx.head.path();
            let directory = base.iter().rposition(|b| *b == b'/')? + 1;
            [base.get(..directory)?, relative].concat()
        }
    };
    Some(without_dot_segments(&relative))
}

/// The scheme and what follows its colon.
fn split_scheme(reference: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = reference.iter().position(|b| matches!(b, b':' | b'/' | b'?'))?;
    let (scheme, rest) = reference.split_at_checked(at)?;
    let known = [&b"http"[..], b"https"];
    let rest = rest.strip_prefix(b":")?;
    let scheme = known.into_iter().find(|known| scheme.eq_ignore_ascii_case(known));
    Some((scheme.unwrap_or(b""), rest))
}

/// RFC 3986 §5.2.4, for a path that begins with a slash; the query stays.
fn without_dot_segments(target: &[u8]) -> Vec<u8> {
    let end = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at_checked(end).unwrap_or((target, b""));
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|b| *b == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    kept.pop();
                }
                if last {
                    kept.push(b"");
                }
            }
            _ => kept.push(segment),
        }
    }
    let mut resolved = Vec::with_capacity(target.len());
    for segment in kept {
        resolved.push(b'/');
        resolved.extend_from_slice(segment);
    }
    resolved.extend_from_slice(query);
    resolved
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_left_has_no_dot_segments_and_begins_with_a_slash(path in "(/[a.]{0,3}){1,6}([?][/.]{0,4})?") {
            let left = without_dot_segments(path.as_bytes());
            let end = left.iter().position(|b| *b == b'?').unwrap_or(left.len());
            prop_assert!(left.starts_with(b"/"));
            let mut segments = left[..end].split(|b| *b == b'/');
            prop_assert!(!segments.any(|segment| matches!(segment, b"." | b"..")));
        }
    }

    #[test]
    fn dot_segments_are_taken_out() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/../../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a//b/", "/a//b/"),
            ("/a/..?x=/../y", "/?x=/../y"),
        ] {
            assert_eq!(
                without_dot_segments(path.as_bytes()),
                expected.as_bytes(),
                "{path}"
            );
        }
    }
}

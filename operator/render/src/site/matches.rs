//! Request matches, and their order of precedence.

use breakwater_crds::{self as crds, HeaderMatchType, PathMatchType};
use breakwater_edge_config::{HeaderMatch, HeaderValueMatch, PathMatch, RequestMatch};

/// A match as edges compare it.
pub(crate) fn request_match(matched: &crds::RequestMatch) -> RequestMatch {
    let crds::RequestMatch {
        path,
        methods,
        headers,
    } = matched;
    let mut methods = methods.clone();
    methods.sort();
    methods.dedup();
    RequestMatch {
        path: path.as_ref().map(path_match),
        methods,
        headers: headers.iter().map(header_match).collect(),
    }
}

fn path_match(path: &crds::PathMatch) -> PathMatch {
    match path.kind {
        PathMatchType::Exact => PathMatch::Exact(path.value.clone()),
        PathMatchType::Prefix => {
            let trimmed = path.value.trim_end_matches('/');
            PathMatch::Prefix(if trimmed.is_empty() { "/" } else { trimmed }.to_owned())
        }
    }
}

fn header_match(header: &crds::HeaderMatch) -> HeaderMatch {
    let value = || header.value.clone().unwrap_or_default();
    HeaderMatch {
        name: header.name.to_ascii_lowercase(),
        value: match header.kind {
            HeaderMatchType::Exact => HeaderValueMatch::Exact(value()),
            HeaderMatchType::Prefix => HeaderValueMatch::Prefix(value()),
            HeaderMatchType::Present => HeaderValueMatch::Present,
            HeaderMatchType::Absent => HeaderValueMatch::Absent,
        },
    }
}

/// True when it matches every request.
pub(crate) fn matches_everything(matched: &RequestMatch) -> bool {
    let every_path = match &matched.path {
        None => true,
        Some(PathMatch::Prefix(prefix)) => prefix == "/",
        Some(PathMatch::Exact(_)) => false,
    };
    every_path && matched.methods.is_empty() && matched.headers.is_empty()
}

/// Sorts from the most specific: exact path, longest prefix, method, number of headers. Equal ones keep the
/// order that they were written in.
pub(crate) fn by_precedence<T>(routes: &mut [T], matched: impl Fn(&T) -> &RequestMatch) {
    routes.sort_by_key(|route| {
        let matched = matched(route);
        let path = match &matched.path {
            Some(PathMatch::Exact(_)) => (2, 0),
            Some(PathMatch::Prefix(prefix)) if prefix != "/" => (1, prefix.len()),
            _ => (0, 0),
        };
        std::cmp::Reverse((path, !matched.methods.is_empty(), matched.headers.len()))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(kind: PathMatchType, value: &str) -> crds::PathMatch {
        crds::PathMatch {
            kind,
            value: value.to_owned(),
        }
    }

    fn header(name: &str) -> crds::HeaderMatch {
        crds::HeaderMatch {
            name: name.to_owned(),
            kind: HeaderMatchType::Present,
            value: None,
        }
    }

    #[test]
    fn the_most_specific_match_stands_first_whatever_the_order() {
        let routes = [
            ("any", None, &[][..], 0),
            ("method", None, &["GET"][..], 0),
            ("root", Some(path(PathMatchType::Prefix, "/")), &[], 0),
            ("short", Some(path(PathMatchType::Prefix, "/a/")), &[], 0),
            (
                "short with header",
                Some(path(PathMatchType::Prefix, "/a")),
                &[],
                1,
            ),
            (
                "short with method",
                Some(path(PathMatchType::Prefix, "/a")),
                &["GET"],
                0,
            ),
            ("long", Some(path(PathMatchType::Prefix, "/a/b")), &[], 0),
            ("exact", Some(path(PathMatchType::Exact, "/a")), &[], 0),
            (
                "exact with headers",
                Some(path(PathMatchType::Exact, "/a")),
                &[],
                2,
            ),
        ];
        let mut compiled: Vec<(&str, RequestMatch)> = routes
            .into_iter()
            .map(|(name, path, methods, headers)| {
                let matched = crds::RequestMatch {
                    path,
                    methods: methods.iter().map(|m| (*m).to_owned()).collect(),
                    headers: ["A", "B"].into_iter().take(headers).map(header).collect(),
                };
                (name, request_match(&matched))
            })
            .collect();
        by_precedence(&mut compiled, |(_, matched)| matched);
        let names: Vec<&str> = compiled.iter().map(|(name, _)| *name).collect();
        let expected = [
            "exact with headers",
            "exact",
            "long",
            "short with method",
            "short with header",
            "short",
            "method",
            "any",
            "root",
        ];
        assert_eq!(names, expected);
    }
}

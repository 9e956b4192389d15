use breakwater_edge_config::{HeaderMatch, HeaderValueMatch, PathMatch, RequestMatch};

use breakwater_edge_cache::percent_decode;

use crate::wire::{Fields, Name, RequestHead};

/// A compiled request match.
#[derive(Debug)]
pub(crate) struct Matcher {
    path: Path,
    methods: Vec<Box<[u8]>>,
    headers: Vec<Header>,
}

#[derive(Debug)]
enum Path {
    Any,
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
}

#[derive(Debug)]
struct Header {
    id: Name,
    name: Box<[u8]>,
    value: HeaderValueMatch,
}

impl Matcher {
    pub(crate) fn compile(matches: &RequestMatch) -> Self {
        Self {
            path: match &matches.path {
                None => Path::Any,
                Some(PathMatch::Exact(path)) => Path::Exact(path.as_bytes().into()),
                // "/" covers every path that begins with it.
                Some(PathMatch::Prefix(path)) => Path::Prefix(path.trim_end_matches('/').as_bytes().into()),
            },
            methods: matches.methods.iter().map(|m| m.as_bytes().into()).collect(),
            headers: matches.headers.iter().map(Header::compile).collect(),
        }
    }

    /// True when all that is given holds. `path` is the raw path without the query.
    pub(crate) fn matches(&self, path: &[u8], head: &RequestHead<'_>) -> bool {
        let path_holds = match &self.path {
            Path::Any => true,
            Path::Exact(exact) => path == &**exact,
            Path::Prefix(prefix) => is_segment_prefix(prefix, path),
        };
        path_holds
            && (self.methods.is_empty() || self.methods.iter().any(|m| **m == *head.method))
            && self.headers.iter().all(|header| header.holds(&head.fields))
    }

    /// True when some request for this path may match. What is encoded in the path counts as what it stands for.
    pub(crate) fn may_match(&self, path: &[u8]) -> bool {
        match &self.path {
            Path::Any => true,
            Path::Exact(exact) => decoded(path) == decoded(exact),
            Path::Prefix(prefix) => is_segment_prefix(&decoded(prefix), &decoded(path)),
        }
    }

    /// True when some request for a path that begins with this one may match.
    pub(crate) fn may_match_below(&self, prefix: &[u8]) -> bool {
        let below = decoded(prefix);
        match &self.path {
            Path::Any => true,
            Path::Exact(exact) => decoded(exact).starts_with(&below),
            Path::Prefix(prefix) => {
                let prefix = decoded(prefix);
                prefix.starts_with(&below) || below.starts_with(&prefix)
            }
        }
    }

    /// The prefix that a rewrite replaces, without its trailing slash.
    pub(crate) fn prefix(&self) -> Option<&[u8]> {
        match &self.path {
            Path::Prefix(prefix) => Some(prefix),
            _ => None,
        }
    }
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    percent_decode(path, &mut out);
    out
}

fn is_segment_prefix(prefix: &[u8], path: &[u8]) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

impl Header {
    fn compile(header: &HeaderMatch) -> Self {
        Self {
            id: Name::of(header.name.as_bytes()),
            name: header.name.as_bytes().into(),
            value: header.value.clone(),
        }
    }

    fn holds(&self, fields: &Fields<'_>) -> bool {
        match &self.value {
            HeaderValueMatch::Present => self.values(fields).next().is_some(),
            HeaderValueMatch::Absent => self.values(fields).next().is_none(),
            HeaderValueMatch::Exact(wanted) => self.eat(fields, wanted.as_bytes()) == Some(Eaten::Equal),
            HeaderValueMatch::Prefix(wanted) => {
                matches!(
                    self.eat(fields, wanted.as_bytes()),
                    Some(Eaten::Equal | Eaten::Longer)
                )
            }
        }
    }

    fn values<'b, 'a>(&'b self, fields: &'b Fields<'a>) -> impl Iterator<Item = &'a [u8]> + 'b {
        fields
            .iter()
            .filter(|field| {
                field.id == self.id && (self.id != Name::Other || field.name.eq_ignore_ascii_case(&self.name))
            })
            .map(|field| field.value)
    }

    /// Compares `wanted` with all lines joined by `, `, without joining them. `None`: no line, or it
    /// differs within `wanted`.
    fn eat(&self, fields: &Fields<'_>, wanted: &[u8]) -> Option<Eaten> {
        let mut rest = wanted;
        let mut first = true;
        for value in self.values(fields) {
            let separator: &[u8] = if first { b"" } else { b", " };
            first = false;
            for piece in [separator, value] {
                if rest.len() < piece.len() {
                    return piece.starts_with(rest).then_some(Eaten::Longer);
                }
                rest = rest.strip_prefix(piece)?;
            }
        }
        (!first && rest.is_empty()).then_some(Eaten::Equal)
    }
}

#[derive(PartialEq, Eq)]
enum Eaten {
    /// The joined value is `wanted`.
    Equal,
    /// It begins with `wanted` and goes on.
    Longer,
}

#[cfg(test)]
mod tests {
    use breakwater_edge_config::HeaderValueMatch::{Absent, Exact, Prefix, Present};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_match_as_the_joined_value_does(
            lines in prop::collection::vec("[a, ]{0,3}", 0..4),
            wanted in "[a, ]{0,8}",
        ) {
            let joined = (!lines.is_empty()).then(|| lines.join(", "));
            let request = head("GET", "/", &lines.iter().map(|line| ("x-a", line.as_str())).collect::<Vec<_>>());
            let with = |value| RequestMatch {
                headers: vec![HeaderMatch { name: "x-a".to_owned(), value }],
                ..RequestMatch::default()
            };
            let exact = joined.as_deref() == Some(wanted.as_str());
            let prefix = joined.is_some_and(|joined| joined.starts_with(&wanted));
            prop_assert_eq!(holds(&with(Exact(wanted.clone())), &request), exact);
            prop_assert_eq!(holds(&with(Prefix(wanted)), &request), prefix);
        }

        #[test]
        fn a_prefix_holds_where_its_segments_do(prefix in "(/[ab]{0,2}){1,3}", path in "(/[ab]{0,2}){1,3}") {
            let matches = RequestMatch {
                path: Some(PathMatch::Prefix(prefix.clone())),
                ..RequestMatch::default()
            };
            let bare = prefix.trim_end_matches('/');
            let expected = bare.is_empty() || path == bare || path.starts_with(&format!("{bare}/"));
            prop_assert_eq!(holds(&matches, &head("GET", &path, &[])), expected);
        }
    }

    fn head<'a>(method: &'a str, target: &'a str, lines: &[(&'a str, &'a str)]) -> RequestHead<'a> {
        RequestHead {
            method: method.as_bytes(),
            target: target.as_bytes(),
            fields: Fields::from_lines(lines.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()))).unwrap(),
            ..RequestHead::default()
        }
    }

    fn holds(matches: &RequestMatch, head: &RequestHead<'_>) -> bool {
        Matcher::compile(matches).matches(head.path(), head)
    }

    #[test]
    fn a_prefix_covers_whole_segments() {
        let prefix = |p: &str| RequestMatch {
            path: Some(PathMatch::Prefix(p.to_owned())),
            ..RequestMatch::default()
        };
        for (pattern, path, expected) in [
            ("/a", "/a", true),
            ("/a", "/a/b?x", true),
            ("/a", "/a?x", true),
            ("/a", "/ab", false),
            ("/a", "/", false),
            ("/", "/anything", true),
            ("/", "/", true),
        ] {
            assert_eq!(
                holds(&prefix(pattern), &head("GET", path, &[])),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn field_values_are_compared_as_if_joined() {
        let with = |value| RequestMatch {
            headers: vec![HeaderMatch {
                name: "x-a".to_owned(),
                value,
            }],
            ..RequestMatch::default()
        };
        let two = head("GET", "/", &[("X-A", "one"), ("other", "x"), ("x-a", "two")]);
        let none = head("GET", "/", &[]);
        for (value, on_two, on_none) in [
            (Present, true, false),
            (Absent, false, true),
            (Exact("one, two".to_owned()), true, false),
            (Exact("one".to_owned()), false, false),
            (Exact("one, two, ".to_owned()), false, false),
            (Exact(String::new()), false, false),
            (Prefix("one".to_owned()), true, false),
            (Prefix("one, t".to_owned()), true, false),
            (Prefix("one,t".to_owned()), false, false),
            (Prefix("one, two".to_owned()), true, false),
            (Prefix(String::new()), true, false),
        ] {
            let label = format!("{value:?}");
            assert_eq!(holds(&with(value.clone()), &two), on_two, "{label}");
            assert_eq!(holds(&with(value), &none), on_none, "{label}");
        }
    }

    #[test]
    fn methods_are_compared_exactly() {
        let matches = RequestMatch {
            methods: vec!["GET".to_owned()],
            ..RequestMatch::default()
        };
        assert!(holds(&matches, &head("GET", "/", &[])));
        assert!(!holds(&matches, &head("get", "/", &[])));
    }
}

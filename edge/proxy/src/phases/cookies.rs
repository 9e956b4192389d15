//! Cookies of a request, found by name without parsing the rest.

use breakwater_edge_config::CacheKey;

use crate::wire::{Fields, Name};

/// Every cookie as name and value, over all lines (HTTP/2 may split them, RFC 9113 §8.2.3). A cookie without
/// `=` has no name and is all value.
pub(crate) fn pairs<'b, 'a>(fields: &'b Fields<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + 'b {
    fields
        .all(Name::Cookie)
        .flat_map(|line| line.split(|b| *b == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let at = pair.iter().position(|b| *b == b'=');
            match at.and_then(|at| pair.split_at_checked(at)) {
                Some((name, value)) => (name, value.get(1..).unwrap_or_default()),
                None => (&b""[..], pair),
            }
        })
}

/// The values of all cookies of this name.
pub(crate) fn values<'b, 'a>(fields: &'b Fields<'a>, name: &'b [u8]) -> impl Iterator<Item = &'a [u8]> + 'b {
    pairs(fields)
        .filter(move |(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// True when every cookie of the request is in the key.
pub(crate) fn all_keyed(fields: &Fields<'_>, key: &CacheKey) -> bool {
    key.headers.iter().any(|name| name == Name::Cookie.as_str())
        || pairs(fields).all(|(name, _)| is_keyed(name, key))
}

/// True when this cookie is in the key.
pub(crate) fn is_keyed(name: &[u8], key: &CacheKey) -> bool {
    key.cookies.iter().any(|keyed| keyed.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_exact_name_on_any_line() {
        let lines: [(&[u8], &[u8]); 2] = [(b"cookie", b"a=1; ab=2;c"), (b"cookie", b"sid=x=y; a=3; ")];
        let fields = Fields::from_lines(lines).unwrap();
        for (name, expected) in [
            ("a", vec!["1", "3"]),
            ("ab", vec!["2"]),
            ("sid", vec!["x=y"]),
            ("c", vec![]),
        ] {
            let found: Vec<_> = values(&fields, name.as_bytes()).collect();
            assert_eq!(
                found,
                expected.iter().map(|v| v.as_bytes()).collect::<Vec<_>>(),
                "{name}"
            );
        }
        let key = |names: &[&str]| CacheKey {
            cookies: names.iter().map(|name| (*name).to_owned()).collect(),
            ..CacheKey::default()
        };
        assert!(
            !all_keyed(&fields, &key(&["a", "ab", "sid"])),
            "the nameless one isn't"
        );
        assert!(all_keyed(&Fields::default(), &key(&[])));
    }
}

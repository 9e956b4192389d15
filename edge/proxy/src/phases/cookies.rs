//! Cookies of a request, found by name without parsing the rest.

use crate::wire::{Fields, Name};

/// The value of the first cookie of this name, over all lines (HTTP/2 may split them, RFC 9113 §8.2.3).
pub(crate) fn find<'a>(fields: &Fields<'a>, name: &[u8]) -> Option<&'a [u8]> {
    fields
        .all(Name::Cookie)
        .flat_map(|line| line.split(|b| *b == b';'))
        .filter_map(|pair| {
            let pair = pair.trim_ascii();
            let at = pair.iter().position(|b| *b == b'=')?;
            let (found, value) = pair.split_at_checked(at)?;
            (found == name).then(|| value.get(1..).unwrap_or_default())
        })
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_exact_name_on_any_line() {
        let lines: [(&[u8], &[u8]); 2] = [(b"cookie", b"a=1; ab=2;c"), (b"cookie", b"sid=x=y; a=3")];
        let fields = Fields::from_lines(lines).unwrap();
        for (name, value) in [("a", Some("1")), ("ab", Some("2")), ("sid", Some("x=y")), ("c", None), ("b", None)] {
            assert_eq!(find(&fields, name.as_bytes()), value.map(str::as_bytes), "{name}");
        }
    }
}

//! What a visitor accepts (RFC 9110 §12.5.3).

use breakwater_edge_cache::{FieldsView, list_members};

use super::{Coding, CodingRules};

/// What a visitor is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// This coding, or none where it isn't worth it.
    Class(Option<Coding>),
    /// Nothing that the policy can make, nor the body as it is: what there is for it only the origin knows.
    Nothing,
}

/// Weights in thousandths.
#[derive(Default)]
struct Weights {
    /// Of the policy's codings, by position.
    of: [Option<u16>; 3],
    identity: Option<u16>,
    any: Option<u16>,
}

/// The class of a visitor: the coding with the highest weight, of several the one that the policy prefers. A body
/// as it is counts only where the visitor names `identity` with a higher weight. A visitor that says nothing gets
/// it as it is.
pub(crate) fn choose(fields: &dyn FieldsView, rules: &CodingRules) -> Accepted {
    let mut weights = Weights::default();
    members(fields, &mut |name, weight| {
        // The first mention counts.
        if name == b"*" {
            weights.any.get_or_insert(weight);
        } else if name.eq_ignore_ascii_case(b"identity") {
            weights.identity.get_or_insert(weight);
        } else if let Some(coding) = Coding::of(name) {
            let known = rules.codings.iter().position(|known| *known == coding);
            if let Some(slot) = known.and_then(|at| weights.of.get_mut(at)) {
                slot.get_or_insert(weight);
            }
        }
    });
    let mut best: Option<(Coding, u16)> = None;
    for (coding, told) in rules.codings.iter().zip(weights.of) {
        let weight = told.or(weights.any).unwrap_or(0);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((*coding, weight));
        }
    }
    match best {
        Some((_, weight)) if weights.identity.is_some_and(|identity| identity > weight) => {
            Accepted::Class(None)
        }
        Some((coding, _)) => Accepted::Class(Some(coding)),
        None if weights.identity.or(weights.any) == Some(0) => Accepted::Nothing,
        None => Accepted::Class(None),
    }
}

/// Whether a visitor takes a body with these codings. One that has no `Accept-Encoding` takes any.
pub(crate) fn accepts(fields: &dyn FieldsView, content_encoding: &[u8]) -> bool {
    if !fields.has(b"accept-encoding") {
        return true;
    }
    let mut all = true;
    list_members(content_encoding, |coding| {
        if coding.eq_ignore_ascii_case(b"identity") {
            return;
        }
        let (mut told, mut any) = (None, None);
        members(fields, &mut |name, weight| {
            let same = name.eq_ignore_ascii_case(coding)
                || Coding::of(name).is_some_and(|one| Coding::of(coding) == Some(one));
            if same {
                told.get_or_insert(weight);
            } else if name == b"*" {
                any.get_or_insert(weight);
            }
        });
        all &= told.or(any).is_some_and(|weight| weight > 0);
    });
    all
}

/// The codings of all lines with their weights.
fn members(fields: &dyn FieldsView, each: &mut dyn FnMut(&[u8], u16)) {
    fields.visit(b"accept-encoding", &mut |line| {
        list_members(line, |member| {
            let mut parts = member.split(|byte| *byte == b';');
            let name = parts.next().unwrap_or_default().trim_ascii();
            let weight = parts.find_map(|parameter| {
                let parameter = parameter.trim_ascii();
                let value = parameter.strip_prefix(b"q=").or(parameter.strip_prefix(b"Q="))?;
                // What can't be read is no promise to take it.
                Some(weight(value).unwrap_or(0))
            });
            each(name, weight.unwrap_or(1_000));
        });
    });
}

/// A weight (RFC 9110 §12.4.2) in thousandths.
fn weight(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = match value {
        [whole] | [whole, b'.'] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] => (whole, fraction),
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().chain(b"000").take(3);
    let thousandths = digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match (whole, thousandths) {
        (b'0', _) => Some(thousandths),
        (b'1', 0) => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Coding] = &[Coding::Brotli, Coding::Zstd, Coding::Gzip];

    #[test]
    fn a_visitor_gets_what_it_and_the_policy_like_best() {
        use Coding::{Brotli, Gzip, Zstd};
        let class = |coding| Accepted::Class(Some(coding));
        let plain = Accepted::Class(None);
        let table: &[(&[Coding], Option<&str>, Accepted)] = &[
            (ALL, Some("gzip, deflate, br, zstd"), class(Brotli)),
            (ALL, Some("gzip, deflate, br"), class(Brotli)),
            (&[Zstd, Gzip], Some("gzip, deflate, br, zstd"), class(Zstd)),
            (&[Gzip, Brotli], Some("gzip, br"), class(Gzip)),
            (ALL, Some("GZIP"), class(Gzip)),
            (ALL, Some("x-gzip"), class(Gzip)),
            (ALL, Some("br;q=0.5, gzip"), class(Gzip)),
            (ALL, Some("br;q=0, gzip;q=0.001"), class(Gzip)),
            (ALL, Some("br;q=0.000, gzip ; Q=1.000"), class(Gzip)),
            (ALL, Some("*"), class(Brotli)),
            (ALL, Some("br;q=0, *"), class(Zstd)),
            (ALL, Some("*;q=0.2, gzip;q=0.3"), class(Gzip)),
            (ALL, Some("deflate"), plain),
            (ALL, Some("gzipped"), plain),
            (ALL, Some(""), plain),
            (ALL, None, plain),
            (ALL, Some("identity, gzip;q=0.5"), plain),
            (ALL, Some("identity;q=0.5, gzip;q=0.5"), class(Gzip)),
            (ALL, Some("identity;q=0, gzip"), class(Gzip)),
            (ALL, Some("identity;q=0"), Accepted::Nothing),
            (ALL, Some("*;q=0"), Accepted::Nothing),
            (ALL, Some("identity, *;q=0"), plain),
            (&[Gzip], Some("br, identity;q=0"), Accepted::Nothing),
            (ALL, Some("br;q=2, gzip;q=x"), plain),
            (ALL, Some("br;q=0.1234"), plain),
        ];
        for (codings, told, expected) in table {
            let rules = CodingRules {
                codings: codings.to_vec(),
                min_bytes: 0,
            };
            let fields: Vec<_> = told.iter().map(|told| ("Accept-Encoding", *told)).collect();
            assert_eq!(choose(&fields, &rules), *expected, "{codings:?} {told:?}");
        }
    }

    #[test]
    fn lines_of_the_field_are_one_list() {
        let rules = CodingRules {
            codings: ALL.to_vec(),
            min_bytes: 0,
        };
        let fields = [("accept-encoding", "br;q=0"), ("Accept-Encoding", "br, gzip")];
        assert_eq!(choose(&fields, &rules), Accepted::Class(Some(Coding::Gzip)));
    }

    #[test]
    fn a_body_is_taken_where_all_its_codings_are() {
        for (told, coded, taken) in [
            (None, "gzip", true),
            (Some("br"), "gzip", false),
            (Some("br, gzip;q=0"), "gzip", false),
            (Some("br, gzip;q=0.1"), "x-gzip", true),
            (Some("*"), "compress", true),
            (Some("*;q=0"), "gzip", false),
            (Some("gzip"), "gzip, br", false),
            (Some("br, gzip"), "gzip, br", true),
            (Some(""), "gzip", false),
            (Some("br"), "identity", true),
            (Some("br"), "", true),
        ] {
            let fields: Vec<_> = told.iter().map(|told| ("Accept-Encoding", *told)).collect();
            assert_eq!(accepts(&fields, coded.as_bytes()), taken, "{told:?} {coded}");
        }
    }
}

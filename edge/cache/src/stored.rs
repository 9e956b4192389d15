//! Which of an answer's fields are stored (RFC 9111 §3.1).

use crate::date::DateWriter;
use crate::fields::{Fields, FieldsBuilder, FieldsView, list_members};

/// Fields of one connection (RFC 9110 §7.6.1), besides those that `Connection` names.
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 8] = [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Never stored, though end to end: between the origin and us, or made anew for each answer.
fn is_remade(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 6] = [
        b"age",
        b"content-length",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-status",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The fields to store: without hop-by-hop ones, those above, and `excluded`; with a `Date` where the origin
/// sent none, and with `Accept-Ranges` where parts can be served (RFC 9110 §14.3).
pub(crate) fn stored_fields(
    status: u16,
    answer: &dyn FieldsView,
    excluded: &[Box<[u8]>],
    date_secs: u64,
) -> Fields {
    let mut fields = filtered(answer, date_secs, &|name| {
        is_remade(name)
            || (status == 206 && name.eq_ignore_ascii_case(b"content-range"))
            || excluded.iter().any(|known| name.eq_ignore_ascii_case(known))
    });
    if matches!(status, 200 | 206) && !answer.has(b"accept-ranges") {
        fields.push(b"Accept-Ranges", b"bytes");
    }
    fields.finish()
}

/// All end-to-end fields of an answer, for the visitor that it was made for: only hop-by-hop ones and
/// `Content-Length`, which the framing says again, are left out.
pub(crate) fn end_to_end_fields(answer: &dyn FieldsView, date_secs: u64) -> Fields {
    filtered(answer, date_secs, &|name| {
        name.eq_ignore_ascii_case(b"content-length")
    })
    .finish()
}

fn filtered(answer: &dyn FieldsView, date_secs: u64, leaves_out: &dyn Fn(&[u8]) -> bool) -> FieldsBuilder {
    let mut nominated: Vec<&[u8]> = Vec::new();
    answer.visit(b"connection", &mut |line| {
        list_members(line, |name| nominated.push(name));
    });
    let mut fields = FieldsBuilder::default();
    let mut dated = false;
    answer.visit_all(&mut |name, value| {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        let left_out = is_hop_by_hop(name) || leaves_out(name) || nominated.iter().any(|known| is(known));
        if !left_out {
            dated |= is(b"date");
            fields.push(name, value);
        }
    });
    if !dated {
        fields.push(b"Date", DateWriter::default().write(date_secs));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_connection_and_those_it_names_are_not_stored() {
        let answer = [
            ("Connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("Keep-Alive", "5"),
            ("Age", "7"),
            ("Proxy-Authenticate", "Basic"),
            ("X-Private", "1"),
            ("ETag", "\"a\""),
        ];
        let fields = stored_fields(200, &answer, &[b"x-private"[..].into()], 0);
        let names: Vec<_> = fields
            .iter()
            .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
            .collect();
        assert_eq!(names, ["ETag", "Date", "Accept-Ranges"]);
        assert_eq!(fields.get(b"date"), Some(&b"Thu, 01 Jan 1970 00:00:00 GMT"[..]));
    }
}

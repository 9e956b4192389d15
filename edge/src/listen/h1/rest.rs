//! What becomes of the part of a request's body that nobody wants.

use breakwater_edge_h1::{BodyDecoder, Decoded};
use breakwater_edge_proxy::{BodyHint, RequestHead};

/// What is to be done about the rest of a request once it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It came with the head: so many bytes, none where there is no body.
    Here(usize),
    /// It is read away.
    Away,
    /// It isn't read: too much, wrong, or not yet sent. The connection ends after the answer.
    Left,
}

/// Decides it for a request whose body nobody reads. `after` is what came after the head; a body of more than
/// `most` bytes isn't read.
pub(super) fn rest(head: &RequestHead<'_>, after: &[u8], decoder: &mut BodyDecoder, most: u64) -> Rest {
    match head.body {
        BodyHint::None | BodyHint::Length(0) => Rest::Here(0),
        // A client that waits for 100 (Continue) hasn't sent the body and, without the 100, may never.
        _ if head.expects_continue() => Rest::Left,
        BodyHint::Length(length) if length > most => Rest::Left,
        BodyHint::Length(length) => match usize::try_from(length) {
            Ok(length) if length <= after.len() => Rest::Here(length),
            _ => Rest::Away,
        },
        BodyHint::Streamed => chunks(after, decoder, most),
    }
}

fn chunks(after: &[u8], decoder: &mut BodyDecoder, most: u64) -> Rest {
    decoder.reset(BodyHint::Streamed);
    let (mut used, mut read) = (0, 0);
    loop {
        let at_hand = after.get(used..).unwrap_or_default();
        match decoder.decode(at_hand) {
            Ok(Decoded::End { to, .. }) => return Rest::Here(used + to),
            Ok(Decoded::More { .. }) => return Rest::Away,
            Ok(Decoded::Data { from, to }) => {
                used += to;
                read += (to - from) as u64;
                if read > most {
                    return Rest::Left;
                }
            }
            Err(_) => return Rest::Left,
        }
    }
}

#[cfg(test)]
mod tests {
    use breakwater_edge_proxy::Fields;

    use super::*;

    #[test]
    fn a_rest_is_skipped_read_away_or_left() {
        let expecting = Fields::from_lines([(&b"expect"[..], &b"100-continue"[..])]).unwrap();
        let none = Fields::default();
        let chunked = BodyHint::Streamed;
        for (fields, body, after, wanted) in [
            (&none, BodyHint::None, "next", Rest::Here(0)),
            (&none, BodyHint::Length(0), "next", Rest::Here(0)),
            (&expecting, BodyHint::Length(0), "", Rest::Here(0)),
            (&none, BodyHint::Length(3), "abcnext", Rest::Here(3)),
            (&none, BodyHint::Length(3), "ab", Rest::Away),
            (&none, BodyHint::Length(9), "", Rest::Left),
            (&expecting, BodyHint::Length(3), "abc", Rest::Left),
            (&none, chunked, "3\r\nabc\r\n0\r\n\r\nnext", Rest::Here(13)),
            (&none, chunked, "3\r\nab", Rest::Away),
            (&none, chunked, "", Rest::Away),
            (&none, chunked, "5\r\nabcde\r\n4\r\nfghi\r\n", Rest::Left),
            (&none, chunked, "x\r\n", Rest::Left),
            (&expecting, chunked, "", Rest::Left),
        ] {
            let head = RequestHead {
                fields: fields.clone(),
                body,
                ..RequestHead::default()
            };
            let is = rest(&head, after.as_bytes(), &mut BodyDecoder::default(), 8);
            assert_eq!(is, wanted, "{body:?} {after:?}");
        }
    }
}

//! Trailers pass through on streamed answers and bodies (gRPC lives by them) and are never stored.

use super::parse::is_well_formed;
use crate::wire::{FieldBuf, Fields, Name};

/// Most bytes of names and values of one trailer section.
pub const MAX_TRAILER_BYTES: usize = 8 << 10;

/// Writes the trailer fields that may be passed on into `out`; false when they are malformed or larger than
/// [`MAX_TRAILER_BYTES`], and the message must be aborted.
///
/// Left out are those that frame, route, authenticate or steer caches (RFC 9110 §6.5.1): a recipient that
/// merged them into the head would be told something that nobody checked there.
pub fn filter(trailers: &Fields<'_>, out: &mut FieldBuf) -> bool {
    out.clear();
    if !is_well_formed(trailers) {
        return false;
    }
    let mut bytes = 0;
    for field in trailers {
        bytes += field.name.len() + field.value.len();
        if bytes > MAX_TRAILER_BYTES {
            return false;
        }
        if may_pass(field.id, field.name) {
            out.push_field(field.id, field.name, field.value);
        }
    }
    true
}

fn may_pass(id: Name, name: &[u8]) -> bool {
    match id {
        Name::Etag | Name::CacheStatus => true,
        Name::Other => {
            let begins = |prefix: &[u8]| {
                name.get(..prefix.len())
                    .is_some_and(|s| s.eq_ignore_ascii_case(prefix))
            };
            !begins(b"content-") && !begins(b"proxy-") && !name.eq_ignore_ascii_case(b"www-authenticate")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_trailers_pass_and_framing_and_control_do_not() {
        let lines: [(&[u8], &[u8]); 5] = [
            (b"Grpc-Status", b"0"),
            (b"grpc-message", b""),
            (b"transfer-encoding", b"chunked"),
            (b"content-encoding", b"gzip"),
            (b"set-cookie", b"a=b"),
        ];
        let mut out = FieldBuf::default();
        assert!(filter(&Fields::from_lines(lines).unwrap(), &mut out));
        let names: Vec<_> = out.iter().map(|(name, _)| name).collect();
        assert_eq!(names, [&b"grpc-status"[..], b"grpc-message"]);
    }

    #[test]
    fn malformed_or_huge_trailers_are_refused() {
        let huge = vec![b'a'; MAX_TRAILER_BYTES];
        let largest = huge.get(1..).unwrap();
        let fields = Fields::from_lines([(&b"a"[..], largest)]).unwrap();
        assert!(filter(&fields, &mut FieldBuf::default()));
        for (name, value) in [(&b"a b"[..], &b""[..]), (b"a", b"\r\n"), (b"a", &huge)] {
            let fields = Fields::from_lines([(name, value)]).unwrap();
            assert!(!filter(&fields, &mut FieldBuf::default()));
        }
    }
}

//! What each byte may be part of.

/// Of a token: methods and names of fields (RFC 9110 §5.6.2).
const TOKEN: u8 = 1;
/// Of a path.
const PATH: u8 = 2;
/// Of a query.
const QUERY: u8 = 4;

static CLASSES: [u8; 256] = classes();

#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs while this compiles; a bad index would be a compile error, and `byte` is below 256"
)]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() {
            table[byte] = TOKEN | PATH | QUERY;
        }
        // Of the visible bytes that no URI has, those that clients send all the same pass, and the few that
        // no origin could be sent don't. Above ASCII, each reader would decode as it likes.
        let visible = b.is_ascii_graphic() && !matches!(b, b'#' | b'<' | b'>');
        if visible && b != b'`' {
            table[byte] |= PATH;
        }
        if visible && b != b'"' {
            table[byte] |= QUERY;
        }
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] |= TOKEN;
        at += 1;
    }
    table
}

fn has(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|c| c & class != 0)
}

pub(crate) fn is_token(byte: u8) -> bool {
    has(byte, TOKEN)
}

pub(crate) fn is_path(byte: u8) -> bool {
    has(byte, PATH)
}

pub(crate) fn is_query(byte: u8) -> bool {
    has(byte, QUERY)
}

/// Of a field's value: visible, space, tab, or above ASCII (RFC 9110 §5.5).
pub(crate) fn is_value(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t'
}

/// How many bytes at the start may stand in a value. Sixteen at a time: without a way out in between, that
/// runs as one comparison.
pub(crate) fn value_prefix(bytes: &[u8]) -> usize {
    let mut at = 0;
    let (blocks, _) = bytes.as_chunks::<16>();
    for block in blocks {
        if !block.iter().fold(true, |all, b| all & is_value(*b)) {
            break;
        }
        at += 16;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|b| !is_value(*b)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_classes_of_the_grammar() {
        for (byte, token, path, query) in [
            (b'a', true, true, true),
            (b'-', true, true, true),
            (b'/', false, true, true),
            (b'?', false, true, true),
            (b'#', true, false, false),
            (b' ', false, false, false),
            (b'<', false, false, false),
            (b'`', true, false, true),
            (b'"', false, true, false),
            (0x7f, false, false, false),
            (0x00, false, false, false),
            (0x80, false, false, false),
            (b':', false, true, true),
        ] {
            assert_eq!(
                (is_token(byte), is_path(byte), is_query(byte)),
                (token, path, query),
                "{byte}"
            );
        }
    }

    #[test]
    fn the_end_of_a_value_is_found_wherever_it_is() {
        for length in 0..70 {
            let mut bytes = vec![b'a'; length];
            assert_eq!(value_prefix(&bytes), length);
            for end in [b'\r', b'\n', 0, 0x1f, 0x7f] {
                bytes.push(end);
                bytes.extend_from_slice(b"0123456789abcdef0123456789");
                assert_eq!(value_prefix(&bytes), length, "{end}");
                bytes.truncate(length);
            }
        }
    }
}

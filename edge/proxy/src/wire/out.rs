use std::io::Write as _;

use breakwater_edge_cache::FieldsView;
use bytes::Bytes;

use super::Name;

#[derive(Clone, Copy, Debug)]
struct Span {
    id: Name,
    at: u32,
    name_len: u32,
    value_len: u32,
}

/// Header fields on their way out: lines in one buffer, as HTTP/1.1 writes them, spans in another, both reused.
/// Names are written in lower case.
#[derive(Clone, Debug, Default)]
pub struct FieldBuf {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// Lines were removed, so that the buffer holds more than the spans.
    has_gaps: bool,
}

/// Between a name and its value, and after each line (RFC 9112 §5).
const SEPARATOR: &[u8] = b": ";
const LINE_END: &[u8] = b"\r\n";

impl FieldBuf {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.has_gaps = false;
    }

    /// Empties it and keeps no more memory than this.
    pub(crate) fn release(&mut self, kept_bytes: usize) {
        self.clear();
        self.bytes.shrink_to(kept_bytes);
        self.spans.shrink_to(kept_bytes / size_of::<Span>());
    }

    /// Adds a line with a known name.
    pub fn push(&mut self, id: Name, value: &[u8]) {
        self.push_parts(id, id.as_str().as_bytes(), &[value]);
    }

    /// Adds a line with a known name and a value in parts.
    pub fn push_joined(&mut self, id: Name, parts: &[&[u8]]) {
        self.push_parts(id, id.as_str().as_bytes(), parts);
    }

    /// Adds a line with any name; it is written in lower case.
    pub fn push_named(&mut self, name: &[u8], value: &[u8]) {
        self.push_parts(Name::of(name), name, &[value]);
    }

    /// Adds a line whose name's id is known already.
    pub(crate) fn push_field(&mut self, id: Name, name: &[u8], value: &[u8]) {
        self.push_parts(id, name, &[value]);
    }

    fn push_parts(&mut self, id: Name, name: &[u8], parts: &[&[u8]]) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(name);
        if let Some(written) = self.bytes.get_mut(at..) {
            written.make_ascii_lowercase();
        }
        self.bytes.extend_from_slice(SEPARATOR);
        let value_at = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        let name_len = name.len();
        let value_len = self.bytes.len() - value_at;
        self.bytes.extend_from_slice(LINE_END);
        // A head is at most some hundred KiB; a longer one can't come from any accepted input.
        let (Ok(at), Ok(name_len), Ok(value_len)) = (
            u32::try_from(at),
            u32::try_from(name_len),
            u32::try_from(value_len),
        ) else {
            self.bytes.truncate(at);
            return;
        };
        self.spans.push(Span {
            id,
            at,
            name_len,
            value_len,
        });
    }

    /// Adds a line with a known name and a number.
    pub fn push_number(&mut self, id: Name, value: u64) {
        let mut digits = [0_u8; 20];
        let mut room = digits.as_mut_slice();
        // Every u64 has at most 20 digits.
        let _ = write!(room, "{value}");
        let left = room.len();
        self.push(id, digits.get(..20 - left).unwrap_or_default());
    }

    /// Removes all lines of this known name.
    pub fn remove(&mut self, id: Name) {
        if id != Name::Other {
            let before = self.spans.len();
            self.spans.retain(|span| span.id != id);
            self.has_gaps |= self.spans.len() < before;
        }
    }

    /// Removes all lines of this lower-case name.
    pub fn remove_named(&mut self, name: &[u8]) {
        let bytes = &self.bytes;
        let before = self.spans.len();
        self.spans.retain(|span| name_of(bytes, *span) != name);
        self.has_gaps |= self.spans.len() < before;
    }

    /// Appends all lines as HTTP/1.1 has them, `name: value` and CRLF.
    pub fn write_lines(&self, out: &mut Vec<u8>) {
        if !self.has_gaps {
            out.extend_from_slice(&self.bytes);
            return;
        }
        for span in &self.spans {
            let length = span.name_len as usize + SEPARATOR.len() + span.value_len as usize + LINE_END.len();
            let at = span.at as usize;
            out.extend_from_slice(self.bytes.get(at..at + length).unwrap_or_default());
        }
    }

    /// The value of the first line of this known name.
    pub fn get(&self, id: Name) -> Option<&[u8]> {
        self.spans
            .iter()
            .find(|span| span.id == id)
            .map(|span| value_of(&self.bytes, *span))
    }

    /// The value of the first line of this lower-case name.
    pub fn get_named(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// True when a line of this known name is there.
    pub fn has(&self, id: Name) -> bool {
        self.spans.iter().any(|span| span.id == id)
    }

    /// All lines as `(lower-case name, value)`, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans
            .iter()
            .map(|span| (name_of(&self.bytes, *span), value_of(&self.bytes, *span)))
    }

    /// All lines in order, the values in one piece of memory that they share.
    pub fn to_shared(&self) -> impl Iterator<Item = (&[u8], Bytes)> {
        let shared = Bytes::copy_from_slice(&self.bytes);
        self.spans.iter().map(move |span| {
            // Spans are of lines that were written whole.
            let at = span.at as usize + span.name_len as usize + SEPARATOR.len();
            let value = shared.slice(at..at + span.value_len as usize);
            (name_of(&self.bytes, *span), value)
        })
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True without any line.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

impl FieldsView for FieldBuf {
    fn visit_all<'a>(&'a self, each: &mut dyn FnMut(&'a [u8], &'a [u8])) {
        for (name, value) in self.iter() {
            each(name, value);
        }
    }
}

fn name_of(bytes: &[u8], span: Span) -> &[u8] {
    let at = span.at as usize;
    bytes.get(at..at + span.name_len as usize).unwrap_or_default()
}

fn value_of(bytes: &[u8], span: Span) -> &[u8] {
    let at = span.at as usize + span.name_len as usize + SEPARATOR.len();
    bytes.get(at..at + span.value_len as usize).unwrap_or_default()
}

/// The head of an answer on its way to a client, in memory that is reused.
///
/// It carries no framing: the adaptor adds `content-length`, `transfer-encoding` or `connection` as its
/// protocol needs, from [`ResponseHead::length`] and the step's `close`.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// Status, 101 to 599.
    pub status: u16,
    /// Bytes of the body where known before it is sent; of a HEAD's or 304's would-be body too, to be told as
    /// `content-length` where the protocol allows it. `None`: not known, or there is none (204, 304).
    pub length: Option<u64>,
    /// Everything else.
    pub fields: FieldBuf,
}

impl ResponseHead {
    /// Begins a new head.
    pub fn reset(&mut self, status: u16) {
        self.status = status;
        self.length = None;
        self.fields.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_pushed_found_joined_and_removed() {
        let mut buf = FieldBuf::default();
        buf.push_named(b"X-Mine", b"1");
        buf.push_joined(Name::Vary, &[b"Ori", b"gin"]);
        assert_eq!(buf.get(Name::Vary), Some(&b"Origin"[..]));
        assert_eq!(buf.get_named(b"x-mine"), Some(&b"1"[..]));
        buf.remove_named(b"x-mine");
        buf.remove(Name::Other);
        assert_eq!(buf.iter().collect::<Vec<_>>(), [(&b"vary"[..], &b"Origin"[..])]);
        let mut lines = Vec::new();
        buf.write_lines(&mut lines);
        assert_eq!(lines, b"vary: Origin\r\n");
    }

    #[test]
    fn lines_are_written_as_http_has_them() {
        let (mut buf, mut lines) = (FieldBuf::default(), Vec::new());
        buf.push_named(b"X-Mine", b"");
        buf.push_number(Name::Age, 7);
        buf.write_lines(&mut lines);
        assert_eq!(lines, b"x-mine: \r\nage: 7\r\n");
    }

    #[test]
    fn values_that_share_memory_are_those_of_the_lines() {
        let mut buf = FieldBuf::default();
        buf.push_named(b"X-Gone", b"gone");
        buf.push_named(b"X-Mine", b"");
        buf.push_number(Name::Age, 7);
        buf.remove_named(b"x-gone");
        let shared: Vec<_> = buf.to_shared().collect();
        assert_eq!(
            shared,
            [(&b"x-mine"[..], Bytes::new()), (b"age", Bytes::from_static(b"7")),]
        );
    }
}

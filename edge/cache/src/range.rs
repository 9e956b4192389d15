//! Range requests (RFC 9110 §14): which bytes of a representation a request asks for.

use crate::fields::{FieldsView, list_members};

/// Most ranges of one request. More are ignored and the whole is sent: nobody needs so many, and each costs.
pub const MAX_RANGES: usize = 8;

/// Bytes of a representation from `start` to before `end`; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// After the last byte.
    pub end: u64,
}

impl ByteRange {
    /// How many bytes.
    pub fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// True without any byte, which no range that was resolved is.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Whether every byte of `other` is one of these.
    pub fn holds(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether they have a byte in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// For `Content-Range`, of a representation of `complete` bytes.
    pub fn content_range(self, complete: u64) -> String {
        format!("bytes {}-{}/{complete}", self.start, self.end.saturating_sub(1))
    }
}

/// What `Content-Range` of a 206 says (RFC 9110 §14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// Which bytes these are.
    pub range: ByteRange,
    /// Length of the whole.
    pub complete: u64,
}

impl ContentRange {
    /// Reads the field. `None` where it is absent, repeated, malformed, impossible, or doesn't say the whole's
    /// length.
    pub fn of(answer: &dyn FieldsView) -> Option<Self> {
        let (mut lines, mut value) = (0, None);
        answer.visit(b"content-range", &mut |line| {
            lines += 1;
            value = Some(line);
        });
        let value = value.filter(|_| lines == 1)?;
        let (unit, rest) = value.split_at_checked(value.iter().position(|byte| *byte == b' ')?)?;
        let (range, complete) = rest.split_at_checked(rest.iter().position(|byte| *byte == b'/')?)?;
        let (first, last) = range.split_at_checked(range.iter().position(|byte| *byte == b'-')?)?;
        let (start, last) = (position(first.get(1..)?)?, position(last.get(1..)?)?);
        let complete = position(complete.get(1..)?)?;
        let possible = unit.eq_ignore_ascii_case(b"bytes") && start <= last && last < complete;
        possible.then(|| Self {
            range: ByteRange {
                start,
                end: last.saturating_add(1),
            },
            complete,
        })
    }
}

/// What `Range` of a request says, before the representation's length is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRequest {
    specs: Vec<Spec>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    /// First and last position.
    FromTo(u64, Option<u64>),
    /// The last so many bytes.
    Suffix(u64),
}

/// What a range request comes to for a representation of a known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// No part can be named, as of a representation without bytes: send it all.
    Whole,
    /// None of the ranges has a byte: 416 (RFC 9110 §15.5.17).
    Unsatisfiable,
    /// One at least, disjoint and not touching where some overlapped; otherwise in the order asked for.
    Parts(Vec<ByteRange>),
}

impl RangeRequest {
    /// Reads `Range`. `None` where there is none, or one that is ignored: another unit than bytes, bad syntax,
    /// said twice, more than [`MAX_RANGES`] (RFC 9110 §14.2).
    pub fn of(request: &dyn FieldsView) -> Option<Self> {
        let value = request.first(b"range")?;
        let mut lines = 0;
        request.visit(b"range", &mut |_| lines += 1);
        if lines > 1 {
            return None;
        }
        Self::parse(value)
    }

    /// Reads the value of one `Range` line.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let at = value.iter().position(|byte| *byte == b'=')?;
        let (unit, set) = value.split_at_checked(at)?;
        if !unit.eq_ignore_ascii_case(b"bytes") {
            return None;
        }
        let (mut specs, mut valid) = (Vec::new(), true);
        list_members(set.get(1..)?, |member| match Spec::parse(member) {
            Some(spec) if specs.len() < MAX_RANGES => specs.push(spec),
            _ => valid = false,
        });
        (valid && !specs.is_empty()).then_some(Self { specs })
    }

    /// True for a single range, whose answer is one part of a representation and no multipart.
    pub fn is_single(&self) -> bool {
        self.specs.len() == 1
    }

    /// What is asked for of a representation of `complete` bytes.
    pub fn resolve(&self, complete: u64) -> Resolved {
        if complete == 0 {
            return Resolved::Whole;
        }
        let found = self.specs.iter().filter_map(|spec| spec.resolve(complete));
        let parts: Vec<ByteRange> = found.collect();
        if parts.is_empty() {
            Resolved::Unsatisfiable
        } else {
            Resolved::Parts(merged(parts))
        }
    }
}

impl Spec {
    fn parse(text: &[u8]) -> Option<Self> {
        let at = text.iter().position(|byte| *byte == b'-')?;
        let (first, last) = text.split_at_checked(at)?;
        let last = last.get(1..)?;
        if first.is_empty() {
            return Some(Self::Suffix(position(last)?));
        }
        let first = position(first)?;
        if last.is_empty() {
            return Some(Self::FromTo(first, None));
        }
        let last = position(last)?;
        (first <= last).then_some(Self::FromTo(first, Some(last)))
    }

    fn resolve(self, complete: u64) -> Option<ByteRange> {
        let (start, end) = match self {
            Self::FromTo(first, None) => (first, complete),
            Self::FromTo(first, Some(last)) => (first, last.saturating_add(1).min(complete)),
            Self::Suffix(length) => (complete.saturating_sub(length), complete),
        };
        (start < end).then_some(ByteRange { start, end })
    }
}

/// Digits only; what overflows is beyond every representation.
fn position(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0_u64, |value, digit| {
        value.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    }))
}

/// Ranges that overlap or touch become one (RFC 9110 §14.2), so that no byte is sent twice. Where none do, the
/// order stays.
fn merged(parts: Vec<ByteRange>) -> Vec<ByteRange> {
    let mut sorted = parts.clone();
    sorted.sort_unstable();
    let mut joined: Vec<ByteRange> = Vec::with_capacity(sorted.len());
    for part in sorted {
        match joined.last_mut() {
            Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
            _ => joined.push(part),
        }
    }
    if joined.len() == parts.len() {
        parts
    } else {
        joined
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(value: &str, complete: u64) -> Option<Resolved> {
        Some(RangeRequest::parse(value.as_bytes())?.resolve(complete))
    }

    #[test]
    fn ranges_are_read_and_resolved_by_the_length() {
        type Row = (&'static str, u64, Option<&'static [(u64, u64)]>);
        // `None`: ignored. No part: unsatisfiable.
        let table: &[Row] = &[
            ("bytes=0-0", 10, Some(&[(0, 1)])),
            ("bytes=2-5", 10, Some(&[(2, 6)])),
            ("bytes=2-", 10, Some(&[(2, 10)])),
            ("bytes=-3", 10, Some(&[(7, 10)])),
            ("bytes=-30", 10, Some(&[(0, 10)])),
            ("bytes=5-99999999999999999999999999", 10, Some(&[(5, 10)])),
            ("bytes=99999999999999999999999999-", 10, Some(&[])),
            ("bytes=10-", 10, Some(&[])),
            ("bytes=-0", 10, Some(&[])),
            ("BYTES=0-1", 10, Some(&[(0, 2)])),
            ("bytes=0-1, 4-5", 10, Some(&[(0, 2), (4, 6)])),
            ("bytes=4-5,,0-1,", 10, Some(&[(4, 6), (0, 2)])),
            ("bytes=4-6,0-1,5-8", 10, Some(&[(0, 2), (4, 9)])),
            ("bytes=0-4,5-9", 10, Some(&[(0, 10)])),
            ("bytes=0-,-1", 10, Some(&[(0, 10)])),
            ("bytes=20-,0-1", 10, Some(&[(0, 2)])),
            (
                "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14",
                4,
                Some(&[(0, 1), (2, 3)]),
            ),
            ("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16", 4, None),
            ("bytes=5-4", 10, None),
            ("bytes=a-b", 10, None),
            ("bytes=0 - 1", 10, None),
            ("bytes=+0-1", 10, None),
            ("bytes=", 10, None),
            ("bytes=-", 10, None),
            ("bytes=0", 10, None),
            ("bytes 0-1", 10, None),
            ("items=0-1", 10, None),
            ("bytes =0-1", 10, None),
            ("bytes=0-1,x", 10, None),
        ];
        for (value, complete, expected) in table {
            let expected = expected.map(|parts| {
                if parts.is_empty() {
                    Resolved::Unsatisfiable
                } else {
                    let range = |(start, end): &(u64, u64)| ByteRange {
                        start: *start,
                        end: *end,
                    };
                    Resolved::Parts(parts.iter().map(range).collect())
                }
            });
            assert_eq!(parts(value, *complete), expected, "{value}");
        }
        assert_eq!(parts("bytes=0-", 0), Some(Resolved::Whole));
    }

    #[test]
    fn ranges_on_two_lines_are_ignored() {
        assert_eq!(
            RangeRequest::of(&[("range", "bytes=0-1"), ("range", "bytes=0-1")]),
            None
        );
        assert_eq!(RangeRequest::of(&[("if-range", "bytes=0-1")]), None);
    }

    #[test]
    fn content_ranges_that_say_which_bytes_of_how_many_are_read() {
        let read = |value: &str| {
            let read = ContentRange::of(&[("content-range", value)])?;
            Some((read.range.start, read.range.end, read.complete))
        };
        assert_eq!(read("bytes 0-4/10"), Some((0, 5, 10)));
        assert_eq!(read("Bytes 9-9/10"), Some((9, 10, 10)));
        for wrong in [
            "bytes 0-4/*",
            "bytes */10",
            "bytes 4-10/10",
            "bytes 5-4/10",
            "bytes 0-4",
            "bytes=0-4/10",
            "bytes  0-4/10",
            "bytes 0-4/10 ",
            "bytes -4/10",
            "lines 0-4/10",
            "bytes 0-99999999999999999999/99999999999999999999",
            "",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let twice = [
            ("content-range", "bytes 0-4/10"),
            ("content-range", "bytes 0-4/10"),
        ];
        assert_eq!(ContentRange::of(&twice), None);
    }

    proptest! {
        #[test]
        fn parts_hold_exactly_the_bytes_asked_for_and_none_twice(
            asked in prop::collection::vec((0_u64..40, 0_u64..20), 1..=MAX_RANGES),
            complete in 1_u64..40,
        ) {
            let text: Vec<String> =
                asked.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
            let resolved = parts(&format!("bytes={}", text.join(",")), complete);
            let wanted = |at: u64| asked.iter().any(|(first, more)| (*first..=first + more).contains(&at));
            match resolved {
                Some(Resolved::Parts(parts)) => {
                    for at in 0..complete {
                        let times = parts.iter().filter(|part| (part.start..part.end).contains(&at)).count();
                        prop_assert_eq!(times, usize::from(wanted(at)));
                    }
                    prop_assert!(parts.iter().all(|part| !part.is_empty() && part.end <= complete));
                    prop_assert!(parts.iter().map(|part| part.len()).sum::<u64>() <= complete);
                }
                other => {
                    prop_assert_eq!(other, Some(Resolved::Unsatisfiable));
                    prop_assert!(!(0..complete).any(wanted));
                }
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(bytes=)?[0-9,=x -]{0,30}", complete in any::<u64>()) {
            let _ = parts(&text, complete);
        }
    }
}

//! `Vary` (RFC 9110 §12.5.5, RFC 9111 §4.1): which requests an answer stands for.

use crate::fields::{FieldsView, list_members};

/// Most names in `Vary`, and most bytes of names and values together, that are stored.
const MAX_NAMES: usize = 32;
const MAX_BYTES: usize = 16 * 1024;

/// The fields that select an answer, with the values that the request it was made for had.
///
/// One block: for each name, in sorted order, its length (u16), the name in lower case, 0 or 1 for absent or
/// present, and then the value's length (u16) and the value. Equal selections have equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VaryKey {
    block: Box<[u8]>,
}

/// `Vary` names too many fields, or the values are too long to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl VaryKey {
    /// Takes from `request` what the `Vary` of `answer` names, but for `unvaried`. `Vary: *` must have been
    /// refused before.
    pub(crate) fn new(
        answer: &dyn FieldsView,
        request: &dyn FieldsView,
        unvaried: &[&str],
    ) -> Result<Self, TooLarge> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        answer.visit(b"vary", &mut |line| {
            list_members(line, |name| {
                let stands = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
                if !unvaried.iter().any(stands) {
                    names.push(name.to_ascii_lowercase());
                }
            });
        });
        Self::of_names(names, request)
    }

    fn of_names(mut names: Vec<Vec<u8>>, request: &dyn FieldsView) -> Result<Self, TooLarge> {
        names.sort_unstable();
        names.dedup();
        if names.len() > MAX_NAMES {
            return Err(TooLarge);
        }
        let mut block = Vec::new();
        let mut value = Vec::new();
        for name in names {
            push_part(&mut block, &name)?;
            let present = combined(request, &name, &mut value);
            block.push(u8::from(present));
            if present {
                push_part(&mut block, &value)?;
            }
        }
        if block.len() > MAX_BYTES {
            return Err(TooLarge);
        }
        Ok(Self {
            block: block.into_boxed_slice(),
        })
    }

    /// The same names with the values of another request.
    pub(crate) fn rekeyed(&self, request: &dyn FieldsView) -> Result<Self, TooLarge> {
        let mut names = Vec::new();
        let mut rest = &*self.block;
        while let Some((name, _)) = take_selection(&mut rest) {
            names.push(name.to_vec());
        }
        Self::of_names(names, request)
    }

    /// Whether an answer with this key stands for `request`. Does not allocate.
    pub(crate) fn matches(&self, request: &dyn FieldsView) -> bool {
        let mut rest = &*self.block;
        while let Some((name, stored)) = take_selection(&mut rest) {
            let (mut left, mut present, mut first) = (stored, false, true);
            let folded = is_folded(name);
            request.visit(name, &mut |line| {
                present = true;
                list_members(line, |member| {
                    let from = if first {
                        left
                    } else {
                        left.and_then(|left| left.strip_prefix(b","))
                    };
                    left = from.and_then(|left| strip(left, member, folded));
                    first = false;
                });
            });
            let same = if present {
                left == Some(b"")
            } else {
                stored.is_none()
            };
            if !same {
                return false;
            }
        }
        true
    }

    /// No field selects: the answer stands for every request of its key.
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    /// As it is kept.
    pub(crate) fn block(&self) -> &[u8] {
        &self.block
    }

    /// What [`block`](Self::block) gave.
    pub(crate) fn from_block(block: &[u8]) -> Self {
        Self { block: block.into() }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.block.len()
    }
}

fn push_part(block: &mut Vec<u8>, part: &[u8]) -> Result<(), TooLarge> {
    let length = u16::try_from(part.len()).map_err(|_| TooLarge)?;
    block.extend_from_slice(&length.to_le_bytes());
    block.extend_from_slice(part);
    Ok(())
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (part, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *rest = after;
    Some(part)
}

/// A name and the value that was stored with it.
fn take_selection<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let name = take_part(rest)?;
    let (present, after) = rest.split_first()?;
    *rest = after;
    Some((
        name,
        if *present == 1 {
            Some(take_part(rest)?)
        } else {
            None
        },
    ))
}

/// Fields whose grammar has nothing but tokens in any case, and white space that means nothing (RFC 9110 §12.5).
/// Their order stays: origins may take it for a preference.
fn is_folded(name: &[u8]) -> bool {
    matches!(name, b"accept-charset" | b"accept-encoding" | b"accept-language")
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// What follows a member in a stored value.
fn strip<'a>(stored: &'a [u8], member: &[u8], folded: bool) -> Option<&'a [u8]> {
    if !folded {
        return stored.strip_prefix(member);
    }
    let mut left = stored;
    for byte in member.iter().filter(|byte| !is_space(**byte)) {
        left = left.strip_prefix(&[byte.to_ascii_lowercase()])?;
    }
    Some(left)
}

/// All lines of a field as one value, white space around commas evened out: what RFC 9111 §4.1 allows for
/// every field. Returns whether there is such a field.
fn combined(request: &dyn FieldsView, name: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let folded = is_folded(name);
    let mut present = false;
    request.visit(name, &mut |line| {
        present = true;
        list_members(line, |member| {
            if !out.is_empty() {
                out.push(b',');
            }
            if folded {
                let kept = member.iter().filter(|byte| !is_space(**byte));
                out.extend(kept.map(u8::to_ascii_lowercase));
            } else {
                out.extend_from_slice(member);
            }
        });
    });
    present
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_match_where_the_named_fields_are_the_same() {
        type Row = (&'static str, Pairs, Pairs, bool);
        type Pairs = &'static [(&'static str, &'static str)];
        let table: &[Row] = &[
            ("A", &[("a", "1")], &[("A", "1")], true),
            ("A", &[("a", "1")], &[("A", "2")], false),
            ("A", &[("a", "1")], &[], false),
            ("A", &[], &[], true),
            ("A", &[], &[("a", "")], false),
            (
                "a, b",
                &[("a", "1"), ("b", "2")],
                &[("b", "2"), ("a", "1"), ("c", "3")],
                true,
            ),
            ("a", &[("a", "1, 2")], &[("a", "1"), ("a", "2")], true),
            ("a", &[("a", "1,2")], &[("a", "1 ,\t2")], true),
            ("a", &[("a", "1"), ("a", "2")], &[("a", "2"), ("a", "1")], false),
            ("a", &[("a", "x")], &[("a", "X")], false),
            (
                "Accept-Language",
                &[("accept-language", "en-GB, de;q=0.5")],
                &[("Accept-Language", "EN-gb,de; Q=0.5")],
                true,
            ),
            (
                "accept-language",
                &[("accept-language", "en, de")],
                &[("accept-language", "de, en")],
                false,
            ),
            (
                "accept-encoding",
                &[("accept-encoding", "gzip")],
                &[("accept-encoding", "gzip, br")],
                false,
            ),
        ];
        for (vary, stored, presented, expected) in table {
            let key = VaryKey::new(&[("vary", vary)], &stored.to_vec(), &[]).unwrap();
            assert_eq!(
                key.matches(&presented.to_vec()),
                *expected,
                "{vary} {presented:?}"
            );
        }
    }
}

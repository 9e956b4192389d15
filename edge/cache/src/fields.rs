//! Header fields: how this crate reads a message's, and how it keeps an origin's.

use std::fmt;

/// Read access to the header fields of a message, in wire order.
///
/// Implementors give `visit_all`; everything else follows. Names are compared without regard to case.
pub trait FieldsView {
    /// Calls `each` with name and value of every field line, in order. Values carry no surrounding white
    /// space.
    fn visit_all<'a>(&'a self, each: &mut dyn FnMut(&'a [u8], &'a [u8]));

    /// Calls `each` with the value of every field line of that name, in order.
    fn visit<'a>(&'a self, name: &[u8], each: &mut dyn FnMut(&'a [u8])) {
        self.visit_all(&mut |field, value| {
            if field.eq_ignore_ascii_case(name) {
                each(value);
            }
        });
    }

    /// The first value of that name.
    fn first(&self, name: &[u8]) -> Option<&[u8]> {
        let mut found = None;
        self.visit(name, &mut |value| {
            if found.is_none() {
                found = Some(value);
            }
        });
        found
    }

    /// Whether there is a field of that name.
    fn has(&self, name: &[u8]) -> bool {
        self.first(name).is_some()
    }
}

/// A request's fields with one of them replaced by what it comes down to, as variants are told apart.
#[derive(Clone, Copy)]
pub struct Replaced<'a> {
    /// As they came.
    pub fields: &'a dyn FieldsView,
    /// Lower-case name of the field.
    pub name: &'static [u8],
    /// Its only value.
    pub value: &'static [u8],
}

impl FieldsView for Replaced<'_> {
    fn visit_all<'b>(&'b self, each: &mut dyn FnMut(&'b [u8], &'b [u8])) {
        self.fields.visit_all(&mut |name, value| {
            if !name.eq_ignore_ascii_case(self.name) {
                each(name, value);
            }
        });
        each(self.name, self.value);
    }

    fn visit<'b>(&'b self, name: &[u8], each: &mut dyn FnMut(&'b [u8])) {
        if name.eq_ignore_ascii_case(self.name) {
            each(self.value);
        } else {
            self.fields.visit(name, each);
        }
    }

    fn first(&self, name: &[u8]) -> Option<&[u8]> {
        if name.eq_ignore_ascii_case(self.name) {
            Some(self.value)
        } else {
            self.fields.first(name)
        }
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FieldsView for [(N, V)] {
    fn visit_all<'a>(&'a self, each: &mut dyn FnMut(&'a [u8], &'a [u8])) {
        for (name, value) in self {
            each(name.as_ref(), value.as_ref());
        }
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>, const L: usize> FieldsView for [(N, V); L] {
    fn visit_all<'a>(&'a self, each: &mut dyn FnMut(&'a [u8], &'a [u8])) {
        self.as_slice().visit_all(each);
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FieldsView for Vec<(N, V)> {
    fn visit_all<'a>(&'a self, each: &mut dyn FnMut(&'a [u8], &'a [u8])) {
        self.as_slice().visit_all(each);
    }
}

/// Header fields copied into one allocation: names as received, values, order kept.
///
/// Layout, for each field: name length (u16), value length (u32), name, value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields {
    block: Box<[u8]>,
}

const PREFIX: usize = 6;

impl Fields {
    /// Copies every field of a message.
    pub fn copy_of(view: &dyn FieldsView) -> Self {
        let mut builder = FieldsBuilder::default();
        view.visit_all(&mut |name, value| builder.push(name, value));
        builder.finish()
    }

    /// Name and value of every field, in order.
    pub fn iter(&self) -> FieldsIter<'_> {
        FieldsIter { rest: &self.block }
    }

    /// Values of every field of that name, in order.
    pub fn get_all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The first value of that name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
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
    pub fn heap_bytes(&self) -> usize {
        self.block.len()
    }
}

impl FieldsView for Fields {
    fn visit_all<'a>(&'a self, each: &mut dyn FnMut(&'a [u8], &'a [u8])) {
        for (name, value) in self {
            each(name, value);
        }
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = FieldsIter<'a>;

    fn into_iter(self) -> FieldsIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lossy = |bytes| String::from_utf8_lossy(bytes).into_owned();
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (lossy(name), lossy(value))))
            .finish()
    }
}

/// Fields of a [`Fields`], in order.
#[derive(Clone, Debug)]
pub struct FieldsIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for FieldsIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (lengths, rest) = self.rest.split_first_chunk::<PREFIX>()?;
        let [n0, n1, v0, v1, v2, v3] = *lengths;
        let name_len = usize::from(u16::from_le_bytes([n0, n1]));
        let value_len = usize::try_from(u32::from_le_bytes([v0, v1, v2, v3])).ok()?;
        let (name, rest) = rest.split_at_checked(name_len)?;
        let (value, rest) = rest.split_at_checked(value_len)?;
        self.rest = rest;
        Some((name, value))
    }
}

/// Collects fields for a [`Fields`].
#[derive(Debug, Default)]
pub struct FieldsBuilder {
    block: Vec<u8>,
}

impl FieldsBuilder {
    /// Appends one field line. A name over 65,535 bytes or a value over 4 GiB, which no parser lets in, is
    /// left out.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let (Ok(name_len), Ok(value_len)) = (u16::try_from(name.len()), u32::try_from(value.len())) else {
            return;
        };
        self.block.extend_from_slice(&name_len.to_le_bytes());
        self.block.extend_from_slice(&value_len.to_le_bytes());
        self.block.extend_from_slice(name);
        self.block.extend_from_slice(value);
    }

    /// The fields, in one exact allocation.
    pub fn finish(self) -> Fields {
        Fields {
            block: self.block.into_boxed_slice(),
        }
    }
}

impl<'a> Extend<(&'a [u8], &'a [u8])> for FieldsBuilder {
    fn extend<I: IntoIterator<Item = (&'a [u8], &'a [u8])>>(&mut self, fields: I) {
        for (name, value) in fields {
            self.push(name, value);
        }
    }
}

/// Calls `each` with every member of a comma-separated list (RFC 9110 §5.6.1), trimmed, empty ones left out.
/// Commas within quoted strings don't separate.
pub fn list_members<'a>(value: &'a [u8], mut each: impl FnMut(&'a [u8])) {
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    let mut emit = |member: &'a [u8]| {
        let member = member.trim_ascii();
        if !member.is_empty() {
            each(member);
        }
    };
    for (at, byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                emit(value.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    let rest = value.get(start..).unwrap_or_default();
    if quoted {
        // No quoted string then: a quote that is never closed must not hide what follows it.
        rest.split(|byte| *byte == b',').for_each(emit);
    } else {
        emit(rest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn look_up_ignores_case_and_keeps_order() {
        let fields = Fields::copy_of(&[("Vary", "a"), ("ETag", "\"x\""), ("vary", "b")]);
        assert_eq!(fields.get_all(b"VARY").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(fields.get(b"etag"), Some(&b"\"x\""[..]));
        assert_eq!(fields.first(b"vary"), Some(&b"a"[..]));
        assert_eq!(fields.get(b"age"), None);
    }

    #[test]
    fn a_comma_in_a_quoted_string_does_not_separate() {
        let mut members = Vec::new();
        list_members(br#" a , b="x, \", y",, c,"#, |member| members.push(member));
        assert_eq!(members, [&b"a"[..], br#"b="x, \", y""#, b"c"]);
        members.clear();
        list_members(br#"a="1,2", b="x, no-store"#, |member| members.push(member));
        assert_eq!(members, [&br#"a="1,2""#[..], br#"b="x"#, b"no-store"]);
    }

    proptest! {
        #[test]
        fn fields_come_out_as_they_went_in(
            fields in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(any::<u8>(), 0..50)), 0..20)
        ) {
            let copy = Fields::copy_of(&fields);
            let back: Vec<_> = copy.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            prop_assert_eq!(back, fields);
        }
    }
}

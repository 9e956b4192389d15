use breakwater_edge_cache::FieldsView;
use smallvec::SmallVec;

use super::Name;
use super::names::KNOWN;

/// Most fields of one head; more is answered 431 (from an origin: 502).
pub const MAX_FIELDS: usize = 100;

/// A head has more than [`MAX_FIELDS`] fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_FIELDS} header fields")]
pub struct TooManyFields;

/// One field line, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Which known name it is.
    pub id: Name,
    /// As it came, in any case.
    pub name: &'a [u8],
    /// Without the whitespace around it.
    pub value: &'a [u8],
}

/// The field lines of a head in wire order, with the known names indexed while they are pushed.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    lines: SmallVec<[Field<'a>; 24]>,
    /// Index of the first line of each known name, plus one; 0: none.
    first: [u8; KNOWN],
    /// Bit of each known name with more than one line.
    repeated: u64,
}

const _: () = assert!(KNOWN <= 64, "`repeated` has a bit a name");
const _: () = assert!(MAX_FIELDS < 255, "`first` counts in bytes");

impl Default for Fields<'_> {
    fn default() -> Self {
        Self {
            lines: SmallVec::new(),
            first: [0; KNOWN],
            repeated: 0,
        }
    }
}

impl<'a> Fields<'a> {
    /// Adds a line.
    pub fn push(&mut self, name: &'a [u8], value: &'a [u8]) -> Result<(), TooManyFields> {
        self.push_known(Name::of(name), name, value)
    }

    /// Adds a line of whose name it is known which it is: [`Name::of`] has said so.
    pub fn push_known(&mut self, id: Name, name: &'a [u8], value: &'a [u8]) -> Result<(), TooManyFields> {
        if self.lines.len() >= MAX_FIELDS {
            return Err(TooManyFields);
        }
        if let Some(first) = self.first.get_mut(id as usize) {
            if *first == 0 {
                *first = u8::try_from(self.lines.len() + 1).unwrap_or(u8::MAX);
            } else {
                self.repeated |= 1 << id as u64;
            }
        }
        self.lines.push(Field { id, name, value });
        Ok(())
    }

    /// Makes an index of `(name, value)` lines.
    pub fn from_lines<I>(lines: I) -> Result<Self, TooManyFields>
    where
        I: IntoIterator<Item = (&'a [u8], &'a [u8])>,
    {
        let mut fields = Self::default();
        for (name, value) in lines {
            fields.push(name, value)?;
        }
        Ok(fields)
    }

    /// All lines in wire order.
    pub fn iter(&self) -> std::slice::Iter<'_, Field<'a>> {
        self.lines.iter()
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// True without any line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// True when a line of this known name is there.
    pub fn has(&self, id: Name) -> bool {
        self.first.get(id as usize).is_some_and(|first| *first != 0)
    }

    /// True when there is more than one line of this known name.
    pub fn is_repeated(&self, id: Name) -> bool {
        (id as usize) < KNOWN && self.repeated & (1 << id as u64) != 0
    }

    /// The value of the first line of this known name.
    pub fn get(&self, id: Name) -> Option<&'a [u8]> {
        let first = usize::from(*self.first.get(id as usize)?);
        Some(self.lines.get(first.checked_sub(1)?)?.value)
    }

    /// The values of all lines of this known name, in order.
    pub fn all(&self, id: Name) -> impl Iterator<Item = &'a [u8]> + '_ {
        let start = self.first.get(id as usize).map_or(0, |first| usize::from(*first));
        let lines = match start.checked_sub(1) {
            Some(start) => self.lines.get(start..).unwrap_or_default(),
            None => &[],
        };
        lines
            .iter()
            .filter(move |field| field.id == id)
            .map(|field| field.value)
    }

    /// The values of all lines with this lower-case name, known or not.
    pub fn named<'b>(&'b self, name: &'b [u8]) -> impl Iterator<Item = &'a [u8]> + 'b {
        self.lines
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }
}

impl<'f, 'a> IntoIterator for &'f Fields<'a> {
    type Item = &'f Field<'a>;
    type IntoIter = std::slice::Iter<'f, Field<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FieldsView for Fields<'_> {
    fn visit_all<'b>(&'b self, each: &mut dyn FnMut(&'b [u8], &'b [u8])) {
        for field in &self.lines {
            each(field.name, field.value);
        }
    }

    fn visit<'b>(&'b self, name: &[u8], each: &mut dyn FnMut(&'b [u8])) {
        let wanted = Name::of(name);
        if wanted != Name::Other && !self.has(wanted) {
            return;
        }
        for field in &self.lines {
            if field.id == wanted && (wanted != Name::Other || field.name.eq_ignore_ascii_case(name)) {
                each(field.value);
            }
        }
    }

    fn first(&self, name: &[u8]) -> Option<&[u8]> {
        match Name::of(name) {
            Name::Other => self
                .lines
                .iter()
                .find(|f| f.name.eq_ignore_ascii_case(name))
                .map(|f| f.value),
            id => self.get(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_indexed_in_one_pass() {
        let lines: [(&[u8], &[u8]); 4] = [
            (b"Host", b"a"),
            (b"X-Mine", b"1"),
            (b"via", b"1.1 x"),
            (b"Via", b"1.1 y"),
        ];
        let fields = Fields::from_lines(lines).unwrap();
        assert_eq!(fields.get(Name::Host), Some(&b"a"[..]));
        assert!(fields.is_repeated(Name::Via) && !fields.is_repeated(Name::Host));
        assert_eq!(fields.all(Name::Via).count(), 2);
        assert_eq!(fields.all(Name::Range).count(), 0);
        assert_eq!(fields.named(b"x-mine").collect::<Vec<_>>(), [b"1"]);
        assert!(!fields.has(Name::Other));
    }

    #[test]
    fn the_hundred_and_first_field_is_refused() {
        let mut fields = Fields::default();
        for _ in 0..MAX_FIELDS {
            fields.push(b"a", b"b").unwrap();
        }
        assert_eq!(fields.push(b"a", b"b"), Err(TooManyFields));
    }
}

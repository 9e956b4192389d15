//! Lines of fields, of a head and of trailers alike.

use breakwater_edge_proxy::{Fields, MAX_FIELDS, Name, Reason};

use crate::class::{is_token, value_prefix};

/// Where a line stands in the section that it belongs to. Sections are below 64 KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) at: u16,
    pub(crate) len: u16,
}

impl Span {
    /// `None`: it ends past 64 KiB.
    pub(crate) fn new(from: usize, to: usize) -> Option<Self> {
        let at = u16::try_from(from).ok()?;
        u16::try_from(to).ok()?;
        let len = u16::try_from(to.checked_sub(from)?).ok()?;
        Some(Self { at, len })
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        let at = usize::from(self.at);
        bytes.get(at..at + usize::from(self.len)).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) id: Name,
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// The lines of a section. Its memory is used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Vec<Line>);

/// What follows at a place.
pub(crate) enum Next {
    /// A line; the next begins here.
    Line(usize),
    /// The empty line that ends the section; what follows begins here.
    End(usize),
    /// More bytes are needed.
    Partial,
}

impl Lines {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The values of all lines of this name.
    pub(crate) fn all<'b>(&self, id: Name, section: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
        self.0
            .iter()
            .filter(move |line| line.id == id)
            .map(move |line| line.value.of(section))
    }

    pub(crate) fn fields<'b>(&self, section: &'b [u8]) -> Fields<'b> {
        let mut fields = Fields::default();
        for line in &self.0 {
            // There are no more than a head may have.
            let _ = fields.push_known(line.id, line.name.of(section), line.value.of(section));
        }
        fields
    }

    /// Reads the line that begins at `at`.
    pub(crate) fn read(&mut self, section: &[u8], at: usize) -> Result<Next, Reason> {
        let bytes = section.get(at..).unwrap_or_default();
        match bytes {
            [] | [b'\r'] => return Ok(Next::Partial),
            [b'\r', b'\n', ..] => return Ok(Next::End(at + 2)),
            // A line ends with both; a fold would be read as a line by some (RFC 9112 §2.2, §5.2).
            [b'\r' | b'\n' | b' ' | b'\t', ..] => return Err(Reason::MalformedMessage),
            _ => {}
        }
        let Some(colon) = bytes.iter().position(|b| !is_token(*b)) else {
            return Ok(Next::Partial);
        };
        // Nothing may stand between the name and its colon (RFC 9112 §5.1).
        if bytes.get(colon) != Some(&b':') || colon == 0 {
            return Err(Reason::BadFieldName);
        }
        let value = bytes.get(colon + 1..).unwrap_or_default();
        let length = value_prefix(value);
        match value.get(length..).unwrap_or_default() {
            [] | [b'\r'] => return Ok(Next::Partial),
            [b'\r', b'\n', ..] => {}
            [b'\r' | b'\n', ..] => return Err(Reason::MalformedMessage),
            _ => return Err(Reason::BadFieldValue),
        }
        let written = value.get(..length).unwrap_or_default();
        let trimmed = written.trim_ascii_start();
        let from = at + colon + 1 + (length - trimmed.len());
        let to = from + trimmed.trim_ascii_end().len();
        if self.0.len() >= MAX_FIELDS {
            return Err(Reason::TooManyFields);
        }
        let (Some(name), Some(value)) = (Span::new(at, at + colon), Span::new(from, to)) else {
            return Err(Reason::HeadTooLarge);
        };
        let id = Name::of(name.of(section));
        self.0.push(Line { id, name, value });
        Ok(Next::Line(at + colon + 1 + length + 2))
    }
}

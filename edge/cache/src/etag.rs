/// An entity tag (RFC 9110 §8.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ETag<'a> {
    /// `W/`.
    pub weak: bool,
    /// With its quotes.
    pub opaque: &'a [u8],
}

impl<'a> ETag<'a> {
    /// Reads one tag; `None` for what is none.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (weak, opaque) = match value.strip_prefix(b"W/") {
            Some(opaque) => (true, opaque),
            None => (false, value),
        };
        let inner = opaque.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        let valid = inner
            .iter()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..));
        valid.then_some(Self { weak, opaque })
    }

    /// Same octets (RFC 9110 §8.8.3.2).
    pub fn strong_eq(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Equivalent (RFC 9110 §8.8.3.2).
    pub fn weak_eq(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_is_that_of_the_rfcs_table() {
        // RFC 9110 §8.8.3.2, table 3.
        let table: [(&[u8], &[u8], bool, bool); 4] = [
            (b"W/\"1\"", b"W/\"1\"", false, true),
            (b"W/\"1\"", b"W/\"2\"", false, false),
            (b"W/\"1\"", b"\"1\"", false, true),
            (b"\"1\"", b"\"1\"", true, true),
        ];
        for (one, other, strong, weak) in table {
            let (one, other) = (ETag::parse(one).unwrap(), ETag::parse(other).unwrap());
            assert_eq!((one.strong_eq(&other), one.weak_eq(&other)), (strong, weak));
        }
    }

    #[test]
    fn what_is_no_tag_is_none() {
        for value in [
            &b"1"[..],
            b"\"1",
            b"\"",
            b"w/\"1\"",
            b"\"a\"b\"",
            b"\"a b\"",
            b"",
            b"*",
        ] {
            assert_eq!(ETag::parse(value), None, "{}", String::from_utf8_lossy(value));
        }
    }
}

//! Prefixes and masks: purges that hold for more URLs than can be listed.

use super::url::decode;

/// Most bytes of a prefix or mask.
pub const MAX_PATTERN_BYTES: usize = 1024;
/// Most stars of a mask.
pub const MAX_STARS: usize = 8;

/// What a pattern holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Everything that begins with the text.
    Prefix,
    /// Where each `*` stands for any bytes, none and slashes included.
    Mask,
}

/// A prefix or mask of `host[:port]/path`; it holds whatever the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) kind: Kind,
    pub(super) text: Box<[u8]>,
}

impl Pattern {
    /// Of decoded text. `None`: too long, or too many stars.
    pub(super) fn of_text(kind: Kind, text: Vec<u8>) -> Option<Self> {
        let stars = text.split(|b| *b == b'*').count() - 1;
        let fits = text.len() <= MAX_PATTERN_BYTES && (kind == Kind::Prefix || stars <= MAX_STARS);
        fits.then(|| Self {
            kind,
            text: text.into_boxed_slice(),
        })
    }

    /// Of a mask as it is written. `None`: too long, or too many stars.
    pub(super) fn mask(mask: &[u8]) -> Option<Self> {
        let mut decoded = Vec::with_capacity(mask.len());
        decode(mask, &mut decoded);
        Self::of_text(Kind::Mask, decoded)
    }

    /// Whether it holds for this text, decoded. Linear in its length, for each star.
    pub(super) fn holds(&self, text: &[u8]) -> bool {
        match self.kind {
            Kind::Prefix => text.starts_with(&self.text),
            Kind::Mask => matches_mask(&self.text, text),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.len()
    }
}

/// The pieces between stars must follow each other: the first at the start, the last at the end, each other
/// at its first place, since a later one leaves less room for those that follow.
fn matches_mask(mask: &[u8], text: &[u8]) -> bool {
    let mut pieces = mask.split(|b| *b == b'*');
    let Some(mut left) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        // No star: the whole.
        return left.is_empty();
    };
    for piece in pieces {
        let Some(at) = memchr::memmem::find(left, piece) else {
            return false;
        };
        left = left.get(at + piece.len()..).unwrap_or_default();
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(mask: &str, text: &str) -> bool {
        Pattern::mask(mask.as_bytes()).unwrap().holds(text.as_bytes())
    }

    #[test]
    fn a_star_stands_for_any_bytes_slashes_included() {
        for (pattern, text, expected) in [
            ("https://a/*.jpg", "https://a/b/c.jpg", true),
            ("https://a/*.jpg", "https://a/.jpg", true),
            ("https://a/*.jpg", "https://a/b.jpeg", false),
            ("https://a/x", "https://a/x", true),
            ("https://a/x", "https://a/xy", false),
            ("*", "anything", true),
            ("*://*.a/img/*", "https://b.a/img/", true),
            ("a*b*a", "aba", true),
            ("a*b*a", "ab", false),
            ("aa*aa", "aaa", false),
            ("**", "", true),
            ("%2A", "x", true),
        ] {
            assert_eq!(mask(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn patterns_are_bounded() {
        assert!(Pattern::mask(&b"*".repeat(MAX_STARS)).is_some());
        assert!(Pattern::mask(&b"*".repeat(MAX_STARS + 1)).is_none());
        let prefix = |len| Pattern::of_text(Kind::Prefix, b"*".repeat(len));
        assert!(prefix(MAX_PATTERN_BYTES).is_some());
        assert!(prefix(MAX_PATTERN_BYTES + 1).is_none());
    }

    /// The definition, by trying every length for each star.
    fn naive(mask: &[u8], text: &[u8]) -> bool {
        match mask.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| naive(rest, &text[at..])),
            Some((byte, rest)) => text.first() == Some(byte) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn masks_match_as_their_definition_says(mask in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(matches_mask(mask.as_bytes(), text.as_bytes()), naive(mask.as_bytes(), text.as_bytes()));
        }
    }
}

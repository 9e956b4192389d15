//! The frame around every document: which form it has and who can read it.
//!
//! `{"minReader":1,"kind":"Site","body":{…}}`. The frame is read first; the body is looked at only when this
//! build is new enough, so that a future form gives a clear answer instead of a parse error. Fields that a
//! reader doesn't know inside a body that names it as able are ignored: that is what `minReader` promises.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The newest form that this build reads and writes.
///
/// 2: what a site's answers are keyed by besides the request itself (classes of devices).
pub const READER: u32 = 2;

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A [`SiteConfig`](crate::SiteConfig).
    Site,
    /// [`RegionSettings`](crate::RegionSettings).
    Region,
    /// A [`Part`](crate::Part).
    Part,
}

/// Why a document can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It needs a newer edge.
    #[error("needs an edge that reads form {needed}; this one reads up to {READER}: upgrade the edge")]
    TooNew {
        /// The oldest reader that can use it.
        needed: u32,
    },
    /// It isn't what its frame says, or has no frame.
    #[error("malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another kind of document stands there.
    #[error("is a {found:?} where a {wanted:?} belongs")]
    WrongKind {
        /// What was looked for.
        wanted: Kind,
        /// What was found.
        found: Kind,
    },
    /// It has no such file, or the file is unusable.
    #[error("{file}: {problem}")]
    File {
        /// Key in the Secret.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame<'a> {
    min_reader: u32,
    kind: RawKind,
    #[serde(borrow)]
    body: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawKind {
    Known(Kind),
    Unknown(String),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FrameOut<'a, T> {
    min_reader: u32,
    kind: Kind,
    body: &'a T,
}

/// Writes a document, with the same bytes for the same value.
pub fn write<T: Serialize>(kind: Kind, min_reader: u32, body: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&FrameOut {
        min_reader,
        kind,
        body,
    })
}

/// What stands in the frame.
pub fn kind(bytes: &[u8]) -> Result<Kind, ReadError> {
    let frame: Frame<'_> = serde_json::from_slice(bytes)?;
    if frame.min_reader > READER {
        return Err(ReadError::TooNew {
            needed: frame.min_reader,
        });
    }
    match frame.kind {
        RawKind::Known(kind) => Ok(kind),
        RawKind::Unknown(name) => Err(ReadError::Malformed(serde::de::Error::custom(format!(
            "unknown kind {name:?}"
        )))),
    }
}

/// Reads a document of the kind `wanted`.
pub fn read<T: DeserializeOwned>(wanted: Kind, bytes: &[u8]) -> Result<T, ReadError> {
    let found = kind(bytes)?;
    if found != wanted {
        return Err(ReadError::WrongKind { wanted, found });
    }
    let frame: Frame<'_> = serde_json::from_slice(bytes)?;
    Ok(serde_json::from_str(frame.body.get())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_form_says_what_it_needs_even_when_its_body_and_kind_are_unknown() {
        let bytes = br#"{"minReader":7,"kind":"Nebula","body":{"x":[1]},"more":1}"#;
        assert!(matches!(
            read::<u32>(Kind::Site, bytes),
            Err(ReadError::TooNew { needed: 7 })
        ));
    }

    #[test]
    fn what_was_written_is_read_again_and_another_kind_is_refused() {
        let bytes = write(Kind::Part, 1, &5).unwrap();
        assert_eq!(read::<u32>(Kind::Part, &bytes).unwrap(), 5);
        assert!(matches!(
            read::<u32>(Kind::Site, &bytes),
            Err(ReadError::WrongKind { .. })
        ));
        assert!(matches!(
            read::<u32>(Kind::Part, b"{"),
            Err(ReadError::Malformed(_))
        ));
    }
}

//! Frames: what the log on disk is made of. Each says where it begins, so that a reader finds the next one
//! behind damage.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | marker |
//! | 1 | slot |
//! | 1 | 1 when encrypted |
//! | 2 | length of the name |
//! | 4 | length of the body |
//! | 12 | nonce; zero when not encrypted |
//! | 8 | checksum of all before |
//! | … | name, body |
//! | 16 | tag |
//!
//! Numbers are little-endian.

use std::io;

use breakwater_edge_config::bundle::Files;

use super::seal::{self, NONCE_LEN, Seal, TAG_LEN};

const MARKER: [u8; 8] = *b"\x8fBWfrm1\n";
/// Bytes before a frame's name.
pub(super) const HEADER_LEN: usize = 36;
/// Longest name (a Kubernetes object's).
const MAX_NAME: usize = 253;
/// Largest body; a Secret holds 1 MiB, a mark the names of what is held back.
const MAX_BODY: usize = 32 << 20;

/// What a frame means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The object's files, which were in use.
    Good,
    /// The object's newest files, which couldn't be used; the good ones stay.
    Next,
    /// The object is gone.
    Forget,
    /// The object's newest files are the good ones now.
    Promote,
    /// How far the log has come.
    Mark,
    /// What follows was once everything that there was.
    Complete,
}

impl Slot {
    const ALL: [Self; 6] = [
        Self::Good,
        Self::Next,
        Self::Forget,
        Self::Promote,
        Self::Mark,
        Self::Complete,
    ];

    fn number(self) -> u8 {
        self as u8
    }

    fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| slot.number() == number)
    }
}

/// A frame's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) slot: Slot,
    pub(super) encrypted: bool,
    pub(super) name_len: usize,
    pub(super) body_len: usize,
    pub(super) nonce: [u8; NONCE_LEN],
}

impl Header {
    /// `None`: no frame begins here.
    pub(super) fn read(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let (checked, sum) = bytes.split_at_checked(HEADER_LEN - 8)?;
        if checked.get(..8)? != MARKER || seal::short_checksum(checked) != sum {
            return None;
        }
        let name_len = usize::from(u16::from_le_bytes(checked.get(10..12)?.try_into().ok()?));
        let body_len = u32::from_le_bytes(checked.get(12..16)?.try_into().ok()?) as usize;
        (name_len <= MAX_NAME && body_len <= MAX_BODY).then_some(())?;
        Some(Self {
            slot: Slot::of(*checked.get(8)?)?,
            encrypted: *checked.get(9)? == 1,
            name_len,
            body_len,
            nonce: checked.get(16..28)?.try_into().ok()?,
        })
    }

    /// Bytes of the frame behind the header.
    pub(super) fn rest_len(&self) -> usize {
        self.name_len + self.body_len + TAG_LEN
    }
}

/// Where the next header may begin in `bytes`: at a marker, or at what could be the first bytes of one.
pub(super) fn find_marker(bytes: &[u8]) -> Option<usize> {
    let starts = |rest: &[u8]| MARKER.iter().zip(rest).all(|(a, b)| a == b);
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == MARKER[0]) {
        if bytes.get(from + at..).is_some_and(starts) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// Adds a frame to `out`; returns its length.
pub(super) fn write(
    seal: &Seal,
    slot: Slot,
    name: &str,
    mut body: Vec<u8>,
    out: &mut Vec<u8>,
) -> io::Result<usize> {
    if name.len() > MAX_NAME || body.len() > MAX_BODY {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name}: too large to be kept"),
        ));
    }
    let start = out.len();
    let (nonce, tag) = seal.close(&about(slot, name), &mut body)?;
    out.extend_from_slice(&MARKER);
    out.extend_from_slice(&[slot.number(), u8::from(seal.encrypts())]);
    out.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&nonce);
    let sum = seal::short_checksum(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&sum);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&body);
    out.extend_from_slice(&tag);
    Ok(out.len() - start)
}

/// Opens what stands behind a header: name and body. The error carries the name as far as it can be read.
pub(super) fn open(seal: &Seal, header: &Header, mut rest: Vec<u8>) -> Result<(String, Vec<u8>), String> {
    let mut body = rest.split_off(header.name_len.min(rest.len()));
    let name =
        String::from_utf8(rest).map_err(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())?;
    match seal.open(
        header.encrypted,
        header.nonce,
        &about(header.slot, &name),
        &mut body,
    ) {
        Ok(()) => Ok((name, body)),
        Err(seal::BadTag) => Err(name),
    }
}

fn about(slot: Slot, name: &str) -> Vec<u8> {
    let mut about = vec![slot.number()];
    about.extend_from_slice(name.as_bytes());
    about
}

/// An object's files as one body.
pub(super) fn write_files(files: &Files) -> Vec<u8> {
    let size = files
        .iter()
        .map(|(name, bytes)| name.len() + bytes.len() + 8)
        .sum();
    let mut body = Vec::with_capacity(size);
    let mut text = |bytes: &[u8]| {
        body.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        body.extend_from_slice(bytes);
    };
    for (name, bytes) in files {
        text(name.as_bytes());
        text(bytes);
    }
    body
}

/// Reads [`write_files`]'s form.
pub(super) fn read_files(mut body: &[u8]) -> Option<Files> {
    let mut files = Files::new();
    while !body.is_empty() {
        let name = take(&mut body)?;
        let bytes = take(&mut body)?;
        files.insert(String::from_utf8(name.to_vec()).ok()?, bytes.to_vec());
    }
    Some(files)
}

fn take<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = body.split_first_chunk::<4>()?;
    let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *body = rest;
    Some(bytes)
}

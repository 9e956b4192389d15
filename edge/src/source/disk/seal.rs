//! What guards a frame on disk: a checksum, or encryption where a key was given.

use std::fmt;
use std::io;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{self, SHA256};

/// Bytes of a frame's tag, in either form.
pub(super) const TAG_LEN: usize = 16;
/// Bytes of a nonce.
pub(super) const NONCE_LEN: usize = 12;

/// A frame's contents don't carry its tag: damaged, or sealed with another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadTag;

/// Guards frames. Without a key: the first 16 bytes of a SHA-256, against damage only. With one: AES-256-GCM
/// with a random nonce, the frame's name and meaning authenticated with it. One key is good for 2^32 frames
/// (NIST SP 800-38D, 8.3), decades at a frame a second; give a new one by then.
pub(super) struct Seal {
    key: Option<RandomizedNonceKey>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.key.is_some() {
            "Seal(AES-256-GCM)"
        } else {
            "Seal(checksum)"
        })
    }
}

impl Seal {
    /// Checksums only.
    pub(super) fn plain() -> Self {
        Self { key: None }
    }

    /// Encryption with a key of 32 bytes.
    pub(super) fn with_key(key: &[u8]) -> io::Result<Self> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a key of 32 bytes is needed; this has {}", key.len()),
            )
        })?;
        Ok(Self { key: Some(key) })
    }

    /// Encryption with the key in a file of exactly 32 bytes.
    pub(super) fn from_file(path: &Path) -> io::Result<Self> {
        Self::with_key(&std::fs::read(path)?)
    }

    /// True when it encrypts.
    pub(super) fn encrypts(&self) -> bool {
        self.key.is_some()
    }

    /// Seals `body` in place; returns nonce and tag.
    pub(super) fn close(
        &self,
        about: &[u8],
        body: &mut [u8],
    ) -> io::Result<([u8; NONCE_LEN], [u8; TAG_LEN])> {
        let Some(key) = &self.key else {
            return Ok(([0; NONCE_LEN], checksum(about, body)));
        };
        let (nonce, tag) = key
            .seal_in_place_separate_tag(Aad::from(about), body)
            .map_err(|_| io::Error::other("encryption failed"))?;
        let mut tag_bytes = [0; TAG_LEN];
        for (to, from) in tag_bytes.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        Ok((*nonce.as_ref(), tag_bytes))
    }

    /// Opens `body_and_tag` in place and cuts the tag off. `encrypted` is the form that the frame was written
    /// in, which may be another than this seal writes.
    pub(super) fn open(
        &self,
        encrypted: bool,
        nonce: [u8; NONCE_LEN],
        about: &[u8],
        body_and_tag: &mut Vec<u8>,
    ) -> Result<(), BadTag> {
        let body_len = body_and_tag.len().checked_sub(TAG_LEN).ok_or(BadTag)?;
        if encrypted {
            let key = self.key.as_ref().ok_or(BadTag)?;
            let nonce = Nonce::assume_unique_for_key(nonce);
            key.open_in_place(nonce, Aad::from(about), body_and_tag)
                .map_err(|_| BadTag)?;
        } else {
            let (body, tag) = body_and_tag.split_at_checked(body_len).ok_or(BadTag)?;
            if checksum(about, body) != tag {
                return Err(BadTag);
            }
        }
        body_and_tag.truncate(body_len);
        Ok(())
    }
}

fn checksum(about: &[u8], body: &[u8]) -> [u8; TAG_LEN] {
    let mut context = digest::Context::new(&SHA256);
    context.update(&(about.len() as u64).to_le_bytes());
    context.update(about);
    context.update(body);
    let mut tag = [0; TAG_LEN];
    for (to, from) in tag.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    tag
}

/// A short checksum of a frame's header.
pub(super) fn short_checksum(bytes: &[u8]) -> [u8; 8] {
    let mut short = [0; 8];
    for (to, from) in short.iter_mut().zip(checksum(b"header", bytes)) {
        *to = from;
    }
    short
}

//! The log of purges, as bytes: what must be on disk before a purge is acknowledged, and what a process
//! learns from it when it starts. Reads and writes no files.
//!
//! A frame is the length of its record (u32), a checksum of that (u32) and of the record (u64), and the
//! record. What a crash left of a frame at the end was never acknowledged. Anything else that can't be read
//! may have been, so whoever reads such a log must take everything for purged.

use std::collections::HashMap;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use super::Purge;
use super::codec::{In, Out};
use super::state::State;

/// How far a site has come with the purges that its configuration carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeProgress {
    /// Names the count that revisions belong to.
    pub history: String,
    /// The last revision that was taken over.
    pub revision: u64,
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurgeRecord {
    /// A process began to write.
    Opened {
        /// Its sequences are higher than this, and everybody's before are lower.
        sequence: u64,
        /// Everything up to this is purged, of every site.
        floor: u64,
    },
    /// A purge.
    Purge {
        /// Its sequence.
        sequence: u64,
        /// Wall clock, milliseconds.
        at_ms: u64,
        /// The site's UID.
        site: Box<[u8]>,
        /// What is purged; empty where only the progress is told.
        purge: Purge,
        /// How far the site's configuration has come with it.
        progress: Option<PurgeProgress>,
        /// Another process has it in its own log, where whoever follows that finds it.
        relayed: bool,
    },
    /// All that a site remembers, in place of what came before.
    Site {
        /// Its last sequence.
        sequence: u64,
        /// Its UID.
        site: Box<[u8]>,
        /// Only for this crate.
        state: Vec<u8>,
    },
}

/// A log that can't be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log of purges is damaged at byte {at}")]
pub struct LogDamage {
    /// Where what can be read ends.
    pub at: usize,
}

/// What logs of purges say, taken together.
#[derive(Debug, Default)]
pub struct PurgeLog {
    pub(crate) sites: HashMap<Box<[u8]>, (u64, State)>,
    pub(crate) floor: u64,
    highest: u64,
}

/// A key for checksums, not for secrecy.
fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x6c6f_6721, 0x7375_6d21);
    hasher.write(bytes);
    hasher.finish()
}

#[allow(clippy::cast_possible_truncation, reason = "any half of a checksum will do")]
fn length_checksum(length: [u8; 4]) -> u32 {
    checksum(&length) as u32
}

const FRAME_BYTES: usize = 16;

impl PurgeRecord {
    /// Appends the record's frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut record = Out::default();
        match self {
            Self::Opened { sequence, floor } => {
                record.u8(0);
                record.u64(*sequence);
                record.u64(*floor);
            }
            Self::Purge {
                sequence,
                at_ms,
                site,
                purge,
                progress,
                relayed,
            } => {
                record.u8(1);
                record.u64(*sequence);
                record.u64(*at_ms);
                record.bytes(site);
                record.purge(purge);
                record.progress(progress.as_ref());
                record.u8(u8::from(*relayed));
            }
            Self::Site {
                sequence,
                site,
                state,
            } => {
                record.u8(2);
                record.u64(*sequence);
                record.bytes(site);
                record.bytes(state);
            }
        }
        let record = record.0;
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes();
        out.extend_from_slice(&length);
        out.extend_from_slice(&length_checksum(length).to_le_bytes());
        out.extend_from_slice(&checksum(&record).to_le_bytes());
        out.extend_from_slice(&record);
    }

    pub(crate) fn of_site(sequence: u64, uid: &[u8], state: &State) -> Self {
        Self::Site {
            sequence,
            site: uid.into(),
            state: state_bytes(state),
        }
    }

    /// The record that `bytes` begin with, and the length of its frame. `Ok(None)`: it has not been written
    /// whole.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, LogDamage> {
        let damage = LogDamage { at: 0 };
        let Some((header, rest)) = bytes.split_first_chunk::<FRAME_BYTES>() else {
            return Ok(None);
        };
        let [l0, l1, l2, l3, c0, c1, c2, c3, sum @ ..] = *header;
        let length = [l0, l1, l2, l3];
        if u32::from_le_bytes([c0, c1, c2, c3]) != length_checksum(length) {
            // A file that had got longer before its bytes were written.
            let unwritten = bytes.iter().all(|byte| *byte == 0);
            return if unwritten { Ok(None) } else { Err(damage) };
        }
        let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| damage)?;
        let Some(record) = rest.get(..length) else {
            return Ok(None);
        };
        if checksum(record) != u64::from_le_bytes(sum) {
            return Err(damage);
        }
        let record = Self::parse(&mut In(record)).ok_or(damage)?;
        Ok(Some((record, FRAME_BYTES + length)))
    }

    fn parse(from: &mut In<'_>) -> Option<Self> {
        Some(match from.u8()? {
            0 => Self::Opened {
                sequence: from.u64()?,
                floor: from.u64()?,
            },
            1 => Self::Purge {
                sequence: from.u64()?,
                at_ms: from.u64()?,
                site: from.bytes()?.into(),
                purge: from.purge()?,
                progress: from.progress()?,
                relayed: from.u8()? == 1,
            },
            2 => Self::Site {
                sequence: from.u64()?,
                site: from.bytes()?.into(),
                state: from.bytes()?.to_vec(),
            },
            _ => return None,
        })
    }
}

impl PurgeLog {
    /// Takes over what a log says; of several the order doesn't matter. Returns how many bytes are whole
    /// records.
    pub fn replay(&mut self, bytes: &[u8]) -> Result<usize, LogDamage> {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match PurgeRecord::read(rest) {
                Ok(None) => return Ok(at),
                Ok(Some((record, length))) => {
                    self.take(record).ok_or(LogDamage { at })?;
                    at += length;
                }
                Err(LogDamage { .. }) => return Err(LogDamage { at }),
            }
        }
    }

    /// The highest sequence of all.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Where nothing can be known: everything up to a sequence is purged, of every site.
    pub fn purged_before(sequence: u64) -> Self {
        Self {
            sites: HashMap::new(),
            floor: sequence,
            highest: sequence,
        }
    }

    fn take(&mut self, record: PurgeRecord) -> Option<()> {
        match record {
            PurgeRecord::Opened { sequence, floor } => {
                self.highest = self.highest.max(sequence);
                self.floor = self.floor.max(floor);
            }
            PurgeRecord::Purge {
                sequence,
                at_ms,
                site,
                purge,
                progress,
                relayed: _,
            } => {
                self.highest = self.highest.max(sequence);
                let (last, state) = self.sites.entry(site).or_default();
                *last = sequence.max(*last);
                state.apply(sequence, &purge, at_ms, true);
                state.advance(progress);
            }
            PurgeRecord::Site {
                sequence,
                site,
                state,
            } => {
                self.highest = self.highest.max(sequence);
                let restored = In(&state).state()?;
                let (last, state) = self.sites.entry(site).or_default();
                *last = sequence.max(*last);
                state.merge(restored);
            }
        }
        Some(())
    }
}

/// What a site remembers, for [`PurgeRecord::Site`].
pub(super) fn state_bytes(state: &State) -> Vec<u8> {
    let mut out = Out::default();
    out.state(state);
    out.0
}

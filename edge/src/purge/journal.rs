//! The log of purges on the node's disk.
//!
//! Every process writes a file of its own, which it holds locked, so that a process and the one that takes its
//! place can both purge while both run. A file begins with all that was known when it was begun; so whoever
//! begins one reads all others first, and removes those whose writers are gone.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use breakwater_edge_cache::{PurgeLog, PurgeRecord};

/// A file is begun anew when it has this many bytes more than twice what it began with.
const SLACK_BYTES: u64 = 4 << 20;
/// Sequences of a process are higher than those of any before it by this, so that one that still runs never
/// gets as far.
const SEQUENCE_GAP: u64 = 1 << 32;

/// Where purges are written before they are acknowledged.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
    number: u64,
    file: Option<File>,
    bytes: u64,
    began_with_bytes: u64,
    others: Vec<Other>,
    /// When the directory had changed last when it was looked at.
    looked: Option<SystemTime>,
}

/// Another process's file.
#[derive(Debug)]
struct Other {
    path: PathBuf,
    file: File,
    /// Bytes of it that were taken over.
    read: u64,
    /// Its writer runs.
    alive: bool,
}

/// What was found when the log was opened.
#[derive(Debug)]
pub(crate) struct Found {
    /// What is known; everything is purged where it can't be read.
    pub(crate) log: PurgeLog,
    /// Where this process's sequences begin.
    pub(crate) base: u64,
    /// What can't be read.
    pub(crate) damage: Option<String>,
}

impl Journal {
    /// Reads what processes before this one have left. Nothing can be written before
    /// [`begin`](Self::begin).
    pub(crate) fn open(dir: &Path, wall_ms: u64) -> io::Result<(Self, Found)> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut journal = Self {
            dir: dir.to_owned(),
            number: 0,
            file: None,
            bytes: 0,
            began_with_bytes: 0,
            others: Vec::new(),
            looked: None,
        };
        remove_unfinished(dir)?;
        let (mut log, mut damage) = (PurgeLog::default(), None);
        for (number, path) in files(dir)? {
            journal.number = journal.number.max(number);
            let mut other = Other::open(path)?;
            let bytes = other.rest()?;
            match log.replay(&bytes) {
                Ok(whole) => other.read = whole as u64,
                Err(error) => damage = Some(format!("{}: {error}", other.path.display())),
            }
            journal.others.push(other);
        }
        // Sequences of a log that is lost are lower than what the clock says, and higher than nothing: nobody
        // purges a million times in a millisecond.
        let by_clock = wall_ms << 20;
        let lost = damage.is_some() || journal.others.is_empty();
        let highest = if lost {
            log.highest().max(by_clock)
        } else {
            log.highest()
        };
        let base = highest.saturating_add(SEQUENCE_GAP);
        if lost {
            log = PurgeLog::purged_before(base);
        }
        Ok((journal, Found { log, base, damage }))
    }

    /// Begins a file with all that is known.
    pub(crate) fn begin(&mut self, records: &[PurgeRecord]) -> io::Result<()> {
        let mut frames = Vec::new();
        for record in records {
            record.write(&mut frames);
        }
        let number = self.number + 1;
        let (new, path) = (self.dir.join(format!("{number}.new")), self.path(number));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.lock()?;
        file.write_all(&frames)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        File::open(&self.dir)?.sync_all()?;
        if self.file.is_some() {
            remove(&self.path(self.number))?;
        }
        self.number = number;
        self.file = Some(file);
        self.bytes = frames.len() as u64;
        self.began_with_bytes = self.bytes;
        self.forget_dead()
    }

    /// Writes records so that they outlive the machine. After an error nothing is known of what was written:
    /// [`begin`](Self::begin) anew.
    pub(crate) fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Err(io::Error::other("the log of purges was not begun"));
        };
        file.write_all(frames)?;
        file.sync_data()?;
        self.bytes += frames.len() as u64;
        Ok(())
    }

    /// More than half of the file is of no use any more.
    pub(crate) fn is_long(&self) -> bool {
        self.bytes > self.began_with_bytes * 2 + SLACK_BYTES
    }

    /// What others have written since the last look. Once it is in this process's own file,
    /// [`forget_dead`](Self::forget_dead).
    pub(crate) fn news(&mut self) -> io::Result<Vec<PurgeRecord>> {
        self.look_around()?;
        let mut records = Vec::new();
        for other in self.others.iter_mut().filter(|other| other.alive) {
            // First this: what it wrote before it ended is read now.
            other.alive = is_locked(&other.file)?;
            let bytes = other.rest()?;
            let mut rest = bytes.as_slice();
            while let Some((record, length)) = PurgeRecord::read(rest).map_err(io::Error::other)? {
                // What it relays stands in the log of whom it has it from, and what it began with was in
                // those before.
                if matches!(record, PurgeRecord::Purge { relayed: false, .. }) {
                    records.push(record);
                }
                other.read += length as u64;
                rest = rest.get(length..).unwrap_or_default();
            }
        }
        Ok(records)
    }

    /// Finds files that were begun since.
    fn look_around(&mut self) -> io::Result<()> {
        let changed = std::fs::metadata(&self.dir)?.modified()?;
        if self.looked == Some(changed) {
            return Ok(());
        }
        for (number, path) in files(&self.dir)? {
            let known = number == self.number || self.others.iter().any(|other| other.path == path);
            // One that is gone meanwhile had been read.
            if !known && let Ok(other) = Other::open(path) {
                self.others.push(other);
            }
        }
        self.looked = Some(changed);
        Ok(())
    }

    /// Removes files whose writers are gone.
    pub(crate) fn forget_dead(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        self.others.retain(|other| {
            if other.alive {
                return true;
            }
            if let Err(error) = remove(&other.path) {
                result = Err(error);
            }
            false
        });
        result
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number}.log"))
    }
}

impl Other {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        Ok(Self {
            alive: is_locked(&file)?,
            path,
            file,
            read: 0,
        })
    }

    fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(self.read))?;
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Whether another holds it; where nobody does, this process does from now on, and nobody takes it for dead.
fn is_locked(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The files of a log by number, lowest first.
fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        let extension = path.extension().and_then(|extension| extension.to_str());
        if let (Some(number), Some("log")) = (number, extension) {
            files.push((number, path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Removes what a process that is gone began and never finished.
fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "new") && !is_locked(&File::open(&path)?)? {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

//! The log: one file, appended to, rewritten when more than half of what lives in it is dead weight. A
//! sequential file is read at a disk's speed after a reboot, where ten thousand small files are not.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use breakwater_edge_config::bundle::Files;

use super::entries::{self, Kept};
use super::frame::{self, Slot};
use super::pending::Op;
use super::scan::{Found, Scan};
use super::seal::Seal;

const LOG: &str = "objects.log";
const NEW_LOG: &str = "objects.new";
const LOCK: &str = "lock";
/// Dead bytes that are tolerated besides half of the living.
const DEAD_SLACK_BYTES: u64 = 4 << 20;
/// Frames are gathered up to this before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// What a session before this one left.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Objects by name.
    pub objects: BTreeMap<String, Kept<Files>>,
    /// The last mark that can be read.
    pub mark: Option<Vec<u8>>,
    /// Everything before the mark could be read, so what it says holds.
    pub mark_holds: bool,
    /// What was kept was once everything that there was.
    pub complete: bool,
    /// What couldn't be read: names of objects, or places in the file. At most [`MAX_DAMAGE`] are named.
    pub damage: Vec<String>,
    /// How many couldn't be read.
    pub damaged: usize,
}

/// How many damaged places are named.
pub const MAX_DAMAGE: usize = 32;

/// Makes the directory, for this user only.
pub(super) fn prepare(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    std::fs::set_permissions(dir, Permissions::from_mode(0o700))
}

/// Reads everything, without changing anything: another process may still be writing.
pub(super) fn load(dir: &Path, seal: &Seal) -> io::Result<Loaded> {
    let mut loaded = Loaded::default();
    let file = match File::open(dir.join(LOG)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(loaded),
        Err(error) => return Err(error),
    };
    let mut scan = Scan::new(&file, seal)?;
    loop {
        match scan.next() {
            Ok(None) => return Ok(loaded),
            Ok(Some(found)) => loaded.take(found),
            Err(error) => {
                // A disk that can't be read from here on.
                loaded.note_damage(error.to_string());
                return Ok(loaded);
            }
        }
    }
}

impl Loaded {
    fn take(&mut self, found: Found) {
        match found {
            Found::Damage { at, name } => {
                self.note_damage(name.unwrap_or_else(|| format!("{LOG} at byte {at}")));
            }
            Found::Frame {
                header,
                name,
                body,
                at,
                ..
            } => match header.slot {
                Slot::Mark => {
                    self.mark_holds = self.damaged == 0;
                    self.mark = Some(body);
                }
                Slot::Complete => self.complete = true,
                slot => match frame::read_files(&body) {
                    Some(files) => entries::note(&mut self.objects, slot, name, files),
                    None => self.note_damage(format!("{name} at byte {at}")),
                },
            },
        }
    }

    fn note_damage(&mut self, what: String) {
        self.damaged += 1;
        if self.damage.len() < MAX_DAMAGE {
            self.damage.push(what);
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    len: u64,
}

/// The log, open for writing. Only one process at a time has it.
#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    seal: Arc<Seal>,
    file: File,
    _lock: File,
    len: u64,
    live: BTreeMap<String, Kept<Place>>,
    live_bytes: u64,
    mark: Option<Vec<u8>>,
    complete: bool,
    rewrite_due: bool,
}

impl Log {
    /// Opens the log when no other process has it; `None` while one has.
    pub(super) fn open(dir: &Path, seal: &Arc<Seal>) -> io::Result<Option<Self>> {
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(dir.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Self::read(dir, seal, lock).map(Some),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn read(dir: &Path, seal: &Arc<Seal>, lock: File) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join(LOG))?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        let mut log = Self {
            dir: dir.to_owned(),
            seal: Arc::clone(seal),
            len: file.metadata()?.len(),
            file: file.try_clone()?,
            _lock: lock,
            live: BTreeMap::new(),
            live_bytes: 0,
            mark: None,
            complete: false,
            rewrite_due: false,
        };
        let mut scan = Scan::new(&file, seal)?;
        let mut damaged = false;
        while let Some(found) = scan.next()? {
            match found {
                Found::Damage { .. } => {
                    damaged = true;
                    // What the mark says doesn't hold for what comes from here on.
                    log.mark = None;
                }
                Found::Frame {
                    at,
                    len,
                    header,
                    name,
                    body,
                } => {
                    log.rewrite_due |= header.encrypted != seal.encrypts();
                    match header.slot {
                        Slot::Mark => log.mark = (!damaged).then_some(body),
                        Slot::Complete => log.complete = true,
                        slot => log.note(slot, &name, Place { at, len }),
                    }
                }
            }
        }
        log.rewrite_due |= damaged;
        Ok(log)
    }

    fn note(&mut self, slot: Slot, name: &str, place: Place) {
        self.live_bytes = self.live_bytes.saturating_sub(self.bytes_of(name));
        entries::note(&mut self.live, slot, name.to_owned(), place);
        self.live_bytes += self.bytes_of(name);
    }

    fn bytes_of(&self, name: &str) -> u64 {
        let kept = self.live.get(name);
        kept.map_or(0, |kept| {
            kept.good.iter().chain(&kept.next).map(|place| place.len).sum()
        })
    }

    /// Writes changes and makes them durable. After an error the log is as it was before.
    pub(super) fn append(&mut self, ops: impl Iterator<Item = Op>) -> io::Result<()> {
        if self.rewrite_due || self.len > self.live_bytes + self.live_bytes / 2 + DEAD_SLACK_BYTES {
            self.rewrite()?;
        }
        let start = self.len;
        let mut notes = Vec::new();
        let written = self
            .write_frames(ops, &mut notes)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.len = start;
            // Should this fail as well, the torn rest is found and written over when the log is next read.
            self.rewrite_due |= self.file.set_len(start).is_err();
            return Err(error);
        }
        for (slot, name, place, body) in notes {
            match slot {
                Slot::Mark => self.mark = Some(body),
                Slot::Complete => self.complete = true,
                slot => self.note(slot, &name, place),
            }
        }
        Ok(())
    }

    fn write_frames(
        &mut self,
        ops: impl Iterator<Item = Op>,
        notes: &mut Vec<(Slot, String, Place, Vec<u8>)>,
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        let mut at = self.len;
        for op in ops {
            let mut kept_body = Vec::new();
            let (slot, name, body) = match op {
                Op::Good { name, files } => (Slot::Good, name, frame::write_files(&files)),
                Op::Next { name, files } => (Slot::Next, name, frame::write_files(&files)),
                Op::Promote { name } => (Slot::Promote, name, Vec::new()),
                Op::Forget { name } => (Slot::Forget, name, Vec::new()),
                Op::Complete => (Slot::Complete, String::new(), Vec::new()),
                Op::Mark(mark) => {
                    kept_body.clone_from(&mark);
                    (Slot::Mark, String::new(), mark)
                }
            };
            let len = frame::write(&self.seal, slot, &name, body, &mut buffer)? as u64;
            notes.push((slot, name, Place { at, len }, kept_body));
            at += len;
            if buffer.len() >= WRITE_BYTES {
                self.write_buffer(&mut buffer)?;
            }
        }
        self.write_buffer(&mut buffer)
    }

    fn write_buffer(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.file.write_all_at(buffer, self.len)?;
        self.len += buffer.len() as u64;
        buffer.clear();
        Ok(())
    }

    /// Writes what lives into a new file and puts it in the place of the old.
    fn rewrite(&mut self) -> io::Result<()> {
        let path = self.dir.join(NEW_LOG);
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        let mut new = Rewriting {
            seal: &self.seal,
            live: BTreeMap::new(),
            buffer: Vec::new(),
            written: 0,
        };
        if self.complete {
            new.frame(Slot::Complete, "", Vec::new())?;
        }
        let mut lost = false;
        for (name, kept) in &self.live {
            for (slot, place) in [(Slot::Good, kept.good), (Slot::Next, kept.next)] {
                let Some(place) = place else { continue };
                match self.read_back(place) {
                    Some(body) => new.frame(slot, name, body)?,
                    None => lost = true,
                }
                new.flush(&mut file, WRITE_BYTES)?;
            }
        }
        // Without a mark the next session lists anew and finds what was lost.
        if let (Some(mark), false) = (&self.mark, lost) {
            new.frame(Slot::Mark, "", mark.clone())?;
        }
        new.flush(&mut file, 0)?;
        file.sync_all()?;
        std::fs::rename(&path, self.dir.join(LOG))?;
        File::open(&self.dir)?.sync_all()?;
        let Rewriting { live, written, .. } = new;
        (self.file, self.len, self.live) = (file, written, live);
        self.live_bytes = self.live.keys().map(|name| self.bytes_of(name)).sum();
        self.rewrite_due = false;
        if lost {
            self.mark = None;
        }
        Ok(())
    }

    fn read_back(&self, place: Place) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(place.len).ok()?];
        self.file.read_exact_at(&mut bytes, place.at).ok()?;
        let (header, rest) = bytes.split_first_chunk()?;
        let header = frame::Header::read(header)?;
        Some(frame::open(&self.seal, &header, rest.to_vec()).ok()?.1)
    }
}

struct Rewriting<'a> {
    seal: &'a Seal,
    live: BTreeMap<String, Kept<Place>>,
    buffer: Vec<u8>,
    written: u64,
}

impl Rewriting<'_> {
    fn frame(&mut self, slot: Slot, name: &str, body: Vec<u8>) -> io::Result<()> {
        let at = self.written;
        let len = frame::write(self.seal, slot, name, body, &mut self.buffer)? as u64;
        self.written += len;
        entries::note(&mut self.live, slot, name.to_owned(), Place { at, len });
        Ok(())
    }

    fn flush(&mut self, file: &mut File, at_least: usize) -> io::Result<()> {
        if self.buffer.len() >= at_least {
            file.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

//! Reads a log from its beginning, over damage to the next frame.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::frame::{self, HEADER_LEN, Header};
use super::seal::Seal;

/// What stands at a place in the log.
#[derive(Debug)]
pub(super) enum Found {
    /// A frame.
    Frame {
        /// Where it begins.
        at: u64,
        /// Its bytes in all.
        len: u64,
        /// Its beginning.
        header: Header,
        /// Its name; empty for frames that aren't an object's.
        name: String,
        /// What is in it.
        body: Vec<u8>,
    },
    /// Bytes that aren't a whole frame, or one whose contents are damaged or sealed with another key.
    Damage {
        /// Where they begin.
        at: u64,
        /// The object's name, where its header could be read.
        name: Option<String>,
    },
}

/// A reader of frames.
pub(super) struct Scan<'a> {
    file: BufReader<&'a File>,
    seal: &'a Seal,
    at: u64,
}

const CHUNK: usize = 256 << 10;

impl<'a> Scan<'a> {
    /// Reads from the beginning.
    pub(super) fn new(mut file: &'a File, seal: &'a Seal) -> io::Result<Self> {
        file.seek(SeekFrom::Start(0))?;
        Ok(Self {
            file: BufReader::with_capacity(CHUNK, file),
            seal,
            at: 0,
        })
    }

    /// The next frame or damage; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        let at = self.at;
        let mut bytes = [0; HEADER_LEN];
        let got = read_full(&mut self.file, &mut bytes)?;
        if got == 0 {
            return Ok(None);
        }
        let Some(header) = (got == HEADER_LEN).then(|| Header::read(&bytes)).flatten() else {
            self.resync(at + 1)?;
            return Ok(Some(Found::Damage { at, name: None }));
        };
        let mut rest = vec![0; header.rest_len()];
        if read_full(&mut self.file, &mut rest)? < rest.len() {
            // Torn, or a header that lies; frames may still follow it.
            self.resync(at + 1)?;
            let name = rest
                .get(..header.name_len)
                .map(|name| String::from_utf8_lossy(name).into_owned());
            return Ok(Some(Found::Damage { at, name }));
        }
        let len = (HEADER_LEN + header.rest_len()) as u64;
        self.at += len;
        Ok(Some(match frame::open(self.seal, &header, rest) {
            Ok((name, body)) => Found::Frame {
                at,
                len,
                header,
                name,
                body,
            },
            Err(name) => Found::Damage { at, name: Some(name) },
        }))
    }

    /// Goes to the next place at or behind `from` where a header stands, or to the end.
    fn resync(&mut self, mut from: u64) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            self.file.seek(SeekFrom::Start(from))?;
            let got = read_full(&mut self.file, &mut chunk)?;
            let bytes = chunk.get(..got).unwrap_or_default();
            let Some(found) = frame::find_marker(bytes) else {
                from += got as u64;
                if got < CHUNK {
                    self.at = from;
                    return Ok(());
                }
                continue;
            };
            from += found as u64;
            self.file.seek(SeekFrom::Start(from))?;
            let mut header = [0; HEADER_LEN];
            if read_full(&mut self.file, &mut header)? == HEADER_LEN && Header::read(&header).is_some() {
                self.file.seek(SeekFrom::Start(from))?;
                self.at = from;
                return Ok(());
            }
            from += 1;
        }
    }
}

fn read_full(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while let Some(space) = into.get_mut(got..).filter(|space| !space.is_empty()) {
        match from.read(space) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

//! What people are told: one line for each thing that isn't as its file says.

use std::collections::BTreeSet;
use std::fmt;

use breakwater_crds::condition;
use breakwater_render::StatusUpdate;

use super::folder::{Folder, Place};

/// Something to say about a place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Where.
    pub place: Place,
    /// What.
    pub line: Line,
}

/// What is said, each `OBJECT: why`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    /// A file, or a document of it, can't be read.
    Unreadable(String),
    /// An object isn't taken.
    Refused(String),
    /// An object is taken, and something that it needs is missing or broken.
    Incomplete(String),
    /// An object that means nothing here.
    Ignored(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, text) = match &self.line {
            Line::Unreadable(text) => return write!(f, "unreadable  {}: {text}", self.place),
            Line::Refused(text) => ("refused", text),
            Line::Incomplete(text) => ("incomplete", text),
            Line::Ignored(text) => ("ignored", text),
        };
        // The object's name has no ": " in it.
        let (what, why) = text.split_once(": ").unwrap_or((text, ""));
        write!(f, "{word}  {what} ({}): {why}", self.place)
    }
}

/// What statuses say that doesn't hold.
pub fn status_notes<'a>(folder: &Folder, statuses: impl IntoIterator<Item = &'a StatusUpdate>) -> Vec<Note> {
    let mut notes = Vec::new();
    for status in statuses {
        let Some(place) = folder.place(&status.key) else {
            continue;
        };
        for problem in status.problems() {
            let text = format!("{}: {}: {}", status.key, problem.reason, problem.message);
            let line = match problem.kind {
                condition::ACCEPTED => Line::Refused(text),
                _ => Line::Incomplete(text),
            };
            notes.push(Note {
                place: place.clone(),
                line,
            });
        }
    }
    notes
}

/// Says each thing once.
#[derive(Debug, Default)]
pub(super) struct Told {
    notes: BTreeSet<Note>,
}

impl Told {
    /// The notes that weren't there the last time.
    pub(super) fn news(&mut self, notes: Vec<Note>) -> Vec<Note> {
        let notes: BTreeSet<Note> = notes.into_iter().collect();
        let news = notes.difference(&self.notes).cloned().collect();
        self.notes = notes;
        news
    }

    /// How many objects or files are refused at present.
    pub(super) fn refused(&self) -> usize {
        let refused = |note: &&Note| matches!(note.line, Line::Refused(_) | Line::Unreadable(_));
        self.notes.iter().filter(refused).count()
    }
}

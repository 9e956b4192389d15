//! What the state machine is told and what it says.

use std::collections::BTreeMap;

use breakwater_edge_config::ContentHash;
use breakwater_edge_config::bundle::Files;
use breakwater_edge_config::incarnation::Incarnation;

use super::super::hold::Hold;

/// A point in the history of the namespace's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Position {
    /// The history; empty while there is none.
    pub(in super::super) incarnation: String,
    /// The version in it.
    pub(in super::super) version: u64,
}

/// What a session before this one left behind.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Kept {
    /// Every object that is held, with the hash of its newest files.
    pub(in super::super) objects: BTreeMap<String, ContentHash>,
    /// Everything up to here is held; `None` when that can't be said.
    pub(in super::super) position: Option<Position>,
    /// What was held back.
    pub(in super::super) hold: Hold,
    /// What is held was once all that there was.
    pub(in super::super) complete: bool,
}

/// What the incarnation's object and the collection said at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Probe {
    /// `None` while there is no such object.
    pub(in super::super) incarnation: Option<Incarnation>,
    /// The collection's current version.
    pub(in super::super) version: u64,
}

/// What happened.
#[derive(Clone, Debug)]
pub(in super::super) enum Input {
    /// A rest is over.
    Rested,
    /// The answer to [`Ask::Probe`].
    Probed(Probe),
    /// An object was listed, added or changed.
    Put {
        /// Its name.
        name: String,
        /// Its version.
        version: u64,
        /// What is in it.
        files: Files,
    },
    /// An object was deleted.
    Deleted {
        /// Its name.
        name: String,
        /// The version of the deletion.
        version: u64,
    },
    /// Nothing more up to this version.
    Bookmark {
        /// The version.
        version: u64,
        /// It ends the list that a stream began with.
        list_end: bool,
    },
    /// The server doesn't stream lists.
    StreamRefused,
    /// A page ended; its objects came before, as [`Input::Put`].
    Page {
        /// The list's version.
        version: u64,
        /// Where the next page begins.
        next: Option<String>,
    },
    /// The server doesn't know the version, or the page, any more (410).
    Expired,
    /// A watch ended as watches do. `at_once`: it hardly lived.
    Ended {
        /// It lived less than a second.
        at_once: bool,
    },
    /// Anything else went wrong.
    Failed,
    /// A look at the incarnation while watching; `since` is the version that was reached when it was asked
    /// for.
    Checked {
        /// What it saw.
        probe: Probe,
        /// [`Sync::version`] before it.
        since: u64,
    },
}

/// What to ask for; it replaces whatever is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Ask {
    /// Wait, a random time between the two.
    Rest {
        /// Least milliseconds.
        min_ms: u64,
        /// Most milliseconds.
        max_ms: u64,
    },
    /// The incarnation and the collection's version.
    Probe,
    /// A watch that begins with a list.
    Stream,
    /// A page of a list; the first without a token.
    Page(Option<String>),
    /// A watch from this version on.
    Watch(u64),
}

/// What to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Action {
    /// The object is new or another.
    Put {
        /// Its name.
        name: String,
        /// Hash of its files.
        hash: ContentHash,
        /// What is in it.
        files: Files,
    },
    /// The object is gone.
    Remove {
        /// Its name.
        name: String,
    },
    /// Position or hold changed; everything before is to be kept first.
    Moved,
    /// The next request.
    Ask(Ask),
}

/// Why everything is listed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum ListReason {
    /// There is no position to resume from.
    NoPosition,
    /// The server doesn't know the version any more.
    Expired,
    /// The version went backwards: the store was restored.
    Rewound,
    /// Another incarnation.
    OtherIncarnation,
}

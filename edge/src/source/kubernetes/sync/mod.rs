//! How an edge keeps in step with its namespace's objects: a state machine without clock, sockets or
//! randomness. In: what the API said. Out: what to take over, what to ask next, how far it has come.
//!
//! It must never let go of an object that it has only because an answer lacks it in a suspicious way, and
//! never claim a position (a version in an incarnation) before everything up to it has been handed out.

mod listing;
mod terms;

use std::collections::{BTreeMap, BTreeSet};

use breakwater_edge_config::ContentHash;
use breakwater_edge_config::bundle::{self, Files, REGION_SECRET};
use breakwater_edge_config::incarnation::Incarnation;

use super::hold::{self, Hold};
pub(super) use terms::{Action, Ask, Input, Kept, ListReason, Position, Probe};

#[derive(Debug)]
enum Phase {
    Resting,
    Probing,
    Listing {
        streamed: bool,
        seen: BTreeSet<String>,
        said: Option<Incarnation>,
    },
    Watching,
}

/// The state machine.
#[derive(Debug)]
pub(super) struct Sync {
    held: BTreeMap<String, ContentHash>,
    hold: Hold,
    position: Option<Position>,
    /// An acknowledged position that the server's history hasn't reached again since it was rewound.
    future: Option<Position>,
    list_why: Option<ListReason>,
    /// The next list goes on with the history that is known.
    continues: bool,
    complete: bool,
    phase: Phase,
    failures: u32,
    lists: u64,
}

const FIRST_BACKOFF_MS: u64 = 200;
const MAX_BACKOFF_MS: u64 = 30_000;
/// After a server has restarted, every edge of the region lists anew; they spread over this time.
const LIST_SPREAD_MS: u64 = 3_000;

impl Sync {
    /// Goes on from what was kept. Ask for [`Ask::Probe`] first.
    pub(super) fn new(kept: Kept) -> Self {
        Self {
            held: kept.objects,
            hold: kept.hold,
            list_why: kept.position.is_none().then_some(ListReason::NoPosition),
            continues: kept.position.is_some(),
            complete: kept.complete,
            position: kept.position,
            future: None,
            phase: Phase::Probing,
            failures: 0,
            lists: 0,
        }
    }

    /// The version that was reached; 0 without a position.
    pub(super) fn version(&self) -> u64 {
        self.position.as_ref().map_or(0, |position| position.version)
    }

    /// From where a later session may resume.
    pub(super) fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// What is acknowledged. After a restore of the server's store this stays at what was reached before,
    /// until the history has another name or has come that far again: an acknowledgement from its own future
    /// is how the operator learns of the restore.
    pub(super) fn acknowledged(&self) -> Option<&Position> {
        self.future.as_ref().or(self.position.as_ref())
    }

    /// What is held back.
    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// Everything that the region has was held at least once, its settings among it.
    pub(super) fn complete(&self) -> bool {
        self.complete
    }

    /// How many objects are held.
    pub(super) fn objects(&self) -> usize {
        self.held.len()
    }

    /// How many sites the server's list has.
    pub(super) fn believed_sites(&self) -> u64 {
        hold::believed_sites(&self.held, &self.hold)
    }

    /// A watch runs and nothing is being listed.
    pub(super) fn watching(&self) -> bool {
        matches!(self.phase, Phase::Watching)
    }

    /// Failures since something last went well.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Lists that were begun, and why the next or the one under way is needed.
    pub(super) fn lists(&self) -> (u64, Option<ListReason>) {
        (self.lists, self.list_why)
    }

    /// Takes in what happened.
    pub(super) fn step(&mut self, input: Input) -> Vec<Action> {
        let mut out = Vec::new();
        match input {
            Input::Rested => self.probe(&mut out),
            Input::Probed(probe) => self.probed(probe, &mut out),
            Input::Put { name, version, files } => self.put(name, version, files, &mut out),
            Input::Deleted { name, version } => self.deleted(name, version, &mut out),
            Input::Bookmark { version, list_end } => self.bookmark(version, list_end, &mut out),
            Input::StreamRefused => self.stream_refused(&mut out),
            Input::Page { version, next } => self.page(version, next, &mut out),
            Input::Expired => self.list_anew(ListReason::Expired, &mut out),
            Input::Ended { at_once } => self.ended(at_once, &mut out),
            Input::Failed => self.failed(&mut out),
            Input::Checked { probe, since } => self.checked(&probe, since, &mut out),
        }
        out
    }

    fn probe(&mut self, out: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Resting) {
            self.phase = Phase::Probing;
            out.push(Action::Ask(Ask::Probe));
        }
    }

    fn probed(&mut self, probe: Probe, out: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Probing) {
            return;
        }
        if let Some(reason) = self.judge(&probe, self.version()) {
            self.note_list(reason, out);
        }
        if self.list_why.is_none() {
            self.phase = Phase::Watching;
            self.release(probe.incarnation.as_ref(), out);
            out.push(Action::Ask(Ask::Watch(self.version())));
            return;
        }
        self.lists += 1;
        self.phase = Phase::Listing {
            streamed: true,
            seen: BTreeSet::new(),
            said: probe.incarnation,
        };
        out.push(Action::Ask(Ask::Stream));
    }

    /// Why a watch can't go on from where it is, seen from outside.
    fn judge(&self, probe: &Probe, since: u64) -> Option<ListReason> {
        let position = self.position.as_ref()?;
        let id = probe
            .incarnation
            .as_ref()
            .map_or("", |incarnation| incarnation.id.as_str());
        if probe.version < since {
            Some(ListReason::Rewound)
        } else if id != position.incarnation {
            Some(ListReason::OtherIncarnation)
        } else {
            None
        }
    }

    /// Remembers that a list is needed. Where history is not what it was, the position is worth nothing from
    /// this moment on, also to a session after this one.
    fn note_list(&mut self, reason: ListReason, out: &mut Vec<Action>) {
        self.list_why = Some(reason);
        if reason == ListReason::Expired {
            return;
        }
        self.continues = false;
        let Some(lost) = self.position.take() else { return };
        if reason == ListReason::Rewound && self.future.is_none() {
            self.future = Some(lost);
        }
        out.push(Action::Moved);
    }

    fn list_anew(&mut self, reason: ListReason, out: &mut Vec<Action>) {
        self.note_list(reason, out);
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Resting;
        let (min_ms, max_ms) = backoff_ms(self.failures);
        let min_ms = if self.failures > 1 { min_ms } else { 0 };
        let max_ms = max_ms.max(LIST_SPREAD_MS);
        out.push(Action::Ask(Ask::Rest { min_ms, max_ms }));
    }

    fn put(&mut self, name: String, version: u64, files: Files, out: &mut Vec<Action>) {
        let rewound = version < self.version();
        match &mut self.phase {
            Phase::Listing { seen, .. } => {
                seen.insert(name.clone());
            }
            Phase::Watching if rewound => {
                return self.list_anew(ListReason::Rewound, out);
            }
            Phase::Watching => {}
            Phase::Resting | Phase::Probing => return,
        }
        self.hold.names.remove(&name);
        let hash = bundle::hash(&files);
        if self.held.get(&name) != Some(&hash) {
            self.held.insert(name.clone(), hash.clone());
            out.push(Action::Put { name, hash, files });
        }
        self.advance(version, out);
    }

    fn deleted(&mut self, name: String, version: u64, out: &mut Vec<Action>) {
        let rewound = version < self.version();
        match &mut self.phase {
            Phase::Listing { seen, .. } => {
                seen.remove(&name);
            }
            Phase::Watching if rewound => {
                return self.list_anew(ListReason::Rewound, out);
            }
            Phase::Watching => {}
            Phase::Resting | Phase::Probing => return,
        }
        self.let_go(name, out);
        self.advance(version, out);
    }

    fn let_go(&mut self, name: String, out: &mut Vec<Action>) {
        self.hold.names.remove(&name);
        if self.held.remove(&name).is_some() {
            out.push(Action::Remove { name });
        }
    }

    /// Moves the position while watching; during a list it stays where it is.
    fn advance(&mut self, version: u64, out: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Watching) {
            return;
        }
        self.failures = 0;
        self.note_complete();
        if let Some(position) = &mut self.position
            && position.version != version
        {
            position.version = version;
            out.push(Action::Moved);
        }
        self.leave_future();
    }

    fn leave_future(&mut self) {
        let reached = match (&self.future, &self.position) {
            (Some(future), Some(now)) => {
                future.incarnation != now.incarnation || future.version <= now.version
            }
            _ => false,
        };
        if reached {
            self.future = None;
        }
    }

    fn note_complete(&mut self) {
        self.complete |= self.held.contains_key(REGION_SECRET);
    }

    fn bookmark(&mut self, version: u64, list_end: bool, out: &mut Vec<Action>) {
        match self.phase {
            Phase::Listing { streamed: true, .. } if list_end => self.listed(version, out),
            Phase::Watching if version < self.version() => self.list_anew(ListReason::Rewound, out),
            _ => self.advance(version, out),
        }
    }

    fn ended(&mut self, at_once: bool, out: &mut Vec<Action>) {
        if at_once || !matches!(self.phase, Phase::Watching) {
            return self.failed(out);
        }
        self.failures = 0;
        self.phase = Phase::Resting;
        out.push(Action::Ask(Ask::Rest {
            min_ms: 0,
            max_ms: FIRST_BACKOFF_MS,
        }));
    }

    fn failed(&mut self, out: &mut Vec<Action>) {
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Resting;
        let (min_ms, max_ms) = backoff_ms(self.failures);
        out.push(Action::Ask(Ask::Rest { min_ms, max_ms }));
    }

    fn checked(&mut self, probe: &Probe, since: u64, out: &mut Vec<Action>) {
        if !self.watching() {
            return;
        }
        match self.judge(probe, since) {
            Some(reason) => self.list_anew(reason, out),
            None => self.release(probe.incarnation.as_ref(), out),
        }
    }
}

/// Between half and all of a time that doubles with each failure.
fn backoff_ms(failures: u32) -> (u64, u64) {
    let factor = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    let max = FIRST_BACKOFF_MS.saturating_mul(factor).min(MAX_BACKOFF_MS);
    (max / 2, max)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod model;

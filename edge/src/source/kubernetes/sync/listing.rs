//! Lists: how one comes, and what goes when it lacks something that is held.

use std::collections::BTreeSet;

use breakwater_edge_config::incarnation::Incarnation;

use super::super::hold;
use super::{Action, Ask, Phase, Position, Sync};

impl Sync {
    pub(super) fn stream_refused(&mut self, out: &mut Vec<Action>) {
        if let Phase::Listing { streamed, seen, .. } = &mut self.phase {
            *streamed = false;
            seen.clear();
            out.push(Action::Ask(Ask::Page(None)));
        }
    }

    pub(super) fn page(&mut self, version: u64, next: Option<String>, out: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Listing { streamed: false, .. }) {
            return;
        }
        if next.is_some() {
            out.push(Action::Ask(Ask::Page(next)));
            return;
        }
        self.listed(version, out);
        out.push(Action::Ask(Ask::Watch(version)));
    }

    /// A list is whole: drops what it lacks, or holds it.
    pub(super) fn listed(&mut self, version: u64, out: &mut Vec<Action>) {
        let Phase::Listing { seen, said, .. } = std::mem::replace(&mut self.phase, Phase::Watching) else {
            return;
        };
        let before: BTreeSet<&str> = self.held.keys().map(String::as_str).collect();
        let before = before
            .into_iter()
            .filter(|name| !self.hold.names.contains(*name))
            .collect();
        let missing = self
            .held
            .keys()
            .filter(|name| !seen.contains(*name) && !self.hold.names.contains(*name));
        let missing: BTreeSet<String> = missing.cloned().collect();
        self.hold.broken_history = if self.hold.names.is_empty() {
            !self.continues
        } else {
            self.hold.broken_history || !self.continues
        };
        if hold::shrank(&before, &seen, &missing) {
            self.hold.names.extend(missing);
        } else {
            for name in missing {
                self.let_go(name, out);
            }
        }
        let incarnation = said.as_ref().map(|said| said.id.clone()).unwrap_or_default();
        self.position = Some(Position { incarnation, version });
        self.list_why = None;
        self.continues = true;
        self.failures = 0;
        self.note_complete();
        self.leave_future();
        self.release(said.as_ref(), out);
        out.push(Action::Moved);
    }

    /// Lets go of what is held back, as far as somebody stands behind its absence.
    pub(super) fn release(&mut self, said: Option<&Incarnation>, out: &mut Vec<Action>) {
        let (Some(said), false) = (said, self.hold.names.is_empty()) else {
            return;
        };
        let released = self.hold.released(said, self.believed_sites());
        if released.is_empty() {
            return;
        }
        for name in released {
            self.let_go(name, out);
        }
        out.push(Action::Moved);
    }
}

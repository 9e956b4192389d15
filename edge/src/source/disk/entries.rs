//! What the frames of a log amount to: for each object its good files and, where those differ, its newest.

use std::collections::BTreeMap;

use super::frame::Slot;

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<T> {
    /// What was in use.
    pub good: Option<T>,
    /// Something newer that couldn't be used.
    pub next: Option<T>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            good: None,
            next: None,
        }
    }
}

/// Takes one frame in.
pub(super) fn note<T>(entries: &mut BTreeMap<String, Kept<T>>, slot: Slot, name: String, value: T) {
    match slot {
        Slot::Good => {
            entries.insert(
                name,
                Kept {
                    good: Some(value),
                    next: None,
                },
            );
        }
        Slot::Next => entries.entry(name).or_default().next = Some(value),
        Slot::Forget => {
            entries.remove(&name);
        }
        Slot::Promote => {
            if let Some(kept) = entries.get_mut(&name)
                && let Some(next) = kept.next.take()
            {
                kept.good = Some(next);
            }
        }
        Slot::Mark | Slot::Complete => {}
    }
}

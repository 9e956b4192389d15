//! Between the state machine and the edge: what is taken over is applied, what came of it is kept on disk.

use std::collections::{BTreeMap, BTreeSet};

use breakwater_edge_config::bundle::{self, Files};
use breakwater_edge_config::{ContentHash, Document};
use serde::{Deserialize, Serialize};

use super::hold::Hold;
use super::sync::{Kept, Position, Sync};
use crate::source::disk::{self, Loaded, Op};
use crate::{Change, Edge};

/// What a mark on disk says.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mark {
    incarnation: Option<String>,
    #[serde(default)]
    version: u64,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    held_back: BTreeSet<String>,
    #[serde(default)]
    broken_history: bool,
}

/// The mark for where `sync` is.
pub(super) fn mark(sync: &Sync) -> Op {
    let position = sync.position();
    let mark = Mark {
        incarnation: position.map(|position| position.incarnation.clone()),
        version: sync.version(),
        held_back: sync.hold().names.clone(),
        broken_history: sync.hold().broken_history,
    };
    // Strings and numbers always have a JSON form; a mark that can't be read means that everything is listed.
    Op::Mark(serde_json::to_vec(&mark).unwrap_or_default())
}

/// Applies changes and says what is to be kept of them.
pub(super) struct Keeper {
    edge: Edge,
    /// Objects whose newest files can't be used (yet).
    failing: BTreeSet<String>,
    changes: Vec<Change>,
    puts: BTreeMap<String, Files>,
    ops: Vec<Op>,
}

impl Keeper {
    /// Takes over what a session before this one kept: first what was good, then what wasn't, for this
    /// process may be able to read it. Returns what the state machine goes on from, and what to write.
    pub(super) fn start(edge: Edge, loaded: Loaded) -> (Self, Kept, Vec<Op>) {
        let mut keeper = Self {
            edge,
            failing: BTreeSet::new(),
            changes: Vec::new(),
            puts: BTreeMap::new(),
            ops: Vec::new(),
        };
        let mark: Option<Mark> = loaded.mark.and_then(|mark| serde_json::from_slice(&mark).ok());
        let mark_holds = loaded.mark_holds && mark.is_some();
        let mark = mark.unwrap_or_default();
        let (mut good, mut next) = (Vec::new(), Vec::new());
        for (name, kept) in loaded.objects {
            let disk::Kept {
                good: its_good,
                next: its_next,
            } = kept;
            good.extend(its_good.map(|files| (name.clone(), files)));
            next.extend(its_next.map(|files| (name, files)));
        }
        let mut objects = keeper.apply_all(&good);
        let names: Vec<String> = next.iter().map(|(name, _)| name.clone()).collect();
        keeper.failing.extend(names);
        objects.extend(keeper.apply_all(&next));
        keeper.promote();
        let names = mark
            .held_back
            .into_iter()
            .filter(|name| objects.contains_key(name))
            .collect();
        let kept = Kept {
            objects,
            position: mark
                .incarnation
                .filter(|_| mark_holds)
                .map(|incarnation| Position {
                    incarnation,
                    version: mark.version,
                }),
            hold: Hold {
                names,
                broken_history: mark.broken_history,
            },
            complete: loaded.complete,
        };
        let ops = std::mem::take(&mut keeper.ops);
        (keeper, kept, ops)
    }

    fn apply_all(&self, objects: &[(String, Files)]) -> BTreeMap<String, ContentHash> {
        let changes = read_all(objects);
        let hash = |change: &Change| match change {
            Change::Put { name, hash, .. } | Change::Unreadable { name, hash, .. } => {
                Some((name.clone(), hash.clone()))
            }
            Change::Remove { .. } => None,
        };
        let hashes = changes.iter().filter_map(hash).collect();
        if !changes.is_empty() {
            self.edge.apply(changes);
        }
        hashes
    }

    /// An object is there, or another.
    pub(super) fn put(&mut self, name: String, hash: ContentHash, files: Files) {
        if self.puts.contains_key(&name) {
            // The first of two forms of an object may be the good one to keep.
            self.commit();
        }
        self.changes.push(change(name.clone(), hash, &files));
        self.puts.insert(name, files);
    }

    /// An object is gone.
    pub(super) fn remove(&mut self, name: String) {
        if self.puts.contains_key(&name) {
            self.commit();
        }
        self.failing.remove(&name);
        self.ops.push(Op::Forget { name: name.clone() });
        self.changes.push(Change::Remove { name });
    }

    /// Applies what was gathered, all at once.
    pub(super) fn commit(&mut self) {
        if self.changes.is_empty() {
            return;
        }
        let changes = std::mem::take(&mut self.changes);
        let unreadable = changes
            .iter()
            .filter(|change| matches!(change, Change::Unreadable { .. }));
        let mut failed: BTreeSet<String> = unreadable.map(|change| change.name().to_owned()).collect();
        failed.extend(self.edge.apply(changes).into_iter().map(|failure| failure.object));
        for (name, files) in std::mem::take(&mut self.puts) {
            if failed.contains(&name) {
                self.failing.insert(name.clone());
                self.ops.push(Op::Next { name, files });
            } else {
                self.failing.remove(&name);
                self.ops.push(Op::Good { name, files });
            }
        }
        self.promote();
    }

    /// What failed for want of another object may be in use now.
    fn promote(&mut self) {
        if self.failing.is_empty() {
            return;
        }
        let failures = self.edge.status().failures;
        let still: BTreeSet<&str> = failures.iter().map(|failure| failure.object.as_str()).collect();
        let (failing, promoted): (BTreeSet<String>, BTreeSet<String>) = std::mem::take(&mut self.failing)
            .into_iter()
            .partition(|name| still.contains(name.as_str()));
        self.failing = failing;
        self.ops
            .extend(promoted.into_iter().map(|name| Op::Promote { name }));
    }

    /// What is to be written of what was committed.
    pub(super) fn take_ops(&mut self) -> Vec<Op> {
        std::mem::take(&mut self.ops)
    }
}

fn change(name: String, hash: ContentHash, files: &Files) -> Change {
    match Document::from_files(files) {
        Ok(document) => Change::Put { name, hash, document },
        Err(error) => Change::Unreadable {
            name,
            hash,
            reason: error.to_string(),
        },
    }
}

/// Reads objects on all cores: after a restart the node serves nothing before this is done.
fn read_all(objects: &[(String, Files)]) -> Vec<Change> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = objects.len().div_ceil(threads).max(1);
    let read = |(name, files): &(String, Files)| change(name.clone(), bundle::hash(files), files);
    let read = &read;
    std::thread::scope(|scope| {
        let chunks: Vec<_> = objects
            .chunks(share)
            .map(|chunk| {
                (
                    chunk,
                    scope.spawn(move || chunk.iter().map(read).collect::<Vec<_>>()),
                )
            })
            .collect();
        let join = |(chunk, thread): (&[_], std::thread::ScopedJoinHandle<'_, Vec<Change>>)| {
            // A thread that died is none to trust; what it had is read here.
            thread.join().unwrap_or_else(|_| chunk.iter().map(read).collect())
        };
        chunks.into_iter().flat_map(join).collect()
    })
}

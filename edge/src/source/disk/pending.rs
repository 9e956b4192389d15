//! What is still to be written; of several changes of an object only the last matters.

use std::collections::BTreeMap;

use breakwater_edge_config::bundle::Files;

/// A change of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// These files are in use.
    Good {
        /// The object's name.
        name: String,
        /// Its files.
        files: Files,
    },
    /// These files are the object's newest and can't be used; what was good stays.
    Next {
        /// The object's name.
        name: String,
        /// Its files.
        files: Files,
    },
    /// The newest files are in use after all.
    Promote {
        /// The object's name.
        name: String,
    },
    /// The object is gone.
    Forget {
        /// The object's name.
        name: String,
    },
    /// Everything before is as far as these bytes say.
    Mark(Vec<u8>),
    /// What is kept is everything that there is.
    Complete,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Base {
    Good(Files),
    Promote,
    Forget,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Object {
    base: Option<Base>,
    next: Option<Files>,
}

/// The changes that wait.
#[derive(Debug, Default)]
pub(super) struct Pending {
    objects: BTreeMap<String, Object>,
    mark: Option<Vec<u8>>,
    complete: bool,
}

impl Pending {
    /// Adds a change.
    pub(super) fn add(&mut self, op: Op) {
        match op {
            Op::Good { name, files } => {
                self.objects.insert(
                    name,
                    Object {
                        base: Some(Base::Good(files)),
                        next: None,
                    },
                );
            }
            Op::Next { name, files } => self.objects.entry(name).or_default().next = Some(files),
            Op::Promote { name } => {
                let object = self.objects.entry(name).or_default();
                match object.next.take() {
                    Some(files) => object.base = Some(Base::Good(files)),
                    // Only what is on disk can be meant; a base that waits leaves nothing there to promote.
                    None => object.base = object.base.take().or(Some(Base::Promote)),
                }
            }
            Op::Forget { name } => {
                self.objects.insert(
                    name,
                    Object {
                        base: Some(Base::Forget),
                        next: None,
                    },
                );
            }
            Op::Mark(mark) => self.mark = Some(mark),
            Op::Complete => self.complete = true,
        }
    }

    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.mark.is_none() && !self.complete
    }

    /// What waits, as changes in an order in which they may be written: the mark last.
    pub(super) fn ops(&self) -> impl Iterator<Item = Op> + '_ {
        let objects = self.objects.iter().flat_map(|(name, object)| {
            let name = || name.clone();
            let base = object.base.as_ref().map(|base| match base {
                Base::Good(files) => Op::Good {
                    name: name(),
                    files: files.clone(),
                },
                Base::Promote => Op::Promote { name: name() },
                Base::Forget => Op::Forget { name: name() },
            });
            let next = object.next.as_ref().map(|files| Op::Next {
                name: name(),
                files: files.clone(),
            });
            base.into_iter().chain(next)
        });
        let complete = self.complete.then_some(Op::Complete);
        objects.chain(complete).chain(self.mark.clone().map(Op::Mark))
    }
}

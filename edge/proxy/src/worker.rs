use std::cell::RefCell;
use std::sync::Arc;

use breakwater_edge_cache::{Cache, Near};
use breakwater_edge_guard::RateTable;

use crate::Now;
use crate::boundary::{End, Event, Step};
use crate::compile::{Directory, Snapshot};
use crate::facts::ConnFacts;
use crate::phases::{self, Context};
use crate::record::Record;
use crate::scratch::Scratch;
use crate::wire::{OriginHead, RequestHead};

/// What all workers of a process share.
#[derive(Debug)]
pub struct Shared {
    /// The sites.
    pub directory: Arc<Directory>,
    /// Stored answers.
    pub cache: Cache,
    /// Counts of the rate rules: one table for the process, or each worker would multiply the limits.
    pub rates: Arc<RateTable>,
    /// What this edge calls itself in `CDN-Loop` (RFC 8586): a token, the same for all edges that must not
    /// forward to each other.
    pub loop_id: Box<str>,
    /// How many workers there are.
    pub workers: usize,
}

/// The configuration as one worker holds it. Its reference count is touched by that worker alone, so that
/// requests on different cores share no written memory.
#[derive(Debug)]
pub(crate) struct View {
    snapshot: Arc<Snapshot>,
}

impl View {
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

/// The phases as one worker thread runs them. Not shared between threads: each makes its own.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    view: RefCell<Arc<View>>,
    near: RefCell<Near>,
}

impl Worker {
    /// A worker that serves what `shared` holds, now and after each change.
    pub fn new(shared: Arc<Shared>) -> Self {
        let view = RefCell::new(Arc::new(View {
            snapshot: shared.directory.current(),
        }));
        let near = RefCell::new(shared.cache.near(shared.workers));
        Self { shared, view, near }
    }

    /// Begins a request: its head is complete, its body not read.
    pub fn on_head(&self, conn: &ConnFacts, head: &RequestHead<'_>, now: Now, scratch: &mut Scratch) -> Step {
        let view = self.view();
        scratch.begin(Arc::clone(&view), now);
        phases::begin(&self.context(conn, head, now, &view), scratch)
    }

    /// Begins a request of the edge's own, which fetches what visitors will ask for ([`Site::warm`]). It goes the
    /// way of a visitor's, but for the phases that are about who a visitor is and what one may do.
    ///
    /// [`Site::warm`]: crate::compile::Site::warm
    pub fn on_warm(&self, conn: &ConnFacts, head: &RequestHead<'_>, now: Now, scratch: &mut Scratch) -> Step {
        let view = self.view();
        scratch.begin(Arc::clone(&view), now);
        phases::warm(&self.context(conn, head, now, &view), scratch)
    }

    /// Goes on with a request whose last step waited for this event.
    pub fn on_event(
        &self,
        conn: &ConnFacts,
        head: &RequestHead<'_>,
        event: Event<'_, '_>,
        now: Now,
        scratch: &mut Scratch,
    ) -> Step {
        let view = scratch.state.view.clone().unwrap_or_else(|| self.view());
        phases::resume(&self.context(conn, head, now, &view), event, scratch)
    }

    /// A 1xx of the origin other than 101: true when `scratch.response` holds what the client is sent
    /// (RFC 9110 §15.2). Only for requests in [`Step::Fetch`], and in [`Step::Wait`] for the fill that they
    /// began.
    pub fn on_interim(
        &self,
        head: &RequestHead<'_>,
        interim: &OriginHead<'_>,
        scratch: &mut Scratch,
    ) -> bool {
        phases::interim::run(head, interim, scratch)
    }

    /// What is told of a request that has ended, however it did. Called once.
    pub fn record<'a>(
        &self,
        conn: &'a ConnFacts,
        head: &'a RequestHead<'_>,
        end: &End,
        now: Now,
        scratch: &'a Scratch,
    ) -> Record<'a> {
        phases::record::run(conn, head, end, now, scratch)
    }

    /// Lets go of stored answers that this worker keeps at hand though the cache has given them up. To be called
    /// some ten times a second.
    pub fn sweep(&self) {
        self.near.borrow_mut().sweep();
    }

    /// What the workers share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn context<'r, 'a>(
        &'r self,
        conn: &'r ConnFacts,
        head: &'r RequestHead<'a>,
        now: Now,
        view: &'r View,
    ) -> Context<'r, 'a> {
        Context {
            shared: &self.shared,
            near: &self.near,
            view,
            conn,
            head,
            now,
        }
    }

    /// The newest configuration: one load where nothing changed.
    fn view(&self) -> Arc<View> {
        let mut view = self.view.borrow_mut();
        if view.snapshot.generation() != self.shared.directory.generation() {
            *view = Arc::new(View {
                snapshot: self.shared.directory.current(),
            });
        }
        Arc::clone(&view)
    }
}

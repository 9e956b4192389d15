//! HTTP/2 streams whose visitor doesn't take what it is sent. A window that never opens keeps a stream, and
//! what it is sent, for ever, and nothing of it shows on the socket.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use crate::options::Limits;

/// When the streams of a connection must have been read on.
#[derive(Debug, Default)]
pub(crate) struct Stalls {
    deadlines: RefCell<BTreeSet<(Instant, u64)>>,
    next: Cell<u64>,
}

impl Stalls {
    /// The first of them.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.deadlines.borrow().first().map(|(deadline, _)| *deadline)
    }
}

/// The clock of one answer: runs from when a part was handed over until the next may be, which is when the
/// visitor's window has room again.
pub(crate) struct Taking {
    connection: Rc<Connection>,
    id: u64,
    patience: Bucket,
    deadline: Option<Instant>,
}

impl Taking {
    /// `None` over HTTP/1.1, where the socket shows what isn't taken.
    pub(crate) fn new(connection: &Rc<Connection>) -> Option<Self> {
        if !connection.is_h2() {
            return None;
        }
        let id = connection.stalls.next.get();
        connection.stalls.next.set(id.wrapping_add(1));
        Some(Self {
            connection: Rc::clone(connection),
            id,
            patience: Bucket::new(&connection.local.common.limits),
            deadline: None,
        })
    }

    /// The next part may be handed over.
    pub(crate) fn ready(&mut self) {
        if let Some(deadline) = self.deadline.take() {
            let limits = &self.connection.local.common.limits;
            self.patience.taken(Instant::now(), limits);
            let stalls = &self.connection.stalls;
            stalls.deadlines.borrow_mut().remove(&(deadline, self.id));
        }
    }

    /// A part was handed over. `may_be_silent`: it belongs to a stream without a least rate.
    pub(crate) fn handed(&mut self, bytes: usize, may_be_silent: bool) {
        let limits = &self.connection.local.common.limits;
        let deadline = self.patience.handed(Instant::now(), bytes, may_be_silent, limits);
        let stalls = &self.connection.stalls;
        stalls.deadlines.borrow_mut().insert((deadline, self.id));
        self.deadline = Some(deadline);
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.ready();
    }
}

/// Waiting costs time, bytes that were taken give it back, at the least rate that is allowed.
#[derive(Debug)]
struct Bucket {
    left: Duration,
    handed: Option<(Instant, usize)>,
}

impl Bucket {
    fn new(limits: &Limits) -> Self {
        Self {
            left: limits.rate_grace,
            handed: None,
        }
    }

    fn handed(&mut self, now: Instant, bytes: usize, may_be_silent: bool, limits: &Limits) -> Instant {
        self.handed = Some((now, bytes));
        now + if may_be_silent {
            limits.idle_stream
        } else {
            self.left
        }
    }

    fn taken(&mut self, now: Instant, limits: &Limits) {
        if let Some((since, bytes)) = self.handed.take() {
            let earned = (bytes as u64).saturating_mul(1_000_000) / limits.min_rate_bytes.max(1);
            let left = self.left.saturating_sub(now.saturating_duration_since(since));
            self.left = (left + Duration::from_micros(earned)).min(limits.rate_grace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_the_least_rate_goes_on_and_who_takes_less_runs_out() {
        let limits = Limits::default();
        let start = Instant::now();
        for (bytes, seconds, outlives) in [
            (1024, 1, true),
            (65_536, 64, false),
            (65_536, 9, true),
            (512, 1, false),
        ] {
            let mut bucket = Bucket::new(&limits);
            let mut now = start;
            let mut lasted = true;
            for _ in 0..100 {
                let deadline = bucket.handed(now, bytes, false, &limits);
                now += Duration::from_secs(seconds);
                lasted &= now <= deadline;
                bucket.taken(now, &limits);
            }
            assert_eq!(lasted, outlives, "{bytes} bytes each {seconds} s");
        }
        let mut bucket = Bucket::new(&limits);
        assert_eq!(bucket.handed(start, 1, true, &limits), start + limits.idle_stream);
    }
}

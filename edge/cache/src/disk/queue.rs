//! Work for a thread, bounded in bytes.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Most jobs, urgent ones included.
const MAX_URGENT: usize = 1 << 16;

pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    max_bytes: usize,
}

struct State<T> {
    jobs: VecDeque<(T, usize)>,
    bytes: usize,
    /// A job was taken and the next not yet asked for.
    busy: bool,
    paused: bool,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                bytes: 0,
                busy: false,
                paused: false,
                closed: false,
            }),
            changed: Condvar::new(),
            max_bytes,
        }
    }

    /// Adds a job that holds so many bytes; gives it back where there is no room, or nobody takes jobs any more.
    pub(super) fn push(&self, job: T, bytes: usize) -> Result<(), T> {
        self.add(job, bytes, |state| {
            state.bytes.saturating_add(bytes) <= self.max_bytes
        })
    }

    /// As [`push`](Self::push) for what is small and must not be lost for want of room.
    pub(super) fn push_urgent(&self, job: T, bytes: usize) -> Result<(), T> {
        self.add(job, bytes, |state| state.jobs.len() < MAX_URGENT)
    }

    fn add(&self, job: T, bytes: usize, fits: impl Fn(&State<T>) -> bool) -> Result<(), T> {
        let mut state = self.state.lock();
        if state.closed || state.paused || !fits(&state) {
            return Err(job);
        }
        state.bytes += bytes;
        state.jobs.push_back((job, bytes));
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next job; waits for it. `None`: closed, and nothing is left.
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if let Some((job, bytes)) = state.jobs.pop_front() {
                state.bytes -= bytes;
                state.busy = true;
                return Some(job);
            }
            state.busy = false;
            if state.closed {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }

    /// Takes no jobs for a while, and none that wait; gives those. Ends early when it is closed.
    pub(super) fn pause(&self, time: Duration) -> impl Iterator<Item = T> + use<T> {
        let mut state = self.state.lock();
        state.bytes = 0;
        let jobs = std::mem::take(&mut state.jobs);
        state.paused = true;
        if !state.closed {
            self.changed.wait_for(&mut state, time);
        }
        state.paused = false;
        jobs.into_iter().map(|(job, _)| job)
    }

    /// Nothing is added any more.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// Jobs that wait, and the one that was taken last.
    pub(super) fn len(&self) -> usize {
        let state = self.state.lock();
        state.jobs.len() + usize::from(state.busy)
    }

    /// Whether every job that was added is done. With several takers it only says that none waits.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.jobs.is_empty() && !state.busy
    }
}

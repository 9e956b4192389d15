use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use breakwater_edge_cache::Sweep;

use super::Purger;

/// Between two looks for something to do. What is purged isn't used any more; this is how long its memory may
/// stay taken, and how long another process's purge may take to get here.
const TURN: Duration = Duration::from_millis(50);
/// Places of the index that are looked at while a shard's lock is held: some microseconds.
const STEP_PLACES: usize = 64;
/// Steps between two pauses.
const STEPS: usize = 64;
const PAUSE: Duration = Duration::from_millis(1);

/// The thread that frees what is purged.
#[derive(Debug)]
pub(crate) struct Sweeper {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    pub(crate) fn start(purger: &Arc<Purger>) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let purger = Arc::downgrade(purger);
        let thread = thread::Builder::new()
            .name("purge".to_owned())
            .spawn(move || run(&purger, &stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its hook.
            let _ = thread.join();
        }
    }
}

fn run(purger: &Weak<Purger>, stopped: &mpsc::Receiver<()>) {
    while stopped.recv_timeout(TURN) == Err(RecvTimeoutError::Timeout) {
        let Some(purger) = purger.upgrade() else { return };
        purger.follow();
        if purger.due.swap(false, Ordering::AcqRel) && !sweep(&purger, stopped) {
            return;
        }
    }
}

/// False: it was stopped.
fn sweep(purger: &Purger, stopped: &mpsc::Receiver<()>) -> bool {
    let (mut at, mut steps) = (Sweep::default(), 0_usize);
    while let Some(dropped) = purger.cache.sweep(&mut at, STEP_PLACES) {
        let dropped = u64::try_from(dropped).unwrap_or(u64::MAX);
        purger
            .counts
            .entries_dropped
            .fetch_add(dropped, Ordering::Relaxed);
        steps += 1;
        if steps.is_multiple_of(STEPS) && stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Disconnected) {
            return false;
        }
    }
    true
}

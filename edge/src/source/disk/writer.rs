//! The thread that writes: changes come over a channel, those of a moment are written together.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::log::Log;
use super::pending::{Op, Pending};
use super::seal::Seal;
use crate::source::Gauges;

/// Changes that come this soon after the first are written with it.
const GATHER: Duration = Duration::from_millis(100);
/// How often a log that another process has is asked for.
const LOCK_RETRY: Duration = Duration::from_millis(500);
/// Between two attempts at a disk that refuses.
const ERROR_RETRY: Duration = Duration::from_secs(5);

enum Message {
    Ops(Vec<Op>),
    Flush(Sender<()>),
}

/// Writes in the background. Dropping it writes what still waits and ends the thread.
#[derive(Debug)]
pub struct Writer {
    sender: Option<Sender<Message>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(dir: PathBuf, seal: Arc<Seal>, gauges: Arc<Gauges>) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let work = Work {
            dir,
            seal,
            log: None,
            pending: Pending::default(),
            gauges,
            failing: false,
        };
        let thread = std::thread::Builder::new().name("state-writer".to_owned());
        let thread = thread.spawn(move || work.run(&receiver))?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
        })
    }

    /// Hands changes over; returns at once. They are written in an order in which everything before a mark is
    /// durable when the mark is.
    pub fn send(&self, ops: Vec<Op>) {
        self.tell(Message::Ops(ops));
    }

    /// Waits until everything handed over before is on disk, or until the deadline. True when it is.
    pub fn flush(&self, deadline: Duration) -> bool {
        let (sender, done) = channel();
        self.tell(Message::Flush(sender));
        done.recv_timeout(deadline).is_ok()
    }

    fn tell(&self, message: Message) {
        if let Some(sender) = &self.sender {
            // The thread ends only when the sender is gone.
            let _ = sender.send(message);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    dir: PathBuf,
    seal: Arc<Seal>,
    log: Option<Log>,
    pending: Pending,
    gauges: Arc<Gauges>,
    failing: bool,
}

impl Work {
    fn run(mut self, receiver: &Receiver<Message>) {
        let mut flushes = Vec::new();
        let mut open = true;
        while open {
            let wait = self.wait();
            open = self.gather(receiver, wait, &mut flushes);
            if self.pending.is_empty() || self.write() {
                for done in flushes.drain(..) {
                    let _: Result<(), _> = Sender::send(&done, ());
                }
            }
        }
        // The other process may let go only after this one has begun to stop: what waits is the newer's to
        // learn from the API again, so it isn't waited for.
    }

    /// How long the first message may be waited for; `None` while nothing waits to be written.
    fn wait(&self) -> Option<Duration> {
        match (self.pending.is_empty(), self.failing) {
            (true, _) => None,
            (false, false) => Some(LOCK_RETRY),
            (false, true) => Some(ERROR_RETRY),
        }
    }

    /// Takes messages in. False when no more can come.
    fn gather(
        &mut self,
        receiver: &Receiver<Message>,
        wait: Option<Duration>,
        flushes: &mut Vec<Sender<()>>,
    ) -> bool {
        let first = match wait {
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(wait) => receiver.recv_timeout(wait),
        };
        let mut message = match first {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        let until = Instant::now() + GATHER;
        loop {
            match message {
                Message::Ops(ops) => ops.into_iter().for_each(|op| self.pending.add(op)),
                Message::Flush(done) => {
                    flushes.push(done);
                    return true;
                }
            }
            match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(next) => message = next,
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Writes what waits. True when it is on disk.
    fn write(&mut self) -> bool {
        let done = match self.log.take() {
            Some(log) => Ok(Some(log)),
            None => Log::open(&self.dir, &self.seal),
        };
        let done = done.and_then(|log| {
            let Some(log) = log else { return Ok(false) };
            self.log.insert(log).append(self.pending.ops()).map(|()| true)
        });
        match done {
            Ok(written) => {
                if written {
                    self.pending = Pending::default();
                }
                self.note(None);
                written
            }
            Err(error) => {
                self.note(Some(&error));
                false
            }
        }
    }

    fn note(&mut self, error: Option<&std::io::Error>) {
        match (error, self.failing) {
            (Some(error), false) => {
                let dir = self.dir.display();
                tracing::error!(%error, %dir, "the state can't be written; the edge goes on without");
            }
            (None, true) => tracing::info!("the state can be written again"),
            _ => {}
        }
        self.failing = error.is_some();
        self.gauges.disk_failing.set(self.failing);
    }
}

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use super::Counters;
use crate::options::LogTarget;

/// A worker hands its lines over when it has this many bytes of them.
const BATCH_BYTES: usize = 32 << 10;

/// Batches that may wait for the writer. One is at most this size and a line, which is no longer than that:
/// 8 MiB.
const QUEUE: usize = 128;

/// Emptied batches that wait to be filled again, for one worker.
const SPARE: usize = 4;

/// Lines to be written, and where their memory goes then.
#[derive(Debug)]
struct Batch {
    bytes: Vec<u8>,
    back: SyncSender<Vec<u8>>,
}

/// The access log's writer, a thread of its own.
#[derive(Debug)]
pub(crate) struct AccessLog {
    sender: Option<SyncSender<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl AccessLog {
    pub(crate) fn start(target: &LogTarget) -> std::io::Result<Self> {
        let out: Box<dyn Write + Send> = match target {
            LogTarget::Off => {
                return Ok(Self {
                    sender: None,
                    thread: None,
                });
            }
            LogTarget::Stdout => Box::new(std::io::stdout()),
            LogTarget::File(path) => Box::new(open(path)?),
        };
        let (sender, receiver) = sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write(&receiver, out))?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
        })
    }

    /// Lines of one worker on their way to the writer.
    pub(crate) fn buffer(&self, counters: Arc<Counters>) -> LineBuffer {
        LineBuffer::new(self.sender.clone(), counters)
    }

    /// Waits until everything that was handed over is written; every [`LineBuffer`] must be gone by then.
    pub(crate) fn finish(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // The writer doesn't panic; were it to, there would be nothing left to write.
            let _ = thread.join();
        }
    }
}

fn open(path: &PathBuf) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().create(true).append(true).open(path)
}

fn write(receiver: &Receiver<Batch>, mut out: Box<dyn Write + Send>) {
    let mut told = false;
    for Batch { mut bytes, back } in receiver {
        let result = out.write_all(&bytes).and_then(|()| out.flush());
        bytes.clear();
        // The worker has enough of them, or is gone.
        let _ = back.try_send(bytes);
        if let Err(error) = result
            && !std::mem::replace(&mut told, true)
        {
            tracing::error!(%error, "the access log can't be written");
        }
    }
}

/// Lines of one worker that haven't been handed over yet.
#[derive(Debug)]
pub(crate) struct LineBuffer {
    sender: Option<SyncSender<Batch>>,
    bytes: Vec<u8>,
    lines: u64,
    counters: Arc<Counters>,
    /// Memory that was handed over comes back here.
    back: (SyncSender<Vec<u8>>, Receiver<Vec<u8>>),
}

impl LineBuffer {
    fn new(sender: Option<SyncSender<Batch>>, counters: Arc<Counters>) -> Self {
        Self {
            sender,
            bytes: Vec::new(),
            lines: 0,
            counters,
            back: sync_channel(SPARE),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.sender.is_some()
    }

    /// Adds a line: `make` appends it without its end.
    pub(crate) fn line(&mut self, make: impl FnOnce(&mut Vec<u8>)) {
        make(&mut self.bytes);
        self.bytes.push(b'\n');
        self.lines += 1;
        if self.bytes.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Hands over what there is; never waits.
    pub(crate) fn flush(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut self.lines);
        let (back, emptied) = &self.back;
        let spare = emptied.try_recv().unwrap_or_default();
        let batch = Batch {
            bytes: std::mem::replace(&mut self.bytes, spare),
            back: back.clone(),
        };
        if let Some(sender) = &self.sender
            && let Err(TrySendError::Full(mut batch) | TrySendError::Disconnected(mut batch)) =
                sender.try_send(batch)
        {
            self.counters.log_dropped(lines);
            batch.bytes.clear();
            self.bytes = batch.bytes;
        }
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    #[test]
    fn lines_arrive_in_order_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        let mut log = AccessLog::start(&LogTarget::File(path.clone())).unwrap();
        let mut buffer = log.buffer(Arc::default());
        for n in 0..5000 {
            buffer.line(|out| out.extend_from_slice(format!("{{\"n\":{n}}}").as_bytes()));
        }
        drop(buffer);
        log.finish();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 5000);
        for (n, line) in text.lines().enumerate() {
            assert_eq!(line, format!("{{\"n\":{n}}}"));
        }
    }

    #[test]
    fn lines_that_nobody_takes_are_dropped_and_counted() {
        let (sender, _receiver) = sync_channel(1);
        let counters = Arc::<Counters>::default();
        let mut buffer = LineBuffer::new(Some(sender), Arc::clone(&counters));
        for _ in 0..3 {
            buffer.line(|out| out.push(b'x'));
            buffer.line(|out| out.push(b'y'));
            buffer.flush();
        }
        assert_eq!(counters.log_dropped.load(Relaxed), 4);
    }
}

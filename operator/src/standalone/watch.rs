//! Tells when something in a directory has changed, and waits until it has settled: editors and `git` write
//! in many steps.

use std::path::Path;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Silence after which a change counts as complete.
const SETTLE: Duration = Duration::from_millis(50);
/// Longest wait for silence.
const SETTLE_AT_MOST: Duration = Duration::from_secs(1);

/// A watched directory.
pub(super) struct Changes {
    events: mpsc::Receiver<()>,
    _watcher: notify::RecommendedWatcher,
}

impl Changes {
    /// Watches `directory` and everything below it.
    pub(super) fn of(directory: &Path) -> Result<Self, notify::Error> {
        // One waiting event is enough: it says "look again".
        let (sender, events) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Our own reading isn't a change; an error (an overflow, say) may hide one.
            if event.is_ok_and(|event| event.kind.is_access()) {
                return;
            }
            let _ = sender.try_send(());
        })?;
        watcher.watch(directory, RecursiveMode::Recursive)?;
        Ok(Self {
            events,
            _watcher: watcher,
        })
    }

    /// Waits for the next change and until it has settled. `None`: the watch has ended.
    pub(super) async fn next(&mut self) -> Option<()> {
        self.events.recv().await?;
        let limit = Instant::now() + SETTLE_AT_MOST;
        while let Ok(event) = timeout_at(limit.min(Instant::now() + SETTLE), self.events.recv()).await {
            event?;
            if Instant::now() >= limit {
                break;
            }
        }
        Some(())
    }
}

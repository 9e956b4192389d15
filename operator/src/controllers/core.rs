use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Client;
use kube::runtime::events::Recorder;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::fetch::{Fetched, Wanted, fetch};
use super::rewind::versions;
use super::sighting::{Sighting, Source};
use super::state::{Announcement, Options, State, Task};
use super::watches::Watches;
use crate::leader::Leadership;
use crate::publish::{Lane, Limit, Outcome, Queue, Writer, announce};
use crate::run::{Health, Metrics};

/// Sightings that may wait; more hold the watches up.
const WAITING: usize = 4_096;

/// Sightings that are taken in before anything is rendered or written.
const BATCH: usize = 1_024;

/// Secrets that are read at a time.
const READS: usize = 16;

/// How often Secrets are looked at that no watch tells of.
const UNWATCHED: Duration = Duration::from_secs(30);

/// Longest sleep of the loop: the probe wants to see it turn.
const TURN: Duration = Duration::from_secs(5);

/// How long writes that are under way may take when the operator ends.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// What the loop works with.
pub struct Context {
    /// For watches and reads.
    pub client: Client,
    /// For writes.
    pub writer: Writer,
    /// Whether this replica leads.
    pub leadership: Leadership,
    /// Changes when the Lease went back to an older version.
    pub rewound: watch::Receiver<u64>,
    /// For events.
    pub recorder: Recorder,
    /// For the probes.
    pub health: Arc<Health>,
    /// For Prometheus.
    pub metrics: Arc<Metrics>,
}

/// Runs until `stop`; returns when the last write that was under way has ended.
pub async fn run(context: Context, options: Options, stop: CancellationToken) {
    let (sender, sightings) = mpsc::channel(WAITING);
    let (version_sender, versions_seen) = mpsc::channel(1);
    let poll = tokio::spawn(versions(context.client.clone(), version_sender));
    let now = Instant::now();
    let reads = Limit {
        in_flight: READS,
        per_second: 1_000.0,
        burst: 1_000.0,
    };
    let mut core = Core {
        watches: Watches::new(context.client.clone(), sender),
        sources: BTreeSet::new(),
        state: State::new(options, now),
        reads: Queue::new([(Lane::Traffic, reads)], now),
        writes: JoinSet::new(),
        fetches: JoinSet::new(),
        events: JoinSet::new(),
        leads: false,
        next_render: None,
        next_unwatched: now + UNWATCHED,
        context,
    };
    core.turn_until(stop, sightings, versions_seen).await;
    poll.abort();
    core.end().await;
}

/// Waits for a change; for ever when nobody can tell any more.
async fn changed(count: &mut watch::Receiver<u64>) {
    if count.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

struct Core {
    context: Context,
    state: State,
    watches: Watches,
    sources: BTreeSet<Source>,
    reads: Queue<Wanted>,
    writes: JoinSet<(Task, Outcome, Duration)>,
    fetches: JoinSet<Fetched>,
    events: JoinSet<()>,
    leads: bool,
    next_render: Option<Instant>,
    next_unwatched: Instant,
}

impl Core {
    async fn turn_until(
        &mut self,
        stop: CancellationToken,
        mut sightings: mpsc::Receiver<Sighting>,
        mut versions_seen: mpsc::Receiver<u64>,
    ) {
        let mut batch = Vec::new();
        loop {
            let wake = self.turn();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(done) = self.writes.join_next() => self.write_ended(done),
                Some(done) = self.fetches.join_next() => self.fetch_ended(done),
                Some(version) = versions_seen.recv() => self.version(version),
                count = sightings.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    self.take_in(&mut batch);
                }
                () = self.context.leadership.changed() => {}
                () = changed(&mut self.context.rewound) => self.rewound(),
                Some(_) = self.events.join_next() => {}
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            // Whatever else has ended meanwhile belongs to the same turn.
            while let Some(done) = self.writes.try_join_next() {
                self.write_ended(done);
            }
            while let Some(done) = self.fetches.try_join_next() {
                self.fetch_ended(done);
            }
        }
    }

    /// Renders what was touched and begins what may be begun. Returns when to turn again at the latest.
    fn turn(&mut self) -> Instant {
        let started = self.state.started();
        let begun = Instant::now();
        let next = self.state.render(Timestamp::now(), begun);
        if self.state.started() && !started {
            info!(
                elapsed_ms = begun.elapsed().as_millis(),
                "everything is listed and rendered"
            );
        }
        self.context.metrics.rendered(begun.elapsed());
        self.next_render = next.map(|at| {
            let wait = Duration::try_from(
                Timestamp::now()
                    .until(at)
                    .and_then(jiff::Span::try_into)
                    .unwrap_or(jiff::SignedDuration::ZERO),
            );
            Instant::now() + wait.unwrap_or_default()
        });
        self.watch();
        self.read();
        self.write();
        self.tell();
        let now = Instant::now();
        self.context.health.beat(
            now,
            if started {
                BTreeSet::new()
            } else {
                self.state.waiting()
            },
        );
        self.context.metrics.update(&self.state, self.leads);
        [
            self.next_render,
            self.state.queue().wake_at(),
            self.reads.wake_at(),
            Some(self.next_unwatched),
        ]
        .into_iter()
        .flatten()
        .chain([now + TURN])
        .min()
        .unwrap_or(now)
        .max(now)
    }

    /// Starts and stops watches as they are needed.
    fn watch(&mut self) {
        let wanted = self.state.wanted_sources();
        if wanted != self.sources {
            for source in self.watches.want(&wanted) {
                self.state.stopped(&source);
            }
            self.sources = wanted;
        }
    }

    fn take_in(&mut self, batch: &mut Vec<Sighting>) {
        for sighting in batch.drain(..) {
            if self.watches.is_current(&sighting) {
                self.state.sighted(sighting);
            }
        }
        if self.state.told_of_a_rewind() {
            self.restart();
        }
    }

    fn version(&mut self, version: u64) {
        if self.state.store_version(version) {
            self.restart();
        }
    }

    fn rewound(&mut self) {
        self.state.store_rewound();
        self.restart();
    }

    fn restart(&mut self) {
        self.watches.restart();
        self.state.restarted();
    }

    fn read(&mut self) {
        let now = Instant::now();
        let mut wanted = self.state.to_fetch();
        if now >= self.next_unwatched {
            self.next_unwatched = now + UNWATCHED;
            wanted.extend(self.state.unwatched());
        }
        for wanted in wanted {
            self.reads.mark(wanted, Lane::Traffic);
        }
        while let Some(wanted) = self.reads.take(now) {
            if self.state.wants(&wanted) {
                self.fetches.spawn(fetch(self.context.client.clone(), wanted));
            } else {
                self.reads.done(&wanted, false, now, 0.5);
            }
        }
    }

    fn fetch_ended(&mut self, done: Result<Fetched, tokio::task::JoinError>) {
        let Ok(fetched) = done else { return };
        let (wanted, failed) = match &fetched {
            Fetched::Named(name, _) => (Wanted::Named(name.clone()), false),
            Fetched::Published(name, _) => (Wanted::Published(name.clone()), false),
            Fetched::Failed(wanted, error) => {
                debug!(?wanted, error, "a Secret can't be read; it is tried again");
                (wanted.clone(), true)
            }
        };
        self.reads.done(&wanted, failed, Instant::now(), fastrand::f64());
        self.state.fetched(fetched);
    }

    /// Begins writes, while this replica leads.
    fn write(&mut self) {
        let now = Instant::now();
        let leads = self.state.started() && self.context.leadership.may_write(now, Writer::LONGEST);
        if leads && !self.leads {
            self.state.leads();
        }
        self.leads = leads;
        if !leads {
            return;
        }
        let wall = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        while let Some((task, write)) = self.state.next_write(now, &wall) {
            let writer = self.context.writer.clone();
            self.writes.spawn(async move {
                let begun = Instant::now();
                let outcome = writer.write(write).await;
                (task, outcome, begun.elapsed())
            });
        }
    }

    fn write_ended(&mut self, done: Result<(Task, Outcome, Duration), tokio::task::JoinError>) {
        let Ok((task, outcome, took)) = done else { return };
        self.context.metrics.written(&task, &outcome, took);
        self.state
            .written(&task, outcome, Instant::now(), fastrand::f64());
    }

    fn tell(&mut self) {
        for Announcement { about, notices } in self.state.announcements() {
            let recorder = self.context.recorder.clone();
            self.events
                .spawn(async move { announce(&recorder, &about, notices).await });
        }
    }

    /// Lets the writes that are under way end.
    async fn end(mut self) {
        let ended = tokio::time::timeout(LAST_WRITES, async {
            while self.writes.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            debug!("writes were still under way");
        }
    }
}

//! Carries out what the state machine asks for, one request at a time, and hands over what comes of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use breakwater_crds::Acknowledgement;
use breakwater_edge_config::incarnation::{ACCEPT_SITES_ANNOTATION, CONFIG_MAP};
use futures::future::{BoxFuture, FutureExt, OptionFuture};
use futures::stream::StreamExt;
use tokio::sync::watch;
use tokio::time::Instant;

use super::keep::{self, Keeper};
use super::options::Options;
use super::requests::{RequestError, Requests};
use super::sync::{Action, Ask, Input, Probe, Sync};
use crate::Edge;
use crate::source::Gauges;
use crate::source::disk::{Disk, Loaded, Op, Writer};
use crate::source::node::{self, Report};

/// How much of what is there is taken over at once.
const BATCH: usize = 256;
/// Between two looks at the incarnation, while watching.
const CHECK: Duration = Duration::from_secs(10);
/// The same while something waits for what it says.
const CHECK_SOON: Duration = Duration::from_secs(2);
/// After so many failures in a row the API counts as unreachable, and the client is made anew.
const MANY_FAILURES: u32 = 5;

/// Why an edge can't begin to follow the API. What goes wrong later is waited out.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory or its key can't be used; a person has to set this right.
    #[error("state: {0}")]
    State(#[source] std::io::Error),
}

/// Keeps `edge` in step with the API, for as long as the future is polled. First it takes over what the
/// node's disk has; [`Edge::set_complete`] follows at once when that was everything, else when the API has
/// told everything. It never listens; that is the caller's to do when the edge is complete.
pub async fn run(edge: Edge, options: Options) -> Result<(), StartError> {
    let gauges = edge.source();
    let disk =
        Disk::open(&options.state_dir, options.state_key_file.as_deref()).map_err(StartError::State)?;
    let writer = disk.writer(Arc::clone(&gauges)).map_err(StartError::State)?;
    let loaded = load(disk, &gauges).await;
    let (keeper, kept, ops) = Keeper::start(edge.clone(), loaded);
    let sync = Sync::new(kept);
    let requests = Requests::new(
        &options.namespace,
        options.kubeconfig.clone(),
        Arc::clone(&gauges),
    );
    let (report, reports) = watch::channel(Report::default());
    let mut follower = Follower {
        namespace: options.namespace.clone(),
        edge: edge.clone(),
        sync,
        keeper,
        writer,
        requests: Arc::new(requests),
        report,
        gauges: Arc::clone(&gauges),
        told_complete: false,
        caught_up: false,
        held_back: 0,
    };
    follower.writer.send(ops);
    if follower.sync.position().is_none() && !follower.sync.hold().names.is_empty() {
        // What is held back must not be forgotten when the mark on disk doesn't hold.
        follower.writer.send(vec![keep::mark(&follower.sync)]);
    }
    follower.tell();
    tokio::join!(follower.follow(), node::keep(edge, options, reports, gauges));
    Ok(())
}

async fn load(disk: Disk, gauges: &Gauges) -> Loaded {
    let started = Instant::now();
    let loaded = tokio::task::spawn_blocking(move || disk.load()).await;
    let loaded = match loaded.map_err(std::io::Error::other).and_then(|loaded| loaded) {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(%error, "the state on disk can't be read; everything comes from the API");
            Loaded {
                damaged: 1,
                ..Loaded::default()
            }
        }
    };
    for what in &loaded.damage {
        tracing::error!(
            what,
            "damaged on disk, or encrypted with another key; fetched anew from the API"
        );
    }
    gauges.disk_damaged.set(loaded.damaged as u64);
    let (objects, damaged, complete) = (loaded.objects.len(), loaded.damaged, loaded.complete);
    tracing::info!(
        objects,
        damaged,
        complete,
        took_ms = started.elapsed().as_millis(),
        "state read from disk"
    );
    loaded
}

struct Follower {
    namespace: String,
    edge: Edge,
    sync: Sync,
    keeper: Keeper,
    writer: Writer,
    requests: Arc<Requests>,
    report: watch::Sender<Report>,
    gauges: Arc<Gauges>,
    told_complete: bool,
    /// Everything that the API had when this process began has come.
    caught_up: bool,
    held_back: usize,
}

type Check = BoxFuture<'static, (u64, Result<Probe, RequestError>)>;

impl Follower {
    async fn follow(&mut self) {
        let mut asked = self.requests.ask(Ask::Probe).ready_chunks(BATCH);
        let mut check: Option<Check> = None;
        let mut next_check = Instant::now() + CHECK;
        loop {
            let inputs = tokio::select! {
                inputs = asked.next() => inputs.unwrap_or_else(|| vec![Input::Ended { at_once: true }]),
                Some((since, answer)) = OptionFuture::from(check.as_mut()) => {
                    check = None;
                    next_check = Instant::now() + self.check_after();
                    match answer {
                        Ok(probe) => vec![Input::Checked { probe, since }],
                        Err(_) => continue,
                    }
                }
                () = tokio::time::sleep_until(next_check), if check.is_none() && self.sync.watching() => {
                    check = Some(self.check());
                    continue;
                }
            };
            if let Some(ask) = self.take(inputs) {
                check = None;
                next_check = next_check.min(Instant::now() + self.check_after());
                if self.sync.failures() > 0 && self.sync.failures().is_multiple_of(MANY_FAILURES) {
                    self.requests.reconnect().await;
                }
                asked = self.requests.ask(ask).ready_chunks(BATCH);
            }
        }
    }

    /// A look at the incarnation beside the watch. That it fails says nothing that the watch won't say.
    fn check(&self) -> Check {
        let (since, requests) = (self.sync.version(), Arc::clone(&self.requests));
        async move { (since, requests.probe().await) }.boxed()
    }

    fn check_after(&self) -> Duration {
        let named = self
            .sync
            .position()
            .is_some_and(|position| !position.incarnation.is_empty());
        let usual = if named && self.sync.hold().names.is_empty() {
            CHECK
        } else {
            CHECK_SOON
        };
        usual.mul_f64(fastrand::f64().mul_add(0.4, 0.8))
    }

    /// Takes in what happened, up to what asks for another request; the rest belongs to the old one.
    fn take(&mut self, inputs: Vec<Input>) -> Option<Ask> {
        let (mut ask, mut moved) = (None, false);
        let mut told_all = false;
        for input in inputs {
            if matches!(
                input,
                Input::Put { .. } | Input::Deleted { .. } | Input::Bookmark { .. }
            ) {
                self.note_event();
            }
            told_all |= matches!(input, Input::Bookmark { .. });
            for action in self.sync.step(input) {
                match action {
                    Action::Put { name, hash, files } => self.keeper.put(name, hash, files),
                    Action::Remove { name } => self.keeper.remove(name),
                    Action::Moved => moved = true,
                    Action::Ask(next) => ask = Some(next),
                }
            }
            if ask.is_some() {
                break;
            }
        }
        self.keeper.commit();
        // A bookmark comes after all that happened before it.
        if told_all && self.sync.watching() && !self.caught_up {
            self.caught_up = true;
            self.edge.trust_stored();
        }
        let mut ops = self.keeper.take_ops();
        if moved {
            ops.push(keep::mark(&self.sync));
        }
        if !ops.is_empty() {
            self.writer.send(ops);
        }
        self.tell();
        ask
    }

    fn note_event(&self) {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        self.gauges.last_event_s.set(now.as_secs());
    }

    /// Tells everyone who wants to know where it is.
    fn tell(&mut self) {
        if self.sync.complete() && !self.told_complete {
            self.told_complete = true;
            self.writer.send(vec![Op::Complete]);
            self.edge.set_complete();
        }
        let held_back = self.sync.hold().names.len();
        self.gauges.watching.set(self.sync.watching());
        self.gauges.objects.set(self.sync.objects() as u64);
        self.gauges.held_back.set(held_back as u64);
        self.gauges.version.set(self.sync.version());
        self.gauges.lists.set(self.sync.lists().0);
        if held_back != self.held_back {
            self.tell_hold(held_back);
        }
        let acknowledged = self.sync.acknowledged().map(|position| Acknowledgement {
            incarnation: position.incarnation.clone(),
            resource_version: position.version.to_string(),
        });
        let held = if held_back > 0 {
            Some("ListShrank")
        } else if self.sync.failures() >= MANY_FAILURES {
            Some("ApiUnreachable")
        } else {
            None
        };
        let report = Report {
            acknowledged,
            held,
            lists: self.sync.lists().0,
        };
        self.report.send_if_modified(|old| {
            let changed = *old != report;
            *old = report;
            changed
        });
    }

    fn tell_hold(&mut self, held_back: usize) {
        self.held_back = held_back;
        if held_back == 0 {
            tracing::info!("nothing is held back any more");
            return;
        }
        let sites = self.sync.believed_sites();
        let incarnation = self
            .sync
            .position()
            .map_or("", |position| position.incarnation.as_str());
        let accept = format!(
            "kubectl -n {} annotate --overwrite configmap {CONFIG_MAP} {ACCEPT_SITES_ANNOTATION}={incarnation}/{sites}",
            self.namespace
        );
        tracing::warn!(
            held_back,
            sites,
            accept,
            "a list shrank; what it lacks is served until somebody accepts that"
        );
    }
}

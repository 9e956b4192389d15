//! What the operator knows and wants, as a synchronous state machine.
//!
//! In: sightings of the watches, contents of Secrets, what became of writes, versions of the store, the
//! time. Out: which watches and Secrets it needs, and what to write now. One task drives it; nothing in here
//! waits, asks a clock, or talks to anybody.

mod fetches;
mod incarnations;
mod intake;
mod notes;
mod patience;
mod published;
mod region;
mod regions;
mod secrets;
mod sources;
mod statuses;
#[cfg(test)]
mod tests;
mod withdrawals;
mod writes;

use notes::UnderWay;
pub use notes::{Announcement, Seen, Status};
use patience::Patience;
pub use region::RegionState;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;

use breakwater_crds::EdgeRegionSpec;
use breakwater_render::acknowledge::RegionEdges;
use breakwater_render::{Index, Key as ObjectKey, Name, PolicyKey, SecretPosition, Settings, StatusUpdate};
use ipnet::IpNet;

use super::rewind::Highest;
use super::sighting::{Key, Machine, Source};
use crate::publish::{Lane, Limit, MayGo, Queue, Write};
use crate::regions::EdgeSettings;

/// What the state machine is told once.
#[derive(Clone, Debug)]
pub struct Options {
    /// For render.
    pub settings: Settings,
    /// Namespaces whose objects are watched; empty: all.
    pub watch_namespaces: Vec<String>,
    /// What all edges share.
    pub edge: EdgeSettings,
    /// Regions to apply, by name.
    pub regions: BTreeMap<String, EdgeRegionSpec>,
    /// Writes at a time.
    pub writes: usize,
    /// How many sites may go at once.
    pub may_go: MayGo,
}

/// Something to write. What exactly is decided when its turn comes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// A published Secret: to write or to delete.
    Secret(SecretPosition),
    /// A status.
    Status(StatusOf),
    /// A region's `DaemonSet`.
    DaemonSet(String),
    /// A region's metrics Service.
    MetricsService(String),
    /// A region's incarnation.
    Incarnation(String),
    /// An `EdgeRegion` that the platform's settings name.
    Region(String),
}

/// Whose status.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusOf {
    /// An `EdgeSite`'s.
    Site(Name),
    /// A policy's.
    Policy(PolicyKey),
    /// An `EdgeRegion`'s.
    Region(String),
}

impl StatusOf {
    /// Of the object with this key; `None` for kinds whose status the operator doesn't write.
    pub fn of(key: &ObjectKey) -> Option<Self> {
        Some(match key {
            ObjectKey::EdgeSite(name) => Self::Site(name.clone()),
            ObjectKey::Policy(policy) => Self::Policy(policy.clone()),
            ObjectKey::EdgeRegion(name) => Self::Region(name.clone()),
            _ => return None,
        })
    }
}

/// What to do about a task whose turn has come.
#[derive(Debug)]
pub enum Begin {
    /// Write this.
    Write(Box<Write>),
    /// Nothing any more.
    Nothing,
    /// Not before then.
    Later(Instant),
}

/// Everything that is known and wanted.
#[derive(Debug)]
pub struct State {
    options: Options,
    index: Index,
    queue: Queue<Task>,
    /// Of the last call of [`State::render`].
    now: Instant,
    /// Everything was listed once.
    started: bool,

    listed: HashSet<Source>,
    known: HashMap<Source, HashSet<Key>>,
    failing: BTreeMap<Source, String>,

    objects: HashMap<StatusOf, Seen>,
    namespaces: BTreeSet<String>,
    machines: BTreeMap<String, Machine>,
    api_servers: BTreeMap<Key, Vec<IpNet>>,
    regions: BTreeMap<String, RegionState>,
    /// Edges of each region.
    edges: BTreeMap<String, RegionEdges>,

    /// Namespaces whose Services are needed.
    service_namespaces: BTreeSet<String>,
    /// Versions of the Secrets that sites may name.
    secret_versions: HashMap<Name, String>,
    /// Secrets that sites name.
    needed_secrets: BTreeSet<Name>,
    /// Secrets whose content is to be read (again).
    fetch: BTreeSet<Name>,
    /// Published Secrets whose bytes are to be read.
    fetch_files: BTreeSet<SecretPosition>,

    secrets: secrets::Pending,
    updates: HashMap<StatusOf, StatusUpdate>,
    carried: HashMap<SecretPosition, BTreeSet<StatusOf>>,
    /// Statuses that wait for edges, by region.
    unsettled: BTreeMap<String, BTreeSet<StatusOf>>,
    under_way: HashMap<StatusOf, UnderWay>,
    /// Statuses that aren't written yet, since what they wait for is soon there.
    patience: HashMap<StatusOf, Patience>,
    /// What people are to be told.
    announcements: Vec<Announcement>,

    highest: Highest,
    /// Another replica has renewed an incarnation.
    told_of_a_rewind: bool,
}

impl State {
    /// Knows nothing yet.
    pub fn new(options: Options, now: Instant) -> Self {
        let limit = |in_flight, per_second, burst| Limit {
            in_flight,
            per_second,
            burst,
        };
        let writes = options.writes;
        let limits = [
            (Lane::Traffic, limit(writes, 5_000.0, 5_000.0)),
            (Lane::Paced, limit(writes.div_ceil(4), 50.0, 50.0)),
            (Lane::Status, limit(writes.div_ceil(2), 200.0, 400.0)),
        ];
        let mut state = Self {
            index: Index::new(options.settings.clone()),
            queue: Queue::new(limits, now),
            options,
            now,
            started: false,
            listed: HashSet::new(),
            known: HashMap::new(),
            failing: BTreeMap::new(),
            objects: HashMap::new(),
            namespaces: BTreeSet::new(),
            machines: BTreeMap::new(),
            api_servers: BTreeMap::new(),
            regions: BTreeMap::new(),
            edges: BTreeMap::new(),
            service_namespaces: BTreeSet::new(),
            secret_versions: HashMap::new(),
            needed_secrets: BTreeSet::new(),
            fetch: BTreeSet::new(),
            fetch_files: BTreeSet::new(),
            secrets: secrets::Pending::default(),
            updates: HashMap::new(),
            carried: HashMap::new(),
            unsettled: BTreeMap::new(),
            under_way: HashMap::new(),
            patience: HashMap::new(),
            announcements: Vec::new(),
            highest: Highest::default(),
            told_of_a_rewind: false,
        };
        for name in state.options.regions.keys() {
            state.queue.mark(Task::Region(name.clone()), Lane::Traffic);
        }
        state
    }

    /// Everything was listed once, so that writing may begin.
    pub fn started(&self) -> bool {
        self.started
    }

    /// The queue of writes.
    pub fn queue(&self) -> &Queue<Task> {
        &self.queue
    }

    /// Takes the next task whose turn has come, with what to write for it. Tasks that need nothing are
    /// passed over.
    pub fn next_write(&mut self, now: Instant, wall: &str) -> Option<(Task, Write)> {
        loop {
            let task = self.queue.take(now)?;
            let begin = match &task {
                Task::Secret(position) => self.begin_secret(position, now),
                Task::Status(of) => self.begin_status(of, now, wall),
                Task::DaemonSet(region) => self.begin_daemon_set(region),
                Task::MetricsService(region) => self.begin_metrics_service(region),
                Task::Incarnation(region) => self.begin_incarnation(region),
                Task::Region(name) => self.begin_region(name),
            };
            match begin {
                Begin::Write(write) => return Some((task, *write)),
                Begin::Nothing => {
                    self.refused(&task, None);
                    self.queue.done(&task, false, now, 0.5);
                }
                Begin::Later(at) => self.queue.postpone(&task, at),
            }
        }
    }
}

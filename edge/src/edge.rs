use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use breakwater_edge_cache::{Cache, CacheConfig, seed_in};
use breakwater_edge_guard::{RateTable, Seed};
use breakwater_edge_proxy::Shared;
use breakwater_edge_proxy::compile::Directory;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::active::{Active, Change, Failure, Target};
use crate::control::Control;
use crate::handover::{Giver, Place, socket_path};
use crate::listen::{
    Certificates, Clock, Common, Drain, Group, OpenConnections, Policies, Role, Seat, Workers, cores, deal,
};
use crate::listeners;
use crate::memory;
use crate::observe::{AccessLog, Admin, AdminSockets, Counters, Exposition};
use crate::options::{CacheDisk, EdgeOptions};
use crate::origin::{Origins, OriginsOptions};
use crate::purge::{Purger, Sweeper, carry_out};
use crate::source::Gauges;
use crate::state::{State, Status};
use crate::tier::Tier;

/// Why an edge can't start or listen.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket couldn't be made.
    #[error("{what}: {error}")]
    Socket {
        /// Which.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// A thread or its runtime couldn't be started.
    #[error("a thread can't be started: {0}")]
    Thread(std::io::Error),
    /// The access log can't be opened.
    #[error("the access log can't be opened: {0}")]
    Log(std::io::Error),
    /// The options ask for what can't be.
    #[error("{0}")]
    Options(String),
    /// It was asked to listen before [`Edge::set_complete`].
    #[error("the configuration isn't complete")]
    NotComplete,
    /// It listens already, or has begun to stop.
    #[error("it listens already, or has begun to stop")]
    AlreadyListening,
}

/// Where an edge listens; ports that were asked for as 0 are real here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Plain HTTP.
    pub http: Vec<SocketAddr>,
    /// HTTPS.
    pub https: Vec<SocketAddr>,
    /// The admin server.
    pub admin: Option<SocketAddr>,
}

/// A running edge. Clones are handles to the same one; when the last one goes, so does the edge, at once.
/// All calls may be made from any thread, inside or outside a runtime; those that aren't `async` don't wait
/// for anything but their own work.
#[derive(Clone)]
pub struct Edge {
    inner: Arc<Inner>,
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}

struct Inner {
    options: EdgeOptions,
    state: Arc<State>,
    common: Arc<Common>,
    drain: watch::Sender<Drain>,
    given: watch::Sender<Vec<Place>>,
    counters: Vec<Arc<Counters>>,
    changed: watch::Sender<u64>,
    running: Mutex<Running>,
    control: Control,
}

/// What is running, and has to be ended.
struct Running {
    addresses: Addresses,
    workers: Option<Workers>,
    log: AccessLog,
    admin: Option<Admin>,
    /// Gives the listeners to the next process.
    giver: Option<Giver>,
}

impl Edge {
    /// Makes an edge and starts its admin server, which answers from now on. It doesn't listen for visitors
    /// yet.
    pub fn start(options: EdgeOptions) -> Result<Self, StartError> {
        let options = EdgeOptions {
            cache_max_bytes: memory::cache_bytes(&options),
            ..options
        };
        let workers = worker_count(&options);
        let counters: Vec<Arc<Counters>> = (0..workers).map(|_| Arc::default()).collect();
        let control = Control::start().map_err(StartError::Thread)?;
        let origins = Origins::new(OriginsOptions {
            allow_local: options.allow_local_origins,
            name_servers: options.name_servers.clone(),
            ..OriginsOptions::new(control.handle())
        });
        let (drain, draining) = watch::channel(Drain::No);
        let (given, taken) = watch::channel(Vec::new());
        let (state, common) = assemble(&options, &origins, draining, taken)?;
        let log = AccessLog::start(&options.access_log).map_err(StartError::Log)?;
        let mut addresses = Addresses::default();
        let admin = start_admin(&options, &state, &counters, &mut addresses)?;
        Ok(Self {
            inner: Arc::new(Inner {
                options,
                state,
                common,
                drain,
                given,
                counters,
                changed: watch::Sender::new(0),
                control,
                running: Mutex::new(Running {
                    addresses,
                    workers: None,
                    log,
                    admin,
                    giver: None,
                }),
            }),
        })
    }

    /// Takes changes over, all at once. Returns what of these objects, or because of them, can't be used;
    /// everything that can't be used at present is in [`Edge::status`].
    pub fn apply(&self, changes: Vec<Change>) -> Vec<Failure> {
        let failures = self.inner.state.active().apply(changes);
        self.note_change();
        failures
    }

    /// Says that the source has told everything that it had at the start: the region's settings and every
    /// site. Only then may it listen.
    pub fn set_complete(&self) {
        self.inner.state.complete.store(true, Ordering::Release);
        self.note_change();
    }

    /// Says that every purge that was acknowledged anywhere before this edge began has come here. Until then,
    /// with [`EdgeOptions::doubt_stored`], what was stored before is validated before it is used.
    pub fn trust_stored(&self) {
        self.inner.state.cache.trust_stored();
    }

    /// Starts to listen; with a `state_dir` in place of the process that listens there now, which is waited
    /// for, a few seconds at most.
    pub fn listen(&self) -> Result<(), StartError> {
        let inner = &*self.inner;
        if !inner.state.complete.load(Ordering::Acquire) {
            return Err(StartError::NotComplete);
        }
        let mut running = inner.running();
        if running.workers.is_some() || inner.state.draining.load(Ordering::Acquire) {
            return Err(StartError::AlreadyListening);
        }
        let mut before = listeners::take_over(&inner.options);
        let groups = listeners::bind(&inner.options, inner.counters.len(), before.as_mut()).map_err(
            |(address, error)| StartError::Socket {
                what: address.to_string(),
                error,
            },
        )?;
        for Group { place, .. } in &groups {
            match place.role {
                Role::Http => running.addresses.http.push(place.address),
                Role::Https => running.addresses.https.push(place.address),
            }
        }
        let to_give = listeners::copies(&groups);
        let seats = deal(groups, inner.counters.len())
            .into_iter()
            .zip(&inner.counters)
            .map(|(listeners, counters)| Seat {
                listeners,
                lines: running.log.buffer(Arc::clone(counters)),
                counters: Arc::clone(counters),
            })
            .collect();
        let cores = if inner.options.pin_workers {
            cores()
        } else {
            Vec::new()
        };
        // Fewer cores than workers: the kernel knows better where they run.
        let cores = if cores.len() < inner.counters.len() {
            &[]
        } else {
            cores.as_slice()
        };
        running.workers = Some(Workers::start(&inner.common, seats, cores).map_err(StartError::Thread)?);
        inner.state.listening.store(true, Ordering::Release);
        running.giver = self.give_away(to_give);
        drop(running);
        if let Some(before) = before
            && let Err(error) = before.confirm()
        {
            tracing::warn!(%error, "the process before can't be told that this one serves");
        }
        self.note_change();
        Ok(())
    }

    /// Where it listens; before [`Edge::listen`] only the admin server.
    pub fn addresses(&self) -> Addresses {
        self.inner.running().addresses.clone()
    }

    /// What it has loaded and does.
    pub fn status(&self) -> Status {
        self.inner.state.status()
    }

    /// Where the source of configuration says how it is; shown by `/metrics`.
    pub(crate) fn source(&self) -> Arc<Gauges> {
        Arc::clone(&self.inner.state.source)
    }

    /// Tells when [`Edge::status`] may have changed.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Stops: accepts what is queued and no more, lets requests in flight end, and returns when the last
    /// has ended or the deadline has passed. A second call with a shorter deadline shortens it; with none,
    /// everything ends at once.
    pub async fn drain(&self, deadline: Duration) {
        self.stop(Drain::Stop {
            deadline: Instant::now() + deadline,
        });
        let workers = {
            let running = self.inner.running();
            running.workers.as_ref().map(Workers::watch)
        };
        if let Some(mut workers) = workers {
            workers.ended().await;
        }
        self.inner.running().log.finish();
        if let Some(tier) = &self.inner.state.tier {
            tier.finish();
        }
        self.inner.state.listening.store(false, Ordering::Release);
        self.note_change();
    }

    fn give_away(&self, sockets: Vec<(Place, TcpListener)>) -> Option<Giver> {
        let path = socket_path(self.inner.options.state_dir.as_deref()?);
        let inner = Arc::downgrade(&self.inner);
        let on_given = move |places| {
            if let Some(inner) = inner.upgrade() {
                inner.gave(places);
            }
        };
        let runtime = self.inner.control.handle();
        match Giver::start(&runtime, &path, sockets, on_given) {
            Ok(giver) => Some(giver),
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, %error, "the listeners can't be handed to the next process");
                None
            }
        }
    }

    /// Begins to stop; the earlier of two deadlines holds.
    fn stop(&self, wanted: Drain) {
        // Its copies would keep the listeners open with nobody to accept.
        self.inner.running().giver = None;
        self.inner.state.draining.store(true, Ordering::Release);
        if let Some(tier) = &self.inner.state.tier {
            tier.release();
        }
        self.inner
            .drain
            .send_modify(|drain| *drain = drain.sooner(wanted));
        self.note_change();
    }

    fn note_change(&self) {
        self.inner.changed.send_modify(|count| *count += 1);
    }
}

impl Inner {
    /// Another process serves from these sockets.
    fn gave(&self, places: Vec<Place>) {
        tracing::info!(?places, "the next process has taken the listeners over");
        self.given.send_replace(places);
        if let Some(tier) = &self.state.tier {
            tier.release();
        }
        if let Some(admin) = &mut self.running().admin {
            admin.release();
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut running = self.running();
        running.giver = None;
        let now = Drain::Stop {
            deadline: Instant::now(),
        };
        self.drain.send_modify(|drain| *drain = drain.sooner(now));
        if let Some(admin) = &mut running.admin {
            admin.finish();
        }
    }
}

fn worker_count(options: &EdgeOptions) -> usize {
    match options.workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    }
}

/// Where what was purged is remembered: wherever anything that may be purged outlives the process.
fn purge_dir(options: &EdgeOptions) -> Option<PathBuf> {
    let beside = |disk: &CacheDisk| disk.dir.with_extension("purges");
    let state = options.state_dir.as_ref().map(|dir| dir.join("purges"));
    state.or_else(|| options.cache_disk.as_ref().map(beside))
}

fn assemble(
    options: &EdgeOptions,
    origins: &Arc<Origins>,
    drain: watch::Receiver<Drain>,
    given: watch::Receiver<Vec<Place>>,
) -> Result<(Arc<State>, Arc<Common>), StartError> {
    let cache_bytes = usize::try_from(options.cache_max_bytes).unwrap_or(usize::MAX);
    // Under another secret its files would be taken for somebody else's.
    let stored_seed = match &options.cache_disk {
        Some(disk) => seed_of(disk)?,
        None => None,
    };
    let seed = match stored_seed {
        Some(seed) => seed,
        None => secret()?,
    };
    let cache = Cache::new(&CacheConfig::new(cache_bytes, seed))
        .map_err(|error| StartError::Options(format!("cache: {error}")))?;
    // First of all: what the cache's files hold is older than some of these.
    let log_dir = purge_dir(options);
    let purger = Arc::new(Purger::new(
        cache.clone(),
        log_dir.as_deref(),
        options.doubt_stored,
    ));
    let tier = match &options.cache_disk {
        Some(disk) if stored_seed.is_some() => {
            let [run, _] = halves(secret()?);
            Some(Tier::start(&cache, disk, run).map_err(StartError::Thread)?)
        }
        _ => None,
    };
    let rates = RateTable::new(options.rate_table_bytes, Seed(secret()?))
        .map_err(|error| StartError::Options(error.to_string()))?;
    let rates = Arc::new(rates);
    let directory = Arc::new(Directory::default());
    let certificates = Arc::new(Certificates::default());
    let policies = Policies::new().map_err(|error| StartError::Options(error.to_string()))?;
    let active = Active::new(Target {
        directory: Arc::clone(&directory),
        certificates: Arc::clone(&certificates),
        policies: Arc::new(policies),
        origins: Arc::clone(origins),
        purger: Arc::clone(&purger),
    });
    let state = State {
        tier,
        sweeper: Sweeper::start(&purger).map_err(StartError::Thread)?,
        purger: Arc::clone(&purger),
        cache: cache.clone(),
        rates: Arc::clone(&rates),
        directory: Arc::clone(&directory),
        origins: Arc::clone(origins),
        active: Mutex::new(active),
        complete: AtomicBool::new(false),
        listening: AtomicBool::new(false),
        draining: AtomicBool::new(false),
        started_at: SystemTime::now(),
        cache_max_bytes: options.cache_max_bytes,
        source: Arc::default(),
    };
    let proxy = Shared {
        directory,
        cache,
        rates,
        loop_id: options.loop_id.as_str().into(),
        workers: worker_count(options),
    };
    let common = Common {
        proxy: Arc::new(proxy),
        certificates,
        origins: Arc::clone(origins),
        limits: Arc::new(options.limits.clone()),
        open: OpenConnections::new(options.max_connections),
        http1: options.http1,
        clock: Clock::new(),
        drain,
        given,
    };
    Ok((Arc::new(state), Arc::new(common)))
}

/// The secret of what is stored already; `None`: it can't be read or made.
fn seed_of(disk: &CacheDisk) -> Result<Option<[u8; 16]>, StartError> {
    match seed_in(&disk.dir, secret()?) {
        Ok(seed) => Ok(Some(seed)),
        Err(error) => {
            let dir = disk.dir.display();
            tracing::warn!(%dir, %error, "the cache is in memory only: its directory can't be used");
            Ok(None)
        }
    }
}

fn halves(bytes: [u8; 16]) -> [u64; 2] {
    let number = u128::from_le_bytes(bytes);
    [number, number >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or(0))
}

/// From the system's random source.
fn secret() -> Result<[u8; 16], StartError> {
    let mut bytes = [0; 16];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(16) => Ok(bytes),
        Ok(_) => Err(StartError::Options(
            "the system gave too little randomness".to_owned(),
        )),
        Err(error) => Err(StartError::Options(format!("no randomness: {error}"))),
    }
}

fn start_admin(
    options: &EdgeOptions,
    state: &Arc<State>,
    counters: &[Arc<Counters>],
    addresses: &mut Addresses,
) -> Result<Option<Admin>, StartError> {
    if options.admin.is_none() && options.admin_socket.is_none() {
        return Ok(None);
    }
    let sockets = AdminSockets::bind(
        options.admin,
        options.admin_socket.as_deref(),
        options.state_dir.is_some(),
    )
    .map_err(|error| StartError::Socket {
        what: "admin server".to_owned(),
        error,
    })?;
    addresses.admin = sockets.address();
    let mut registry = Registry::default();
    let gauges = {
        let state = Arc::clone(state);
        move || state.measure()
    };
    registry.register_collector(Box::new(Exposition::new(counters.to_vec(), gauges)));
    let health = {
        let state = Arc::clone(state);
        move || state.health()
    };
    let purge = {
        let state = Arc::clone(state);
        move |body: &[u8]| carry_out(&state.purger, &state.directory, body)
    };
    Admin::start(sockets, registry, health, purge)
        .map(Some)
        .map_err(StartError::Thread)
}

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::active::{Active, Change, Failure};
use crate::options::EdgeOptions;

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
    /// A thread couldn't be started.
    #[error("a thread can't be started: {0}")]
    Thread(std::io::Error),
    /// It was asked to listen before [`Edge::set_complete`].
    #[error("the configuration isn't complete")]
    NotComplete,
    /// It listens already, or is draining.
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

/// What an edge has loaded and does.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its source has told everything that it had at the start.
    pub complete: bool,
    /// It accepts connections.
    pub listening: bool,
    /// It has begun to stop.
    pub draining: bool,
    /// The region that its settings name.
    pub region: Option<String>,
    /// Sites that it serves.
    pub sites: usize,
    /// What it can't use, sorted by object name.
    pub failures: Vec<Failure>,
    /// Counts changes of what it serves.
    pub generation: u64,
    /// Bytes that its cache holds in memory.
    pub cache_bytes: u64,
    /// Most bytes that its cache may hold in memory.
    pub cache_max_bytes: u64,
    /// When it started.
    pub started_at: SystemTime,
}

impl Status {
    /// It has its configuration and listens.
    pub fn ready(&self) -> bool {
        self.complete && self.listening && !self.draining
    }
}

/// A running edge. Clones are handles to the same one. All calls may be made from any thread, inside or
/// outside a runtime; those that aren't `async` return at once.
#[derive(Clone)]
pub struct Edge {
    inner: Arc<Inner>,
}

struct Inner {
    options: EdgeOptions,
    active: Mutex<Active>,
    complete: AtomicBool,
    listening: AtomicBool,
    draining: AtomicBool,
    started_at: SystemTime,
    changed: watch::Sender<u64>,
}

impl Edge {
    /// Makes an edge and starts its admin server, which answers from now on. It doesn't listen for visitors
    /// yet.
    pub fn start(options: EdgeOptions) -> Result<Self, StartError> {
        Ok(Self {
            inner: Arc::new(Inner {
                options,
                active: Mutex::default(),
                complete: AtomicBool::new(false),
                listening: AtomicBool::new(false),
                draining: AtomicBool::new(false),
                started_at: SystemTime::now(),
                changed: watch::Sender::new(0),
            }),
        })
    }

    /// Takes changes over, all at once: a request sees all of them or none. Returns what of these objects,
    /// or because of them, can't be used; everything that can't be used at present is in [`Edge::status`].
    pub fn apply(&self, changes: Vec<Change>) -> Vec<Failure> {
        let failures = self.active().apply(changes);
        self.note_change();
        failures
    }

    /// Says that the source has told everything that it had at the start: the region's settings and every
    /// site. Only then may it listen.
    pub fn set_complete(&self) {
        self.inner.complete.store(true, Ordering::Release);
        self.note_change();
    }

    /// Starts to listen.
    pub fn listen(&self) -> Result<(), StartError> {
        if !self.inner.complete.load(Ordering::Acquire) {
            return Err(StartError::NotComplete);
        }
        self.note_change();
        Ok(())
    }

    /// Where it listens; empty before [`Edge::listen`], but for the admin server.
    pub fn addresses(&self) -> Addresses {
        Addresses::default()
    }

    /// What it has loaded and does.
    pub fn status(&self) -> Status {
        let active = self.active();
        Status {
            complete: self.inner.complete.load(Ordering::Acquire),
            listening: self.inner.listening.load(Ordering::Acquire),
            draining: self.inner.draining.load(Ordering::Acquire),
            region: active.region().map(str::to_owned),
            sites: active.sites(),
            failures: active.failures(),
            generation: active.generation(),
            cache_bytes: 0,
            cache_max_bytes: self.inner.options.cache_max_bytes,
            started_at: self.inner.started_at,
        }
    }

    /// Tells when [`Edge::status`] may have changed.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Stops: accepts what is queued and no more, lets requests in flight end, and returns when the last
    /// has ended or the deadline has passed. A second call with a shorter deadline shortens it.
    pub async fn drain(&self, deadline: Duration) {
        let _ = deadline;
        self.inner.draining.store(true, Ordering::Release);
        self.note_change();
        std::future::ready(()).await;
    }

    fn active(&self) -> MutexGuard<'_, Active> {
        self.inner.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_change(&self) {
        self.inner.changed.send_modify(|count| *count += 1);
    }
}

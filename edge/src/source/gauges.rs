use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A number that one thread sets and others read.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Yes or no.
#[derive(Debug, Default)]
pub struct Flag(AtomicBool);

impl Flag {
    /// The answer.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it.
    pub fn set(&self, value: bool) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// What a source tells the metrics. All of it may be read at any time from any thread.
#[derive(Debug, Default)]
pub struct Gauges {
    /// A watch runs.
    pub watching: Flag,
    /// When the API last told something, bookmarks included; seconds since 1970, 0: never.
    pub last_event_s: Number,
    /// Lists begun since the start.
    pub lists: Number,
    /// Watches begun since the start.
    pub watches: Number,
    /// Requests that failed since the start, refusals included.
    pub failures: Number,
    /// Objects that are held.
    pub objects: Number,
    /// Of these, the ones that a list lacked and that are held back because it shrank too much.
    pub held_back: Number,
    /// The version up to which everything is taken over.
    pub version: Number,
    /// The state on disk can't be written at present.
    pub disk_failing: Flag,
    /// Objects or places on disk that couldn't be read at the start.
    pub disk_damaged: Number,
    /// Times that this edge's `EdgeNode` was written.
    pub node_writes: Number,
    /// Times that writing it failed.
    pub node_failures: Number,
}

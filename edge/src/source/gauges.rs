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

/// Name, help and value of a metric.
pub(crate) type Sample<V> = (&'static str, &'static str, V);

impl Gauges {
    /// What may go up and down.
    pub(crate) fn levels(&self) -> [Sample<i64>; 7] {
        let number = |number: &Number| i64::try_from(number.get()).unwrap_or(i64::MAX);
        [
            (
                "breakwater_source_watching",
                "1 while a watch of the API runs",
                self.watching.get().into(),
            ),
            (
                "breakwater_source_last_event_timestamp_seconds",
                "When the API last told something, bookmarks included; 0: never",
                number(&self.last_event_s),
            ),
            (
                "breakwater_source_objects",
                "Objects of the API that are held",
                number(&self.objects),
            ),
            (
                "breakwater_source_held_back",
                "Objects that a list lacked and that stay in use, because it shrank too much",
                number(&self.held_back),
            ),
            (
                "breakwater_source_version",
                "The resourceVersion up to which everything is taken over",
                number(&self.version),
            ),
            (
                "breakwater_state_write_failing",
                "1 while the configuration can't be written to the node's disk",
                self.disk_failing.get().into(),
            ),
            (
                "breakwater_state_damaged",
                "Objects on the node's disk that couldn't be read at the start",
                number(&self.disk_damaged),
            ),
        ]
    }

    /// What only goes up.
    pub(crate) fn totals(&self) -> [Sample<u64>; 5] {
        [
            (
                "breakwater_source_lists",
                "Lists of the API's objects that were begun",
                self.lists.get(),
            ),
            (
                "breakwater_source_watches",
                "Watches of the API that were begun",
                self.watches.get(),
            ),
            (
                "breakwater_source_failures",
                "Requests to the API that failed, refusals included",
                self.failures.get(),
            ),
            (
                "breakwater_edgenode_writes",
                "Times that the EdgeNode was written",
                self.node_writes.get(),
            ),
            (
                "breakwater_edgenode_failures",
                "Times that writing the EdgeNode failed",
                self.node_failures.get(),
            ),
        ]
    }
}

use std::fmt;

/// How a cache is set up. Fixed for its life.
#[derive(Clone)]
pub struct CacheConfig {
    /// Most bytes that entries, their index, and fills hold together.
    pub max_bytes: usize,
    /// Secret of the key hash, from the system's random source.
    pub seed: [u8; 16],
    /// Parts of the index with a lock each, 1 to 1,024. More than threads; 64 is plenty.
    pub shards: usize,
    /// How long requests for a key don't wait for each other after an answer that could not be shared.
    pub hit_for_miss_secs: u64,
    /// A request's `no-cache` or `max-age` makes an entry be validated no more often than this.
    pub advice_interval_ms: u64,
    /// Bounds of a fill.
    pub fill: FillLimits,
}

impl CacheConfig {
    /// Defaults: 64 shards, hit-for-miss of 5 s, request directives once a second.
    pub fn new(max_bytes: usize, seed: [u8; 16]) -> Self {
        Self {
            max_bytes,
            seed,
            shards: 64,
            hit_for_miss_secs: 5,
            advice_interval_ms: 1_000,
            fill: FillLimits::default(),
        }
    }
}

impl fmt::Debug for CacheConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheConfig")
            .field("max_bytes", &self.max_bytes)
            .field("shards", &self.shards)
            .field("fill", &self.fill)
            .finish_non_exhaustive()
    }
}

/// Bounds of one fill, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillLimits {
    /// The writer waits when it is this far ahead of the fastest reader.
    pub window_bytes: usize,
    /// In an answer that isn't stored, a reader this far behind the writer is aborted. At least the window.
    pub lag_bytes: usize,
    /// Once no reader is left, a fill that is stored goes on for this many bytes.
    pub orphan_bytes: u64,
}

impl Default for FillLimits {
    fn default() -> Self {
        Self {
            window_bytes: 256 * 1024,
            lag_bytes: 4 * 1024 * 1024,
            orphan_bytes: 8 * 1024 * 1024,
        }
    }
}

/// A configuration that no cache can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableConfig {
    /// Outside of 1 to 1,024.
    #[error("a cache has 1 to 1,024 shards, not {0}")]
    Shards(usize),
    /// Not enough for the tables of fixed size.
    #[error("a cache needs at least {needed_bytes} bytes, {given_bytes} given")]
    TooSmall {
        /// What was asked for.
        given_bytes: usize,
        /// The least that works.
        needed_bytes: usize,
    },
    /// A window of nothing stops every fill.
    #[error("a fill's window is at least 1 byte, and its lag no less than its window")]
    Window,
}

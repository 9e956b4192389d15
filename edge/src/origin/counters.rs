use std::sync::atomic::{AtomicU64, Ordering};

use super::error::OriginErrorKind;

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What happened with an origin since the edge started; kept over changes of the configuration.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: Counter,
    pub(super) retries: Counter,
    pub(super) refused_retries: Counter,
    pub(super) stale: Counter,
    errors: [Counter; OriginErrorKind::ALL.len()],
}

impl Counters {
    pub(super) fn note_error(&self, kind: OriginErrorKind) {
        if let Some(counter) = self.errors.get(kind as usize) {
            counter.add(1);
        }
    }

    pub(super) fn errors(&self) -> Vec<(OriginErrorKind, u64)> {
        OriginErrorKind::ALL
            .into_iter()
            .zip(self.errors.iter().map(Counter::get))
            .collect()
    }
}

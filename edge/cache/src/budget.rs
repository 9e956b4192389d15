//! What the cache holds in bytes, and who holds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound on memory, and how much of it is in use.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) max_bytes: usize,
    used_bytes: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            max_bytes,
            used_bytes: AtomicUsize::new(0),
        })
    }

    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_exceeded(&self) -> bool {
        self.used_bytes() > self.max_bytes
    }
}

/// Memory of a request that the cache's bound covers, given back when dropped. See
/// [`Cache::hold`](crate::Cache::hold).
#[derive(Debug)]
pub struct Held {
    pub(crate) _of_all: Charge,
    pub(crate) _of_held: Charge,
}

/// A part of a [`Budget`] that is given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// Takes `bytes`, whether there is room or not.
    pub(crate) fn new(budget: &Arc<Budget>, bytes: usize) -> Self {
        budget.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        Self {
            budget: Arc::clone(budget),
            bytes,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes more or gives back.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.budget
                .used_bytes
                .fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.budget
                .used_bytes
                .fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

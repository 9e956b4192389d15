//! What is in force, out of everything that a source has told: the last good state of each object, made
//! usable together.

mod change;

pub use change::{Change, Failure};

/// Every object by name, and what is served of it.
#[derive(Debug, Default)]
pub struct Active {
    generation: u64,
}

impl Active {
    /// Takes changes over; returns what can't be used of them.
    pub fn apply(&mut self, changes: Vec<Change>) -> Vec<Failure> {
        let _ = changes;
        self.generation += 1;
        Vec::new()
    }

    /// The region that the settings in force name.
    pub fn region(&self) -> Option<&str> {
        None
    }

    /// How many sites are served.
    pub fn sites(&self) -> usize {
        0
    }

    /// What can't be used, sorted by object name.
    pub fn failures(&self) -> Vec<Failure> {
        Vec::new()
    }

    /// Counts changes.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The core takes a turn at least this often; much longer without one means that it hangs.
const STUCK: Duration = Duration::from_mins(1);

/// What the probes are told. Written by the core, read by the admin server.
#[derive(Debug)]
pub struct Health {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    beat: Instant,
    waiting: BTreeSet<String>,
    started: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                beat: Instant::now(),
                waiting: BTreeSet::new(),
                started: false,
            }),
        }
    }
}

impl Health {
    /// The core took a turn; `waiting` is what isn't completely listed yet.
    pub fn beat(&self, now: Instant, waiting: BTreeSet<String>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        *inner = Inner {
            beat: now,
            started: inner.started || waiting.is_empty(),
            waiting,
        };
    }

    /// The core takes turns.
    pub fn live(&self) -> Result<(), String> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = inner.beat.elapsed();
        if silent > STUCK {
            return Err(format!("the core has taken no turn for {} s", silent.as_secs()));
        }
        Ok(())
    }

    /// Everything has been listed once. It stays ready when the API server goes away: being told so helps
    /// nobody.
    pub fn ready(&self) -> Result<(), String> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.started {
            return Ok(());
        }
        let waiting: Vec<_> = inner.waiting.iter().map(String::as_str).collect();
        Err(format!("not yet listed: {}", waiting.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_once_everything_was_listed_and_names_what_is_missing_before() {
        let health = Health::default();
        health.beat(Instant::now(), BTreeSet::from(["EdgeSite".to_owned()]));
        assert_eq!(health.ready(), Err("not yet listed: EdgeSite".to_owned()));
        health.beat(Instant::now(), BTreeSet::new());
        assert_eq!(health.ready(), Ok(()));
        health.beat(Instant::now(), BTreeSet::from(["Pod in a".to_owned()]));
        assert_eq!(health.ready(), Ok(()));
        assert_eq!(health.live(), Ok(()));
    }
}

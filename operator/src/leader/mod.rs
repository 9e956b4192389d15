//! Which replica writes: the holder of a Lease.
//!
//! In: the Lease and a monotonic clock. Out: [`Leadership`], which says until when this replica may write.
//! Every change of the Lease carries the version that was read, so two replicas never both believe that they
//! took it; and a holder that can't renew stops before another one may take over, because it counts from
//! before its request was sent, and the others from after they saw it. Wall clocks are written for people
//! and never compared.
//!
//! `kube-lease-manager` was read and not taken: it clears an expired Lease and renews its own without the
//! version that it read, compares wall clocks of different machines, and doesn't tell when the last renewal
//! was, so that no fence can be put around it.

mod decide;
mod elect;

pub use decide::{Sight, Step, decide};
pub use elect::{LeaseOptions, elect};

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How long this replica may write; cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Leadership {
    until: watch::Receiver<Option<Instant>>,
}

impl Leadership {
    /// Leadership that follows what `until` says.
    pub fn new(until: watch::Receiver<Option<Instant>>) -> Self {
        Self { until }
    }

    /// True when a write that takes at most `takes` ends while this replica leads.
    pub fn may_write(&self, now: Instant, takes: Duration) -> bool {
        self.until.borrow().is_some_and(|until| now + takes < until)
    }

    /// Waits for the next renewal, loss or gain.
    pub async fn changed(&mut self) {
        if self.until.changed().await.is_err() {
            // The elector has ended; nothing will change any more.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_might_outlive_the_lease_is_not_begun() {
        let now = Instant::now();
        let (sender, receiver) = watch::channel(None);
        let leadership = Leadership::new(receiver);
        let takes = Duration::from_secs(3);
        assert!(!leadership.may_write(now, takes));
        sender.send_replace(Some(now + Duration::from_secs(10)));
        assert!(leadership.may_write(now, takes));
        assert!(!leadership.may_write(now + Duration::from_secs(7), takes));
        sender.send_replace(None);
        assert!(!leadership.may_write(now, takes));
    }
}

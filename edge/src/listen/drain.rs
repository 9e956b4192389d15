use tokio::sync::watch;
use tokio::time::Instant;

/// What the edge is to do about stopping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Drain {
    /// Serve.
    #[default]
    No,
    /// Accept no more, finish what has begun.
    Stop {
        /// When everything that is left is cut off.
        deadline: Instant,
    },
}

impl Drain {
    /// Both wishes in one: the earlier deadline.
    pub(crate) fn sooner(self, wanted: Self) -> Self {
        match (self, wanted) {
            (Self::No, wanted) => wanted,
            (held, Self::No) => held,
            (Self::Stop { deadline: held }, Self::Stop { deadline }) => Self::Stop {
                deadline: held.min(deadline),
            },
        }
    }
}

/// Resolves with the deadline when draining begins; never, if the edge goes away without.
pub(crate) async fn begun(drain: &mut watch::Receiver<Drain>) -> Instant {
    loop {
        if let Drain::Stop { deadline } = *drain.borrow_and_update() {
            return deadline;
        }
        if drain.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Resolves when the deadline has passed; it may be moved while this waits.
pub(crate) async fn expired(drain: &mut watch::Receiver<Drain>) {
    loop {
        let deadline = begun(drain).await;
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => return,
            changed = drain.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

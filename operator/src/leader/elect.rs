use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Sight, Step, decide};

/// Which Lease, and how patient.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// This replica: its Pod's name and something that differs after a restart.
    pub identity: String,
    /// How long a holder leads after each renewal.
    pub duration: Duration,
    /// How often a holder renews.
    pub every: Duration,
    /// How often the others look: a Lease that is given back is taken by the next look.
    pub look: Duration,
    /// How long one request may take.
    pub request: Duration,
}

impl LeaseOptions {
    /// 10 s, renewed every 2 s: a failover takes at most 11 s after a crash, and half a second when the Lease
    /// is given back.
    pub fn new(namespace: &str, identity: String) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: "breakwater-operator".to_owned(),
            identity,
            duration: Duration::from_secs(10),
            every: Duration::from_secs(2),
            look: Duration::from_millis(500),
            request: Duration::from_secs(2),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error("no answer in time")]
    Timeout(#[from] tokio::time::error::Elapsed),
}

/// Takes part in the election until `stop`, telling `until` how long this replica leads; then gives the
/// Lease back, if it holds it. `rewound` counts how often the Lease went back to an older version.
pub async fn elect(
    client: Client,
    options: LeaseOptions,
    until: watch::Sender<Option<Instant>>,
    rewound: watch::Sender<u64>,
    stop: CancellationToken,
) {
    let api = Api::<Lease>::namespaced(client, &options.namespace);
    let mut elector = Elector {
        api,
        options,
        seen: None,
        version: 0,
        rewound,
    };
    while !stop.is_cancelled() {
        let pause = elector.round(&until).await;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
    let led = until.send_replace(None).is_some();
    if led {
        elector.give_back().await;
    }
}

struct Elector {
    api: Api<Lease>,
    options: LeaseOptions,
    seen: Option<(Lease, Sight)>,
    /// The Lease's newest version so far.
    version: u64,
    rewound: watch::Sender<u64>,
}

impl Elector {
    /// One look and, where it is due, one write. Returns how long to pause.
    async fn round(&mut self, until: &watch::Sender<Option<Instant>>) -> Duration {
        let every = self.options.every;
        if let Err(error) = self.look().await {
            Self::lapse(until);
            debug!(%error, "the Lease can't be read");
            return every / 2;
        }
        let now = Instant::now();
        let step = self.seen.as_ref().map_or(Step::Take, |(_, sight)| {
            decide(sight, &self.options.identity, now)
        });
        match step {
            Step::Wait(left) => {
                Self::lose(until, "another replica leads");
                left.min(self.options.look)
            }
            Step::Take | Step::Renew => match self.write(Some(now)).await {
                Ok(()) => {
                    let first = until.send_replace(Some(now + self.options.duration)).is_none();
                    if first {
                        info!(identity = self.options.identity, "this replica leads");
                    }
                    every
                }
                Err(error) => {
                    Self::lapse(until);
                    debug!(%error, ?step, "the Lease can't be written");
                    self.seen = None;
                    every / 2
                }
            },
        }
    }

    /// Says that leadership has ended when its time has passed.
    fn lapse(until: &watch::Sender<Option<Instant>>) {
        if until.borrow().is_some_and(|until| until <= Instant::now()) {
            Self::lose(until, "the Lease couldn't be renewed in time");
        }
    }

    fn lose(until: &watch::Sender<Option<Instant>>, why: &str) {
        if until.send_replace(None).is_some() {
            warn!(why, "this replica no longer leads");
        }
    }

    /// Reads the Lease, unless the last one seen is our own writing, which a renewal is made from.
    async fn look(&mut self) -> Result<(), LeaseError> {
        let own = |sight: &Sight| sight.holder.as_deref() == Some(&self.options.identity);
        if self.seen.as_ref().is_some_and(|(_, sight)| own(sight)) {
            return Ok(());
        }
        let lease =
            tokio::time::timeout(self.options.request, self.api.get_opt(&self.options.name)).await??;
        match lease {
            Some(lease) => self.saw(lease, Instant::now()),
            None => self.seen = None,
        }
        Ok(())
    }

    fn saw(&mut self, lease: Lease, now: Instant) {
        let spec = lease.spec.clone().unwrap_or_default();
        let mark = lease.metadata.resource_version.clone().unwrap_or_default();
        self.compare(&mark);
        let since = match &self.seen {
            Some((_, sight)) if sight.mark == mark => sight.since,
            _ => now,
        };
        let seconds = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
        let sight = Sight {
            holder: spec.holder_identity,
            duration: seconds.map_or(self.options.duration, Duration::from_secs),
            mark,
            since,
        };
        self.seen = Some((lease, sight));
    }

    /// The Lease is written all the time, so the holder notices a store that was restored from an older copy
    /// at its next renewal, however many writes have come since.
    fn compare(&mut self, mark: &str) {
        let Ok(version) = mark.parse() else { return };
        if version < self.version {
            self.rewound.send_modify(|count| *count += 1);
        }
        self.version = version;
    }

    /// Writes the Lease over exactly what was seen: held from `now` on, or free.
    async fn write(&mut self, held: Option<Instant>) -> Result<(), LeaseError> {
        let before = self.seen.as_ref().map(|(lease, _)| lease.clone());
        let new = before.is_none();
        let wanted = self.lease(before.unwrap_or_default(), held.is_some());
        let params = PostParams::default();
        let written = async {
            if new {
                self.api.create(&params, &wanted).await
            } else {
                self.api.replace(&self.options.name, &params, &wanted).await
            }
        };
        let lease = tokio::time::timeout(self.options.request, written).await??;
        self.saw(lease, held.unwrap_or_else(Instant::now));
        Ok(())
    }

    fn lease(&self, before: Lease, hold: bool) -> Lease {
        let spec = before.spec.unwrap_or_default();
        let own = spec.holder_identity.as_deref() == Some(&self.options.identity);
        let now = MicroTime(Timestamp::now());
        let transitions = spec.lease_transitions.unwrap_or(0);
        Lease {
            metadata: ObjectMeta {
                name: Some(self.options.name.clone()),
                namespace: Some(self.options.namespace.clone()),
                ..before.metadata
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(if hold {
                    self.options.identity.clone()
                } else {
                    String::new()
                }),
                lease_duration_seconds: i32::try_from(self.options.duration.as_secs()).ok(),
                acquire_time: if own { spec.acquire_time } else { Some(now.clone()) },
                renew_time: Some(now),
                lease_transitions: Some(if own { transitions } else { transitions + 1 }),
                ..LeaseSpec::default()
            }),
        }
    }

    async fn give_back(&mut self) {
        match self.write(None).await {
            Ok(()) => info!("the Lease is given back"),
            Err(error) => warn!(%error, "the Lease can't be given back; it runs out by itself"),
        }
    }
}

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::controllers::state::{State, StatusOf, Task};
use crate::publish::Outcome;

/// What the operator tells Prometheus.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    leader: Gauge<i64, AtomicI64>,
    waiting: Gauge<i64, AtomicI64>,
    in_flight: Gauge<i64, AtomicI64>,
    secrets_waiting: Gauge<i64, AtomicI64>,
    failing_watches: Gauge<i64, AtomicI64>,
    sites: Family<RegionLabel, Gauge<i64, AtomicI64>>,
    held: Family<RegionLabel, Gauge<i64, AtomicI64>>,
    writes: Family<WriteLabels, Counter<u64, AtomicU64>>,
    write_seconds: Histogram,
    render_seconds: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegionLabel {
    region: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    what: What,
    outcome: Became,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum What {
    Secret,
    SiteStatus,
    PolicyStatus,
    RegionStatus,
    RegionObject,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Became {
    Written,
    Deleted,
    Held,
    Conflict,
    Missing,
    Refused,
    Failed,
    NotLeading,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("breakwater_operator"),
            leader: Gauge::default(),
            waiting: Gauge::default(),
            in_flight: Gauge::default(),
            secrets_waiting: Gauge::default(),
            failing_watches: Gauge::default(),
            sites: Family::default(),
            held: Family::default(),
            writes: Family::default(),
            write_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 13)),
            render_seconds: Histogram::new(exponential_buckets(0.000_05, 4.0, 10)),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("leader", "1 while this replica writes", self.leader.clone());
        registry.register(
            "tasks_waiting",
            "Writes that wait, statuses included",
            self.waiting.clone(),
        );
        registry.register("tasks_in_flight", "Writes under way", self.in_flight.clone());
        registry.register(
            "secrets_waiting",
            "Published Secrets that differ from what is wanted",
            self.secrets_waiting.clone(),
        );
        registry.register(
            "watches_failing",
            "Watches that fail at present",
            self.failing_watches.clone(),
        );
        registry.register("sites", "Sites published to a region", self.sites.clone());
        registry.register(
            "withdrawals_held",
            "Withdrawals that are held back",
            self.held.clone(),
        );
        registry.register("writes", "Writes by what became of them", self.writes.clone());
        registry.register_with_unit(
            "write",
            "Time of a write",
            Unit::Seconds,
            self.write_seconds.clone(),
        );
        registry.register_with_unit(
            "render",
            "Time to render what was touched",
            Unit::Seconds,
            self.render_seconds.clone(),
        );
    }

    /// A write has ended.
    pub fn written(&self, task: &Task, outcome: &Outcome, took: Duration) {
        let what = match task {
            Task::Secret(_) => What::Secret,
            Task::Status(StatusOf::Site(_)) => What::SiteStatus,
            Task::Status(StatusOf::Policy(_)) => What::PolicyStatus,
            Task::Status(StatusOf::Region(_)) => What::RegionStatus,
            Task::DaemonSet(_) | Task::MetricsService(_) | Task::Incarnation(_) | Task::Region(_) => {
                What::RegionObject
            }
        };
        let outcome = match outcome {
            Outcome::Applied(_) => Became::Written,
            Outcome::Deleted => Became::Deleted,
            Outcome::SitesUndefined => Became::Held,
            Outcome::Conflict => Became::Conflict,
            Outcome::Missing(_) => Became::Missing,
            Outcome::Refused(_) => Became::Refused,
            Outcome::Failed(_) => Became::Failed,
            Outcome::NotLeading => Became::NotLeading,
        };
        self.writes.get_or_create(&WriteLabels { what, outcome }).inc();
        self.write_seconds.observe(took.as_secs_f64());
    }

    /// A turn has rendered what was touched.
    pub fn rendered(&self, took: Duration) {
        self.render_seconds.observe(took.as_secs_f64());
    }

    /// Takes over how things stand.
    pub fn update(&self, state: &State, leads: bool) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.leader.set(i64::from(leads));
        self.waiting.set(count(state.queue().len()));
        self.in_flight.set(count(state.queue().in_flight()));
        self.secrets_waiting.set(count(state.secrets_waiting()));
        self.failing_watches.set(count(state.failing().count()));
        for (name, region) in state.regions() {
            let label = RegionLabel { region: name.clone() };
            self.sites.get_or_create(&label).set(count(region.sites()));
            let held = region.guard.held().map_or(0, |(count, _)| count);
            self.held.get_or_create(&label).set(count(held));
        }
    }

    /// The text form.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            let _ = writeln!(text, "# {error}");
        }
        text
    }
}

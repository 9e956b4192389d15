//! `make bench`: what rendering costs with ten thousand sites.
//!
//! Prints the cold start (schema and rules of the manifests, index, first rendering), memory, and the time from
//! one changed object to the Secrets and statuses that follow from it: minimum, median, 99th percentile. Times are
//! of this machine; the bar is a ceiling, not a ratio.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

mod fleet;
mod region;

use std::time::{Duration, Instant};

use breakwater_render::schema::{self, Verdict};
use breakwater_render::{Index, Object, Settings};
use fleet::Fleet;
use jiff::Timestamp;
use region::Published;

/// Changes of each kind that are measured.
const REPEAT: usize = 300;

/// What rendering one change may take.
const BAR: Duration = Duration::from_millis(10);

fn main() {
    let now = Timestamp::now();
    let fleet = Fleet::new(100, 100);
    println!(
        "{} sites in {} namespaces, half with a CachePolicy of their own, a fifth with a Service",
        fleet.sites(),
        fleet.namespaces()
    );
    let before = resident_mib();

    let (parsed, objects) = timed(|| parse(&fleet.manifests()));
    println!(
        "cold start: manifests by schema and rules     {:>8.0} ms",
        ms(parsed)
    );
    let mut index = Index::new(settings());
    let count = objects.len();
    let (indexed, ()) = timed(|| objects.into_iter().for_each(|object| index.apply(object)));
    println!(
        "            {count} objects into the index       {:>8.0} ms",
        ms(indexed)
    );
    let mut published = Published::default();
    let (rendered, changes) = timed(|| index.render_dirty(now));
    let (secrets, statuses) = (changes.publish.len(), changes.statuses.len());
    println!(
        "            first rendering                       {:>8.0} ms   {secrets} Secrets, {statuses} statuses",
        ms(rendered)
    );
    assert!(
        secrets > fleet.sites(),
        "sites are missing: {:?}",
        changes.statuses.first()
    );
    published.take(changes, &mut index);
    settle(&mut index, &mut published, now);
    println!(
        "memory:     index after it, with the process      {:>8.0} MiB",
        resident_mib() - before
    );

    println!("\none change, of {REPEAT} each                      min      median         p99");
    let mut worst = Duration::ZERO;
    for (what, change) in [
        (
            "a site's route",
            Fleet::site as fn(&Fleet, usize, usize) -> String,
        ),
        ("a site's own CachePolicy", Fleet::cache_policy),
        ("the Pods of a Service", Fleet::endpoints),
        ("a RateRule of ten sites", Fleet::rate_rule),
    ] {
        let mut times: Vec<Duration> = (0..REPEAT)
            .map(|n| {
                measure(
                    &mut index,
                    &mut published,
                    &change(&fleet, n * 37, n + 1),
                    now,
                    what,
                )
            })
            .collect();
        worst = worst.max(print(what, &mut times));
    }
    println!(
        "the bar of {} ms {}",
        BAR.as_millis(),
        if worst <= BAR { "holds" } else { "is missed" }
    );

    println!("\nfor comparison, what touches many");
    for (what, change) in [
        (
            "a certificate of a hundred sites",
            Fleet::secret as fn(&Fleet, usize, usize) -> String,
        ),
        ("a platform policy of every site", Fleet::platform_rule),
    ] {
        let mut times: Vec<Duration> = (0..10)
            .map(|n| {
                measure(
                    &mut index,
                    &mut published,
                    &change(&fleet, n * 37, n + 1),
                    now,
                    what,
                )
            })
            .collect();
        print(what, &mut times);
    }
}

fn settings() -> Settings {
    Settings {
        // Those of documentation, which aren't public.
        allow_origin_cidrs: ["198.51.100.0/24", "203.0.113.0/24"]
            .map(|net| net.parse().unwrap())
            .to_vec(),
        complete: true,
        ..Settings::cluster("fra", "breakwater-system")
    }
}

/// The time from a changed object to what follows from it; at least one Secret must.
fn measure(
    index: &mut Index,
    published: &mut Published,
    manifest: &str,
    now: Timestamp,
    what: &str,
) -> Duration {
    let objects = parse(manifest);
    let (took, changes) = timed(|| {
        for object in objects {
            index.apply(object);
        }
        index.render_dirty(now)
    });
    assert!(
        !changes.publish.is_empty(),
        "nothing follows from {what}: {manifest}"
    );
    published.take(changes, index);
    settle(index, published, now);
    took
}

/// What follows from the Secrets having been written.
fn settle(index: &mut Index, published: &mut Published, now: Timestamp) {
    for _ in 0..5 {
        let changes = index.render_dirty(now);
        if changes.publish.is_empty() && changes.needs.files.is_empty() {
            return;
        }
        published.take(changes, index);
    }
    panic!("rendering doesn't settle");
}

fn parse(manifests: &str) -> Vec<Object> {
    let documents = schema::read(manifests, "default");
    let objects = documents.into_iter().map(|document| match document.verdict {
        Verdict::Object(object) => *object,
        other => panic!("{} {}: {other:?}", document.kind, document.name),
    });
    objects.collect()
}

fn print(what: &str, times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let at = |percent: usize| {
        times
            .get((times.len() * percent).div_ceil(100) - 1)
            .copied()
            .unwrap_or_default()
    };
    let least = times.first().copied().unwrap_or_default();
    println!(
        "  {what:<34} {:>9.2} ms {:>9.2} ms {:>9.2} ms",
        ms(least),
        ms(at(50)),
        ms(at(99))
    );
    at(99)
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let started = Instant::now();
    let result = work();
    (started.elapsed(), result)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Resident memory of this process.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or_default();
    kib / 1024.0
}

//! The promises of the rate table, against a reference that keeps every key for ever.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are outside of what clippy takes for a test"
)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use breakwater_edge_guard::{Decision, RateSpec, RateTable, Seed};
use proptest::prelude::*;

fn table(bytes: usize) -> RateTable {
    RateTable::new(bytes, Seed(*b"0123456789abcdef")).unwrap()
}

fn rule(requests: u32, period_ms: u64, burst: u32) -> RateSpec {
    RateSpec {
        id: 7,
        requests,
        period: Duration::from_millis(period_ms),
        burst,
    }
}

#[test]
fn an_idle_key_may_send_its_burst_and_one_more_at_once() {
    let table = table(1 << 16);
    let rule = rule(10, 1_000, 3);
    let now = 5_000_000_000;
    for _ in 0..4 {
        assert_eq!(table.check(&rule, b"a", now), Decision::Allow);
    }
    let denied = table.check(&rule, b"a", now);
    assert_eq!(
        denied,
        Decision::Deny {
            retry_after: Duration::from_millis(100)
        }
    );
    assert_eq!(denied.retry_after_secs(), Some(1));
    assert_eq!(table.check(&rule, b"a", now + 100_000_000), Decision::Allow);
    assert_eq!(table.check(&rule, b"b", now), Decision::Allow);
}

#[test]
fn rules_count_the_same_key_apart() {
    let table = table(1 << 16);
    let one = rule(1, 60_000, 0);
    let other = RateSpec { id: 8, ..one };
    assert_eq!(table.check(&one, b"a", 0), Decision::Allow);
    assert_eq!(table.check(&other, b"a", 0), Decision::Allow);
    assert_ne!(table.check(&one, b"a", 0), Decision::Allow);
}

#[test]
fn a_million_keys_leave_the_memory_as_it_was() {
    let table = table(1 << 16);
    let rule = rule(1, 1_000, 0);
    let before = table.bytes();
    for key in 0_u32..1_000_000 {
        table.check(&rule, &key.to_le_bytes(), 1);
    }
    assert_eq!(table.bytes(), before);
    assert!(table.bytes() <= 1 << 16);
    assert!(table.evicted_active() > 900_000);
}

#[test]
fn a_table_without_room_for_a_set_is_refused() {
    assert!(RateTable::new(RateTable::MIN_BYTES - 1, Seed([0; 16])).is_err());
    assert!(RateTable::new(RateTable::MIN_BYTES, Seed([0; 16])).is_ok());
}

#[test]
fn extreme_rules_neither_overflow_nor_deny_the_first_request() {
    let table = table(1 << 16);
    for (id, requests, period, burst) in [
        (1, 0, Duration::ZERO, 0),
        (2, u32::MAX, Duration::from_millis(1), u32::MAX),
        (3, 1, Duration::MAX, u32::MAX),
        (4, 1, Duration::from_secs(u64::MAX / 2), 0),
    ] {
        let rule = RateSpec {
            id,
            requests,
            period,
            burst,
        };
        for now in [0, 1, u64::MAX / 2, u64::MAX] {
            let key = now.to_le_bytes();
            assert_eq!(
                table.check(&rule, &key, now),
                Decision::Allow,
                "{rule:?} at {now}"
            );
        }
    }
}

/// Threads hammer few keys in a table with few sets, on one clock that they advance together.
#[test]
fn threads_together_never_allow_more_than_the_rate() {
    const THREADS: u64 = 4;
    const STEPS: u64 = 60_000;
    const STEP_NS: u64 = 1_000;
    let table = table(1 << 12);
    let rule = rule(1_000, 1_000, 20);
    let clock = AtomicU64::new(0);
    let allowed: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (table, rule, clock, allowed) = (&table, &rule, &clock, &allowed);
            scope.spawn(move || {
                for step in 0..STEPS {
                    let now = clock.fetch_add(STEP_NS, Ordering::Relaxed);
                    let key = usize::try_from((step + thread) % 8).unwrap();
                    if table.check(rule, &[u8::try_from(key).unwrap()], now) == Decision::Allow {
                        allowed[key].fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(table.evicted_active(), 0);
    let elapsed_ns = clock.load(Ordering::Relaxed);
    let most = 21 + elapsed_ns / 1_000_000;
    for count in allowed {
        let count = count.into_inner();
        assert!(count <= most, "{count} allowed, {most} conform");
        // Asked far more often than the rate, so all that conforms must have been allowed, save for
        // the last interval and what threads' clocks differ by.
        assert!(count + 3 >= most, "{count} allowed, {most} conform");
    }
}

/// Several threads bring the same new keys at the same moment: each key must end in one slot.
#[test]
fn a_key_that_threads_bring_together_is_counted_once() {
    const KEYS: u64 = 20_000;
    let table = table(1 << 22);
    let rule = rule(1, 3_600_000, 1);
    let allowed = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for key in 0..KEYS {
                    if table.check(&rule, &key.to_le_bytes(), 1) == Decision::Allow {
                        allowed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(table.evicted_active(), 0);
    assert_eq!(allowed.into_inner(), 2 * KEYS);
}

/// A key's whole history, in the simplest form of the algorithm: a bucket refilled by time.
#[derive(Default)]
struct Reference {
    tat: HashMap<u8, u64>,
}

impl Reference {
    fn allow(&mut self, key: u8, now: u64, interval: u64, burst: u64) -> bool {
        let tat = self.tat.get(&key).copied().unwrap_or(0).max(now);
        if tat > now + interval * burst {
            return false;
        }
        self.tat.insert(key, tat + interval);
        true
    }
}

proptest! {
    #[test]
    fn decisions_equal_those_of_a_table_without_bounds(
        requests in 1_u32..50,
        period_ms in 1_u64..5_000,
        burst in 0_u32..20,
        events in prop::collection::vec((0_u8..6, 0_u64..200_000_000), 1..400),
    ) {
        // One set has seven slots and there are six keys, so nothing is ever evicted.
        let table = table(RateTable::MIN_BYTES);
        let rule = rule(requests, period_ms, burst);
        let interval = (period_ms * 1_000_000 / u64::from(requests)).max(1);
        let mut reference = Reference::default();
        let mut now = 0;
        for (key, wait) in events {
            now += wait;
            let expected = reference.allow(key, now, interval, u64::from(burst));
            let decision = table.check(&rule, &[key], now);
            prop_assert_eq!(decision == Decision::Allow, expected);
        }
    }

    #[test]
    fn a_key_that_keeps_the_pace_is_never_denied(
        requests in 1_u32..1_000,
        period_ms in 1_u64..10_000,
        strangers in 0_u32..2_000,
        count in 1_u64..300,
    ) {
        let table = table(1 << 12);
        let rule = rule(requests, period_ms, 0);
        // The exact pace, not the rounded one: request n comes at n × period / requests.
        for n in 0..count {
            let now = n * period_ms * 1_000_000 / u64::from(requests);
            for stranger in 0..strangers / u32::try_from(count).unwrap() {
                table.check(&rule, &(u64::from(stranger) << 32 | n).to_le_bytes(), now);
            }
            prop_assert_eq!(table.check(&rule, b"steady", now), Decision::Allow);
        }
    }

    #[test]
    fn waiting_as_told_is_enough(
        requests in 1_u32..100,
        period_ms in 1_u64..10_000,
        burst in 0_u32..10,
        waits in prop::collection::vec(0_u64..50_000_000, 1..100),
    ) {
        let table = table(1 << 12);
        let rule = rule(requests, period_ms, burst);
        let mut now = 0;
        for wait in waits {
            now += wait;
            if let Decision::Deny { retry_after } = table.check(&rule, b"k", now) {
                now += u64::try_from(retry_after.as_nanos()).unwrap();
                prop_assert_eq!(table.check(&rule, b"k", now), Decision::Allow);
            }
        }
    }
}

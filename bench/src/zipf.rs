//! A trace of popular and rare keys, and what the best cache could make of it.

use std::collections::{BTreeSet, HashMap};

/// Keys by Zipf's law with exponent `s`, the same for the same seed.
pub(crate) fn trace(keys: u32, s: f64, length: usize, seed: u64) -> Vec<u32> {
    let mut total = 0.0;
    let sums: Vec<f64> = (1..=keys)
        .map(|rank| {
            total += f64::from(rank).powf(-s);
            total
        })
        .collect();
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length)
        .map(|_| {
            let point = random.f64() * total;
            let at = sums.partition_point(|sum| *sum < point);
            u32::try_from(at).unwrap_or(u32::MAX).min(keys.saturating_sub(1))
        })
        .collect()
}

/// Share of hits of a cache for so many keys that knows the future: what is asked for again last is dropped
/// (Belady). No cache has more.
pub(crate) fn ideal(trace: &[u32], capacity: usize) -> f64 {
    let mut next = vec![usize::MAX; trace.len()];
    let mut seen = HashMap::new();
    for (at, key) in trace.iter().enumerate().rev() {
        if let (Some(later), Some(slot)) = (seen.insert(*key, at), next.get_mut(at)) {
            *slot = later;
        }
    }
    let (mut held, mut order, mut hits) = (HashMap::new(), BTreeSet::new(), 0_u32);
    for (key, next) in trace.iter().zip(next) {
        if let Some(when) = held.remove(key) {
            order.remove(&(when, *key));
            hits += 1;
        }
        held.insert(*key, next);
        order.insert((next, *key));
        if held.len() > capacity
            && let Some((_, dropped)) = order.pop_last()
        {
            held.remove(&dropped);
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let length = trace.len() as f64;
    f64::from(hits) / length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ideal_of_small_traces_is_known() {
        assert!((ideal(&[1, 2, 1, 2], 2) - 0.5).abs() < 1e-9);
        // With room for one it holds on to 1.
        assert!((ideal(&[1, 2, 3, 1, 2, 3], 1) - 1.0 / 6.0).abs() < 1e-9);
        // 3 is dropped at once, so that 1 and 2 hit.
        assert!((ideal(&[1, 2, 3, 1, 2], 2) - 0.4).abs() < 1e-9);
    }

    #[test]
    fn a_trace_is_the_same_each_time_and_its_first_keys_are_the_popular_ones() {
        let keys = trace(1_000, 0.9, 10_000, 7);
        assert_eq!(keys, trace(1_000, 0.9, 10_000, 7));
        let count = |key| keys.iter().filter(|k| **k == key).count();
        assert!(count(0) > 10 * count(500));
        assert!(keys.iter().all(|key| *key < 1_000));
    }
}

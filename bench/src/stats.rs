//! What is said of rounds: the order they run in, medians, spreads, and when a comparison is void.

/// A comparison whose spread is larger is void: the machine was doing something else.
pub(crate) const MAX_SPREAD: f64 = 0.05;

/// Fewer rounds say nothing of how far they lie apart.
pub(crate) const MIN_ROUNDS: usize = 7;

/// Who goes first in each round: `false` is the first of the pair. A B, B A, A B, ...: a drift of the machine
/// falls on both alike.
pub(crate) fn interleaved(rounds: usize) -> Vec<bool> {
    (0..rounds)
        .flat_map(|round| {
            let second_first = round % 2 == 1;
            [second_first, !second_first]
        })
        .collect()
}

/// The value below which the share `q` (0 to 1) of the values lies, interpolated; NaN without values.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    #[allow(clippy::cast_precision_loss, reason = "a handful of rounds")]
    let position = q.clamp(0.0, 1.0) * last as f64;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the number of rounds"
    )]
    let below = position.floor() as usize;
    let (Some(low), Some(high)) = (sorted.get(below), sorted.get((below + 1).min(last))) else {
        return f64::NAN;
    };
    low + (high - low) * position.fract()
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// How far rounds lie apart, as a share of the median: half of what lies between the 10 % and the 90 % quantile.
pub(crate) fn spread(values: &[f64]) -> f64 {
    (quantile(values, 0.9) - quantile(values, 0.1)) / 2.0 / median(values)
}

/// Whether a comparison by these ratios may be quoted.
pub(crate) fn void(ratios: &[f64], rounds_wanted: usize) -> bool {
    ratios.len() < rounds_wanted.max(MIN_ROUNDS) || !spread(ratios).is_finite() || spread(ratios) > MAX_SPREAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_go_abba() {
        assert_eq!(interleaved(2), [false, true, true, false]);
        assert_eq!(interleaved(3), [false, true, true, false, false, true]);
    }

    #[test]
    fn medians_and_spreads_of_known_values() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!((spread(&[90.0, 100.0, 110.0]) - 0.08).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_wide_spread_or_too_few_rounds_is_void() {
        let steady = [1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0];
        assert!(!void(&steady, 7));
        assert!(void(&steady, 8));
        assert!(void(&[1.0, 1.5, 0.7, 1.0, 1.2, 0.8, 1.0], 7));
        assert!(void(&[1.0; 6], 6));
        assert!(void(&[], 0));
        assert!(void(&[f64::NAN; 7], 7));
    }
}

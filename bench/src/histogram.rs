//! A histogram of durations with a relative error below 1.6 %, in fixed memory.

const SUB_BITS: u32 = 6;
const SUB: u64 = 1 << SUB_BITS;

/// Counts by nanoseconds: 64 steps for each power of two.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; index(u64::MAX) + 1],
            total: 0,
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "below 64 * 64")]
fn index(value: u64) -> usize {
    let shift = (64 - value.leading_zeros()).saturating_sub(SUB_BITS + 1);
    (u64::from(shift) * SUB + (value >> shift)) as usize
}

/// The largest value that is counted at an index.
fn highest(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / SUB).saturating_sub(1);
    let base = index - shift * SUB;
    ((u128::from(base) + 1) << shift)
        .saturating_sub(1)
        .try_into()
        .unwrap_or(u64::MAX)
}

impl Histogram {
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        if let Some(count) = self.counts.get_mut(index(nanoseconds)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// Nanoseconds that the share `q` of what was recorded doesn't exceed; 0 when nothing was.
    pub(crate) fn quantile(&self, q: f64) -> u64 {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among what was counted"
        )]
        let rank = ((self.total as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return highest(at);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_counted_within_its_error() {
        for value in (0..2_000).chain([1 << 20, (1 << 33) + 12_345, u64::MAX / 3]) {
            let upper = highest(index(value));
            assert!(upper >= value && upper - value <= value / 64, "{value} {upper}");
        }
    }

    #[test]
    fn quantiles_of_a_known_series() {
        let mut histogram = Histogram::default();
        for value in 1..=1_000_u64 {
            histogram.record(value * 1_000);
        }
        let near = |q: f64, wanted: u64| {
            let got = histogram.quantile(q);
            assert!(
                got >= wanted && got <= wanted + wanted / 60,
                "{q}: {got}, not {wanted}"
            );
        };
        near(0.5, 500_000);
        near(0.99, 990_000);
        near(1.0, 1_000_000);
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }
}

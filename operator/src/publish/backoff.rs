use std::time::Duration;

/// First pause after a failed write.
const FIRST: Duration = Duration::from_millis(200);

/// Longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// How long to wait after the `failures`-th failure in a row (from 1); `random` in 0..1 spreads it over half
/// to one and a half of that.
pub fn pause(failures: u32, random: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST).mul_f64(0.5 + random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_are_spread() {
        for (failures, random, expected_ms) in [
            (1, 0.5, 200),
            (2, 0.5, 400),
            (5, 0.5, 3_200),
            (1, 0.0, 100),
            (1, 1.0, 300),
            (40, 0.5, 30_000),
        ] {
            assert_eq!(
                pause(failures, random).as_millis(),
                expected_ms,
                "{failures} {random}"
            );
        }
    }
}

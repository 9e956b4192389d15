//! Waiting for a condition, with a deadline and the last thing that was wrong.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks.
const STEP: Duration = Duration::from_millis(50);

/// Looks until `look` gives `Ok`, at most for `limit`. The error names `what` and carries the last problem.
pub async fn until<T, E: Debug, F: Future<Output = Result<T, E>>>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        match look().await {
            Ok(value) => return Ok(value),
            Err(problem) if Instant::now() >= end => {
                bail!("not within {} s: {what}; last: {problem:?}", limit.as_secs_f32());
            }
            Err(_) => tokio::time::sleep(STEP).await,
        }
    }
}

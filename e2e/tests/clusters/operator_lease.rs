//! Two replicas: one writes, and the other takes over when that one falls silent or goes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use breakwater_e2e::operator::Operator;
use breakwater_e2e::wait;

use crate::operator_stage::{SOON, Stage};

/// A crashed leader's Lease runs out 10 s after its last renewal; the others look often.
const FAILOVER: Duration = Duration::from_secs(12);

/// A Lease that was given back is taken at the next look; what is slow is this machine.
const HANDOVER: Duration = Duration::from_secs(2);

/// Longest time from SIGTERM to the end.
const END: Duration = Duration::from_secs(3);

/// Only the leader writes. A silent one is replaced when its Lease has run out and writes nothing when it wakes
/// up; one that ends gives the Lease back, and its process says that all is well.
pub(crate) async fn of_two_replicas_one_writes_and_the_other_takes_over(stage: &mut Stage) -> Result<()> {
    let mut first = stage.operator()?;
    first.ready().await?;
    leads(&first).await?;
    let mut second = stage.operator()?;
    second.ready().await?;
    stage.apply_sites(0..20, 8_001).await?;
    stage.all_true(false).await?;
    ensure!(
        first.metric("breakwater_operator_writes_total", "").await? >= 40,
        "the leader hasn't written"
    );
    ensure!(
        second.metric("breakwater_operator_writes_total", "").await? == 0,
        "both have written"
    );

    // Silent, but not gone: it might come back in the middle of a thought.
    first.pause(true)?;
    let silent = Instant::now();
    stage.apply_sites(0..10, 8_002).await?;
    leads(&second).await?;
    let failover = silent.elapsed();
    ensure!(
        failover < FAILOVER,
        "the other replica leads only after {failover:?}"
    );
    stage.all_true(false).await?;
    first.pause(false)?;
    let written = first.metric("breakwater_operator_writes_total", "").await?;
    stage.apply_sites(10..20, 8_003).await?;
    stage.all_true(false).await?;
    ensure!(
        first
            .metric("breakwater_operator_writes_total", "outcome=\"Written\"")
            .await?
            <= written,
        "a replica that has lost its Lease writes"
    );

    let begun = Instant::now();
    let (status, took) = second.terminate().await?;
    ensure!(
        status.code() == Some(0) && took < END,
        "SIGTERM: {status} after {took:?}"
    );
    leads(&first).await?;
    let handover = begun.elapsed();
    ensure!(
        handover < HANDOVER + took,
        "the other replica leads only after {handover:?}"
    );
    stage.apply_sites(0..20, 8_004).await?;
    stage.all_true(false).await?;
    println!(
        "a silent leader is replaced after {:.1} s; SIGTERM: ended after {:.2} s, replaced after {:.2} s",
        failover.as_secs_f32(),
        took.as_secs_f32(),
        handover.as_secs_f32()
    );
    Ok(())
}

async fn leads(operator: &Operator) -> Result<()> {
    wait::until("it leads", SOON, || async {
        let leads = operator.metric("breakwater_operator_leader", "").await?;
        ensure!(leads == 1, "{leads}");
        Ok(())
    })
    .await
}

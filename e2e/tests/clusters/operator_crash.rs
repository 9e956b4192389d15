//! An operator that ends without a word in the middle of its work.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use breakwater_e2e::wait;
use kube::api::DeleteParams;

use crate::operator_stage::{SOON, Stage};

/// Sites that are applied while the operator dies.
const SITES: usize = 200;

/// All are published, each once and as it is now, and every status says what is.
pub(crate) async fn killed_in_the_middle_of_200_sites_it_finishes_them(stage: &mut Stage) -> Result<()> {
    let _edge = stage.edge().await?;
    let mut operator = stage.operator()?;
    operator.ready().await?;
    let ((), killed_at) = tokio::try_join!(stage.apply_sites(0..SITES, 8_001), async {
        let at = wait::until("a quarter is published", SOON, || async {
            let published = stage.published().await?.len();
            ensure!(published >= SITES / 4, "{published}");
            anyhow::Ok(published)
        })
        .await?;
        operator.kill().await?;
        Ok(at)
    })?;
    ensure!(killed_at < SITES, "it was killed too late");
    // What changes and goes while nobody looks.
    stage.apply_sites(0..SITES / 4, 8_002).await?;
    stage.sites().delete("site199", &DeleteParams::default()).await?;
    let before = stage.published().await?;

    let begun = Instant::now();
    let mut operator = stage.same_operator()?;
    stage.all_true(true).await?;
    println!(
        "killed with {killed_at} of {SITES} published; everything right {:.1} s after its start",
        begun.elapsed().as_secs_f32()
    );
    // What was right already wasn't written again.
    let after = stage.published().await?;
    for number in SITES / 4..SITES - 1 {
        let name = format!("site{number}");
        let version = |secrets: &std::collections::BTreeMap<String, k8s_openapi::api::core::v1::Secret>| {
            secrets
                .get(&name)
                .and_then(|s| s.metadata.resource_version.clone())
        };
        if let Some(version_before) = version(&before) {
            ensure!(
                version(&after) == Some(version_before),
                "{name} was written again"
            );
        }
    }
    let (status, took) = operator.terminate().await?;
    ensure!(status.code() == Some(0), "SIGTERM: {status}");
    ensure!(took < Duration::from_secs(3), "SIGTERM: {took:?}");
    Ok(())
}

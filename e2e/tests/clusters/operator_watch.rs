//! Watches that can't be resumed, and kinds that go away.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use breakwater_crds::{Condition, ConditionStatus, EdgeRegion};
use breakwater_e2e::wait;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::operator_stage::{SOON, Stage};

/// The API server is killed, history is compacted, and what people do next is seen by no watch that goes on.
pub(crate) async fn after_a_restart_of_the_api_server_it_carries_on(stage: &mut Stage) -> Result<()> {
    let _edge = stage.edge().await?;
    let mut operator = stage.operator()?;
    operator.ready().await?;
    stage.apply_sites(0..40, 8_001).await?;
    stage.all_true(true).await?;
    stage.server.stop(true)?;
    stage.server.compact().await?;
    stage.server.begin().await?;
    let begun = Instant::now();
    stage.apply_sites(0..10, 8_002).await?;
    stage.apply_sites(40..45, 8_001).await?;
    for name in ["site20", "site21"] {
        stage.sites().delete(name, &DeleteParams::default()).await?;
    }
    stage.all_true(true).await?;
    println!(
        "{:.1} s after the API server was ready again, everything done meanwhile was published and told",
        begun.elapsed().as_secs_f32()
    );
    let log = operator.log();
    ensure!(
        log.contains("too old resource version") || log.contains("Expired"),
        "no watch was refused with 410"
    );
    ensure!(operator.running()?, "the operator has ended");
    Ok(())
}

/// Sites when the definitions go.
const SITES: usize = 60;

/// Deleting a definition deletes every object of its kind, truly. What edges serve stays, the region says so, and
/// when the definition and its objects are back, all goes on in the same process. What a person
/// agrees to goes.
pub(crate) async fn with_its_definition_gone_every_site_stays_published(stage: &mut Stage) -> Result<()> {
    let _edge = stage.edge().await?;
    let mut operator = stage.operator()?;
    operator.ready().await?;
    stage.apply_sites(0..SITES, 8_001).await?;
    stage.all_true(true).await?;
    let first = stage.published().await?;
    ensure!(
        held(stage).await?.is_none(),
        "withdrawals are held from the start"
    );

    undefine(stage, "edgesites.edge.breakwater.dev").await?;
    let told = wait::until("the region tells of the sites that went", SOON, || async {
        let condition = held(stage).await?.context("no condition WithdrawalsHeld")?;
        ensure!(
            condition.message.starts_with(&format!("{SITES} sites ")),
            "{condition:?}"
        );
        Ok(condition)
    })
    .await?;
    wait::until("the watch is known to fail", SOON, || async {
        let failing = operator.metric("breakwater_operator_watches_failing", "").await?;
        ensure!(failing > 0, "{failing}");
        Ok(())
    })
    .await?;
    println!("with the definition gone: {}", told.message);
    untouched(&versions(&first), &versions(&stage.published().await?))?;

    let begun = Instant::now();
    stage.sender.define(&breakwater_crds::all()).await?;
    stage.apply_sites(0..SITES, 8_001).await?;
    stage.all_true(true).await?;
    wait::until("nothing is held any more", SOON, || async {
        let held = held(stage).await?;
        ensure!(held.is_none(), "{held:?}");
        Ok(())
    })
    .await?;
    println!(
        "{:.1} s from the definition's return to all being told again",
        begun.elapsed().as_secs_f32()
    );
    // They are other objects now, as their configuration says; but no Secret was away for a moment.
    let published = stage.published().await?;
    let uids = |secrets: &BTreeMap<String, Secret>| -> Vec<_> {
        secrets
            .values()
            .map(|secret| secret.metadata.uid.clone())
            .collect()
    };
    ensure!(uids(&published) == uids(&first), "published Secrets were deleted");
    let mut before = versions(&published);

    // The region's kind is another story: without a region nothing is published or withdrawn.
    undefine(stage, "edgeregions.edge.breakwater.dev").await?;
    stage.apply_sites([0], 8_002).await?;
    stage.sender.define(&breakwater_crds::all()).await?;
    stage.region().await?;
    stage.all_true(true).await?;
    let mut after = versions(&stage.published().await?);
    ensure!(
        after.remove("site0").as_ref() != before.get("site0"),
        "the change isn't published"
    );
    before.remove("site0");
    untouched(&before, &after)?;
    ensure!(operator.running()?, "the operator has ended");
    agreed(stage).await
}

/// A person deletes most sites, and says that it is meant.
async fn agreed(stage: &Stage) -> Result<()> {
    for number in 0..40 {
        stage
            .sites()
            .delete(&format!("site{number}"), &DeleteParams::default())
            .await?;
    }
    let condition = wait::until("the region tells of them", SOON, || async {
        let condition = held(stage).await?.context("no condition WithdrawalsHeld")?;
        let published = stage.published().await?.len();
        let left = SITES - 40;
        ensure!(
            condition
                .message
                .starts_with(&format!("{} sites ", published - left)),
            "{condition:?}"
        );
        Ok(condition)
    })
    .await?;
    let (_, token) = condition.message.rsplit_once('=').context("no token")?;
    let regions: Api<EdgeRegion> = Api::all(stage.client());
    let agree = json!({"metadata": {"annotations": {"edge.breakwater.dev/accept-withdrawals": token}}});
    regions
        .patch("e2e", &PatchParams::default(), &Patch::Merge(agree))
        .await?;
    stage.all_true(true).await?;
    ensure!(
        stage.sites().list(&ListParams::default()).await?.items.len() == SITES - 40,
        "sites are left"
    );
    Ok(())
}

async fn undefine(stage: &Stage, name: &str) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(stage.client());
    definitions.delete(name, &DeleteParams::default()).await?;
    wait::until("the definition is gone", SOON, || async {
        let there = definitions.get_opt(name).await?;
        ensure!(there.is_none(), "it is there");
        Ok(())
    })
    .await
}

/// The condition that says that withdrawals are held.
async fn held(stage: &Stage) -> Result<Option<Condition>> {
    let regions: Api<EdgeRegion> = Api::all(stage.client());
    let conditions = regions.get("e2e").await?.status.unwrap_or_default().conditions;
    Ok(conditions
        .into_iter()
        .find(|c| c.kind == "WithdrawalsHeld" && c.status == ConditionStatus::True))
}

fn versions(published: &BTreeMap<String, Secret>) -> BTreeMap<String, String> {
    published
        .iter()
        .map(|(name, secret)| {
            (
                name.clone(),
                secret.metadata.resource_version.clone().unwrap_or_default(),
            )
        })
        .collect()
}

fn untouched(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Result<()> {
    for (name, version) in before {
        ensure!(
            after.get(name) == Some(version),
            "{name} was at {version}, now {:?}",
            after.get(name)
        );
    }
    ensure!(
        before.len() == after.len(),
        "{} were published, now {}",
        before.len(),
        after.len()
    );
    Ok(())
}

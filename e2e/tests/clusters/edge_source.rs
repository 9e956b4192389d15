//! An edge's process against a real API server: what it takes over, keeps and tells, whatever happens to either.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use breakwater_crds::EdgeNodeStatus;
use breakwater_e2e::client::Speaks;
use breakwater_e2e::cluster::Assets;
use breakwater_e2e::load::Load;
use breakwater_e2e::runner::Runner;
use breakwater_e2e::wait;
use breakwater_edge_config::bundle::DOCUMENT_FILE;
use breakwater_edge_config::incarnation::{ACCEPT_SITES_ANNOTATION, CONFIG_MAP, ID_KEY};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::edge_scene::{SITES, Scene, host};
use crate::operator_stage::{EDGES, SOON, Stage, files};

/// Runs them one after another on one API server, which is started when the first is asked for.
pub(crate) async fn run(assets: &Assets, runner: &mut Runner) -> Result<()> {
    let mut stage = None;
    macro_rules! scenario {
        ($name:literal, $scenario:path) => {
            if runner.wants($name) {
                if stage.is_none() {
                    stage = Some(Stage::start(assets).await?);
                }
                let mut cleaned = false;
                if let Some(stage) = &mut stage {
                    let scenario = async {
                        let mut scene = Scene::start(stage, assets, stringify!($scenario)).await?;
                        let outcome = $scenario(&mut scene).await;
                        outcome.with_context(|| scene.edge.log_path().display().to_string())
                    };
                    if runner.run($name, Box::pin(scenario)).await {
                        cleaned = stage.clean().await.is_ok();
                    }
                }
                if !cleaned {
                    // Nobody knows what a failed one left.
                    stage = None;
                }
            }
        };
    }
    scenario!(
        "an edge takes over what there is and what changes, and its EdgeNode says so",
        takes_over
    );
    scenario!(
        "an edge outlives an API server that forgets its history, and restarts without one",
        outlives
    );
    scenario!(
        "a configuration that needs a newer edge leaves traffic as it was",
        needs_newer
    );
    scenario!(
        "a list that lacks most sites is held back until a person agrees",
        shrinks
    );
    drop(stage);
    Ok(())
}

async fn takes_over(scene: &mut Scene<'_>) -> Result<()> {
    let newest = scene.newest_published().await?;
    let status = scene.node_until("everything is acknowledged", |status| {
        let acknowledged = status.acknowledged.as_ref().context("nothing is acknowledged")?;
        ensure!(acknowledged.resource_version.parse::<u64>()? >= newest, "not yet");
        all_well(status, SITES)
    });
    let status = status.await?;
    let incarnations: Api<ConfigMap> = Api::namespaced(scene.stage.client(), EDGES);
    let data = incarnations.get(CONFIG_MAP).await?.data.unwrap_or_default();
    let acknowledged = status.acknowledged.context("gone")?;
    ensure!(
        data.get(ID_KEY) == Some(&acknowledged.incarnation),
        "{acknowledged:?}"
    );
    let node = scene.node().await?;
    ensure!(
        node.spec.region == "e2e" && node.spec.node == "node",
        "{:?}",
        node.spec
    );
    ensure!(
        node.owner_references().first().map(|owner| &owner.uid) == scene.pod.metadata.uid.as_ref(),
        "not its Pod's"
    );
    scene.all_ready().await?;

    let begun = Instant::now();
    scene.apply([3], "two").await?;
    scene.serves(3, "two").await?;
    println!("    applied and served after {} ms", begun.elapsed().as_millis());
    scene
        .stage
        .sites()
        .delete("site4", &DeleteParams::default())
        .await?;
    scene.refuses(4).await?;
    scene
        .node_until("the deletion is told", |status| all_well(status, SITES - 1))
        .await?;
    scene.all_ready().await?;
    ensure!(
        scene.edge.metric("breakwater_source_lists_total").await? == 1,
        "it listed more than once"
    );
    ensure!(
        scene.edge.metric("breakwater_source_watching").await? == 1,
        "no watch runs"
    );
    // Nothing changes: nothing is written.
    let written = scene.edge.metric("breakwater_edgenode_writes_total").await?;
    ensure!(written < 20, "{written} writes of the EdgeNode");
    let ended = scene.edge.terminate().await?;
    ensure!(ended.success(), "{ended}");
    Ok(())
}

async fn outlives(scene: &mut Scene<'_>) -> Result<()> {
    let load = Load::start(&[(scene.edge.http(), Speaks::Plain)], &host(0), "/");
    scene.stage.server.stop(true)?;
    wait::until(
        "the edge knows that nothing tells it of changes",
        SOON,
        || async {
            let watching = scene.edge.metric("breakwater_source_watching").await?;
            ensure!(watching == 0, "a watch runs");
            anyhow::Ok(())
        },
    )
    .await?;
    scene.stage.server.begin().await?;
    let begun = Instant::now();
    scene.apply([1], "two").await?;
    scene.serves(1, "two").await?;
    println!(
        "    a change served {} ms after the API's return",
        begun.elapsed().as_millis()
    );
    load.finish().await.all_answered()?;
    forgets(scene).await?;

    scene.edge.terminate().await?;
    scene.stage.server.stop(true)?;
    let begun = Instant::now();
    scene.edge.start()?;
    scene.edge.ready().await?;
    println!(
        "    serves {} ms after its start without an API",
        begun.elapsed().as_millis()
    );
    for number in [0, 1, 2, SITES - 1] {
        let version = if [1, 2].contains(&number) { "two" } else { "one" };
        scene.serves(number, version).await?;
    }
    scene.refuses(4).await?;
    wait::until("it knows that there is no API", SOON, || async {
        let failures = scene.edge.metric("breakwater_source_failures_total").await?;
        ensure!(failures > 0, "none failed");
        anyhow::Ok(())
    })
    .await?;
    scene.stage.server.begin().await?;
    scene.apply([5], "three").await?;
    scene.serves(5, "three").await?;
    scene
        .node_until("the EdgeNode is current", |status| all_well(status, SITES - 1))
        .await
        .map(drop)
}

/// What changes while the edge doesn't run is forgotten by the server's history: it has to list anew, and a
/// deletion that nobody can tell any more is believed.
async fn forgets(scene: &mut Scene<'_>) -> Result<()> {
    scene.edge.terminate().await?;
    scene.apply([2], "two").await?;
    let sites = scene.stage.sites();
    sites.delete("site4", &DeleteParams::default()).await?;
    wait::until("it is published", SOON, || async {
        let published = scene.stage.published().await?;
        let changed = published.get("site2").context("site2 isn't published")?;
        let document = files(changed).remove(DOCUMENT_FILE).context("no document")?;
        ensure!(
            String::from_utf8_lossy(&document).contains("2 two"),
            "site2 is the old one"
        );
        ensure!(!published.contains_key("site4"), "site4 is still there");
        Ok(())
    })
    .await?;
    scene.stage.server.stop(true)?;
    scene.stage.server.compact().await?;
    scene.stage.server.begin().await?;
    scene.edge.start()?;
    scene.serves(2, "two").await?;
    scene.refuses(4).await?;
    // It begins with what its disk has: a list is made only because the server refused to go on from there.
    let lists = scene.edge.metric("breakwater_source_lists_total").await?;
    ensure!(
        lists > 0,
        "its watch was resumed over a history that was forgotten"
    );
    scene
        .node_until("the EdgeNode is current", |status| all_well(status, SITES - 1))
        .await
        .map(drop)
}

async fn needs_newer(scene: &mut Scene<'_>) -> Result<()> {
    // The newer operator is nobody: nothing but this scenario writes.
    scene.operator.terminate().await?;
    let published = scene.stage.published().await?;
    let secret = published.get("site7").context("site7 isn't published")?;
    let name = secret.name_any();
    let load = Load::start(&[(scene.edge.http(), Speaks::Plain)], &host(7), "/");
    let document = br#"{"minReader":99,"kind":"Site","body":{"everything":"is different"}}"#.to_vec();
    let data = BTreeMap::from([("breakwater.json", ByteString(document))]);
    let newer = Patch::Merge(json!({"data": data}));
    let params = PatchParams::default();
    let written = scene.stage.secrets().patch(&name, &params, &newer).await?;
    let version: u64 = written.resource_version().context("no version")?.parse()?;
    let told = |status: &EdgeNodeStatus| tells_of(status, &name, version);
    scene.node_until("the EdgeNode tells of it", told).await?;
    load.finish().await.all_answered()?;
    scene.serves(7, "one").await?;

    // It is the same for a process that finds both on its disk.
    scene.edge.terminate().await?;
    scene.edge.start()?;
    scene.edge.ready().await?;
    scene.serves(7, "one").await?;
    scene.node_until("the EdgeNode tells of it again", told).await?;
    scene.operator = scene.stage.operator()?;
    scene.apply([7], "two").await?;
    scene.serves(7, "two").await?;
    scene
        .node_until("nothing fails any more", |status| all_well(status, SITES))
        .await
        .map(drop)
}

fn tells_of(status: &EdgeNodeStatus, name: &str, version: u64) -> Result<()> {
    let failed = status.failed.iter().find(|failed| failed.object == name);
    let failed = failed.with_context(|| format!("{:?}", status.failed))?;
    ensure!(
        failed.reason.contains("needs an edge that reads form 99"),
        "{failed:?}"
    );
    ensure!(
        failed.site.ends_with("/default/site7"),
        "not whose site it is: {failed:?}"
    );
    ensure!(
        status.failed_count == 1 && status.ready && status.sites == 20,
        "{status:?}"
    );
    // The version is acknowledged: it was seen, and refused.
    let acknowledged = status.acknowledged.as_ref().context("nothing is acknowledged")?;
    ensure!(
        acknowledged.resource_version.parse::<u64>()? >= version,
        "{acknowledged:?}"
    );
    Ok(())
}

async fn shrinks(scene: &mut Scene<'_>) -> Result<()> {
    scene.operator.kill().await?;
    scene.edge.terminate().await?;
    let gone = 0..SITES - 8;
    let published = scene.stage.published().await?;
    let secrets: Api<Secret> = scene.stage.secrets();
    for number in gone.clone() {
        let secret = published
            .get(&format!("site{number}"))
            .context("isn't published")?;
        secrets
            .delete(&secret.name_any(), &DeleteParams::default())
            .await?;
    }
    // Deletions that a watch tells one by one are believed.
    scene.stage.server.stop(true)?;
    scene.stage.server.compact().await?;
    scene.stage.server.begin().await?;
    scene.edge.start()?;
    scene.edge.ready().await?;
    scene
        .node_until("the EdgeNode tells what is held back", |status| {
            ensure!(
                status.held.as_deref() == Some("ListShrank") && status.ready,
                "{status:?}"
            );
            ensure!(status.sites == 20, "{status:?}");
            Ok(())
        })
        .await?;
    let held_back = scene.edge.metric("breakwater_source_held_back").await?;
    ensure!(held_back == 12, "{held_back} are held back");
    for number in gone.clone() {
        scene.serves(number, "one").await?;
    }
    let incarnations: Api<ConfigMap> = Api::namespaced(scene.stage.client(), EDGES);
    let data = incarnations.get(CONFIG_MAP).await?.data.unwrap_or_default();
    let agreed = format!("{}/8", data.get(ID_KEY).context("no incarnation")?);
    ensure!(
        scene
            .edge
            .log()
            .contains(&format!("{ACCEPT_SITES_ANNOTATION}={agreed}")),
        "the log doesn't say how to agree"
    );
    let agree = json!({"metadata": {"annotations": {ACCEPT_SITES_ANNOTATION: agreed}}});
    let params = PatchParams::default();
    incarnations
        .patch(CONFIG_MAP, &params, &Patch::Merge(agree))
        .await?;
    for number in gone {
        scene.refuses(number).await?;
    }
    scene
        .node_until("nothing is held back", |status| all_well(status, 8))
        .await
        .map(drop)
}

/// Ready, with so many sites, and nothing is wrong.
fn all_well(status: &EdgeNodeStatus, sites: usize) -> Result<()> {
    ensure!(
        status.ready && status.failed_count == 0 && status.held.is_none(),
        "{status:?}"
    );
    ensure!(
        usize::try_from(status.sites).ok() == Some(sites),
        "{} sites",
        status.sites
    );
    Ok(())
}

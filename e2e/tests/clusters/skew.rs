//! Operator and edge of different versions.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use breakwater_e2e::client::{self, Speaks};
use breakwater_e2e::installed::{EDGES, Installed, SOON, SYSTEM};
use breakwater_e2e::load::Load;
use breakwater_e2e::origin::Origin;
use breakwater_e2e::wait;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::sites;

/// A configuration that only a newer edge can read: this one serves what it had, says why in its `EdgeNode`, and
/// takes the next one that it can read.
pub(crate) async fn what_an_edge_cant_read_leaves_its_traffic_as_it_was(edge: &mut Installed) -> Result<()> {
    let origin = Origin::start("10.77.0.1:0", "skew", None).await?;
    let host = "skew.example.com";
    edge.cluster
        .apply(&sites::site("skew", host, origin.address, ""))?;
    edge.site_ready("skew")?;
    // The newer operator is nobody: nothing but this scenario writes.
    edge.cluster.kubectl(&[
        "-n",
        SYSTEM,
        "scale",
        "deployment/breakwater-operator",
        "--replicas=0",
    ])?;
    wait::until("no operator runs", SOON, || async {
        let pods = edge.pods(SYSTEM).await?;
        ensure!(pods.is_empty(), "{} are left", pods.len());
        Ok(())
    })
    .await?;

    let load = Load::start(&[(edge.http()?, Speaks::Plain)], host, "/");
    let name = write_newer(edge).await?;
    let reason = wait::until("the EdgeNode tells of it", SOON, || async {
        let nodes = edge.edge_nodes().await?;
        let status = nodes
            .first()
            .context("no EdgeNode")?
            .status
            .clone()
            .context("no status")?;
        let failed = status.failed.iter().find(|failed| failed.object == name);
        Ok::<_, anyhow::Error>(
            failed
                .with_context(|| format!("{:?}", status.failed))?
                .reason
                .clone(),
        )
    })
    .await?;
    ensure!(
        reason.contains("needs an edge that reads form 99") && reason.contains("upgrade the edge"),
        "{reason}"
    );
    let answer = client::get(edge.http()?, host, "/").await?;
    ensure!(answer.body() == "skew /", "{answer:?}");

    // So does an edge that starts anew and finds it there: the last good is on the node's disk.
    let pod = edge.edge_pod().await?;
    load.finish().await.all_answered()?;
    edge.kill_container(EDGES, &pod)?;
    wait::until("the restarted edge serves the last good", SOON, || async {
        let answer = client::get(edge.http()?, host, "/").await?;
        ensure!(answer.body() == "skew /", "{answer:?}");
        Ok(())
    })
    .await?;

    edge.cluster.kubectl(&[
        "-n",
        SYSTEM,
        "scale",
        "deployment/breakwater-operator",
        "--replicas=2",
    ])?;
    let other = Origin::start("10.77.0.1:0", "other", None).await?;
    edge.cluster
        .apply(&sites::site("skew", host, other.address, ""))?;
    wait::until("the next readable configuration is served", SOON, || async {
        let answer = client::get(edge.http()?, host, "/").await?;
        ensure!(answer.body() == "other /", "{answer:?}");
        Ok(())
    })
    .await?;
    edge.site_ready("skew")?;
    edge.cluster.kubectl(&["delete", "edgesite", "skew"]).map(drop)
}

/// Puts the site's configuration into a form that doesn't exist yet; the name of its Secret.
async fn write_newer(edge: &Installed) -> Result<String> {
    let api: Api<Secret> = Api::namespaced(edge.cluster.client(), EDGES);
    let secrets = api
        .list(&ListParams::default().labels("edge.breakwater.dev/content=site"))
        .await?;
    let secret = secrets
        .into_iter()
        .find(|secret| {
            secret
                .annotations()
                .get("edge.breakwater.dev/site")
                .is_some_and(|site| site.ends_with("/skew"))
        })
        .context("the site isn't published")?;
    let document = br#"{"minReader":99,"kind":"Site","body":{"everything":"is different"}}"#.to_vec();
    let data = BTreeMap::from([("breakwater.json", ByteString(document))]);
    let name = secret.name_any();
    api.patch(
        &name,
        &PatchParams::default(),
        &Patch::Merge(json!({"data": data})),
    )
    .await?;
    Ok(name)
}

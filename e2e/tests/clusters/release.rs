//! The release as a whole: upgraded, taken away, installed again.

use anyhow::{Result, ensure};
use breakwater_e2e::client::{self, Speaks};
use breakwater_e2e::installed::{EDGES, Installed, SOON, SYSTEM};
use breakwater_e2e::load::Load;
use breakwater_e2e::wait;
use kube::ResourceExt;

const HOST: &str = "release.example.com";

const SITE: &str = "apiVersion: edge.breakwater.dev/v1alpha1\nkind: EdgeSite\nmetadata: {name: release, namespace: default}\n\
                    spec: {hosts: [release.example.com], routes: [{name: all, respond: {status: 200, body: here}}]}\n";

/// `helm upgrade` of the operator alone touches no edge and fails no request; after `helm uninstall` nothing
/// is served and what people wrote is there; after another `helm install` it is served again.
pub(crate) async fn a_release_is_upgraded_taken_away_and_installed_again(edge: &Installed) -> Result<()> {
    let cluster = &edge.cluster;
    cluster.apply(SITE)?;
    edge.site_ready("release")?;

    let (pod, before) = (edge.edge_pod().await?, operators(edge).await?);
    let load = Load::start(&[(edge.http()?, Speaks::Plain)], HOST, "/");
    edge.helm("upgrade", &["--reuse-values", "--set", "operator.logLevel=debug"])?;
    cluster.kubectl(&["-n", SYSTEM, "rollout", "status", "deployment", "--timeout=90s"])?;
    wait::until("new operators run", SOON, || async {
        let now = operators(edge).await?;
        ensure!(
            now.len() == before.len() && now.iter().all(|name| !before.contains(name)),
            "{now:?}"
        );
        Ok(())
    })
    .await?;
    cluster.apply(&SITE.replace("here", "there"))?;
    edge.site_ready("release")?;
    load.finish().await.all_answered()?;
    ensure!(edge.edge_pod().await? == pod, "the edge was replaced");

    cluster.helm(&[
        "uninstall",
        "breakwater",
        "--namespace",
        SYSTEM,
        "--wait",
        "--timeout=90s",
    ])?;
    wait::until("nothing is served", SOON, || async {
        let answer = client::get(edge.http()?, HOST, "/").await;
        ensure!(answer.is_err(), "{answer:?}");
        Ok(())
    })
    .await?;
    let kept = cluster.kubectl(&["get", "edgesite", "release", "-o", "jsonpath={.spec.hosts[0]}"])?;
    ensure!(kept == HOST, "the site went with the release: {kept}");

    wait::until("it can be installed again", SOON, || async {
        edge.helm("upgrade", &["--install", "--create-namespace"])
    })
    .await?;
    // The statuses are those of before until an operator runs.
    wait::until("it is served again", SOON, || async {
        let answer = client::get(edge.http()?, HOST, "/").await?;
        ensure!(answer.body() == "there", "{answer:?}");
        Ok(())
    })
    .await?;
    edge.region_ready().await?;
    edge.site_ready("release")?;
    ensure!(edge.pods(EDGES).await?.len() == 1, "more than one edge");
    cluster.kubectl(&["delete", "edgesite", "release"]).map(drop)
}

async fn operators(edge: &Installed) -> Result<Vec<String>> {
    Ok(edge
        .pods(SYSTEM)
        .await?
        .iter()
        .map(ResourceExt::name_any)
        .collect())
}

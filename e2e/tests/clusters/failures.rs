//! Parts of the control plane that die, at the worst moment.

use anyhow::{Result, ensure};
use breakwater_e2e::client::{self, Speaks};
use breakwater_e2e::cluster::Program;
use breakwater_e2e::installed::{EDGES, Installed, SOON, SYSTEM};
use breakwater_e2e::load::Load;
use breakwater_e2e::origin::Origin;
use breakwater_e2e::wait;
use kube::ResourceExt;

use crate::sites;

/// The operator dies with a change under way, every replica of it: visitors notice nothing, and the change is
/// carried out by whoever comes next.
pub(crate) async fn an_operator_killed_during_a_change_loses_nothing(edge: &Installed) -> Result<()> {
    let (old, new) = (
        Origin::start("10.77.0.1:0", "old", None).await?,
        Origin::start("10.77.0.1:0", "new", None).await?,
    );
    let host = "operator.example.com";
    edge.cluster
        .apply(&sites::site("operator", host, old.address, ""))?;
    edge.site_ready("operator")?;
    let load = Load::start(&[(edge.http()?, Speaks::Plain)], host, "/");
    edge.cluster
        .apply(&sites::site("operator", host, new.address, ""))?;
    for pod in edge.pods(SYSTEM).await? {
        edge.kill_container(SYSTEM, &pod.name_any())?;
    }
    served(edge, host, "new /").await?;
    edge.site_ready("operator")?;
    load.finish().await.all_answered()?;
    edge.cluster
        .kubectl(&["delete", "edgesite", "operator"])
        .map(drop)
}

/// Without the API server everything is served on; an edge that dies meanwhile starts from its node's disk.
/// When the API server is back, with its history compacted, changes arrive again.
pub(crate) async fn without_the_api_server_edges_serve_and_restart(edge: &mut Installed) -> Result<()> {
    let (old, new) = (
        Origin::start("10.77.0.1:0", "old", None).await?,
        Origin::start("10.77.0.1:0", "new", None).await?,
    );
    let host = "api.example.com";
    edge.cluster.apply(&sites::site("api", host, old.address, ""))?;
    edge.site_ready("api")?;
    let pod = edge.edge_pod().await?;
    let container = edge.container(EDGES, &pod)?;

    let load = Load::start(&[(edge.http()?, Speaks::Plain)], host, "/");
    edge.cluster.stop(Program::ApiServer, true)?;
    for _ in 0..100 {
        let answer = client::get(edge.http()?, host, "/").await?;
        ensure!(answer.body() == "old /", "{answer:?}");
    }
    load.finish().await.all_answered()?;

    edge.kill(&container)?;
    let origin_asked = old.requests();
    served(edge, host, "old /").await?;
    ensure!(old.requests() > origin_asked, "nothing reached the origin");

    edge.cluster.compact_etcd().await?;
    edge.cluster.begin(Program::ApiServer)?;
    edge.cluster.api_ready().await?;
    let load = Load::start(&[(edge.http()?, Speaks::Plain)], host, "/");
    edge.cluster.apply(&sites::site("api", host, new.address, ""))?;
    served(edge, host, "new /").await?;
    edge.site_ready("api")?;
    edge.region_ready().await?;
    load.finish().await.all_answered()?;
    edge.cluster.kubectl(&["delete", "edgesite", "api"]).map(drop)
}

async fn served(edge: &Installed, host: &str, body: &str) -> Result<()> {
    wait::until(&format!("{body:?} is served"), SOON, || async {
        let answer = client::get(edge.http()?, host, "/").await?;
        ensure!(answer.body() == body, "{answer:?}");
        Ok(())
    })
    .await
}

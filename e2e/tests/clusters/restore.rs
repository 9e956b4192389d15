//! etcd restored from an older copy: the worst that can happen to a store that everybody trusts.

use anyhow::{Context, Result, ensure};
use breakwater_crds::EdgeSite;
use breakwater_e2e::client::{self, Speaks};
use breakwater_e2e::cluster::Program;
use breakwater_e2e::installed::{EDGES, Installed, SOON};
use breakwater_e2e::load::Load;
use breakwater_e2e::origin::Origin;
use breakwater_e2e::wait;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;

use crate::sites;

/// Sites that nobody touches.
const CALM: usize = 5;

/// Traffic goes on; what the store says now is what is served in the end; statuses and acknowledgements are
/// about this history of the store and not about the lost one.
pub(crate) async fn after_a_restore_traffic_goes_on_and_statuses_tell_the_truth(
    edge: &mut Installed,
) -> Result<()> {
    let (old, new) = (
        Origin::start("10.77.0.1:0", "old", None).await?,
        Origin::start("10.77.0.1:0", "new", None).await?,
    );
    let (calm, changed, deleted, young) = (
        "calm0.example.com",
        "changed.example.com",
        "deleted.example.com",
        "young.example.com",
    );
    for number in 0..CALM {
        edge.cluster.apply(&sites::site(
            &format!("calm{number}"),
            &format!("calm{number}.example.com"),
            old.address,
            "",
        ))?;
    }
    edge.cluster
        .apply(&sites::site("changed", changed, old.address, ""))?;
    edge.cluster
        .apply(&sites::site("deleted", deleted, old.address, ""))?;
    edge.site_ready("calm0")?;
    edge.site_ready("changed")?;
    edge.site_ready("deleted")?;
    with_the_store_stopped(edge, |cluster| cluster.copy_etcd("etcd-copy")).await?;
    let incarnation = incarnation(edge).await?;

    // What the copy doesn't know.
    edge.cluster
        .apply(&sites::site("changed", changed, new.address, ""))?;
    edge.cluster
        .apply(&sites::site("young", young, new.address, ""))?;
    edge.cluster.kubectl(&["delete", "edgesite", "deleted"])?;
    edge.site_ready("young")?;
    edge.site_ready("changed")?;
    served(edge, changed, "new /").await?;

    let load = Load::start(&[(edge.http()?, Speaks::Plain)], calm, "/");
    with_the_store_stopped(edge, |cluster| cluster.restore_etcd("etcd-copy")).await?;
    wait::until("the incarnation is renewed", SOON, || async {
        let now = self::incarnation(edge).await?;
        ensure!(now != incarnation, "{now}");
        Ok(())
    })
    .await?;
    served(edge, changed, "old /").await?;
    served(edge, deleted, "old /").await?;
    wait::until(
        "the site that the store has forgotten is refused",
        SOON,
        || async {
            let answer = client::get(edge.http()?, young, "/").await;
            ensure!(answer.is_err(), "{answer:?}");
            Ok(())
        },
    )
    .await?;
    acknowledged(edge).await?;

    // And a change of the new history arrives, told truly.
    edge.cluster
        .apply(&sites::site("changed", changed, new.address, ""))?;
    served(edge, changed, "new /").await?;
    edge.site_ready("changed")?;
    load.finish().await.all_answered()?;

    let api: Api<EdgeSite> = Api::default_namespaced(edge.cluster.client());
    let site = api.get("changed").await?;
    let observed = site.status.as_ref().map(|status| status.observed_generation);
    ensure!(observed == site.metadata.generation, "{:?}", site.status);
    edge.cluster
        .kubectl(&["delete", "edgesite", "--all", "-n", "default"])
        .map(drop)
}

async fn with_the_store_stopped(
    edge: &mut Installed,
    work: impl FnOnce(&breakwater_e2e::cluster::Cluster) -> Result<()>,
) -> Result<()> {
    edge.cluster.stop(Program::ApiServer, true)?;
    edge.cluster.stop(Program::Etcd, false)?;
    work(&edge.cluster)?;
    edge.cluster.begin(Program::Etcd)?;
    edge.cluster.begin(Program::ApiServer)?;
    edge.cluster.api_ready().await
}

async fn incarnation(edge: &Installed) -> Result<String> {
    let api: Api<ConfigMap> = Api::namespaced(edge.cluster.client(), EDGES);
    let data = api.get("breakwater-incarnation").await?.data.unwrap_or_default();
    data.get("id").cloned().context("no id")
}

/// The edge acknowledges the current incarnation, and nothing that this store hasn't come to.
async fn acknowledged(edge: &Installed) -> Result<()> {
    wait::until("the edge acknowledges the new history", SOON, || async {
        let current = incarnation(edge).await?;
        let nodes = edge.edge_nodes().await?;
        let status = nodes
            .first()
            .context("no EdgeNode")?
            .status
            .clone()
            .context("no status")?;
        let acknowledged = status.acknowledged.context("nothing acknowledged")?;
        ensure!(
            acknowledged.incarnation == current && status.held.is_none(),
            "{acknowledged:?} {:?}",
            status.held
        );
        let newest: u64 = edge
            .cluster
            .kubectl(&["get", "edgesites", "-o", "json"])
            .and_then(|list| {
                let list: serde_json::Value = serde_json::from_str(&list)?;
                let version = list
                    .pointer("/metadata/resourceVersion")
                    .and_then(serde_json::Value::as_str);
                Ok(version.unwrap_or_default().parse().unwrap_or(u64::MAX))
            })?;
        ensure!(
            acknowledged.resource_version.parse::<u64>()? <= newest,
            "{acknowledged:?} but {newest}"
        );
        Ok(())
    })
    .await
}

async fn served(edge: &Installed, host: &str, body: &str) -> Result<()> {
    wait::until(&format!("{body:?} is served for {host}"), SOON, || async {
        let answer = client::get(edge.http()?, host, "/").await?;
        ensure!(answer.body() == body, "{answer:?}");
        Ok(())
    })
    .await
}

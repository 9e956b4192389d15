//! New edges in place of old ones.

use anyhow::{Result, ensure};
use breakwater_e2e::client::Speaks;
use breakwater_e2e::installed::{EDGES, Installed, SOON};
use breakwater_e2e::load::Load;
use breakwater_e2e::origin::Origin;
use breakwater_e2e::pki::Ca;
use breakwater_e2e::wait;

use crate::sites;

/// `helm upgrade` with other resources for the edges: the DaemonSet is rolled, the new process takes the sockets
/// over, and no visitor notices.
pub(crate) async fn replacing_the_edges_under_load_fails_no_request(edge: &mut Installed) -> Result<()> {
    let origin = Origin::start("10.77.0.1:0", "rollout", None).await?;
    let ca = Ca::new("e2e visitors")?;
    let host = "rollout.example.com";
    edge.cluster
        .apply(&sites::tls_secret("rollout-tls", &ca.leaf(&[host])?))?;
    let tls = "tls: {certificateRefs: [{name: rollout-tls}], redirect: {enabled: false}}";
    edge.cluster
        .apply(&sites::site("rollout", host, origin.address, tls))?;
    edge.site_ready("rollout")?;
    let before = edge.edge_pod().await?;

    let visitors = [
        (edge.http()?, Speaks::Plain),
        (edge.https()?, Speaks::Tls(ca.pem.clone())),
        (edge.https()?, Speaks::H2(ca.pem.clone())),
    ];
    let load = Load::start(&visitors, host, "/");
    edge.helm("upgrade", &["--set", "regions[0].spec.local.cores=1"])?;
    let after = wait::until("another edge is the only one", SOON, || async {
        let pod = edge.edge_pod().await?;
        ensure!(pod != before, "still {pod}");
        Ok(pod)
    })
    .await?;
    edge.cluster.kubectl(&[
        "-n",
        EDGES,
        "wait",
        "--for=condition=Ready",
        &format!("pod/{after}"),
        "--timeout=60s",
    ])?;
    edge.cluster.kubectl(&[
        "-n",
        EDGES,
        "wait",
        "--for=delete",
        &format!("pod/{before}"),
        "--timeout=60s",
    ])?;
    edge.region_ready().await?;
    load.finish().await.all_answered()?;
    edge.cluster.kubectl(&["delete", "edgesite", "rollout"]).map(drop)
}

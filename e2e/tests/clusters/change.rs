//! Changing a site while visitors ask for it.

use anyhow::{Result, ensure};
use breakwater_e2e::client::{self, Speaks};
use breakwater_e2e::installed::{Installed, SOON};
use breakwater_e2e::load::Load;
use breakwater_e2e::origin::Origin;
use breakwater_e2e::pki::Ca;
use breakwater_e2e::wait;

use crate::sites;

/// How often the site moves from one origin to the other.
const CHANGES: usize = 20;

/// Each change arrives, and no visitor sees anything but an answer of the one origin or the other.
pub(crate) async fn a_change_under_load_fails_no_request(edge: &Installed) -> Result<()> {
    let (blue, green) = (
        Origin::start("10.77.0.1:0", "blue", None).await?,
        Origin::start("10.77.0.1:0", "green", None).await?,
    );
    let ca = Ca::new("e2e visitors")?;
    let host = "change.example.com";
    edge.cluster
        .apply(&sites::tls_secret("change-tls", &ca.leaf(&[host])?))?;
    let tls = "tls: {certificateRefs: [{name: change-tls}], redirect: {enabled: false}}";
    let to = |origin: &Origin| sites::site("change", host, origin.address, tls);
    edge.cluster.apply(&to(&blue))?;
    edge.site_ready("change")?;

    let visitors = [
        (edge.http()?, Speaks::Plain),
        (edge.https()?, Speaks::Tls(ca.pem.clone())),
        (edge.https()?, Speaks::H2(ca.pem.clone())),
    ];
    let load = Load::start(&visitors, host, "/");
    for change in 0..CHANGES {
        let (origin, body) = if change % 2 == 0 {
            (&green, "green /")
        } else {
            (&blue, "blue /")
        };
        edge.cluster.apply(&to(origin))?;
        wait::until("the change is served", SOON, || async {
            let answer = client::get(edge.http()?, host, "/").await?;
            ensure!(answer.body() == body, "{answer:?}");
            Ok(())
        })
        .await?;
    }
    let summary = load.finish().await;
    summary.all_answered()?;
    ensure!(summary.bodies.len() == 2, "{:?}", summary.bodies);
    edge.cluster.kubectl(&["delete", "edgesite", "change"]).map(drop)
}

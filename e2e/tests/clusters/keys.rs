//! Certificates that change, and one that breaks.

use anyhow::{Result, ensure};
use breakwater_crds::ConditionStatus;
use breakwater_e2e::client::{self, Speaks};
use breakwater_e2e::installed::{Installed, SOON};
use breakwater_e2e::load::Load;
use breakwater_e2e::origin::Origin;
use breakwater_e2e::pki::{Ca, Leaf};
use breakwater_e2e::wait;

use crate::sites;

/// A new certificate is presented at once; a broken key leaves the last good one, and the status says so.
pub(crate) async fn a_broken_key_keeps_the_last_good_certificate(edge: &Installed) -> Result<()> {
    let origin = Origin::start("10.77.0.1:0", "keys", None).await?;
    let (first, second) = (Ca::new("e2e first")?, Ca::new("e2e second")?);
    let host = "keys.example.com";
    let leaf = first.leaf(&[host])?;
    edge.cluster.apply(&sites::tls_secret("keys-tls", &leaf))?;
    let tls = "tls: {certificateRefs: [{name: keys-tls}]}";
    edge.cluster
        .apply(&sites::site("keys", host, origin.address, tls))?;
    edge.site_ready("keys")?;
    let before = client::certificate(edge.https()?, host, &first.pem).await?;

    let broken = Leaf {
        chain: leaf.chain,
        key: "-----BEGIN PRIVATE KEY-----\nbm8ga2V5\n-----END PRIVATE KEY-----\n".to_owned(),
    };
    let load = Load::start(&[(edge.https()?, Speaks::H2(first.pem.clone()))], host, "/");
    edge.cluster.apply(&sites::tls_secret("keys-tls", &broken))?;
    let said = wait::until("the status tells of the broken key", SOON, || async {
        let condition = edge.condition("keys", "CertificateReady").await?;
        ensure!(condition.reason == "InvalidCertificate", "{condition:?}");
        Ok(condition)
    })
    .await?;
    ensure!(
        said.status == ConditionStatus::False && said.message.contains("keys-tls"),
        "{said:?}"
    );
    ensure!(
        !said.message.contains("bm8ga2V5"),
        "the status shows the Secret's content: {said:?}"
    );
    let after = client::certificate(edge.https()?, host, &first.pem).await?;
    ensure!(before == after, "another certificate is presented");
    load.finish().await.all_answered()?;

    edge.cluster
        .apply(&sites::tls_secret("keys-tls", &second.leaf(&[host])?))?;
    wait::until("the renewed certificate is presented", SOON, || async {
        client::get_h2(edge.https()?, host, "/", &second.pem).await
    })
    .await?;
    edge.site_ready("keys")?;
    edge.cluster.kubectl(&["delete", "edgesite", "keys"]).map(drop)
}

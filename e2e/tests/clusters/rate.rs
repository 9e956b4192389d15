//! Limits on requests.

use anyhow::{Context, Result, ensure};
use breakwater_e2e::client;
use breakwater_e2e::installed::{Installed, SOON};
use breakwater_e2e::origin::Origin;
use breakwater_e2e::wait;
use hyper::StatusCode;

use crate::sites;

/// Above the rate: 429 with `Retry-After`; without the rule: everything passes.
pub(crate) async fn too_many_requests_are_told_when_to_come_back(edge: &Installed) -> Result<()> {
    let origin = Origin::start("10.77.0.1:0", "limited", None).await?;
    let host = "rate.example.com";
    edge.cluster
        .apply(&sites::site("rate", host, origin.address, ""))?;
    let rule = "apiVersion: edge.breakwater.dev/v1alpha1\nkind: RateRule\nmetadata: {name: few, namespace: default}\n\
                spec:\n  targetRefs: [{kind: EdgeSite, name: rate}]\n  rate: {requests: 5, period: 1h}\n  burst: 4\n";
    edge.cluster.apply(rule)?;
    edge.site_ready("rate")?;
    edge.cluster
        .kubectl(&["wait", "--for=condition=Ready", "raterule/few", "--timeout=60s"])?;

    for _ in 0..5 {
        let answer = client::get(edge.http()?, host, "/").await?;
        ensure!(answer.status() == StatusCode::OK, "{answer:?}");
    }
    let asked = origin.requests();
    let refused = client::get(edge.http()?, host, "/").await?;
    ensure!(refused.status() == StatusCode::TOO_MANY_REQUESTS, "{refused:?}");
    let after = refused.headers().get("retry-after").context("no Retry-After")?;
    let seconds: u32 = after.to_str()?.parse()?;
    ensure!((1..=3_600).contains(&seconds), "Retry-After: {seconds}");
    ensure!(origin.requests() == asked, "the origin saw the refused request");

    edge.cluster.kubectl(&["delete", "raterule", "few"])?;
    wait::until("requests pass without the rule", SOON, || async {
        let answer = client::get(edge.http()?, host, "/").await?;
        ensure!(answer.status() == StatusCode::OK, "{answer:?}");
        Ok(())
    })
    .await?;
    edge.cluster.kubectl(&["delete", "edgesite", "rate"]).map(drop)
}

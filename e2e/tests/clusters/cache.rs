//! The cache, seen by visitors.

use anyhow::{Context, Result, ensure};
use breakwater_e2e::client::{self, Answer};
use breakwater_e2e::installed::{Installed, SOON};
use breakwater_e2e::origin::Origin;
use breakwater_e2e::wait;

use crate::sites;

/// The origin is asked once; `Cache-Status` and `Age` say what happened; a `CachePolicy` changes it.
pub(crate) async fn the_second_request_is_a_hit(edge: &Installed) -> Result<()> {
    let origin = Origin::start("10.77.0.1:0", "cached", Some("max-age=60")).await?;
    let host = "cache.example.com";
    edge.cluster
        .apply(&sites::site("cache", host, origin.address, ""))?;
    edge.site_ready("cache")?;

    let miss = client::get(edge.http()?, host, "/page").await?;
    ensure!(cache_status(&miss)?.contains("fwd=uri-miss; stored"), "{miss:?}");
    let hit = client::get(edge.http()?, host, "/page").await?;
    ensure!(
        cache_status(&hit)?.contains("hit") && hit.body() == "cached /page",
        "{hit:?}"
    );
    ensure!(hit.headers().contains_key("age"), "a hit without Age: {hit:?}");
    ensure!(
        origin.requests() == 1,
        "the origin was asked {} times",
        origin.requests()
    );

    let policy = "apiVersion: edge.breakwater.dev/v1alpha1\nkind: CachePolicy\n\
                  metadata: {name: no-query, namespace: default}\nspec:\n  \
                  targetRefs: [{kind: EdgeSite, name: cache}]\n  key: {query: {mode: None}}\n";
    edge.cluster.apply(policy)?;
    edge.cluster.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "cachepolicy/no-query",
        "--timeout=60s",
    ])?;
    client::get(edge.http()?, host, "/page?a=1").await?;
    let asked = origin.requests();
    let hit = client::get(edge.http()?, host, "/page?a=2").await?;
    ensure!(
        cache_status(&hit)?.contains("hit") && origin.requests() == asked,
        "{hit:?}"
    );

    edge.cluster.kubectl(&["delete", "cachepolicy", "no-query"])?;
    wait::until("the query counts again", SOON, || async {
        let path = format!("/page?b={}", origin.requests());
        let answer = client::get(edge.http()?, host, &path).await?;
        ensure!(cache_status(&answer)?.contains("uri-miss"), "{answer:?}");
        Ok(())
    })
    .await?;
    edge.cluster.kubectl(&["delete", "edgesite", "cache"]).map(drop)
}

fn cache_status(answer: &Answer) -> Result<&str> {
    let field = answer
        .headers()
        .get("cache-status")
        .with_context(|| format!("no Cache-Status: {answer:?}"))?;
    Ok(field.to_str()?)
}

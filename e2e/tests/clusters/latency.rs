//! How long a change takes from `apply` to the first visitor who sees it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use breakwater_crds::EdgeSite;
use breakwater_e2e::client::{self, Speaks, Visitor};
use breakwater_e2e::installed::{Installed, SOON};
use breakwater_e2e::wait;
use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

/// Sites that stand.
const SITES: usize = 1000;

/// Changes that are measured, each of another site.
const CHANGES: usize = 200;

/// Requests to the API server at a time while sites are made.
const AT_ONCE: usize = 16;

/// What the 99th percentile is to stay below.
const BAR: Duration = Duration::from_millis(250);

const LABEL: &str = "latency";

/// With a thousand sites, changes of single ones are timed and printed.
pub(crate) async fn a_change_of_one_site_of_a_thousand_is_served_soon(edge: &Installed) -> Result<()> {
    let kind = ApiResource::erase::<EdgeSite>(&());
    let sites: Api<DynamicObject> = Api::default_namespaced_with(edge.cluster.client(), &kind);
    let started = Instant::now();
    futures::stream::iter(0..SITES)
        .map(|n| make(&sites, n))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let (applied, since) = (started.elapsed(), Instant::now());
    wait::until("the last site is served", SOON, || async {
        for n in (0..SITES).step_by(97).chain([SITES - 1]) {
            let answer = client::get(edge.http()?, &host(n), "/").await?;
            ensure!(answer.status() == 200, "{answer:?}");
        }
        Ok(())
    })
    .await?;
    println!(
        "    {SITES} sites applied in {:.1} s, served {:.1} s later",
        applied.as_secs_f32(),
        since.elapsed().as_secs_f32()
    );

    // Until every status says so the API server is busy with them.
    let ours = ListParams::default().labels(LABEL);
    wait::until("all are Ready", SOON, || async {
        let list = sites.list(&ours).await?;
        let waiting = list.iter().filter(|site| !is_ready(site)).count();
        ensure!(waiting == 0, "{waiting} aren't Ready");
        Ok(())
    })
    .await?;
    println!(
        "    all of them Ready {:.1} s later",
        since.elapsed().as_secs_f32()
    );

    let mut times = Vec::with_capacity(CHANGES);
    for change in 0..CHANGES {
        times.push(change_one(edge, &sites, (change * 37) % SITES, change).await?);
    }
    times.sort_unstable();
    let at = |percent: usize| {
        times
            .get((times.len() * percent).div_ceil(100) - 1)
            .copied()
            .unwrap_or_default()
    };
    let (half, most) = (at(50), at(99));
    println!(
        "    apply → served, one of {SITES} sites, {CHANGES} changes: p50 {} ms, p99 {} ms, longest {} ms; the bar of {} ms {}",
        half.as_millis(),
        most.as_millis(),
        at(100).as_millis(),
        BAR.as_millis(),
        if most <= BAR { "holds" } else { "is missed" },
    );
    sites.delete_collection(&DeleteParams::default(), &ours).await?;
    // So many at once may be a mistake: the region's status holds the command that agrees.
    wait::until("they are gone", SOON, || async {
        agree(edge)?;
        let gone = client::get(edge.http()?, &host(SITES - 1), "/").await;
        ensure!(gone.is_err(), "{gone:?}");
        Ok(())
    })
    .await
}

fn is_ready(site: &DynamicObject) -> bool {
    let conditions = site
        .data
        .pointer("/status/conditions")
        .and_then(|list| list.as_array());
    let ready = |condition: &serde_json::Value| {
        condition.get("type").is_some_and(|kind| kind == "Ready")
            && condition.get("status").is_some_and(|status| status == "True")
    };
    conditions.is_some_and(|list| list.iter().any(ready))
}

fn agree(edge: &Installed) -> Result<()> {
    let path = "jsonpath={.status.conditions[?(@.type==\"WithdrawalsHeld\")].message}";
    let message = edge
        .cluster
        .kubectl(&["get", "edgeregion", "default", "-o", path])?;
    if let Some((_, command)) = message.split_once("kubectl ") {
        let words: Vec<&str> = command.split_whitespace().collect();
        edge.cluster.kubectl(&words)?;
    }
    Ok(())
}

fn host(n: usize) -> String {
    format!("latency-{n}.example.com")
}

fn routes(body: &str) -> serde_json::Value {
    json!([
        {"name": "old", "match": [{"path": {"value": "/old"}}], "redirect": {"path": {"full": "/"}}},
        {"name": "all", "respond": {"status": 200, "body": body}}
    ])
}

async fn make(sites: &Api<DynamicObject>, n: usize) -> Result<()> {
    // As people write it: without the fields that have defaults.
    let site: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "edge.breakwater.dev/v1alpha1",
        "kind": "EdgeSite",
        "metadata": {"name": format!("latency-{n}"), "labels": {LABEL: ""}},
        "spec": {
            "hosts": [host(n)],
            "routes": routes("first"),
        },
    }))?;
    sites
        .create(&PostParams::default(), &site)
        .await
        .map(drop)
        .with_context(|| host(n))
}

async fn change_one(
    edge: &Installed,
    sites: &Api<DynamicObject>,
    n: usize,
    change: usize,
) -> Result<Duration> {
    let body = format!("change {change}");
    let mut visitor = Visitor::new(edge.http()?, &host(n), Speaks::Plain);
    visitor.get("/").await?;
    let patch = Patch::Merge(json!({"spec": {"routes": routes(&body)}}));
    let started = Instant::now();
    sites
        .patch(&format!("latency-{n}"), &PatchParams::default(), &patch)
        .await?;
    while started.elapsed() < SOON {
        if visitor.get("/").await?.body() == &body {
            return Ok(started.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bail!("{} still isn't served as changed", host(n));
}

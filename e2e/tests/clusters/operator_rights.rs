//! What the operator may not do, and namespaces that go: one region's trouble is no other's.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use breakwater_crds::{ConditionStatus, EdgeRegion};
use breakwater_e2e::manifests::parse;
use breakwater_e2e::wait;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::operator_stage::{SOON, SYSTEM, Stage};

/// Namespace of a region that the chart's values don't name.
const OTHER: &str = "breakwater-edge-other";

/// With the rights that the chart gives, everything works where the chart gives them; where it doesn't, the
/// region says so, and is served as soon as the rights are there. A namespace that is being deleted, and one that
/// is gone, are told and hold nobody up.
pub(crate) async fn trouble_in_one_namespace_is_told_and_stays_there(stage: &mut Stage) -> Result<()> {
    let kubeconfig = as_the_chart_allows(stage).await?;
    let _edge = stage.edge().await?;
    let mut operator = stage.operator_as(&kubeconfig)?;
    operator.ready().await?;
    stage.apply_sites(0..10, 8_001).await?;
    stage.all_true(true).await?;

    // A region without rights.
    namespace(stage).await?;
    let region = json!({
        "apiVersion": "edge.breakwater.dev/v1alpha1", "kind": "EdgeRegion", "metadata": {"name": "other"},
        "spec": {"local": {"namespace": OTHER}},
    });
    stage.sender.apply(&region).await?;
    told(stage, "NamespaceForbidden", "cannot list resource").await?;
    goes_on(stage, 8_002).await?;
    ensure!(operator.get("/readyz").await.is_ok(), "it isn't ready any more");
    apply_rights(stage, &["e2e", "other"]).await?;
    let begun = Instant::now();
    there(stage, 10).await.context("rights were given")?;
    println!(
        "a region is served {:.1} s after the rights are there",
        begun.elapsed().as_secs_f32()
    );

    // Its namespace is being deleted, and nothing can be made in it any more.
    let namespaces: Api<Namespace> = Api::all(stage.client());
    namespaces.delete(OTHER, &DeleteParams::default()).await?;
    stage.apply_sites([10], 8_001).await?;
    told(stage, "WriteRefused", "is being terminated").await?;
    goes_on(stage, 8_003).await?;

    // It is gone.
    let secrets: Api<Secret> = Api::namespaced(stage.client(), OTHER);
    secrets
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await?;
    finalize(stage).await?;
    told(stage, "NamespaceNotFound", OTHER).await?;
    goes_on(stage, 8_004).await?;

    // And there again.
    namespace(stage).await?;
    apply_rights(stage, &["e2e", "other"]).await?;
    there(stage, 11).await.context("the namespace is there again")?;
    goes_on(stage, 8_005).await?;
    ensure!(operator.running()?, "the operator has ended");
    let regions: Api<EdgeRegion> = Api::all(stage.client());
    regions.delete("other", &DeleteParams::default()).await?;
    Ok(())
}

/// The other region's status has this reason, and these words in its message.
async fn told(stage: &Stage, reason: &str, words: &str) -> Result<()> {
    let regions: Api<EdgeRegion> = Api::all(stage.client());
    let condition = wait::until(reason, SOON, || async {
        let conditions = regions.get("other").await?.status.unwrap_or_default().conditions;
        let ready = conditions
            .iter()
            .find(|c| c.kind == "Ready" && c.status == ConditionStatus::False);
        let ready = ready.with_context(|| format!("{conditions:?}"))?;
        ensure!(
            ready.reason == reason && ready.message.contains(words),
            "{ready:?}"
        );
        Ok(ready.clone())
    })
    .await?;
    println!("{reason}: {}", condition.message);
    Ok(())
}

/// A change is published in the region that is well.
async fn goes_on(stage: &Stage, port: u16) -> Result<()> {
    let begun = Instant::now();
    stage.apply_sites(0..10, port).await?;
    wait::until("the good region goes on", SOON, || {
        stage.are_published(0..10, port)
    })
    .await?;
    ensure!(
        begun.elapsed().as_secs() < 5,
        "the good region waits for the other"
    );
    Ok(())
}

/// So many sites are published in the other region.
async fn there(stage: &Stage, sites: usize) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(stage.client(), OTHER);
    let ours = ListParams::default().labels("edge.breakwater.dev/content=site");
    wait::until("the other region has every site", SOON, || async {
        let there = secrets.list_metadata(&ours).await?.items.len();
        ensure!(there == sites, "{there}");
        Ok(())
    })
    .await
}

async fn namespace(stage: &mut Stage) -> Result<()> {
    let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OTHER}});
    stage.sender.apply(&manifest).await.map(drop)
}

/// What the namespace controller does in the end.
async fn finalize(stage: &Stage) -> Result<()> {
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OTHER}, "spec": {"finalizers": []}});
    let request = hyper::Request::put(format!("/api/v1/namespaces/{OTHER}/finalize"))
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&body)?)?;
    stage.client().request::<Value>(request).await?;
    Ok(())
}

/// A kubeconfig of the operator's `ServiceAccount`, with the rights that the chart gives it.
async fn as_the_chart_allows(stage: &mut Stage) -> Result<PathBuf> {
    apply_rights(stage, &["e2e"]).await?;
    let path = format!("/api/v1/namespaces/{SYSTEM}/serviceaccounts/breakwater-operator/token");
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let request = hyper::Request::post(path)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&body)?)?;
    let answer: Value = stage.client().request(request).await?;
    let token = answer
        .pointer("/status/token")
        .and_then(Value::as_str)
        .context("no token")?;
    stage.server.kubeconfig_with_token("operator", token)
}

/// Accounts and roles of the chart, for these regions.
async fn apply_rights(stage: &mut Stage, regions: &[&str]) -> Result<()> {
    let values: Vec<Value> = regions
        .iter()
        .map(|name| json!({"name": name, "spec": {"local": {}}}))
        .collect();
    let output = Command::new(stage.programs.join("helm"))
        .args([
            "template",
            "breakwater",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/breakwater"),
        ])
        .args([
            "--namespace",
            SYSTEM,
            "--set-json",
            &format!("regions={}", Value::from(values)),
        ])
        .output()?;
    ensure!(
        output.status.success(),
        "helm: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let kinds = [
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
    ];
    for manifest in parse(&String::from_utf8(output.stdout)?)? {
        let kind = manifest.get("kind").and_then(Value::as_str).unwrap_or_default();
        if kinds.contains(&kind) {
            stage.sender.apply(&manifest).await?;
        }
    }
    Ok(())
}

//! Pods of the cluster as origin, found by the `EndpointSlice`s of their Service.

use anyhow::{Result, ensure};
use breakwater_e2e::client::{self, Speaks};
use breakwater_e2e::installed::{Installed, SOON};
use breakwater_e2e::load::Load;
use breakwater_e2e::wait;

/// A Pod that answers everything with its name.
fn pod(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: default, labels: {{app: web}}}}\n\
         spec:\n  terminationGracePeriodSeconds: 5\n  containers:\n    - name: web\n      \
         image: localhost/origin:e2e\n      imagePullPolicy: Never\n      \
         readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}\n      \
         lifecycle: {{preStop: {{sleep: {{seconds: 2}}}}}}\n"
    )
}

const SITE: &str = r"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: edge.breakwater.dev/v1alpha1
kind: EdgeSite
metadata: {name: service, namespace: default}
spec:
  hosts: [service.example.com]
  origins: [{name: web, service: {name: web, port: 80}}]
";

/// Pods come and go; whoever is ready answers, and no visitor is refused as long as one is.
pub(crate) async fn pods_of_a_service_are_an_origin(edge: &mut Installed) -> Result<()> {
    let host = "service.example.com";
    edge.cluster.apply(&format!("{}---{SITE}", pod("web-a")))?;
    edge.cluster
        .kubectl(&["wait", "--for=condition=Ready", "pod/web-a", "--timeout=60s"])?;
    edge.site_ready("service")?;
    answers(edge, host, &["web-a"]).await?;

    let load = Load::start(&[(edge.http()?, Speaks::Plain)], host, "/");
    edge.cluster.apply(&pod("web-b"))?;
    answers(edge, host, &["web-a", "web-b"]).await?;
    edge.cluster
        .kubectl(&["delete", "pod", "web-a", "--wait=false"])?;
    answers(edge, host, &["web-b"]).await?;
    load.finish().await.all_answered()?;

    edge.cluster.kubectl(&[
        "delete",
        "edgesite/service",
        "service/web",
        "pod/web-b",
        "--wait=false",
    ])?;
    Ok(())
}

/// Waits until exactly these Pods answer.
async fn answers(edge: &Installed, host: &str, pods: &[&str]) -> Result<()> {
    wait::until(&format!("{pods:?} answer"), SOON, || async {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..8 {
            let answer = client::get(edge.http()?, host, "/").await?;
            ensure!(answer.status() == 200, "{answer:?}");
            seen.insert(String::from_utf8_lossy(answer.body()).into_owned());
        }
        ensure!(seen.iter().eq(pods), "{seen:?}");
        Ok(())
    })
    .await
}

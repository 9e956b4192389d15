//! What a person sees who applies something that can't be.

use anyhow::{Context, Result, ensure};
use breakwater_crds::{Condition, ConditionStatus};
use breakwater_e2e::client;
use breakwater_e2e::installed::{Installed, SOON};
use breakwater_e2e::wait;
use serde_json::Value;

/// An object, the condition that is false, its reason, and words of its message.
struct Bad {
    kind: &'static str,
    name: &'static str,
    spec: &'static str,
    condition: &'static str,
    reason: &'static str,
    says: &'static [&'static str],
}

/// In the namespace `default`, where a good site has `objects.example.com`.
const BAD: &[Bad] = &[
    Bad {
        kind: "EdgeSite",
        name: "metadata-service",
        spec: "{hosts: [metadata.example.com], origins: [{name: app, addresses: [{address: 169.254.169.254, port: 80}]}]}",
        condition: "Accepted",
        reason: "ForbiddenOrigin",
        says: &["169.254.169.254"],
    },
    Bad {
        kind: "EdgeSite",
        name: "taken",
        spec: "{hosts: [objects.example.com], routes: [{name: all, respond: {status: 200}}]}",
        condition: "Accepted",
        reason: "HostConflict",
        says: &["objects.example.com", "objects-good"],
    },
    Bad {
        kind: "EdgeSite",
        name: "no-service",
        spec: "{hosts: [service.objects.example.com], origins: [{name: app, service: {name: nowhere, port: 80}}]}",
        condition: "ResolvedRefs",
        reason: "ServiceNotFound",
        says: &["nowhere"],
    },
    Bad {
        kind: "EdgeSite",
        name: "no-secret",
        spec: "{hosts: [secret.objects.example.com], tls: {certificateRefs: [{name: nowhere-tls}]}, routes: [{name: all, \
               respond: {status: 200}}]}",
        condition: "CertificateReady",
        reason: "SecretNotFound",
        says: &["nowhere-tls"],
    },
    Bad {
        kind: "EdgeSite",
        name: "no-region",
        spec: "{hosts: [region.objects.example.com], regions: [atlantis], routes: [{name: all, respond: {status: 200}}]}",
        condition: "ResolvedRefs",
        reason: "RegionNotFound",
        says: &["atlantis"],
    },
    Bad {
        kind: "CachePolicy",
        name: "no-target",
        spec: "{targetRefs: [{kind: EdgeSite, name: nobody}]}",
        condition: "ResolvedRefs",
        reason: "TargetNotFound",
        says: &["nobody"],
    },
    Bad {
        kind: "CachePolicy",
        name: "of-a-tenant",
        spec: "{scope: AllSites}",
        condition: "Accepted",
        reason: "ScopeNotAllowed",
        says: &["targetRefs"],
    },
    Bad {
        kind: "RateRule",
        name: "no-target",
        spec: "{targetRefs: [{kind: EdgeSite, name: nobody}], rate: {requests: 1, period: 1s}}",
        condition: "ResolvedRefs",
        reason: "TargetNotFound",
        says: &["nobody"],
    },
    Bad {
        kind: "EdgeRegion",
        name: "nowhere",
        spec: "{local: {nodeSelector: {edge: none}}}",
        condition: "Accepted",
        reason: "NamespaceNotFound",
        says: &["nowhere"],
    },
];

impl Bad {
    fn manifest(&self) -> String {
        let namespace = if self.kind == "EdgeRegion" {
            ""
        } else {
            ", namespace: default"
        };
        format!(
            "apiVersion: edge.breakwater.dev/v1alpha1\nkind: {}\nmetadata: {{name: {}{namespace}}}\nspec: {}\n",
            self.kind, self.name, self.spec
        )
    }

    fn is_told(&self, status: &str) -> Result<()> {
        let status: Value = serde_json::from_str(status).context("no status")?;
        // A policy's conditions stand with each of its targets as well.
        let conditions = status
            .get("conditions")
            .and_then(Value::as_array)
            .context("no conditions")?;
        let conditions: Vec<Condition> = conditions.iter().map(condition).collect::<Result<_>>()?;
        let told = conditions.iter().find(|told| told.kind == self.condition);
        let told = told.context("the condition isn't there")?;
        ensure!(
            told.status == ConditionStatus::False && told.reason == self.reason,
            "{told:?}"
        );
        ensure!(told.observed_generation == Some(1), "{told:?}");
        ensure!(
            self.says.iter().all(|word| told.message.contains(word)),
            "{told:?}"
        );
        let ready = conditions.iter().find(|condition| condition.kind == "Ready");
        ensure!(
            ready.is_some_and(|ready| ready.status != ConditionStatus::True),
            "{status}"
        );
        Ok(())
    }
}

fn condition(value: &Value) -> Result<Condition> {
    Ok(serde_json::from_value(value.clone())?)
}

/// Each object tells precisely what is wrong with it, in its status and as an event, and harms nobody.
pub(crate) async fn a_bad_object_says_what_is_wrong_and_harms_no_other(edge: &Installed) -> Result<()> {
    let cluster = &edge.cluster;
    cluster.apply(
        "apiVersion: edge.breakwater.dev/v1alpha1\nkind: EdgeSite\nmetadata: {name: objects-good, namespace: default}\n\
         spec: {hosts: [objects.example.com], routes: [{name: all, respond: {status: 200, body: good}}]}\n",
    )?;
    edge.site_ready("objects-good")?;
    let manifests: Vec<String> = BAD.iter().map(Bad::manifest).collect();
    let manifests = manifests.join("---\n");
    cluster.apply(&manifests)?;
    for bad in BAD {
        let object = format!("{}/{}", bad.kind.to_lowercase(), bad.name);
        wait::until(&format!("{object} tells why"), SOON, || async {
            let status = cluster.kubectl(&["get", &object, "-o", "jsonpath={.status}"])?;
            bad.is_told(&status)
        })
        .await?;
        wait::until(&format!("an event tells why of {object}"), SOON, || async {
            let selector = format!(
                "involvedObject.kind={},involvedObject.name={}",
                bad.kind, bad.name
            );
            let events =
                cluster.kubectl(&["get", "events", "-A", "--field-selector", &selector, "-o", "wide"])?;
            ensure!(events.contains(bad.reason), "{events}");
            Ok(())
        })
        .await?;
    }
    // What the schema refuses never gets that far; the person sees the reason at once.
    let refused = cluster.apply(
        "apiVersion: edge.breakwater.dev/v1alpha1\nkind: EdgeSite\nmetadata: {name: schema, namespace: default}\n\
         spec: {hosts: [], routes: [{name: all, respond: {status: 200}}]}\n",
    );
    let said = refused
        .err()
        .map(|error| format!("{error:#}"))
        .unwrap_or_default();
    ensure!(said.contains("spec.hosts"), "{said}");
    let waited = cluster.kubectl(&["wait", "--for=condition=Ready", "edgesite/taken", "--timeout=1s"]);
    ensure!(waited.is_err(), "a refused site is Ready");
    let answer = client::get(edge.http()?, "objects.example.com", "/").await?;
    ensure!(answer.status() == 200 && answer.body() == "good", "{answer:?}");
    edge.region_ready().await?;

    cluster.with_input("kubectl", &["delete", "--wait", "-f", "-"], &manifests)?;
    cluster.kubectl(&["delete", "edgesite", "objects-good"]).map(drop)
}

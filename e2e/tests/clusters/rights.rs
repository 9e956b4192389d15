//! What an edge's token may do: read its own namespace, say how it is itself, and nothing else.

use std::fmt::Debug;

use anyhow::{Context, Result, bail, ensure};
use breakwater_crds::{EdgeNode, EdgeSite};
use breakwater_e2e::installed::{EDGES, Installed, SYSTEM};
use k8s_openapi::api::authorization::v1::{SelfSubjectRulesReview, SelfSubjectRulesReviewSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Secret};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

/// Real requests with the token of a running edge, and the list of its rights in every namespace.
pub(crate) async fn an_edges_token_reads_nothing_but_its_own_namespace(edge: &mut Installed) -> Result<()> {
    let pod = edge.edge_pod().await?;
    let token = edge.cluster.kubectl(&[
        "-n",
        EDGES,
        "create",
        "token",
        "breakwater-edge",
        "--bound-object-kind=Pod",
        &format!("--bound-object-name={pod}"),
    ])?;
    let client = edge.cluster.client_with_token(token.trim())?;

    ensure!(
        !list::<Secret>(&client, EDGES).await?.is_empty(),
        "an edge sees no Secrets of its region"
    );
    for namespace in ["default", "kube-system", SYSTEM] {
        refused(
            &format!("Secrets of {namespace}"),
            list::<Secret>(&client, namespace).await,
        )?;
        refused(
            &format!("ConfigMaps of {namespace}"),
            list::<ConfigMap>(&client, namespace).await,
        )?;
        refused(
            &format!("sites of {namespace}"),
            list::<EdgeSite>(&client, namespace).await,
        )?;
        let rights = rights(&client, namespace).await?;
        ensure!(rights.is_empty(), "rights in {namespace}: {rights:?}");
    }
    refused(
        "Secrets of all namespaces",
        Api::<Secret>::all(client.clone())
            .list(&ListParams::default())
            .await,
    )?;
    refused(
        "nodes",
        Api::<Node>::all(client.clone())
            .list(&ListParams::default())
            .await,
    )?;
    refused(
        "namespaces",
        Api::<Namespace>::all(client.clone())
            .list(&ListParams::default())
            .await,
    )?;
    refused("Pods", list::<Pod>(&client, EDGES).await)?;
    refused(
        "ConfigMaps of its namespace",
        list::<ConfigMap>(&client, EDGES).await,
    )?;
    let mut own = rights(&client, EDGES).await?;
    own.sort();
    let expected = [
        "configmaps/breakwater-incarnation: get",
        "edgenodes/status: patch,update",
        "edgenodes: create,get,patch,update",
        "secrets: get,list,watch",
    ];
    ensure!(own == expected, "rights in its own namespace: {own:#?}");
    writes(&client, &pod).await
}

async fn writes(client: &Client, pod: &str) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), EDGES);
    let secret = Secret {
        metadata: named("mine"),
        ..Secret::default()
    };
    refused(
        "a new Secret",
        secrets.create(&PostParams::default(), &secret).await,
    )?;
    refused(
        "deleting a Secret",
        secrets
            .delete("region-settings", &kube::api::DeleteParams::default())
            .await,
    )?;

    // Of EdgeNodes only its own: RBAC can't tell, admission can.
    let nodes: Api<EdgeNode> = Api::namespaced(client.clone(), EDGES);
    let apply = PatchParams::apply("e2e").force();
    let node = |name: &str| {
        json!({"apiVersion": "edge.breakwater.dev/v1alpha1", "kind": "EdgeNode",
            "metadata": {"name": name, "labels": {"e2e": "true"}}, "spec": {"region": "default", "node": "r1-n1"}})
    };
    nodes
        .patch(pod, &apply, &Patch::Apply(node(pod)))
        .await
        .context("its own EdgeNode")?;
    let other = nodes
        .patch("somebody-else", &apply, &Patch::Apply(node("somebody-else")))
        .await;
    let Err(kube::Error::Api(status)) = &other else {
        bail!("another's EdgeNode is written: {other:?}")
    };
    let words = "an edge may write only the EdgeNode that is named after its own Pod";
    ensure!(status.message.contains(words), "{status:?}");
    Ok(())
}

fn named(name: &str) -> kube::core::ObjectMeta {
    kube::core::ObjectMeta {
        name: Some(name.to_owned()),
        ..Default::default()
    }
}

async fn list<T>(client: &Client, namespace: &str) -> Result<Vec<String>, kube::Error>
where
    T: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<T> = Api::namespaced(client.clone(), namespace);
    Ok(api
        .list(&ListParams::default())
        .await?
        .iter()
        .map(ResourceExt::name_any)
        .collect())
}

fn refused<T: Debug>(what: &str, answer: Result<T, kube::Error>) -> Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        other => bail!("{what}: not forbidden but {other:?}"),
    }
}

/// `RESOURCE[/NAME]: VERBS` of every rule but those that everybody has.
async fn rights(client: &Client, namespace: &str) -> Result<Vec<String>> {
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec {
            namespace: Some(namespace.to_owned()),
        },
        ..SelfSubjectRulesReview::default()
    };
    let api: Api<SelfSubjectRulesReview> = Api::all(client.clone());
    let status = api
        .create(&PostParams::default(), &review)
        .await?
        .status
        .context("no answer")?;
    ensure!(!status.incomplete, "the list is incomplete");
    let everybody = ["authorization.k8s.io", "authentication.k8s.io"];
    let mut rights = Vec::new();
    for rule in status.resource_rules {
        if rule
            .api_groups
            .iter()
            .flatten()
            .any(|group| everybody.contains(&group.as_str()))
        {
            continue;
        }
        let mut verbs = rule.verbs;
        verbs.sort();
        let names = rule.resource_names.unwrap_or_default();
        for resource in rule.resources.unwrap_or_default() {
            let name = names
                .iter()
                .map(|name| format!("/{name}"))
                .collect::<Vec<_>>()
                .concat();
            rights.push(format!("{resource}{name}: {}", verbs.join(",")));
        }
    }
    Ok(rights)
}

//! Secrets that break, vanish or are changed by others.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use breakwater_crds::{Condition, ConditionStatus};
use breakwater_e2e::pki::{Ca, Leaf};
use breakwater_e2e::wait;
use breakwater_edge_config::bundle::{self, REGION_SECRET};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::operator_stage::{EDGES, SOON, Stage, files, site};
use crate::sites;

/// No wrong Secret takes anything from a site that is served, every one is told precisely, and no other site
/// waits for it.
pub(crate) async fn a_broken_certificate_keeps_the_last_good_one(stage: &mut Stage) -> Result<()> {
    let _edge = stage.edge().await?;
    let mut operator = stage.operator()?;
    let ca = Ca::new("e2e")?;
    let host = "site1.example.com";
    let (good, other) = (ca.leaf(&[host])?, ca.leaf(&["other.example.com"])?);
    // Not there at all yet: nothing to keep, so the site is served without it only once it is there.
    let mut manifest = site(1, 8_001);
    let spec = manifest
        .pointer_mut("/spec")
        .and_then(Value::as_object_mut)
        .context("no spec")?;
    spec.insert("tls".to_owned(), json!({"certificateRefs": [{"name": "keys"}]}));
    stage.sender.apply(&manifest).await?;
    operator.ready().await?;
    told(stage, "SecretNotFound", &["keys"]).await?;
    secret(stage, &good).await?;
    stage.all_true(true).await?;
    let before = stage.published().await?;
    let kept = before.get("site1").context("not published")?;
    let hash = bundle::hash(&files(kept));

    let text = str::to_owned;
    let half: String = good.chain.chars().take(200).collect();
    // What is wrong, chain, key, and words of the condition.
    let table = [
        (
            "no key",
            good.chain.clone(),
            text(""),
            "tls.key is missing or empty",
        ),
        (
            "no PEM",
            good.chain.clone(),
            text("secret-words"),
            "tls.key holds no private key",
        ),
        (
            "another's key",
            good.chain.clone(),
            other.key.clone(),
            "tls.key is not the key of",
        ),
        ("half a certificate", half, good.key.clone(), "tls.crt: "),
    ];
    for (number, (what, chain, key, word)) in table.into_iter().enumerate() {
        secret(stage, &Leaf { chain, key }).await?;
        let condition = told(stage, "InvalidCertificate", &["Secret keys", word])
            .await
            .context(what)?;
        ensure!(
            !condition.message.contains("secret-words"),
            "{what}: shown: {condition:?}"
        );
        // Others go on meanwhile.
        let begun = Instant::now();
        let other = 10 + number;
        stage.apply_sites([other], 8_001).await?;
        wait::until("another site is published", SOON, || async {
            let published = stage.published().await?;
            ensure!(published.contains_key(&format!("site{other}")));
            Ok(())
        })
        .await
        .context(what)?;
        println!(
            "{what}: {}: {} (another site after {} ms)",
            condition.reason,
            condition.message,
            begun.elapsed().as_millis()
        );
        let now = stage.published().await?;
        let now = now.get("site1").with_context(|| format!("{what}: withdrawn"))?;
        ensure!(
            bundle::hash(&files(now)) == hash,
            "{what}: the last good one isn't kept"
        );
    }
    // A good one for another host is no broken one: it is published, and the status says what it lacks.
    secret(stage, &other).await?;
    told(stage, "HostNotCovered", &["site1.example.com"]).await?;
    secret(stage, &good).await?;
    stage.all_true(true).await
}

async fn secret(stage: &mut Stage, leaf: &Leaf) -> Result<()> {
    let manifest: Value = serde_json::from_str(&sites::tls_secret("keys", leaf))?;
    stage.sender.apply(&manifest).await.map(drop)
}

/// Waits until the certificate's condition says this.
async fn told(stage: &Stage, reason: &str, words: &[&str]) -> Result<Condition> {
    wait::until("the status tells what is wrong", SOON, || async {
        let site = stage.sites().get("site1").await?;
        let conditions = site.status.map(|status| status.conditions).unwrap_or_default();
        let bad = conditions.iter().find(|c| {
            c.kind != "Ready"
                && c.status == ConditionStatus::False
                && c.reason.contains(reason)
                && words.iter().all(|word| c.message.contains(word))
        });
        bad.cloned().with_context(|| format!("{conditions:?}"))
    })
    .await
}

/// What somebody deletes is written again, and what somebody changes is changed back.
pub(crate) async fn what_others_do_to_published_secrets_is_undone(stage: &mut Stage) -> Result<()> {
    let mut operator = stage.operator()?;
    operator.ready().await?;
    stage.apply_sites(0..20, 8_001).await?;
    stage.all_true(false).await?;
    let published = stage.published().await?;
    let secrets = stage.secrets();
    let names: Vec<String> = published.values().map(ResourceExt::name_any).collect();
    let (first, second) = (names.first().context("none")?, names.get(1).context("none")?);

    let begun = Instant::now();
    secrets.delete(first, &DeleteParams::default()).await?;
    same(stage, &published).await.context("one is deleted")?;
    let again = begun.elapsed();

    let begun = Instant::now();
    let foreign = PatchParams::apply("somebody").force();
    let edit = json!({"apiVersion": "v1", "kind": "Secret", "type": bundle::SECRET_TYPE,
        "data": {"breakwater.json": "e30K"}});
    secrets.patch(second, &foreign, &Patch::Apply(edit)).await?;
    same(stage, &published).await.context("one is changed")?;
    let back = begun.elapsed();
    let more = json!({"data": {"more": "e30K"}});
    secrets
        .patch(second, &PatchParams::default(), &Patch::Merge(more))
        .await?;
    same(stage, &published)
        .await
        .context("something is added to one")?;
    let notes = json!({"metadata": {
        "annotations": {"edge.breakwater.dev/hosts": "stolen.example.com"},
        "labels": {"edge.breakwater.dev/content": "part"},
    }});
    secrets
        .patch(second, &PatchParams::default(), &Patch::Merge(notes))
        .await?;
    same(stage, &published)
        .await
        .context("what is noted on one is changed")?;

    secrets
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await?;
    same(stage, &published).await.context("all are deleted")?;
    let settings = secrets.get_opt(REGION_SECRET).await?;
    ensure!(settings.is_some(), "the region's settings are gone");
    let maps: Api<ConfigMap> = Api::namespaced(stage.client(), EDGES);
    maps.delete_collection(&DeleteParams::default(), &ListParams::default())
        .await?;
    wait::until("the incarnation is written again", SOON, || async {
        let map = maps.get(breakwater_edge_config::incarnation::CONFIG_MAP).await?;
        let sites = map.data.unwrap_or_default().get("sites").cloned();
        ensure!(sites.as_deref() == Some("20"), "{sites:?}");
        Ok(())
    })
    .await?;
    stage.all_true(false).await?;
    println!(
        "a deleted Secret is there again after {} ms, a changed one is as it was after {} ms",
        again.as_millis(),
        back.as_millis()
    );
    ensure!(
        again < Duration::from_secs(5) && back < Duration::from_secs(5),
        "that is slow"
    );
    Ok(())
}

/// Waits until what is published has the same content and notes as before.
async fn same(stage: &Stage, before: &std::collections::BTreeMap<String, Secret>) -> Result<()> {
    wait::until("what is published is as it was", SOON, || async {
        let now = stage.published().await?;
        ensure!(now.len() == before.len(), "{} published", now.len());
        for (name, before) in before {
            let now = now.get(name).with_context(|| name.clone())?;
            ensure!(
                now.data == before.data,
                "{name}: {:?}",
                now.data.as_ref().map(std::collections::BTreeMap::keys)
            );
            ensure!(
                now.annotations() == before.annotations(),
                "{name}: {:?}",
                now.annotations()
            );
            ensure!(now.labels() == before.labels(), "{name}: {:?}", now.labels());
        }
        Ok(())
    })
    .await
}

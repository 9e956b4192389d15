//! What the schemas refuse is refused by a real API server and by render, with the same words.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use breakwater_e2e::api_server::ApiServer;
use breakwater_e2e::manifests::{self, Send, Sender, Verdict};
use breakwater_render::schema;
use kube::core::Status;

/// Every file of `crds/testdata`: its `# expect:` line, the API server's verdict and render's.
pub(crate) async fn every_refusal_is_the_api_servers_and_renders(server: &ApiServer) -> Result<()> {
    let mut sender = Sender::new(server.client());
    sender.define(&breakwater_crds::all()).await?;
    let mut problems = Vec::new();
    let (refused, accepted) = (files("refused")?, files("accepted")?);
    ensure!(refused.len() >= 60 && accepted.len() >= 5, "files are missing");
    for path in &refused {
        if let Err(error) = refusal(&mut sender, path).await {
            problems.push(format!("{}: {error:#}", path.display()));
        }
    }
    for path in &accepted {
        if let Err(error) = acceptance(&mut sender, path).await {
            problems.push(format!("{}: {error:#}", path.display()));
        }
    }
    ensure!(
        problems.is_empty(),
        "{} differ:\n{}",
        problems.len(),
        problems.join("\n")
    );
    println!("{} refused and {} accepted alike", refused.len(), accepted.len());
    Ok(())
}

fn files(directory: &str) -> Result<Vec<PathBuf>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../crds/testdata")
        .join(directory);
    let entries = fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    Ok(paths)
}

async fn refusal(sender: &mut Sender, path: &Path) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let words = text
        .lines()
        .find_map(|l| l.strip_prefix("# expect: "))
        .context("no line `# expect: `")?;
    let manifest = one(&text)?;
    let Some(Verdict::Refused(status)) = sender.send(&manifest, Send::DryCreate).await? else {
        bail!("the API server accepts it");
    };
    ensure!(
        status.message.contains(words),
        "the API server says {:?}",
        status.message
    );
    // Server-side apply has other words for unknown fields, but must refuse as well.
    let applied = sender.send(&manifest, Send::DryApply).await?;
    ensure!(
        matches!(applied, Some(Verdict::Refused(_))),
        "server-side apply accepts it"
    );

    let problems = match rendered(&text)? {
        schema::Verdict::Refused(refusal) => refusal.problems,
        other => bail!("render doesn't refuse it: {other:?}"),
    };
    ensure!(
        problems.iter().any(|p| p.contains(words)),
        "render says {problems:?}"
    );
    let (theirs, ours) = (
        of_status(&status),
        problems.iter().map(|p| plain(p)).collect::<BTreeSet<_>>(),
    );
    ensure!(
        theirs == ours,
        "different words:\n  the API server: {theirs:#?}\n  render: {ours:#?}"
    );
    Ok(())
}

async fn acceptance(sender: &mut Sender, path: &Path) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let manifest = one(&text)?;
    for how in [Send::DryCreate, Send::DryApply] {
        if let Some(Verdict::Refused(status)) = sender.send(&manifest, how).await? {
            bail!("the API server refuses it: {}", status.message);
        }
    }
    match rendered(&text)? {
        schema::Verdict::Object(_) => Ok(()),
        other => bail!("render doesn't accept it: {other:?}"),
    }
}

fn one(text: &str) -> Result<serde_json::Value> {
    let documents = manifests::parse(text)?;
    ensure!(documents.len() == 1, "{} documents", documents.len());
    documents.into_iter().next().context("no document")
}

fn rendered(text: &str) -> Result<schema::Verdict> {
    let documents = schema::read(text, "default");
    ensure!(documents.len() == 1, "{} documents", documents.len());
    Ok(documents.into_iter().next().context("no document")?.verdict)
}

/// `PATH: MESSAGE` of each cause; a refusal without causes (an unknown field) is its message.
fn of_status(status: &Status) -> BTreeSet<String> {
    let causes = status.details.iter().flat_map(|d| &d.causes);
    let mut causes: BTreeSet<String> = causes
        .filter(|c| !c.message.contains(RULES_LEFT_OUT))
        .map(|c| plain(&format!("{}: {}", c.field, c.message)))
        .collect();
    if causes.is_empty() {
        let (_, unknown) = status
            .message
            .split_once("strict decoding error: ")
            .unwrap_or(("", &status.message));
        causes.insert(plain(unknown));
    }
    causes
}

/// What the API server adds when it didn't evaluate the rules.
const RULES_LEFT_OUT: &str = "some validation rules were not checked because the object was invalid";

/// Without what the API server puts before every rule's message.
fn plain(message: &str) -> String {
    message.replacen("Invalid value: ", "", 1)
}

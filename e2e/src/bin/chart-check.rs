//! Gives what `helm template` wrote to a real API server, as a dry run: unknown fields, wrong types, rules of
//! admission policies that don't compile, all that it would refuse. usage: chart-check PROGRAMS FILE...
//!
//! Namespaces and CustomResourceDefinitions are applied for real, since the rest needs them. Kinds of other
//! projects (a `ServiceMonitor`) are counted as unchecked.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use breakwater_e2e::api_server::ApiServer;
use breakwater_e2e::manifests::{Send, Sender, Verdict, parse, title};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let programs = arguments.next().context("usage: chart-check PROGRAMS FILE...")?;
    let directory = std::env::temp_dir().join(format!("chart-check-{}", std::process::id()));
    let server = ApiServer::start(Path::new(&programs), &directory).await?;
    let mut problems = Vec::new();
    for file in arguments {
        let text = std::fs::read_to_string(&file).with_context(|| file.clone())?;
        let (checked, unchecked) = check(&mut Sender::new(server.client()), &text, &mut problems)
            .await
            .with_context(|| file.clone())?;
        println!("{file}: {checked} objects checked, {unchecked} of unknown kinds");
        ensure!(checked > 0, "{file}: nothing to check");
    }
    drop(server);
    std::fs::remove_dir_all(&directory)?;
    ensure!(problems.is_empty(), "refused:\n{}", problems.join("\n"));
    Ok(())
}

async fn check(sender: &mut Sender, text: &str, problems: &mut Vec<String>) -> Result<(usize, usize)> {
    let documents = parse(text)?;
    for namespace in namespaces(&documents) {
        let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        sender.apply(&manifest).await?;
    }
    let definitions: Vec<_> = documents
        .iter()
        .filter(|d| is(d, "CustomResourceDefinition"))
        .map(|d| serde_json::from_value(d.clone()))
        .collect::<Result<_, _>>()?;
    sender.define(&definitions).await?;

    let (mut checked, mut unchecked) = (0, 0);
    for document in &documents {
        match sender.send(document, Send::DryApply).await? {
            Some(Verdict::Accepted(_)) => checked += 1,
            Some(Verdict::Refused(status)) => {
                problems.push(format!("{}: {}", title(document), status.message));
                checked += 1;
            }
            None => unchecked += 1,
        }
    }
    Ok((checked, unchecked))
}

fn is(document: &Value, kind: &str) -> bool {
    document.get("kind").and_then(Value::as_str) == Some(kind)
}

/// Those that objects are in; the chart brings its own itself.
fn namespaces(documents: &[Value]) -> BTreeSet<&str> {
    documents
        .iter()
        .filter_map(|d| d.pointer("/metadata/namespace")?.as_str())
        .collect()
}

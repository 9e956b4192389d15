//! The command line.

mod completion;
mod render;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::run::OperatorOptions;
use crate::standalone::RunOptions;

/// Serves and shields web sites from your own Kubernetes clusters, or without one.
#[derive(Debug, Parser)]
#[command(name = "breakwater", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a directory of manifests: operator and edge in one process, without a cluster
    Run(RunOptions),
    /// Show what manifests become, and what is refused (exit status 1)
    Render(render::RenderOptions),
    /// Run the operator in a cluster (the chart does)
    Operator(OperatorOptions),
    /// Print a completion script for a shell
    Completion(completion::CompletionOptions),
}

impl Cli {
    /// Does what was asked for. Exit status 1: something was refused, or it failed.
    pub fn execute(self) -> ExitCode {
        let outcome = match self.command {
            Command::Run(options) => {
                start_logging("warn");
                run_to_end(async { crate::standalone::run(options).await.map_err(anyhow::Error::from) })
            }
            Command::Operator(options) => {
                start_logging("info");
                run_to_end(async { crate::run::run(options).await.map_err(anyhow::Error::from) })
            }
            Command::Render(options) => render::render(&options),
            Command::Completion(options) => completion::print(&options).map(|()| ExitCode::SUCCESS),
        };
        outcome.unwrap_or_else(|error| {
            eprintln!("breakwater: {error:#}");
            ExitCode::FAILURE
        })
    }
}

fn run_to_end(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(work)?;
    Ok(ExitCode::SUCCESS)
}

/// What others' crates say, unless `RUST_LOG` names them: each failure is told by whoever asked, once, while
/// these repeat it at every try.
const QUIET: [(&str, &str); 4] = [
    ("hyper", "error"),
    ("h2", "error"),
    ("kube_client", "off"),
    ("kube_runtime", "off"),
];

/// JSON lines on standard error; `RUST_LOG` says how much.
fn start_logging(level: &str) {
    let said = std::env::var("RUST_LOG")
        .ok()
        .filter(|said| EnvFilter::try_new(said).is_ok());
    let said = said.unwrap_or_else(|| level.to_owned());
    let mut directives = said.clone();
    for (target, level) in QUIET {
        let family = target.split('_').next().unwrap_or(target);
        if !said.contains(family) {
            directives = format!("{target}={level},{directives}");
        }
    }
    let filter = EnvFilter::new(directives);
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .init();
}

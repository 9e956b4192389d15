//! `breakwater`: the operator and its tools.

use breakwater_operator::run::{OperatorOptions, run};
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "breakwater", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the operator in a cluster.
    Operator(OperatorOptions),
}

fn main() -> anyhow::Result<()> {
    let Command::Operator(options) = Cli::parse().command;
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(options))?;
    Ok(())
}

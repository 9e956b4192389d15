//! `breakwater`: the operator, the same without a cluster, and its tools.

use std::process::ExitCode;

use breakwater_operator::cli::Cli;
use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().execute()
}

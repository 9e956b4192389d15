//! Breakwater beside the servers that people run today, on the same work: each on one core, the load on
//! another, in pairs whose order alternates. What can't be had or can't do a case says so in the table.
//!
//! It starts every server by its script in `bench/peers`, makes the origin and the certificate itself, and
//! writes `result.md` and `result.json`. It measures; it decides nothing.

mod cases;
mod client;
mod content;
mod cpu;
mod histogram;
mod open_loop;
mod origin;
mod parse;
mod peer;
mod report;
mod run;
mod singles;
mod stats;
mod tls;
mod zipf;

use std::path::PathBuf;

use clap::Parser;

/// What to measure, and how long.
#[derive(Debug, Parser)]
#[command(about = "Breakwater and other servers on the same work")]
pub(crate) struct Arguments {
    /// Directory with the servers' configurations and scripts.
    #[arg(long, default_value = "bench/peers")]
    peers: PathBuf,
    /// Directory with wrk's scripts.
    #[arg(long, default_value = "bench/scripts")]
    scripts: PathBuf,
    /// Directory for what the servers write, in memory.
    #[arg(long, default_value = "/dev/shm/breakwater-bench")]
    directory: PathBuf,
    /// Directory for the results.
    #[arg(long, default_value = "target/bench")]
    results: PathBuf,
    /// Cases, separated by commas; each whose name begins so. All when it isn't given.
    #[arg(long, value_delimiter = ',', env = "ONLY")]
    only: Vec<String>,
    /// Peers, separated by commas. All when it isn't given.
    #[arg(long, value_delimiter = ',', env = "PEERS")]
    with: Vec<String>,
    /// Rounds of each pair.
    #[arg(long, env = "ROUNDS", default_value_t = 7)]
    rounds: usize,
    /// Seconds of load in each half of a round.
    #[arg(long, env = "SECONDS_EACH", default_value_t = 5)]
    seconds: u64,
    /// Core of the servers.
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// Core of the load and the origin.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    run::run(&arguments)
}

//! The edge's process: `breakwater-edge run` serves, `probe` asks a running one how it is, `purge` takes away what
//! it has stored.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use breakwater_edge::{Probe, probe};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

mod purge_command;
mod run;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves the sites of a region from this node.
#[derive(Debug, Parser)]
#[command(name = "breakwater-edge", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve, with configuration from the Kubernetes API and this node's disk.
    Run(Box<RunArgs>),
    /// Ask a running edge over its Unix socket; exits 1 when the answer is no.
    Probe(ProbeArgs),
    /// Purge what a running edge has stored.
    Purge(purge_command::PurgeArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The `EdgeRegion` that this edge belongs to.
    #[arg(long, env = "BREAKWATER_REGION")]
    region: String,
    /// The region's namespace: its Secrets are the configuration.
    #[arg(long, env = "BREAKWATER_NAMESPACE")]
    namespace: String,
    /// The Node.
    #[arg(long, env = "BREAKWATER_NODE")]
    node: String,
    /// The Pod; its `EdgeNode` bears the same name.
    #[arg(long, env = "BREAKWATER_POD")]
    pod: String,
    /// UID of the Pod, which owns the `EdgeNode`.
    #[arg(long, env = "BREAKWATER_POD_UID")]
    pod_uid: String,
    /// A kubeconfig; without one the Pod's service account is used.
    #[arg(long, env = "BREAKWATER_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Addresses for plain HTTP.
    #[arg(
        long,
        env = "BREAKWATER_HTTP",
        value_delimiter = ',',
        default_value = "[::]:80"
    )]
    http: Vec<SocketAddr>,
    /// Addresses for HTTPS.
    #[arg(
        long,
        env = "BREAKWATER_HTTPS",
        value_delimiter = ',',
        default_value = "[::]:443"
    )]
    https: Vec<SocketAddr>,
    /// Address of the admin server.
    #[arg(long, env = "BREAKWATER_ADMIN", default_value = "127.0.0.1:9180")]
    admin: SocketAddr,
    /// Unix socket of the admin server, for probes.
    #[arg(long, env = "BREAKWATER_ADMIN_SOCKET")]
    admin_socket: Option<PathBuf>,
    /// Worker threads; 0: one for each core.
    #[arg(long, env = "BREAKWATER_WORKERS", default_value_t = 0)]
    workers: usize,
    /// Directory on the node that outlives this process.
    #[arg(long, env = "BREAKWATER_STATE")]
    state: PathBuf,
    /// File with the key (32 bytes) that encrypts the configuration in the state directory.
    #[arg(long, env = "BREAKWATER_STATE_KEY")]
    state_key: Option<PathBuf>,
    /// Seconds that requests may go on after SIGTERM; keep it below the Pod's grace period.
    #[arg(long, env = "BREAKWATER_DRAIN_SECONDS", default_value_t = 25)]
    drain_seconds: u64,
    /// Most mebibytes of the cache in memory.
    #[arg(long, env = "BREAKWATER_CACHE_MIB", default_value_t = 256)]
    cache_mib: u64,
    /// Most mebibytes of the cache's second tier, in files below the state directory; 0: none. It takes no more
    /// than half of what is free there.
    #[arg(long, env = "BREAKWATER_CACHE_DISK_MIB", default_value_t = 4096)]
    cache_disk_mib: u64,
    /// Most connections of visitors at a time.
    #[arg(long, env = "BREAKWATER_MAX_CONNECTIONS", default_value_t = 65_536)]
    max_connections: usize,
    /// Where the access log goes: `stdout`, `off` or the path of a file.
    #[arg(long, env = "BREAKWATER_ACCESS_LOG", default_value = "stdout")]
    access_log: String,
    /// What serves visitors over HTTP/1.1; hyper is less strict, and there to compare with.
    #[arg(long, env = "BREAKWATER_HTTP1", default_value = "own")]
    http1: Server,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Server {
    /// Breakwater's own server.
    Own,
    /// The library hyper.
    Hyper,
}

#[derive(Debug, Args)]
struct ProbeArgs {
    /// What to ask.
    what: What,
    /// The edge's Unix socket.
    #[arg(long, env = "BREAKWATER_ADMIN_SOCKET")]
    socket: PathBuf,
    /// How long to wait for the answer, seconds.
    #[arg(long, default_value_t = 3)]
    timeout_seconds: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// It has its configuration and listens.
    Ready,
    /// The process answers.
    Live,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => {
            start_logging();
            run::run(*args)
        }
        Command::Probe(args) => ask(&args),
        Command::Purge(args) => purge_command::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("breakwater-edge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// JSON lines on standard error; `RUST_LOG` says how much. A broken request is hyper's everyday life.
fn start_logging() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,hyper=error,h2=error"));
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .init();
}

fn ask(args: &ProbeArgs) -> anyhow::Result<()> {
    let what = match args.what {
        What::Ready => Probe::Ready,
        What::Live => Probe::Live,
    };
    let timeout = Duration::from_secs(args.timeout_seconds);
    probe(what, &args.socket, timeout).with_context(|| args.socket.display().to_string())
}

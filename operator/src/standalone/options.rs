use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;

/// How operator and edge run in one process, without a cluster.
#[derive(Args, Clone, Debug)]
pub struct RunOptions {
    /// Directory with manifests (*.yaml, *.yml, *.json, also below it), Secrets included. It is watched.
    #[arg(long, env = "BREAKWATER_MANIFESTS", value_name = "DIR")]
    pub manifests: PathBuf,

    /// Address for plain HTTP; may be given several times. Port 0 takes a free one.
    #[arg(
        long,
        env = "BREAKWATER_HTTP",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        value_delimiter = ','
    )]
    pub http: Vec<SocketAddr>,

    /// Address for HTTPS; may be given several times. Port 0 takes a free one.
    #[arg(
        long,
        env = "BREAKWATER_HTTPS",
        value_name = "ADDR",
        default_value = "127.0.0.1:8443",
        value_delimiter = ','
    )]
    pub https: Vec<SocketAddr>,

    /// Address of /healthz, /readyz and /metrics.
    #[arg(
        long,
        env = "BREAKWATER_ADMIN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9180"
    )]
    pub admin: SocketAddr,

    /// Directory for the local CA and its certificates; made where it is missing.
    #[arg(
        long,
        env = "BREAKWATER_STATE",
        value_name = "DIR",
        default_value = "breakwater-state"
    )]
    pub state: PathBuf,

    /// Network that origins may be in although it isn't globally reachable; loopback always may.
    #[arg(
        long = "allow-origin-cidr",
        env = "BREAKWATER_ALLOW_ORIGIN_CIDRS",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub allow_origin_cidrs: Vec<IpNet>,

    /// Worker threads; one for each core when it isn't given.
    #[arg(long, env = "BREAKWATER_WORKERS", value_name = "N", default_value_t = 0)]
    pub workers: usize,

    /// Memory of the cache, MiB.
    #[arg(long, env = "BREAKWATER_CACHE_MIB", value_name = "N", default_value_t = 256)]
    pub cache_mib: u64,

    /// Most of the cache's second tier, in files below `--state`, MiB; 0: none. It takes no more than half of what
    /// is free there.
    #[arg(
        long,
        env = "BREAKWATER_CACHE_DISK_MIB",
        value_name = "N",
        default_value_t = 1024
    )]
    pub cache_disk_mib: u64,

    /// Seconds that requests may go on after SIGTERM.
    #[arg(
        long,
        env = "BREAKWATER_DRAIN_SECONDS",
        value_name = "N",
        default_value_t = 25
    )]
    pub drain_seconds: u64,

    /// Write an access log (JSON lines) to standard output.
    #[arg(long, env = "BREAKWATER_ACCESS_LOG")]
    pub access_log: bool,
}

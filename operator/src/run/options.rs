use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::platform::PlatformOptions;

/// How the operator runs in a cluster. The chart sets these from its values.
#[derive(Args, Clone, Debug)]
pub struct OperatorOptions {
    /// Namespace of the operator: its Lease, the platform's policies and Secrets that cluster-scoped objects
    /// refer to.
    #[arg(long, env = "POD_NAMESPACE", default_value = "breakwater-system")]
    pub namespace: String,

    /// Name of this cluster among all regions; part of the identity of its sites. Never change it.
    #[arg(long, env = "BREAKWATER_HOME_REGION", default_value = "default")]
    pub home_region: String,

    /// Image of the edges.
    #[arg(long, env = "BREAKWATER_EDGE_IMAGE")]
    pub edge_image: String,

    /// Pull policy of the edges' image: Always, `IfNotPresent` or Never.
    #[arg(long, env = "BREAKWATER_EDGE_IMAGE_PULL_POLICY")]
    pub edge_image_pull_policy: Option<String>,

    /// Secret for the registry of the edges' image, in each region's namespace; may be given several times.
    #[arg(
        long = "edge-image-pull-secret",
        env = "BREAKWATER_EDGE_IMAGE_PULL_SECRETS",
        value_delimiter = ','
    )]
    pub edge_image_pull_secrets: Vec<String>,

    /// Which lines edges log, as `RUST_LOG` says it.
    #[arg(long, env = "BREAKWATER_EDGE_LOG")]
    pub edge_log: Option<String>,

    /// Name of this Pod.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: Option<String>,

    /// UID of this Pod. With it a restarted container goes on as leader at once.
    #[arg(long, env = "POD_UID")]
    pub pod_uid: Option<String>,

    /// Only sites, policies and Secrets of this namespace (and of the operator's); may be given several
    /// times; every namespace when it isn't given.
    #[arg(
        long = "watch-namespace",
        env = "BREAKWATER_WATCH_NAMESPACES",
        value_delimiter = ','
    )]
    pub watch_namespaces: Vec<String>,

    /// What the platform allows.
    #[command(flatten)]
    pub platform: PlatformOptions,

    /// File (JSON or YAML) with `EdgeRegion`s, as a list of names and specs, that the operator applies.
    #[arg(long, env = "BREAKWATER_REGIONS_FILE")]
    pub regions_file: Option<PathBuf>,

    /// Several replicas: only the holder of a Lease writes.
    #[arg(long, env = "BREAKWATER_LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_elect: bool,

    /// Address of `/healthz`, `/readyz` and `/metrics`.
    #[arg(long, env = "BREAKWATER_LISTEN", default_value = "[::]:8080")]
    pub listen: SocketAddr,

    /// Requests to the API server that may be under way at a time for writing.
    #[arg(long, env = "BREAKWATER_WRITES", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub writes: u16,

    /// How many sites of a region may be deleted or vanish within ten minutes, however few there are. When more
    /// do, and more than --withdrawals-percent too, they are served on until a person agrees.
    #[arg(long, env = "BREAKWATER_WITHDRAWALS", default_value_t = 10)]
    pub withdrawals: u16,

    /// How many of a hundred may; 100 believes every deletion.
    #[arg(long, env = "BREAKWATER_WITHDRAWALS_PERCENT", default_value_t = 30, value_parser = clap::value_parser!(u16).range(0..=100))]
    pub withdrawals_percent: u16,
}

impl OperatorOptions {
    /// Who this replica is in an election. A Pod runs one operator at a time, so its UID is enough; without
    /// one, every process is somebody else.
    pub fn identity(&self) -> String {
        let name = self.pod_name.as_deref().unwrap_or("breakwater-operator");
        match &self.pod_uid {
            Some(uid) => format!("{name}_{uid}"),
            None => format!(
                "{name}_{}_{}",
                std::process::id(),
                jiff::Timestamp::now().as_nanosecond()
            ),
        }
    }
}

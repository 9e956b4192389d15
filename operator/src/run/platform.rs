use std::path::PathBuf;

use breakwater_render::Settings;
use clap::Args;
use ipnet::IpNet;

use super::files::{self, FileError};

/// What the platform allows its tenants; the same for the operator and for `breakwater render`.
#[derive(Args, Clone, Debug, Default)]
pub struct PlatformOptions {
    /// Network that origins may be in although it isn't globally reachable or belongs to the cluster.
    #[arg(
        long = "allow-origin-cidr",
        env = "BREAKWATER_ALLOW_ORIGIN_CIDRS",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub allow_origin_cidrs: Vec<IpNet>,

    /// Network of this cluster's Pods; origins by address may not be in it.
    #[arg(
        long = "pod-cidr",
        env = "BREAKWATER_POD_CIDRS",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub pod_cidrs: Vec<IpNet>,

    /// Network of this cluster's Services, besides those that its `ServiceCIDR`s name.
    #[arg(
        long = "service-cidr",
        env = "BREAKWATER_SERVICE_CIDRS",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub service_cidrs: Vec<IpNet>,

    /// File (JSON or YAML) that says which namespaces may claim which hosts; open when it isn't given.
    #[arg(long, env = "BREAKWATER_HOST_GRANTS_FILE", value_name = "FILE")]
    pub host_grants_file: Option<PathBuf>,
}

impl PlatformOptions {
    /// `settings` with what the platform allows.
    pub fn apply(&self, settings: Settings) -> Result<Settings, FileError> {
        let host_grants = self
            .host_grants_file
            .as_deref()
            .map(files::host_grants)
            .transpose()?;
        Ok(Settings {
            allow_origin_cidrs: self.allow_origin_cidrs.clone(),
            pod_cidrs: self.pod_cidrs.clone(),
            service_cidrs: self.service_cidrs.clone(),
            host_grants: host_grants.unwrap_or_default(),
            ..settings
        })
    }
}

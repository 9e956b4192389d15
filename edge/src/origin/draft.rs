use breakwater_edge_config::{Endpoints, HostHeader, Origin as OriginConfig};

use super::probe::ProbeSpec;
use super::tls::TlsTarget;

/// An origin that was compiled and isn't in force yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) config: OriginConfig,
    pub(super) tls: Option<TlsTarget>,
    /// The site's first exact host.
    pub(super) site_host: Option<String>,
}

impl Draft {
    /// What its endpoints are checked with.
    pub(super) fn probe(&self) -> Option<ProbeSpec> {
        let check = self.config.health_check.clone()?;
        let own = match &self.config.host_header {
            HostHeader::Fixed(host) => Some(host.clone()),
            HostHeader::Visitor => None,
        };
        let server_name = || self.config.tls.as_ref().and_then(|tls| tls.server_name.clone());
        let address = || match &self.config.endpoints {
            Endpoints::Dns { name, .. } => name.clone(),
            _ => "localhost".to_owned(),
        };
        let host = check
            .host
            .clone()
            .or(own)
            .or_else(|| self.site_host.clone())
            .or_else(server_name);
        Some(ProbeSpec {
            host: host.unwrap_or_else(address),
            check,
        })
    }
}

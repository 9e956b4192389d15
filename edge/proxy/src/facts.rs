use std::net::SocketAddr;
use std::sync::Arc;

use breakwater_edge_config::{HostPattern, TlsVersion};

/// What the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 or 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
        }
    }
}

/// What is known of a connection before its first request; made once a connection.
#[derive(Clone, Debug)]
pub struct ConnFacts {
    /// Unique within the process.
    pub id: u64,
    /// The other end (behind PROXY protocol, the one that it names).
    pub peer: SocketAddr,
    /// This end. Behind a port mapping, visitors name another port in `Host`, so nothing is decided by it.
    pub local: SocketAddr,
    /// What is spoken.
    pub protocol: Protocol,
    /// `None`: plain TCP.
    pub tls: Option<TlsFacts>,
}

/// What is known of a TLS connection.
#[derive(Clone, Debug)]
pub struct TlsFacts {
    /// Names of the certificate that was presented, shared by all connections that it was presented to.
    pub names: Arc<[HostPattern]>,
    /// What was negotiated.
    pub version: TlsVersion,
}

impl TlsFacts {
    /// True when the presented certificate covers `host` (lower case, without port).
    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| name.covers(host))
    }
}

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Where the answers come from: one named group of interchangeable endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// Unique within the site; routes refer to it.
    pub name: String,
    /// The servers.
    pub endpoints: Endpoints,
    /// TLS to the origin; `None`: plain TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<OriginTls>,
    /// What is spoken to it.
    pub protocol: OriginProtocol,
    /// The Host that it is sent.
    pub host_header: HostHeader,
    /// How long each step may take.
    pub timeouts: OriginTimeouts,
    /// When a request is sent again.
    pub retries: Retries,
    /// How an endpoint is chosen.
    pub balancing: Balancing,
    /// Active probing; `None`: endpoints are judged by their traffic alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Most connections of one edge to one endpoint.
    pub max_connections: u32,
    /// Most requests of one edge to all endpoints that may be waiting for an answer; more get 503.
    pub max_requests: u32,
}

/// The servers of an origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Endpoints {
    /// Addresses that the site's author wrote. The region's [`AddressPolicy`](crate::AddressPolicy)
    /// applies to each.
    Addresses {
        /// At least one.
        list: Vec<Endpoint>,
    },
    /// A DNS name, resolved by the edge (A and AAAA), its TTL honoured. The region's address policy applies
    /// to each address when it is connected to.
    Dns {
        /// Lower case, no trailing dot.
        name: String,
        /// TCP port.
        port: u16,
    },
    /// The ready Pods of a Service in the site's own namespace, taken from its `EndpointSlices` by the
    /// operator, which has checked them; the address policy doesn't apply.
    Service {
        /// Empty when no Pod is ready.
        list: Vec<Endpoint>,
    },
    /// It doesn't exist here; requests get 503.
    Unavailable {
        /// A condition reason such as `ServiceNotInRegion`.
        reason: String,
    },
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// IPv4 or IPv6.
    pub address: IpAddr,
    /// TCP port.
    pub port: u16,
    /// Share of the traffic in relation to the others', 0 to 1000; 0: none.
    pub weight: u16,
}

/// TLS to the origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OriginTls {
    /// SNI, and the name that the certificate must carry. `None`: the Host that is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Key of the PEM bundle of trusted CAs among the bundle's files. `None`: the public CAs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Name of the client certificate among the bundle's key pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key_pair: Option<String>,
}

/// What is spoken to an origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OriginProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by ALPN over TLS, with prior knowledge without (RFC 9113 §3.3). Needed for gRPC.
    Http2,
}

/// The Host (`:authority`) that an origin is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HostHeader {
    /// What the visitor asked for.
    #[default]
    Visitor,
    /// This value.
    Fixed(String),
}

/// How long each step of an exchange with an origin may take, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OriginTimeouts {
    /// TCP and TLS handshake.
    pub connect_ms: u64,
    /// From the request's end to the head of the answer.
    pub first_byte_ms: u64,
    /// Between two pieces of the body.
    pub between_bytes_ms: u64,
}

impl Default for OriginTimeouts {
    fn default() -> Self {
        Self {
            connect_ms: 3_000,
            first_byte_ms: 60_000,
            between_bytes_ms: 60_000,
        }
    }
}

/// When a request is sent again: only if no byte of the answer came, the method is idempotent, and the body
/// unsent or buffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// Further attempts after the first, 0 to 5.
    pub attempts: u8,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 1 }
    }
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Balancing {
    /// In turn, smoothly by weight.
    #[default]
    RoundRobin,
    /// The better of two picked at random by requests in flight over weight.
    LeastRequests,
    /// The same key goes to the same endpoint as long as it is healthy; few keys move when the list changes.
    ConsistentHash {
        /// What is hashed.
        key: HashKey,
    },
}

/// What consistent hashing hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HashKey {
    /// The visitor's identified address.
    ClientAddress,
    /// Path and query.
    Path,
    /// A request header, by its lower-case name; requests without it are balanced in turn.
    Header(String),
}

/// Active probing of each endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// Path and query of the GET.
    pub path: String,
    /// Host of the GET. `None`: the origin's own, else the site's first exact host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Between two probes of one endpoint.
    pub interval_ms: u64,
    /// For one probe.
    pub timeout_ms: u64,
    /// Successes in a row that make an endpoint healthy.
    pub healthy_threshold: u8,
    /// Failures in a row that make it unhealthy.
    pub unhealthy_threshold: u8,
    /// Statuses that count as success; empty: 200–399.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<u16>,
}

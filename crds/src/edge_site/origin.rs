use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, SecretRef};

/// A named group of interchangeable servers: by addresses, by DNS name or by a Service, one of the three.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("((has(self.addresses) && size(self.addresses) > 0) ? 1 : 0) + (has(self.dns) ? 1 : 0) + (has(self.service) ? 1 : 0) == 1", "an origin needs one of addresses, dns and service"),
        ("!has(self.addresses) || size(self.addresses) == 0 || self.addresses.exists(a, !has(a.weight) || a.weight > 0)", "addresses: at least one weight must be above 0"),
        ("!has(self.addresses) || self.addresses.all(a, self.addresses.exists_one(x, x.address == a.address && x.port == a.port))", "addresses: each address and port may be listed once"),
    ])))]
pub struct Origin {
    /// Unique within the site.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Servers by address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub addresses: Vec<OriginAddress>,
    /// Servers by DNS name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsOrigin>,
    /// The ready Pods of a Service in the site's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceOrigin>,
    /// TLS to the origin; plain TCP when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<OriginTls>,
    /// What is spoken to it.
    #[serde(default)]
    pub protocol: OriginProtocol,
    /// The Host that it is sent; what the visitor asked for when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 260), regex(pattern = r"^[A-Za-z0-9.:\[\]_-]+$"))]
    pub host_header: Option<String>,
    /// How long each step may take.
    #[serde(default)]
    pub timeouts: OriginTimeouts,
    /// Further attempts of idempotent requests of which no byte of an answer came; 1 when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 5))]
    pub retries: Option<u8>,
    /// How a server is chosen.
    #[serde(default)]
    pub balancing: Balancing,
    /// Active probing of each server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Most connections of one edge to one server; 512 when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub max_connections: Option<u32>,
    /// Most requests of one edge that wait for this origin; more are answered 503. 4096 when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_requests: Option<u32>,
}

/// A server by address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("isIP(self.address)", "address must be an IPv4 or IPv6 address; for a name use dns"),
    ])))]
pub struct OriginAddress {
    /// IPv4 or IPv6.
    #[schemars(length(min = 2, max = 45))]
    pub address: String,
    /// TCP port.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// Share of the traffic in relation to the others'; 1 when it isn't given, 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub weight: Option<u16>,
}

/// Servers by DNS name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsOrigin {
    /// The name; its A and AAAA records are followed as their TTL says.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub name: String,
    /// TCP port.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
}

/// The Pods of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceOrigin {
    /// A Service with a selector, in the site's namespace.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Port of the Service.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
}

/// TLS to the origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OriginTls {
    /// SNI, and the name that the certificate must carry; the Host that is sent when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub server_name: Option<String>,
    /// Secret with the trusted CAs under `ca.crt`; the public ones when it isn't given. It needs the label
    /// `edge.breakwater.dev/use: "true"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<SecretRef>,
    /// TLS Secret with the client certificate. It needs the label `edge.breakwater.dev/use: "true"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<SecretRef>,
}

/// What is spoken to an origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OriginProtocol {
    /// HTTP/1.1.
    #[default]
    HTTP1,
    /// HTTP/2, needed for gRPC: by ALPN over TLS, with prior knowledge without.
    HTTP2,
}

/// How long each step of an exchange with an origin may take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OriginTimeouts {
    /// TCP and TLS handshake; 3 s when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Duration>,
    /// From the request's end to the head of the answer; 60 s when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Duration>,
    /// Between two pieces of the body; 60 s when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between_bytes: Option<Duration>,
}

/// How a server is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("!has(self.hash) || (has(self.type) && self.type == 'ConsistentHash')", "hash belongs to type ConsistentHash"),
    ])))]
pub struct Balancing {
    /// `RoundRobin`, `LeastRequests` or `ConsistentHash`.
    #[serde(rename = "type", default)]
    pub kind: BalancingType,
    /// For `ConsistentHash`: what is hashed; the path when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<BalancingHash>,
}

/// How a server is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BalancingType {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The one with fewer requests in flight of two picked at random, by weight.
    LeastRequests,
    /// The same key goes to the same server as long as it is healthy.
    ConsistentHash,
}

/// What consistent hashing hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("(has(self.type) && self.type == 'Header') == has(self.header)", "header is the name of the header for type Header, and belongs to no other type"),
    ])))]
pub struct BalancingHash {
    /// What it is.
    #[serde(rename = "type", default)]
    pub kind: BalancingHashType,
    /// For `Header`: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_|~-]+$"))]
    pub header: Option<String>,
}

/// What consistent hashing hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BalancingHashType {
    /// Path and query.
    #[default]
    Path,
    /// The visitor's address.
    ClientAddress,
    /// A request header.
    Header,
}

/// Active probing of each server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthCheck {
    /// Path of the GET.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^/[!-~]*$"))]
    pub path: String,
    /// Host of the GET; the origin's `hostHeader`, else the site's first exact host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 260), regex(pattern = r"^[A-Za-z0-9.:\[\]_-]+$"))]
    pub host: Option<String>,
    /// Between two probes of a server, at least 1 s; 5 s when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// For one probe; 2 s when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Successes in a row that make a server healthy; 2 when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub healthy_threshold: Option<u8>,
    /// Failures in a row that make it unhealthy; 3 when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub unhealthy_threshold: Option<u8>,
    /// Statuses that count as success; 200 to 399 when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(range(min = 100, max = 599)))]
    pub statuses: Vec<u16>,
}

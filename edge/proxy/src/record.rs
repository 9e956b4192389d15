use std::net::IpAddr;
use std::time::Duration;

use breakwater_edge_cache::CacheStatus;
use breakwater_edge_config::SiteId;

use crate::facts::Protocol;
use crate::reason::Reason;

/// One finished request, for log and metrics. Borrows everything; nothing is allocated for it.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// `None`: no site has this host, or the head was refused before.
    pub site: Option<&'a SiteId>,
    /// Name of the route.
    pub route: Option<&'a str>,
    /// Name of the origin that the route forwards to.
    pub origin: Option<&'a str>,
    /// Status that was sent; 0: none.
    pub status: u16,
    /// Why it wasn't an ordinary answer.
    pub reason: Option<Reason>,
    /// What the cache did; `None`: the request ended before it.
    pub cache: Option<CacheStatus>,
    /// Requests to the origin made for it.
    pub origin_attempts: u8,
    /// The identified address of the visitor; the peer's where it wasn't identified.
    pub client: IpAddr,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// What was spoken.
    pub protocol: Protocol,
    /// Over TLS.
    pub tls: bool,
    /// As it came.
    pub method: &'a [u8],
    /// Lower case, without port; empty where none was found.
    pub host: &'a str,
    /// Path and query as they came.
    pub target: &'a [u8],
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// Bytes of the answer's body.
    pub body_bytes: u64,
    /// Bytes of the client's body.
    pub request_body_bytes: u64,
    /// From the head to the end.
    pub duration: Duration,
    /// From the head to the decision on the answer's head.
    pub time_to_answer: Option<Duration>,
    /// Milliseconds since the epoch when the head was complete.
    pub started_wall_ms: u64,
    /// Generation of the configuration that served it.
    pub generation: u64,
}

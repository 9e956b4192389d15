use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How an edge runs on its machine. What it serves comes as configuration, by [`Edge::apply`](crate::Edge).
#[derive(Clone, Debug)]
pub struct EdgeOptions {
    /// Addresses for plain HTTP; port 0 takes a free one.
    pub http: Vec<SocketAddr>,
    /// Addresses for HTTPS; port 0 takes a free one.
    pub https: Vec<SocketAddr>,
    /// Address of the admin server (health, metrics); `None`: no TCP. With a `state_dir` an address that is in
    /// use is waited for: the process before has it.
    pub admin: Option<SocketAddr>,
    /// Unix socket of the admin server, for probes that must reach this very process; `None`: none.
    pub admin_socket: Option<PathBuf>,
    /// Worker threads, each pinned to a core where there are enough; 0: one for each core that this process
    /// may use.
    pub workers: usize,
    /// Keep each worker on a core of its own, where there are enough.
    pub pin_workers: bool,
    /// Directory on the node, for the socket over which listeners are handed to the next process, and for what
    /// was purged; `None`: they aren't handed over, and purges are forgotten with the process.
    pub state_dir: Option<PathBuf>,
    /// Whoever brings the configuration may hold purges that this edge has missed while it was down: what it
    /// has stored before is validated before it is used, until [`Edge::trust_stored`](crate::Edge).
    pub doubt_stored: bool,
    /// Most bytes of the cache in memory; less where the limit of the process' memory has no room for them.
    pub cache_max_bytes: u64,
    /// The cache's second tier; `None`: what memory has no room for, and a restart, lose what was stored.
    pub cache_disk: Option<CacheDisk>,
    /// Bytes of the table in which rate rules count.
    pub rate_table_bytes: usize,
    /// What this edge calls itself in `CDN-Loop` (RFC 8586), a token: a request that carries it has been
    /// here before.
    pub loop_id: String,
    /// Most visitors' connections at a time; more are closed when they are accepted.
    pub max_connections: usize,
    /// Where the access log goes.
    pub access_log: LogTarget,
    /// Allow origins on loopback and other addresses that aren't globally reachable (without a cluster
    /// only).
    pub allow_local_origins: bool,
    /// Asked for the addresses of origins' names; `None`: those of `/etc/resolv.conf`.
    pub name_servers: Option<Vec<SocketAddr>>,
    /// What serves visitors over HTTP/1.1.
    pub http1: Http1,
    /// What a visitor may cost.
    pub limits: Limits,
}

/// What serves visitors over HTTP/1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http1 {
    /// Our own server.
    #[default]
    Own,
    /// The library hyper: a reference to compare with. It takes requests that could be read in two ways.
    Hyper,
}

impl Default for EdgeOptions {
    fn default() -> Self {
        Self {
            http: Vec::new(),
            https: Vec::new(),
            admin: None,
            admin_socket: None,
            workers: 0,
            state_dir: None,
            doubt_stored: false,
            cache_max_bytes: 256 << 20,
            cache_disk: None,
            rate_table_bytes: 16 << 20,
            loop_id: "breakwater".to_owned(),
            max_connections: 65_536,
            access_log: LogTarget::Stdout,
            pin_workers: true,
            allow_local_origins: false,
            name_servers: None,
            http1: Http1::default(),
            limits: Limits::default(),
        }
    }
}

/// The cache's second tier, in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheDisk {
    /// A directory on a local disk, made where it isn't there, that nothing else uses.
    pub dir: PathBuf,
    /// Most bytes of the files, 16 MiB at least; less where more than half of the free space would be needed.
    pub max_bytes: u64,
}

/// Where the access log goes: one JSON object a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// Standard output.
    #[default]
    Stdout,
    /// The end of a file.
    File(PathBuf),
}

/// Limits on visitors' connections. The defaults are meant for the open Internet.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For the TLS handshake, from the accepted connection on.
    pub handshake: Duration,
    /// For a request's head, from its first byte on.
    pub head: Duration,
    /// Without a request on an HTTP/1.1 connection.
    pub idle_h1: Duration,
    /// Without a stream on an HTTP/2 connection.
    pub idle_h2: Duration,
    /// Bodies, both ways, may be slower than [`Limits::min_rate_bytes`] this long.
    pub rate_grace: Duration,
    /// Least bytes a second of a body, both ways, after the grace.
    pub min_rate_bytes: u64,
    /// Silence allowed on event streams, gRPC and upgraded connections, which have no least rate.
    pub idle_stream: Duration,
    /// Without progress of the answer, for a visitor that has shut its side of an HTTP/1.1 connection: it may wait for
    /// the answer or be gone, which look alike (RFC 9293 §3.6).
    pub half_closed: Duration,
    /// Most bytes of a request's head.
    pub head_bytes: usize,
    /// Most bytes of an unread request body that are read away to keep the connection.
    pub unread_body_bytes: u64,
    /// Most concurrent streams of an HTTP/2 connection.
    pub h2_streams: u32,
    /// Most bytes that an HTTP/2 stream may send ahead, and buffers for what it is sent.
    pub h2_window_bytes: u32,
    /// Most streams that are reset before they were answered, on one HTTP/2 connection within 10 s.
    pub h2_resets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(10),
            idle_h1: Duration::from_secs(30),
            idle_h2: Duration::from_mins(1),
            rate_grace: Duration::from_secs(10),
            min_rate_bytes: 1024,
            idle_stream: Duration::from_mins(10),
            half_closed: Duration::from_secs(5),
            head_bytes: 32 << 10,
            unread_body_bytes: 64 << 10,
            h2_streams: 100,
            h2_window_bytes: 64 << 10,
            h2_resets: 100,
        }
    }
}

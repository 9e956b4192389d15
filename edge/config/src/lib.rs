//! The rendered configuration: the contract between the operator, which writes it, and the edges, which
//! load it.
//!
//! In: nothing but bytes and plain values. Out: plain values and deterministic bytes (equal values encode
//! to equal bytes, so a hash names a configuration). Three kinds of documents exist: a [`SiteConfig`] with
//! its keys, the [`RegionSettings`] that all sites of a region share, and content-addressed [`Part`]s that
//! the settings refer to. Each travels in an [`envelope`] that names the oldest reader that can use it.
//!
//! This crate must never learn of Kubernetes, sockets, TLS libraries or time.

pub mod bundle;
pub mod envelope;
mod hash;
mod host;
pub mod incarnation;
mod origin;
mod policy;
mod purge;
mod region;
mod route;
mod site;

pub use bundle::{Document, SiteBundle};
pub use hash::ContentHash;
pub use host::{HostError, HostPattern};
pub use origin::{
    Balancing, Endpoint, Endpoints, HashKey, HealthCheck, HostHeader, Origin, OriginProtocol, OriginTimeouts,
    OriginTls, Retries,
};
pub use policy::{
    BodyMethods, CacheKey, CachePolicy, Compression, Encoding, Mode, Part, PolicyId, QueryKey, RateKey,
    RateRule, StatusTtl, StorageClass, Tags, Ttl,
};
pub use purge::{PurgeTarget, Purges, RecentPurge};
pub use region::{AddressPolicy, RegionSettings};
pub use route::{
    FixedResponse, HeaderEdits, HeaderMatch, HeaderValueMatch, PathMatch, PathRewrite, Redirect,
    RequestMatch, Rewrite, Route, RouteAction,
};
pub use site::{
    CertificateRef, ClientAddress, Cors, FrameOptions, Hotlink, Hsts, HttpsRedirect, OriginPattern,
    SecurityHeaders, SiteConfig, SiteId, TlsSettings, TlsVersion,
};

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{CachePolicy, HeaderEdits, HostPattern, Origin, PolicyId, Purges, RateRule, Route};

/// Everything an edge must know of one site, but for its keys and the policies that it shares with others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteConfig {
    /// Its name.
    pub id: SiteId,
    /// UID of the object: a new object of the same name never gets the old one's cache entries or origin
    /// connections.
    pub uid: String,
    /// What it serves, sorted.
    pub hosts: Vec<HostPattern>,
    /// Certificates, ECDSA before RSA; empty: plain HTTP only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateRef>,
    /// TLS towards visitors.
    #[serde(default)]
    pub tls: TlsSettings,
    /// Where the answers come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<Origin>,
    /// In order of precedence; a request that matches none is answered 404.
    pub routes: Vec<Route>,
    /// Changes of every request's fields, before the route's.
    #[serde(default, skip_serializing_if = "HeaderEdits::is_empty")]
    pub request_headers: HeaderEdits,
    /// Changes of every answer's fields, before the route's.
    #[serde(default, skip_serializing_if = "HeaderEdits::is_empty")]
    pub response_headers: HeaderEdits,
    /// Fields that browsers heed.
    #[serde(default)]
    pub security_headers: SecurityHeaders,
    /// Cross-origin requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Protection of files against use on other sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hotlink: Option<Hotlink>,
    /// How the visitor's address is found.
    #[serde(default)]
    pub client_address: ClientAddress,
    /// The site's own limits (routes have theirs).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateRule>,
    /// The site's own cache policy (routes may have theirs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CachePolicy>,
    /// Platform policies with a selector that selects this site; their contents are in the region's parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<PolicyId>,
    /// What was purged lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purges: Option<Purges>,
    /// Answers carry `Breakwater-Reason` with the reason of an early exit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub debug_headers: bool,
}

impl SiteConfig {
    /// The oldest reader that serves this configuration as it is meant. It rises when a field is added that
    /// an older edge must not ignore (a deny rule, say), never for one that it may.
    pub fn min_reader(&self) -> u32 {
        let of_routes = self.routes.iter().filter_map(|route| route.cache.as_ref());
        let policies = self.cache.iter().chain(of_routes);
        let of_policies = policies.map(CachePolicy::min_reader).max().unwrap_or(1);
        // An edge that doesn't know them would go on with what was purged.
        of_policies.max(if self.purges.is_some() { 2 } else { 1 })
    }
}

/// A site's name, the same in every region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteId {
    /// The region whose cluster holds the object that people wrote.
    pub home: String,
    /// Its namespace there.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.home, self.namespace, self.name)
    }
}

/// A certificate of the site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRef {
    /// The names it covers (DNS subject alternative names), lower case, sorted.
    pub names: Vec<String>,
    /// Name of the key pair in the bundle.
    pub key_pair: String,
}

/// TLS towards visitors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSettings {
    /// Oldest version.
    pub min_version: TlsVersion,
    /// Sends plain HTTP to HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<HttpsRedirect>,
    /// `Strict-Transport-Security` on every answer over TLS (RFC 6797).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Hsts>,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Sends plain HTTP to HTTPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpsRedirect {
    /// 301 or 308.
    pub status: u16,
    /// Port of the HTTPS address; 443 is left out of `Location`.
    pub port: u16,
}

/// RFC 6797.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hsts {
    /// Seconds.
    pub max_age_secs: u64,
    /// Subdomains too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_sub_domains: bool,
    /// For the browsers' preload list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preload: bool,
}

/// Fields that browsers heed; each replaces the origin's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityHeaders {
    /// `X-Content-Type-Options: nosniff`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_sniff: bool,
    /// `X-Frame-Options`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_options: Option<FrameOptions>,
    /// `Referrer-Policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrer_policy: Option<String>,
    /// `Content-Security-Policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_security_policy: Option<String>,
    /// `Permissions-Policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions_policy: Option<String>,
    /// `Cross-Origin-Opener-Policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_origin_opener_policy: Option<String>,
}

/// `X-Frame-Options` (RFC 7034).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameOptions {
    /// In no frame.
    Deny,
    /// In frames of the same origin.
    SameOrigin,
}

/// Cross-origin requests, by the Fetch standard's CORS protocol. Preflights are answered by the edge, and
/// every answer varies by `Origin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// Trusted origins; only they are named in `Access-Control-Allow-Origin`.
    pub allow_origins: Vec<OriginPattern>,
    /// Upper case.
    pub allow_methods: Vec<String>,
    /// Lower case; empty: those that are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_headers: Vec<String>,
    /// Lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose_headers: Vec<String>,
    /// Cookies and client certificates may be sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_credentials: bool,
    /// How long a browser may keep the answer to a preflight, seconds.
    pub max_age_secs: u64,
}

/// A trusted web origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OriginPattern {
    /// `*`: every one; never together with credentials.
    Any,
    /// `https://app.example.com[:port]`.
    Exact(String),
    /// `https://*.example.com[:port]`: every subdomain, at any depth.
    Subdomains {
        /// `https` or `http`.
        scheme: String,
        /// What follows `*.`.
        suffix: String,
        /// Where it isn't the scheme's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    },
}

/// Protection of files against use on other sites, by `Referer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hotlink {
    /// Hosts whose pages may use the files, besides the site's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_referers: Vec<HostPattern>,
    /// Requests without `Referer` pass.
    pub allow_empty: bool,
    /// Lower-case file name extensions without the dot that are protected; empty: every path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// Where a refused visitor is sent (302); `None`: 403.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
}

/// How the visitor's address is found: the TCP peer, or, where that is a trusted proxy, the last address in
/// the field that isn't one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientAddress {
    /// Proxies before the edge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<IpNet>,
    /// Lower-case name of the field, `x-forwarded-for` (a list) or one with a single address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
}

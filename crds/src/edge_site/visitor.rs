use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, SecretRef};

/// TLS towards visitors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// TLS Secrets (`kubernetes.io/tls`) of the site's namespace. Without one the site is served over plain
    /// HTTP only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub certificate_refs: Vec<SecretRef>,
    /// Sends plain HTTP to HTTPS; on for sites that have certificates, off for others.
    #[serde(default)]
    pub redirect: HttpsRedirect,
    /// `Strict-Transport-Security` on every answer over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Hsts>,
    /// Oldest version.
    #[serde(default)]
    pub min_version: TlsVersion,
}

/// Sends plain HTTP to HTTPS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("!has(self.status) || self.status in [301, 308]", "status must be 301 or 308"),
    ])))]
pub struct HttpsRedirect {
    /// Whether it does; when it isn't given: if the site has certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// 301 or 308; 308 when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// HTTP Strict Transport Security (RFC 6797).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("!has(self.preload) || !self.preload || (has(self.includeSubDomains) && self.includeSubDomains)", "preload needs includeSubDomains: true"),
    ])))]
pub struct Hsts {
    /// How long browsers use TLS only; 365 days when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// Subdomains too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_sub_domains: bool,
    /// For the browsers' preload lists; needs `includeSubDomains` and a year.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preload: bool,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Fields that browsers heed; each replaces the origin's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecurityHeaders {
    /// `X-Content-Type-Options: nosniff`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_sniff: bool,
    /// `X-Frame-Options`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_options: Option<FrameOptions>,
    /// `Referrer-Policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[ -~]+$"))]
    pub referrer_policy: Option<String>,
    /// `Content-Security-Policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), regex(pattern = r"^[ -~]+$"))]
    pub content_security_policy: Option<String>,
    /// `Permissions-Policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), regex(pattern = r"^[ -~]+$"))]
    pub permissions_policy: Option<String>,
    /// `Cross-Origin-Opener-Policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[ -~]+$"))]
    pub cross_origin_opener_policy: Option<String>,
}

/// `X-Frame-Options`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FrameOptions {
    /// In no frame.
    Deny,
    /// In frames of the same origin.
    SameOrigin,
}

/// Cross-origin requests. Preflights are answered by the edge; answers vary by `Origin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("!has(self.allowCredentials) || !self.allowCredentials || !self.allowOrigins.exists(o, o == '*')", "allowCredentials with origin * would let every site act as the visitor: list the trusted origins"),
        ("self.allowOrigins.all(o, o == '*' || o.matches('^https?://([*][.])?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$'))", "allowOrigins: write https://app.example.com, https://*.example.com or *; no path, no trailing slash"),
    ])))]
pub struct Cors {
    /// Trusted origins: `https://app.example.com`, `https://*.example.com` (subdomains at any depth), or `*`.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 300)))]
    pub allow_origins: Vec<String>,
    /// Methods; GET, HEAD and POST when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 32), regex(pattern = r"^[A-Z][A-Z-]*$"))
    )]
    pub allow_methods: Vec<String>,
    /// Request headers; those that the browser asks for when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_|~-]+$"))
    )]
    pub allow_headers: Vec<String>,
    /// Response headers that scripts may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_|~-]+$"))
    )]
    pub expose_headers: Vec<String>,
    /// Cookies may be sent; not together with `*`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_credentials: bool,
    /// How long browsers keep the answer to a preflight; 10 min when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

/// Protection of files against use on other sites, by `Referer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hotlink {
    /// Hosts whose pages may use the files, besides the site's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub allow_referers: Vec<String>,
    /// Requests without `Referer` pass; true when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_empty: Option<bool>,
    /// File name extensions that are protected (`jpg`); every path when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 16), regex(pattern = r"^[a-z0-9]+$"))
    )]
    pub extensions: Vec<String>,
    /// Where refused visitors are sent (302); 403 when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^(https?:/)?/[!-~]*$"))]
    pub redirect: Option<String>,
}

/// How the visitor's address is found behind other proxies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("self.trustedProxies.all(n, isCIDR(n) || isIP(n))", "trustedProxies: write networks such as 203.0.113.0/24, or single addresses"),
    ])))]
pub struct ClientAddress {
    /// Networks of the proxies before the edge; only they are believed.
    #[schemars(length(min = 1, max = 256), inner(length(min = 2, max = 49)))]
    pub trusted_proxies: Vec<String>,
    /// The field that names the visitor; `X-Forwarded-For` when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_|~-]+$"))]
    pub header: Option<String>,
}

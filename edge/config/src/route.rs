use serde::{Deserialize, Serialize};

use crate::{CachePolicy, RateRule};

/// What happens with the requests that match. Routes stand in order of precedence, most specific first; the
/// first that matches is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Unique within the site.
    pub name: String,
    /// What it matches.
    pub matches: RequestMatch,
    /// What happens.
    pub action: RouteAction,
    /// Changes of the request's target, before the cache key and the origin see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// Changes of the request's fields, on the way to the origin; after the site's own.
    #[serde(default, skip_serializing_if = "HeaderEdits::is_empty")]
    pub request_headers: HeaderEdits,
    /// Changes of the answer's fields, on the way to the visitor; after the site's own.
    #[serde(default, skip_serializing_if = "HeaderEdits::is_empty")]
    pub response_headers: HeaderEdits,
    /// The `CachePolicy` attached to this very route, if any; it replaces the site's as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CachePolicy>,
    /// The `RateRule`s attached to this very route; they count besides the site's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateRule>,
    /// The origin takes encoded `/ ; # ?` and dot segments in a path as opaque, so that such targets may be
    /// stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opaque_paths: bool,
}

/// What a request must look like. All that is given must hold; an empty match holds always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestMatch {
    /// Compared with the raw path, before any rewrite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// Upper case; empty: every method.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Each must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
}

/// A path, compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathMatch {
    /// The whole path, without the query.
    Exact(String),
    /// Whole segments from the start: `/a` covers `/a` and `/a/b`, not `/ab`. No trailing slash but in `/`.
    Prefix(String),
}

/// A request field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// Lower case.
    pub name: String,
    /// What it must be. Several lines of one name are compared joined by `, ` (RFC 9110 §5.3).
    pub value: HeaderValueMatch,
}

/// What a field's value must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HeaderValueMatch {
    /// There, whatever its value.
    Present,
    /// Not there.
    Absent,
    /// Equal, byte by byte.
    Exact(String),
    /// Begins with.
    Prefix(String),
}

/// What happens with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum RouteAction {
    /// It goes to an origin of the site, by the cache where a policy allows it.
    Forward {
        /// The origin's name.
        origin: String,
    },
    /// The visitor is sent elsewhere.
    Redirect(Redirect),
    /// It is answered here.
    Respond(FixedResponse),
}

/// A redirect. What isn't given stays as the visitor asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// `http` or `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Another host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Another port; the scheme's own is left out of `Location`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Another path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathRewrite>,
    /// Drop the query.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strip_query: bool,
}

/// An answer from the configuration itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FixedResponse {
    /// 200 to 599.
    pub status: u16,
    /// Media type of the body.
    pub content_type: String,
    /// At most 16 KiB.
    pub body: String,
}

/// Changes of a request's target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rewrite {
    /// Another path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathRewrite>,
    /// Another Host for the origin; before the origin's own `host_header`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Another path; the query stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathRewrite {
    /// This one.
    Full(String),
    /// The matched prefix becomes this; only in a route with a prefix match.
    ReplacePrefix(String),
}

/// Changes of header fields: removals first, then `set` (replaces), then `add` (appends).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderEdits {
    /// Lower-case names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Lower-case names with values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
    /// Lower-case names with values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<(String, String)>,
}

impl HeaderEdits {
    /// True when nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

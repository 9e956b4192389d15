use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A length of time as people write it: `500ms`, `30s`, `5m`, `1h30m`, `2d` (days of 24 hours).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Duration(
    #[schemars(
        length(min = 2, max = 24),
        regex(pattern = r"^([0-9]{1,6}(d|h|m|s|ms)){1,4}$")
    )]
    pub String,
);

/// A text isn't a [`Duration`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationError(pub String);

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a duration: write 500ms, 30s, 5m, 1h30m or 2d",
            self.0
        )
    }
}

impl std::error::Error for DurationError {}

impl Duration {
    /// Milliseconds.
    pub fn as_millis(&self) -> Result<u64, DurationError> {
        let error = || DurationError(self.0.clone());
        let mut total: u64 = 0;
        let mut rest = self.0.as_str();
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at_checked(digits).ok_or_else(error)?;
            let number: u64 = number.parse().map_err(|_| error())?;
            let (factor, tail) = if let Some(tail) = tail.strip_prefix("ms") {
                (1, tail)
            } else if let Some(tail) = tail.strip_prefix('s') {
                (1_000, tail)
            } else if let Some(tail) = tail.strip_prefix('m') {
                (60_000, tail)
            } else if let Some(tail) = tail.strip_prefix('h') {
                (3_600_000, tail)
            } else if let Some(tail) = tail.strip_prefix('d') {
                (86_400_000, tail)
            } else {
                return Err(error());
            };
            total = number
                .checked_mul(factor)
                .and_then(|ms| total.checked_add(ms))
                .ok_or_else(error)?;
            rest = tail;
        }
        if self.0.is_empty() {
            Err(error())
        } else {
            Ok(total)
        }
    }
}

/// A header field with a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderValue {
    /// Field name, any case.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_|~-]+$"))]
    pub name: String,
    /// Field value: visible characters, spaces and tabs.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// Changes of header fields: removals first, then `set` (replaces), then `add` (appends). Fields that frame
/// or route a message (Host, Connection, Content-Length, Transfer-Encoding and their kin) can't be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderEdits {
    /// Replaced, or added where missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub set: Vec<HeaderValue>,
    /// Added besides what is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub add: Vec<HeaderValue>,
    /// Names that are removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128)))]
    pub remove: Vec<String>,
}

/// Refers to a Secret in the namespace of the object that names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What a request must look like. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestMatch {
    /// The path; every path when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// Methods, upper case; every method when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 32), regex(pattern = r"^[A-Z][A-Z-]*$"))
    )]
    pub methods: Vec<String>,
    /// Header fields; each must match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub headers: Vec<HeaderMatch>,
}

/// A path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PathMatch {
    /// `Exact`: the whole path. `Prefix`: whole segments from the start (`/a` matches `/a` and `/a/b`, not `/ab`).
    #[serde(rename = "type", default)]
    pub kind: PathMatchType,
    /// Begins with `/`; compared byte by byte with the path as it was sent.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^/[!-~]*$"))]
    pub value: String,
}

/// How a path is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PathMatchType {
    /// The whole path.
    Exact,
    /// Whole segments from the start.
    #[default]
    Prefix,
}

/// A request header field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("(!has(self.type) || self.type in ['Exact', 'Prefix']) == has(self.value)", "value is needed by the types Exact and Prefix, and belongs to no other type"),
    ])))]
pub struct HeaderMatch {
    /// Field name, any case.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_|~-]+$"))]
    pub name: String,
    /// How it is compared.
    #[serde(rename = "type", default)]
    pub kind: HeaderMatchType,
    /// What it is compared with; needed by `Exact` and `Prefix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub value: Option<String>,
}

/// How a header field is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HeaderMatchType {
    /// Equal.
    #[default]
    Exact,
    /// Begins with.
    Prefix,
    /// There, whatever its value.
    Present,
    /// Not there.
    Absent,
}

/// What a policy applies to (Gateway API's policy attachment, GEP-713).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("self.kind == 'EdgeSite' && (!has(self.group) || self.group == 'edge.breakwater.dev')", "a policy attaches to kind EdgeSite of group edge.breakwater.dev"),
    ])))]
pub struct TargetRef {
    /// API group; `edge.breakwater.dev` when it isn't given.
    #[serde(default = "default_group")]
    #[schemars(length(min = 1, max = 253))]
    pub group: String,
    /// Kind: `EdgeSite`.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Name of the site, in the policy's own namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Name of a route of that site; the whole site when it isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub section_name: Option<String>,
}

fn default_group() -> String {
    crate::GROUP.to_owned()
}

/// Which sites a policy in the operator's namespace applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyScope {
    /// Every site.
    AllSites,
    /// Those that `selector` selects.
    Selected,
}

/// Which sites a policy of `scope: Selected` applies to. Both must match where both are given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteSelector {
    /// Labels of the sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sites: Option<LabelSelector>,
    /// Labels of their namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
}

/// Selects by labels; all that is given must match, an empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels with exactly these values.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub match_labels: std::collections::BTreeMap<String, String>,
    /// Further conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<LabelExpression>,
}

/// A condition on a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = crate::schema::rules(&[
        ("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)", "values are needed by In and NotIn, and belong to no other operator"),
    ])))]
pub struct LabelExpression {
    /// Label key.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How `values` are used.
    pub operator: LabelOperator,
    /// Needed by `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// One of the values.
    In,
    /// None of the values, or missing.
    NotIn,
    /// There.
    Exists,
    /// Missing.
    DoesNotExist,
}

/// How a platform's policy stands to those of a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyMode {
    /// What holds unless a site says otherwise.
    #[default]
    Default,
    /// An outer layer that no site's policy weakens.
    Enforced,
}

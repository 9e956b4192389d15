use std::fmt;

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Name {
    /// Both together.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A kind of policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyKind {
    /// `CachePolicy`.
    CachePolicy,
    /// `RateRule`.
    RateRule,
}

impl PolicyKind {
    /// The kind as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CachePolicy => "CachePolicy",
            Self::RateRule => "RateRule",
        }
    }
}

/// A policy among all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// Its kind.
    pub kind: PolicyKind,
    /// Its name.
    pub name: Name,
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

impl PolicyKey {
    /// Its name in configurations.
    pub(crate) fn id(&self) -> breakwater_edge_config::PolicyId {
        breakwater_edge_config::PolicyId(format!("{}/{}", self.kind.as_str(), self.name))
    }
}

/// Where a published Secret lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretPosition {
    /// The region; each has a namespace of its own.
    pub region: String,
    /// Name of the Secret.
    pub secret: String,
}

/// Names an object of any kind that the index holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An `EdgeSite`.
    EdgeSite(Name),
    /// A `CachePolicy` or `RateRule`.
    Policy(PolicyKey),
    /// An `EdgeRegion`.
    EdgeRegion(String),
    /// A Namespace.
    Namespace(String),
    /// A Node.
    Node(String),
    /// A `ServiceCIDR`.
    ServiceCidr(String),
    /// A Service.
    Service(Name),
    /// An `EndpointSlice`.
    EndpointSlice(Name),
    /// A Pod.
    Pod(Name),
    /// A Secret that sites refer to.
    Secret(Name),
    /// The mark that Services, `EndpointSlices` and Pods of a namespace are completely listed.
    NamespaceListed(String),
    /// A Secret that the operator published.
    Published(SecretPosition),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EdgeSite(name) => write!(f, "EdgeSite {name}"),
            Self::Policy(policy) => write!(f, "{policy}"),
            Self::EdgeRegion(name) => write!(f, "EdgeRegion {name}"),
            Self::Namespace(name) => write!(f, "Namespace {name}"),
            Self::Node(name) => write!(f, "Node {name}"),
            Self::ServiceCidr(name) => write!(f, "ServiceCIDR {name}"),
            Self::Service(name) => write!(f, "Service {name}"),
            Self::EndpointSlice(name) => write!(f, "EndpointSlice {name}"),
            Self::Pod(name) => write!(f, "Pod {name}"),
            Self::Secret(name) => write!(f, "Secret {name}"),
            Self::NamespaceListed(name) => write!(f, "contents of Namespace {name}"),
            Self::Published(position) => {
                write!(f, "Secret {} of region {}", position.secret, position.region)
            }
        }
    }
}

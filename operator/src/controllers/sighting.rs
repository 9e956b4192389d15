use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use breakwater_crds::{
    CachePolicySpec, EdgeNodeSpec, EdgeNodeStatus, EdgeRegionSpec, EdgeRegionStatus, EdgeSiteSpec,
    EdgeSiteStatus, PolicyStatus, RateRuleSpec, TargetRef,
};
use breakwater_edge_config::incarnation::Incarnation;
use breakwater_render::Object;
use kube::api::ObjectMeta;

use crate::publish::PublishedSecret;
use crate::regions::NodeRoom;

/// Namespace and name of an object; the namespace of cluster-scoped ones is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// The key of what `meta` belongs to.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }

    /// A key of the two.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `EdgeSite`.
    Site,
    /// `CachePolicy`.
    CachePolicy,
    /// `RateRule`.
    RateRule,
    /// `EdgeRegion`.
    Region,
    /// Metadata of `kubernetes.io/tls` Secrets.
    TlsSecret,
    /// Metadata of Secrets that are labelled for our use.
    LabelledSecret,
    /// Metadata of Namespaces.
    Namespace,
    /// Nodes.
    Machine,
    /// `ServiceCIDR`s.
    ServiceCidr,
    /// Slices of the API server's own endpoints.
    ApiServer,
    /// Services of a namespace with a Service origin.
    Service,
    /// `EndpointSlice`s of such a namespace.
    EndpointSlice,
    /// Pods of such a namespace.
    Pod,
    /// What is published to a region.
    Published,
    /// `EdgeNode`s of a region.
    EdgeNode,
    /// The edges' Pods of a region.
    EdgePod,
    /// A region's own `DaemonSet`.
    DaemonSet,
    /// A region's incarnation.
    Incarnation,
}

/// A watch: what, and in which namespace; `None`: in all, or of a cluster-scoped kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// What.
    pub kind: Kind,
    /// Where.
    pub namespace: Option<String>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{:?} in {namespace}", self.kind),
            None => write!(f, "{:?}", self.kind),
        }
    }
}

/// An object of one of our kinds.
#[derive(Clone, Debug)]
pub struct Whole<Spec, Status> {
    /// Its metadata, without managed fields.
    pub meta: ObjectMeta,
    /// What it says.
    pub spec: Spec,
    /// What was said of it, as far as this build can read that.
    pub status: Option<Status>,
}

/// An object that doesn't have the form of its kind.
#[derive(Clone, Debug)]
pub struct Malformed {
    /// Its metadata, which could be read.
    pub meta: Box<ObjectMeta>,
    /// What is wrong.
    pub error: String,
    /// For a policy: what it is attached to, as far as that could be read.
    pub targets: Vec<TargetRef>,
}

/// An object, or why it can't be read. One bad object never ends a watch.
pub(super) type Read<Spec, Status> = Result<Box<Whole<Spec, Status>>, Malformed>;

/// An object as far as it is looked at.
#[derive(Clone, Debug)]
pub enum Item {
    /// A site.
    Site(Read<EdgeSiteSpec, EdgeSiteStatus>),
    /// A cache policy.
    CachePolicy(Read<CachePolicySpec, PolicyStatus>),
    /// A rate rule.
    RateRule(Read<RateRuleSpec, PolicyStatus>),
    /// A region.
    Region(Read<EdgeRegionSpec, EdgeRegionStatus>),
    /// What an edge says of itself.
    EdgeNode(Read<EdgeNodeSpec, EdgeNodeStatus>),
    /// A Secret's version; its content is read when a site names it.
    SecretMeta(String),
    /// A Node.
    Machine(Box<Machine>),
    /// What only render looks at.
    Plain(Object),
    /// Addresses of the API server.
    ApiServer(Vec<IpAddr>),
    /// An edge's Pod.
    EdgePod(EdgePod),
    /// A published Secret, without its bytes.
    Published(Box<PublishedSecret>),
    /// A region's `DaemonSet`.
    DaemonSet(DaemonSetCounts),
    /// A region's incarnation.
    Incarnation(IncarnationMap),
}

/// A Node as far as origins and regions need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its addresses of every type that are IP addresses.
    pub addresses: Vec<IpAddr>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What Pods may request there.
    pub room: NodeRoom,
}

/// An edge's Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgePod {
    /// Its UID.
    pub uid: String,
    /// Its Node; empty before it has one.
    pub node: String,
    /// It is Ready and not terminating.
    pub live: bool,
    /// What the scheduler says about it when it finds no room.
    pub unschedulable: Option<String>,
}

/// Counts of a `DaemonSet`'s status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DaemonSetCounts {
    /// Its generation.
    pub generation: Option<i64>,
    /// Nodes that are to run its Pod; `None` before its controller has looked at the newest generation.
    pub desired: Option<i64>,
}

/// The incarnation's `ConfigMap`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncarnationMap {
    /// Its version.
    pub version: String,
    /// What it says.
    pub says: Option<Incarnation>,
}

/// Something that a watch told.
#[derive(Debug)]
pub struct Sighting {
    /// Which watch.
    pub source: Source,
    /// Which start of it; what an older start still tells is ignored.
    pub epoch: u64,
    /// What.
    pub what: What,
}

/// What a watch tells.
#[derive(Debug)]
pub enum What {
    /// An object is there, or changed.
    Applied(Key, Item),
    /// An object's deletion was seen; its UID.
    Deleted(Key, String),
    /// A list is complete: these are all there are.
    Listed(std::collections::HashSet<Key>),
    /// It doesn't work at present, and is tried again.
    Failing(String),
}

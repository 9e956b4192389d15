//! What the index is fed: slim, plain forms of the objects, with what render looks at and nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use breakwater_crds as crds;
use breakwater_edge_config::bundle::Files;
use breakwater_edge_config::{ContentHash, HostPattern, SiteId};
use ipnet::IpNet;
use jiff::Timestamp;

use crate::key::{Key, Name, PolicyKey, PolicyKind, SecretPosition};

mod convert;

pub use convert::USE_LABEL;

/// Labels.
pub type Labels = BTreeMap<String, String>;

/// What matters of an object's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID; empty in files.
    pub uid: String,
    /// Generation; 0 in files.
    pub generation: i64,
    /// Creation; `None` in files, which counts as the latest.
    pub created: Option<Timestamp>,
    /// Labels.
    pub labels: Labels,
}

impl Meta {
    /// Namespace and name.
    pub fn key(&self) -> Name {
        Name::new(&self.namespace, &self.name)
    }
}

/// An object of any kind that render looks at.
#[derive(Clone, Debug)]
pub enum Object {
    /// An `EdgeSite`.
    EdgeSite(Meta, Box<crds::EdgeSiteSpec>),
    /// A `CachePolicy`.
    CachePolicy(Meta, Box<crds::CachePolicySpec>),
    /// A `RateRule`.
    RateRule(Meta, Box<crds::RateRuleSpec>),
    /// An `EdgeRegion`.
    EdgeRegion(Meta, Box<crds::EdgeRegionSpec>),
    /// An object of one of the kinds above that can't be read.
    Invalid(Invalid),
    /// A Namespace's labels.
    Namespace(String, Labels),
    /// A Node's addresses, all of its types.
    Node(String, Vec<IpAddr>),
    /// A `ServiceCIDR`'s networks.
    ServiceCidr(String, Vec<IpNet>),
    /// A Service.
    Service(Service),
    /// An `EndpointSlice`.
    EndpointSlice(EndpointSlice),
    /// A Pod.
    Pod(Pod),
    /// A Secret that sites refer to.
    Secret(Secret),
    /// A Secret that was looked for and isn't there.
    SecretAbsent(Name),
    /// Services, `EndpointSlices` and Pods of this namespace are completely listed.
    NamespaceListed(String),
    /// A Secret that the operator published.
    Published(Published),
}

impl Object {
    /// Its key.
    pub fn key(&self) -> Key {
        let policy = |kind, meta: &Meta| {
            Key::Policy(PolicyKey {
                kind,
                name: meta.key(),
            })
        };
        match self {
            Self::EdgeSite(meta, _) => Key::EdgeSite(meta.key()),
            Self::CachePolicy(meta, _) => policy(PolicyKind::CachePolicy, meta),
            Self::RateRule(meta, _) => policy(PolicyKind::RateRule, meta),
            Self::EdgeRegion(meta, _) => Key::EdgeRegion(meta.name.clone()),
            Self::Invalid(invalid) => invalid.key.clone(),
            Self::Namespace(name, _) => Key::Namespace(name.clone()),
            Self::Node(name, _) => Key::Node(name.clone()),
            Self::ServiceCidr(name, _) => Key::ServiceCidr(name.clone()),
            Self::Service(service) => Key::Service(service.name.clone()),
            Self::EndpointSlice(slice) => Key::EndpointSlice(slice.name.clone()),
            Self::Pod(pod) => Key::Pod(pod.name.clone()),
            Self::Secret(secret) => Key::Secret(secret.name.clone()),
            Self::SecretAbsent(name) => Key::Secret(name.clone()),
            Self::NamespaceListed(name) => Key::NamespaceListed(name.clone()),
            Self::Published(published) => Key::Published(published.position.clone()),
        }
    }
}

/// An `EdgeSite`, policy or `EdgeRegion` that can't be read: the schema of the cluster and this build differ,
/// or a file is broken. What was published of it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Which object: `EdgeSite`, `Policy` or `EdgeRegion`.
    pub key: Key,
    /// Its generation.
    pub generation: i64,
    /// Its labels: platform policies select it by them, whatever is wrong with it.
    pub labels: Labels,
    /// What is wrong, for people.
    pub problem: String,
    /// For a policy: the sites and routes that it is attached to, as far as they can be read.
    pub targets: Vec<crds::TargetRef>,
}

/// A Service, as far as origins need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// It has a selector that isn't empty.
    pub has_selector: bool,
    /// It is of type `ExternalName`.
    pub external_name: bool,
    /// Its TCP ports: number and name (empty for an only port without a name).
    pub ports: Vec<(u16, String)>,
}

/// An `EndpointSlice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Its name.
    pub name: Name,
    /// Label `kubernetes.io/service-name`.
    pub service: String,
    /// Label `endpointslice.kubernetes.io/managed-by`.
    pub managed_by: String,
    /// Ports by name (empty for none).
    pub ports: Vec<(String, u16)>,
    /// Endpoints.
    pub endpoints: Vec<SliceEndpoint>,
}

/// An endpoint of an [`EndpointSlice`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Condition `ready`; not given counts as ready.
    pub ready: bool,
    /// Name of the Pod when `targetRef` is a Pod of the same namespace.
    pub pod: Option<String>,
}

/// A Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: Name,
    /// `status.podIPs`.
    pub ips: Vec<IpAddr>,
    /// `spec.hostNetwork`.
    pub host_network: bool,
}

/// A Secret that sites refer to. Its debug form shows no data.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub kind: String,
    /// Label `edge.breakwater.dev/use` is `true`.
    pub usable: bool,
    /// Its data.
    pub data: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Secret({} {} {:?})",
            self.name,
            self.kind,
            self.data.keys().collect::<Vec<_>>()
        )
    }
}

/// A Secret as it was published. Its debug form shows no data.
#[derive(Clone, PartialEq, Eq)]
pub struct Published {
    /// Where it lies.
    pub position: SecretPosition,
    /// Its resource version: the next write carries it.
    pub resource_version: String,
    /// [`breakwater_edge_config::bundle::hash`] of its files.
    pub hash: ContentHash,
    /// The site, for a site's Secret.
    pub site: Option<SiteId>,
    /// The hosts that it serves, for a site's Secret.
    pub hosts: Vec<HostPattern>,
    /// Its files. Needed for the region's settings;
    /// for sites only when [`Changes::needs`](crate::Changes) asks for them.
    pub files: Option<Files>,
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Published({:?} {:?} {:?})",
            self.position, self.hash, self.hosts
        )
    }
}

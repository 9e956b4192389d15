use breakwater_crds::{Condition, EdgeRegionStatus, EdgeSiteStatus, PolicyStatus};
use breakwater_render::object::Meta;
use k8s_openapi::api::core::v1::ObjectReference;

use crate::publish::Notice;

/// An object that has a status.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its metadata, as far as anything depends on it.
    pub meta: Meta,
    /// Its version.
    pub version: String,
    /// Its status, as far as it can be read.
    pub status: Option<Status>,
}

/// Something to tell people about an object.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// The object.
    pub about: ObjectReference,
    /// What.
    pub notices: Vec<Notice>,
}

/// A status that is being written.
#[derive(Clone, Debug)]
pub(super) struct UnderWay {
    pub(super) status: Status,
    /// What people are told once it is written.
    pub(super) notices: Vec<Notice>,
}

/// A status of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Of an `EdgeSite`.
    Site(EdgeSiteStatus),
    /// Of a policy.
    Policy(PolicyStatus),
    /// Of an `EdgeRegion`.
    Region(EdgeRegionStatus),
}

impl Status {
    /// Its conditions.
    pub fn conditions(&self) -> &[Condition] {
        match self {
            Self::Site(status) => &status.conditions,
            Self::Policy(status) => &status.conditions,
            Self::Region(status) => &status.conditions,
        }
    }

    /// The generation that it is about.
    pub fn generation(&self) -> i64 {
        match self {
            Self::Site(status) => status.observed_generation,
            Self::Policy(status) => status.observed_generation,
            Self::Region(status) => status.observed_generation,
        }
    }

    /// The hash of what is published, where there is one.
    pub fn config_hash(&self) -> Option<&str> {
        match self {
            Self::Site(status) => status.config_hash.as_deref(),
            Self::Policy(_) | Self::Region(_) => None,
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Result<serde_json::Value, serde_json::Error> {
        match self {
            Self::Site(status) => serde_json::to_value(status),
            Self::Policy(status) => serde_json::to_value(status),
            Self::Region(status) => serde_json::to_value(status),
        }
    }
}

//! The kinds that people write, group `edge.breakwater.dev`, version `v1alpha1`. One file a kind.
//!
//! In: nothing. Out: Rust types with their schemas, and [`all`], the CustomResourceDefinitions made from
//! them; `generated/*.yaml` holds those, committed and checked for drift. What the schema can check (form,
//! bounds, what belongs together) is checked there, with messages that say what to do; what needs other
//! objects is the render crate's.
//!
//! This crate must never talk to a cluster or decide anything.

mod cache_policy;
mod common;
mod conditions;
mod edge_node;
mod edge_region;
mod edge_site;
mod rate_rule;

pub use cache_policy::*;
pub use common::*;
pub use conditions::*;
pub use edge_node::*;
pub use edge_region::*;
pub use edge_site::*;
pub use rate_rule::*;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of every kind.
pub const GROUP: &str = "edge.breakwater.dev";

/// The version of every kind.
pub const VERSION: &str = "v1alpha1";

/// Every kind's definition, in the order of their names.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        CachePolicy::crd(),
        EdgeNode::crd(),
        EdgeRegion::crd(),
        EdgeSite::crd(),
        RateRule::crd(),
    ]
}

//! The kinds that people write, group `edge.breakwater.dev`, version `v1alpha1`. One file a kind.
//!
//! In: nothing. Out: Rust types with their schemas, and [`all`], the CustomResourceDefinitions made from
//! them; `generated/*.yaml` holds those, committed and checked for drift. What the schema can check (form,
//! bounds, what belongs together) is checked there, with messages that say what to do; what needs other
//! objects is the render crate's.
//!
//! This crate must never talk to a cluster or decide anything.

#![allow(
    clippy::duplicated_attributes,
    reason = "a printer column is an attribute, and several say the same of a type"
)]

mod cache_policy;
mod common;
mod conditions;
mod edge_node;
mod edge_region;
mod edge_site;
mod rate_rule;
mod reference;
mod schema;

pub use cache_policy::*;
pub use common::*;
pub use conditions::*;
pub use edge_node::*;
pub use edge_region::*;
pub use edge_site::*;
pub use rate_rule::*;
pub use reference::{reference, reference_file_name};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of every kind.
pub const GROUP: &str = "edge.breakwater.dev";

/// The version of every kind.
pub const VERSION: &str = "v1alpha1";

/// Every kind's definition, in the order of their names.
pub fn all() -> Vec<CustomResourceDefinition> {
    [
        CachePolicy::crd(),
        EdgeNode::crd(),
        EdgeRegion::crd(),
        EdgeSite::crd(),
        RateRule::crd(),
    ]
    .into_iter()
    .map(schema::finish)
    .collect()
}

/// File name of a definition: `edgesites.yaml`.
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}.yaml", crd.spec.names.plural)
}

/// A definition as YAML.
pub fn yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    let text = serde_saphyr::to_string(crd)?;
    Ok(format!(
        "# Made by `make crds` from the types in crds/src. Don't edit.\n{text}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_definitions_are_those_of_the_types() {
        for crd in all() {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("generated")
                .join(file_name(&crd));
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == yaml(&crd).unwrap(),
                "{} is out of date: run `make crds`",
                path.display()
            );
        }
    }

    #[test]
    fn the_committed_reference_is_that_of_the_types() {
        for crd in all() {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../docs/reference")
                .join(reference_file_name(&crd));
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == reference(&crd),
                "{} is out of date: run `make crds`",
                path.display()
            );
        }
    }

    #[test]
    fn a_definition_fits_a_client_side_apply() {
        for crd in all() {
            let bytes = serde_json::to_vec(&crd).unwrap().len();
            assert!(bytes < 262_144, "{} has {bytes} bytes", file_name(&crd));
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let millis = |text: &str| Duration(text.to_owned()).as_millis();
        for (text, expected) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("0s", 0),
        ] {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
        for text in ["", "5", "s", "5x", "-5s", "1.5s", "99999999999999999999s"] {
            assert!(millis(text).is_err(), "{text}");
        }
    }
}

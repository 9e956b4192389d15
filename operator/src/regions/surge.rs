use std::collections::BTreeMap;

use breakwater_crds::EdgeRegion;

use super::{bytes, millicores};

/// A Node that is to run an edge, and what Pods may request there in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeRoom {
    /// Its name.
    pub name: String,
    /// `status.allocatable`.
    pub allocatable: BTreeMap<String, String>,
}

/// Nodes where an edge fits once but not twice, so that an update can't start the new one beside the old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// How many Nodes.
    pub nodes: usize,
    /// A sentence about the first of them.
    pub example: String,
}

/// Whether the requests of a region's edges fit twice on each of its Nodes.
pub fn shortage<'a>(region: &EdgeRegion, nodes: impl IntoIterator<Item = &'a NodeRoom>) -> Option<Shortage> {
    let resources = region.spec.local.as_ref()?.resources.as_ref()?;
    let mut found: Option<Shortage> = None;
    for node in nodes {
        let Some(example) = missing(&resources.requests, node) else {
            continue;
        };
        match &mut found {
            Some(shortage) => shortage.nodes += 1,
            None => found = Some(Shortage { nodes: 1, example }),
        }
    }
    found
}

fn missing(requests: &BTreeMap<String, String>, node: &NodeRoom) -> Option<String> {
    let short = |name: &str, read: fn(&str) -> Option<u64>| {
        let request = requests.get(name)?;
        let allocatable = node.allocatable.get(name)?;
        let twice = read(request)?.saturating_mul(2);
        (twice > read(allocatable)?).then(|| {
            format!(
                "{name}: an edge requests {request}, twice that is more than the {allocatable} of node {}",
                node.name
            )
        })
    };
    short("cpu", millicores).or_else(|| short("memory", bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn region(cpu: &str, memory: &str) -> EdgeRegion {
        serde_json::from_value(json!({
            "apiVersion": "edge.breakwater.dev/v1alpha1", "kind": "EdgeRegion", "metadata": {"name": "r"},
            "spec": {"local": {"resources": {"requests": {"cpu": cpu, "memory": memory}}}},
        }))
        .unwrap()
    }

    #[test]
    fn requests_that_fit_once_but_not_twice_are_told() {
        let node = NodeRoom {
            name: "n1".to_owned(),
            allocatable: [("cpu", "2"), ("memory", "4Gi")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
        };
        assert_eq!(shortage(&region("1", "2Gi"), [&node]), None);
        let cpu = shortage(&region("1100m", "1Gi"), [&node, &node]).unwrap();
        assert_eq!(cpu.nodes, 2);
        assert!(
            cpu.example.starts_with("cpu: an edge requests 1100m"),
            "{}",
            cpu.example
        );
        assert!(
            shortage(&region("1", "2049Mi"), [&node])
                .unwrap()
                .example
                .starts_with("memory")
        );
    }
}

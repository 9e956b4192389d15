//! From the types of the Kubernetes API to the slim ones.

use std::collections::BTreeMap;
use std::net::IpAddr;

use breakwater_crds as crds;
use ipnet::IpNet;
use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery, networking::v1 as networking};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::{EndpointSlice, Invalid, Meta, Object, Pod, Secret, Service, SliceEndpoint};
use crate::key::{Key, Name, PolicyKey, PolicyKind};

/// Label that lets edges use a Secret as a CA or as a client certificate.
pub const USE_LABEL: &str = "edge.breakwater.dev/use";

impl From<&ObjectMeta> for Meta {
    fn from(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            labels: meta.labels.clone().unwrap_or_default(),
        }
    }
}

fn name_of(meta: &ObjectMeta) -> Name {
    Name::new(
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

impl From<crds::EdgeSite> for Object {
    fn from(site: crds::EdgeSite) -> Self {
        Self::EdgeSite((&site.metadata).into(), Box::new(site.spec))
    }
}

impl From<crds::CachePolicy> for Object {
    fn from(policy: crds::CachePolicy) -> Self {
        Self::CachePolicy((&policy.metadata).into(), Box::new(policy.spec))
    }
}

impl From<crds::RateRule> for Object {
    fn from(rule: crds::RateRule) -> Self {
        Self::RateRule((&rule.metadata).into(), Box::new(rule.spec))
    }
}

impl From<crds::EdgeRegion> for Object {
    fn from(region: crds::EdgeRegion) -> Self {
        Self::EdgeRegion((&region.metadata).into(), Box::new(region.spec))
    }
}

impl From<&core::Namespace> for Object {
    fn from(namespace: &core::Namespace) -> Self {
        let meta = &namespace.metadata;
        Self::Namespace(
            meta.name.clone().unwrap_or_default(),
            meta.labels.clone().unwrap_or_default(),
        )
    }
}

impl From<&core::Node> for Object {
    fn from(node: &core::Node) -> Self {
        let listed = node.status.as_ref().and_then(|status| status.addresses.as_ref());
        let addresses = listed
            .into_iter()
            .flatten()
            .filter_map(|address| address.address.parse().ok());
        Self::Node(
            node.metadata.name.clone().unwrap_or_default(),
            addresses.collect(),
        )
    }
}

impl From<&networking::ServiceCIDR> for Object {
    fn from(cidr: &networking::ServiceCIDR) -> Self {
        let listed = cidr.spec.as_ref().and_then(|spec| spec.cidrs.as_ref());
        let networks: Vec<IpNet> = listed
            .into_iter()
            .flatten()
            .filter_map(|net| net.parse().ok())
            .collect();
        Self::ServiceCidr(cidr.metadata.name.clone().unwrap_or_default(), networks)
    }
}

impl From<&core::Service> for Object {
    fn from(service: &core::Service) -> Self {
        let spec = service.spec.clone().unwrap_or_default();
        let ports = spec.ports.unwrap_or_default();
        Self::Service(Service {
            name: name_of(&service.metadata),
            has_selector: spec.selector.is_some_and(|selector| !selector.is_empty()),
            external_name: spec.type_.as_deref() == Some("ExternalName"),
            ports: ports
                .into_iter()
                .filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"))
                .filter_map(|port| Some((u16::try_from(port.port).ok()?, port.name.unwrap_or_default())))
                .collect(),
        })
    }
}

impl From<&discovery::EndpointSlice> for Object {
    fn from(slice: &discovery::EndpointSlice) -> Self {
        let name = name_of(&slice.metadata);
        let label = |key: &str| {
            let labels = slice.metadata.labels.as_ref();
            labels
                .and_then(|labels| labels.get(key))
                .cloned()
                .unwrap_or_default()
        };
        let ports = slice.ports.iter().flatten();
        let endpoint = |endpoint: &discovery::Endpoint| SliceEndpoint {
            addresses: endpoint
                .addresses
                .iter()
                .filter_map(|address| address.parse().ok())
                .collect(),
            ready: endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true),
            pod: endpoint.target_ref.as_ref().and_then(|target| {
                let same = target
                    .namespace
                    .as_ref()
                    .is_none_or(|namespace| *namespace == name.namespace);
                (target.kind.as_deref() == Some("Pod") && same).then(|| target.name.clone())?
            }),
        };
        Self::EndpointSlice(EndpointSlice {
            service: label("kubernetes.io/service-name"),
            managed_by: label("endpointslice.kubernetes.io/managed-by"),
            ports: ports
                .filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"))
                .filter_map(|port| {
                    let number = u16::try_from(port.port?).ok()?;
                    Some((port.name.clone().unwrap_or_default(), number))
                })
                .collect(),
            endpoints: slice.endpoints.iter().map(endpoint).collect(),
            name,
        })
    }
}

impl From<&core::Pod> for Object {
    fn from(pod: &core::Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let ips = status.pod_ips.unwrap_or_default().into_iter().map(|ip| ip.ip);
        let mut ips: Vec<IpAddr> = ips
            .chain(status.pod_ip)
            .filter_map(|ip| ip.parse().ok())
            .collect();
        ips.sort();
        ips.dedup();
        Self::Pod(Pod {
            name: name_of(&pod.metadata),
            ips,
            host_network: pod
                .spec
                .as_ref()
                .and_then(|spec| spec.host_network)
                .unwrap_or(false),
        })
    }
}

impl From<core::Secret> for Object {
    fn from(secret: core::Secret) -> Self {
        let labels = secret.metadata.labels.as_ref();
        let mut data: BTreeMap<String, Vec<u8>> = secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, value.0))
            .collect();
        // Only files have it: the API server moves it into `data`.
        let text = secret.string_data.unwrap_or_default();
        data.extend(text.into_iter().map(|(key, value)| (key, value.into_bytes())));
        Self::Secret(Secret {
            usable: labels
                .and_then(|labels| labels.get(USE_LABEL))
                .is_some_and(|value| value == "true"),
            name: name_of(&secret.metadata),
            kind: secret.type_.unwrap_or_else(|| "Opaque".to_owned()),
            data,
        })
    }
}

impl Invalid {
    /// From an object as it was read, whose spec doesn't fit the types. `None` for kinds that aren't ours.
    pub fn from_value(object: &Value, problem: &str) -> Option<Self> {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let name = Name::new(text("/metadata/namespace"), text("/metadata/name"));
        let policy = |kind| {
            Key::Policy(PolicyKey {
                kind,
                name: name.clone(),
            })
        };
        let key = match object.get("kind").and_then(Value::as_str)? {
            "EdgeSite" => Key::EdgeSite(name.clone()),
            "CachePolicy" => policy(PolicyKind::CachePolicy),
            "RateRule" => policy(PolicyKind::RateRule),
            "EdgeRegion" => Key::EdgeRegion(name.name.clone()),
            _ => return None,
        };
        let targets = object.pointer("/spec/targetRefs").and_then(Value::as_array);
        Some(Self {
            key,
            generation: object
                .pointer("/metadata/generation")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
            labels: object
                .pointer("/metadata/labels")
                .and_then(|labels| serde_json::from_value(labels.clone()).ok())
                .unwrap_or_default(),
            problem: problem.to_owned(),
            targets: targets
                .into_iter()
                .flatten()
                .filter_map(|target| serde_json::from_value(target.clone()).ok())
                .collect(),
        })
    }
}

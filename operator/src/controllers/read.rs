//! What is kept of each kind of object. Managed fields and everything else that nobody looks at is dropped
//! here, so that it isn't held for ten thousand objects.

use std::collections::BTreeMap;

use breakwater_crds::TargetRef;
use breakwater_edge_config::incarnation::Incarnation;
use breakwater_render::{Name, Object, object};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::api::{DynamicObject, ObjectMeta, PartialObjectMeta};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::sighting::{DaemonSetCounts, EdgePod, IncarnationMap, Item, Machine, Malformed, Read, Whole};
use crate::publish::PublishedSecret;
use crate::regions::NodeRoom;

/// Reads spec and status apart: a status that this build can't read doesn't make the object unreadable.
fn whole<Spec: DeserializeOwned, Status: DeserializeOwned>(mut object: DynamicObject) -> Read<Spec, Status> {
    let meta = ObjectMeta {
        managed_fields: None,
        ..std::mem::take(&mut object.metadata)
    };
    let mut take = |field: &str| object.data.get_mut(field).map(Value::take).unwrap_or_default();
    let status = serde_json::from_value(take("status")).ok();
    let spec = take("spec");
    match Spec::deserialize(&spec) {
        Ok(spec) => Ok(Box::new(Whole { meta, spec, status })),
        Err(error) => Err(Malformed {
            meta: Box::new(meta),
            error: error.to_string(),
            targets: targets(&spec),
        }),
    }
}

fn targets(spec: &Value) -> Vec<TargetRef> {
    let targets = spec.get("targetRefs").and_then(Value::as_array);
    let targets = targets.into_iter().flatten();
    targets
        .filter_map(|target| TargetRef::deserialize(target).ok())
        .collect()
}

pub(super) fn site(object: DynamicObject) -> Item {
    Item::Site(whole(object))
}

pub(super) fn cache_policy(object: DynamicObject) -> Item {
    Item::CachePolicy(whole(object))
}

pub(super) fn rate_rule(object: DynamicObject) -> Item {
    Item::RateRule(whole(object))
}

pub(super) fn region(object: DynamicObject) -> Item {
    Item::Region(whole(object))
}

pub(super) fn edge_node(object: DynamicObject) -> Item {
    Item::EdgeNode(whole(object))
}

pub(super) fn secret_meta(object: PartialObjectMeta<Secret>) -> Item {
    Item::SecretMeta(object.metadata.resource_version.unwrap_or_default())
}

pub(super) fn namespace(object: PartialObjectMeta<Namespace>) -> Item {
    let name = object.metadata.name.unwrap_or_default();
    Item::Plain(Object::Namespace(
        name,
        object.metadata.labels.unwrap_or_default(),
    ))
}

pub(super) fn machine(object: Node) -> Item {
    let status = object.status.unwrap_or_default();
    let allocatable: BTreeMap<String, String> = status
        .allocatable
        .unwrap_or_default()
        .into_iter()
        .map(|(resource, amount)| (resource, amount.0))
        .collect();
    let addresses = status.addresses.unwrap_or_default();
    Item::Machine(Box::new(Machine {
        addresses: addresses.iter().filter_map(|a| a.address.parse().ok()).collect(),
        labels: object.metadata.labels.unwrap_or_default(),
        room: NodeRoom {
            name: object.metadata.name.unwrap_or_default(),
            allocatable,
        },
    }))
}

pub(super) fn service_cidr(object: ServiceCIDR) -> Item {
    let cidrs = object.spec.and_then(|spec| spec.cidrs).unwrap_or_default();
    let networks = cidrs.iter().filter_map(|cidr| cidr.parse().ok()).collect();
    Item::Plain(Object::ServiceCidr(
        object.metadata.name.unwrap_or_default(),
        networks,
    ))
}

pub(super) fn service(object: Service) -> Item {
    let name = name(&object.metadata);
    let spec = object.spec.unwrap_or_default();
    let tcp = |protocol: &Option<String>| protocol.as_deref().unwrap_or("TCP") == "TCP";
    Item::Plain(Object::Service(object::Service {
        name,
        has_selector: spec.selector.is_some_and(|selector| !selector.is_empty()),
        external_name: spec.type_.as_deref() == Some("ExternalName"),
        ports: spec
            .ports
            .unwrap_or_default()
            .into_iter()
            .filter(|port| tcp(&port.protocol))
            .filter_map(|port| Some((u16::try_from(port.port).ok()?, port.name.unwrap_or_default())))
            .collect(),
    }))
}

pub(super) fn endpoint_slice(object: EndpointSlice) -> Item {
    let name = name(&object.metadata);
    let mut labels = object.metadata.labels.unwrap_or_default();
    let tcp = |protocol: &Option<String>| protocol.as_deref().unwrap_or("TCP") == "TCP";
    Item::Plain(Object::EndpointSlice(object::EndpointSlice {
        service: labels.remove("kubernetes.io/service-name").unwrap_or_default(),
        managed_by: labels
            .remove("endpointslice.kubernetes.io/managed-by")
            .unwrap_or_default(),
        ports: object
            .ports
            .unwrap_or_default()
            .into_iter()
            .filter(|port| tcp(&port.protocol))
            .filter_map(|port| Some((port.name.unwrap_or_default(), u16::try_from(port.port?).ok()?)))
            .collect(),
        endpoints: object
            .endpoints
            .into_iter()
            .map(|e| endpoint(e, &name.namespace))
            .collect(),
        name,
    }))
}

fn endpoint(endpoint: Endpoint, namespace: &str) -> object::SliceEndpoint {
    object::SliceEndpoint {
        addresses: endpoint.addresses.iter().filter_map(|a| a.parse().ok()).collect(),
        ready: endpoint.conditions.and_then(|c| c.ready).unwrap_or(true),
        pod: endpoint.target_ref.and_then(|target| {
            let here = target.namespace.as_deref().is_none_or(|n| n == namespace);
            (target.kind.as_deref() == Some("Pod") && here).then_some(target.name)?
        }),
    }
}

pub(super) fn api_server(object: EndpointSlice) -> Item {
    let addresses = object.endpoints.into_iter().flat_map(|e| e.addresses);
    Item::ApiServer(addresses.filter_map(|a| a.parse().ok()).collect())
}

pub(super) fn pod(object: Pod) -> Item {
    let status = object.status.unwrap_or_default();
    let ips = status.pod_ips.unwrap_or_default();
    Item::Plain(Object::Pod(object::Pod {
        name: name(&object.metadata),
        ips: ips.iter().filter_map(|ip| ip.ip.parse().ok()).collect(),
        host_network: object.spec.and_then(|spec| spec.host_network).unwrap_or(false),
    }))
}

pub(super) fn edge_pod(object: Pod) -> Item {
    let conditions = object
        .status
        .and_then(|status| status.conditions)
        .unwrap_or_default();
    let ready = conditions
        .iter()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    let unschedulable = conditions
        .into_iter()
        .find(|c| c.type_ == "PodScheduled" && c.reason.as_deref() == Some("Unschedulable"))
        .map(|c| c.message.unwrap_or_default());
    Item::EdgePod(EdgePod {
        uid: object.metadata.uid.unwrap_or_default(),
        node: object.spec.and_then(|spec| spec.node_name).unwrap_or_default(),
        live: ready && object.metadata.deletion_timestamp.is_none(),
        unschedulable,
    })
}

pub(super) fn published(object: Secret) -> Item {
    Item::Published(Box::new(PublishedSecret::read(object, false)))
}

pub(super) fn daemon_set(object: DaemonSet) -> Item {
    let generation = object.metadata.generation;
    let status = object.status.unwrap_or_default();
    Item::DaemonSet(DaemonSetCounts {
        generation,
        desired: (status.observed_generation >= generation)
            .then(|| i64::from(status.desired_number_scheduled)),
    })
}

pub(super) fn incarnation(object: ConfigMap) -> Item {
    let data = object.data.unwrap_or_default();
    let annotations = object.metadata.annotations.unwrap_or_default();
    Item::Incarnation(IncarnationMap {
        version: object.metadata.resource_version.unwrap_or_default(),
        says: Incarnation::read(&data, &annotations),
    })
}

fn name(meta: &ObjectMeta) -> Name {
    Name::new(
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

use std::net::IpAddr;

use breakwater_crds::EdgeRegion;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use kube::api::ObjectMeta;

use super::{METRICS_SERVICE, labels, naming, selector};

/// The headless Service by which metrics of a region's edges are found; `None` for a peer, and where metrics
/// listen on loopback only, since nobody could reach them through it.
pub fn metrics_service(region: &EdgeRegion) -> Option<Service> {
    let local = region.spec.local.as_ref()?;
    if local
        .ports
        .admin_address
        .parse::<IpAddr>()
        .is_ok_and(|ip| ip.is_loopback())
    {
        return None;
    }
    let name = region.name_any();
    let port = i32::from(local.ports.admin);
    Some(Service {
        metadata: ObjectMeta {
            name: Some(METRICS_SERVICE.to_owned()),
            namespace: naming::namespace(region),
            labels: Some(labels(&name)),
            owner_references: super::daemonset::owner(region).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            selector: Some(selector(&name)),
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![ServicePort {
                name: Some("metrics".to_owned()),
                port,
                target_port: Some(IntOrString::Int(port)),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    })
}

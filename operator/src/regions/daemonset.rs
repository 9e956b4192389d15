use std::collections::BTreeMap;

use breakwater_crds::{EdgeRegion, LocalRegion, Resources, TaintEffect, Toleration, TolerationOperator};
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, ExecAction, HostPathVolumeSource,
    LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SeccompProfile, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::{ADMIN_SOCKET, DAEMON_SET, SERVICE_ACCOUNT, bytes, labels, naming, selector};

/// Directory of the node's state inside a container.
const STATE_DIR: &str = "/var/lib/breakwater";

/// Where the image has the edge.
const EDGE_BINARY: &str = "/breakwater-edge";

/// How long an edge drains when its region doesn't say, in milliseconds.
const DRAIN_DEFAULT_MS: u64 = 60_000;

/// What a process needs beyond its drain to end: writing its state and closing what is left.
const AFTER_DRAIN_SECS: u64 = 15;

/// What the platform decides for all edges, from the operator's options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeSettings {
    /// The edges' image.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`; what the cluster does by default when it isn't given.
    pub pull_policy: Option<String>,
    /// Secrets for the image's registry, in each region's namespace.
    pub pull_secrets: Vec<String>,
    /// Which lines an edge logs, as `RUST_LOG` says it; the edge's default when it isn't given.
    pub log: Option<String>,
}

/// The `DaemonSet` of a local region; `None` for a peer.
///
/// No container port is declared: on the host's network it would become a host port, and the Pod that
/// replaces an edge could not be scheduled beside it. Ports below 1024 need UID 0 with `NET_BIND_SERVICE`
/// alone: Kubernetes gives other users no ambient capabilities.
pub fn build(region: &EdgeRegion, settings: &EdgeSettings) -> Option<DaemonSet> {
    let local = region.spec.local.as_ref()?;
    let name = region.name_any();
    let drain_ms = drain_ms(local);
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels(&name)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(region, local, settings, drain_ms)),
    };
    Some(DaemonSet {
        metadata: ObjectMeta {
            name: Some(DAEMON_SET.to_owned()),
            namespace: naming::namespace(region),
            labels: Some(labels(&name)),
            owner_references: owner(region).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(DaemonSetSpec {
            selector: LabelSelector {
                match_labels: Some(selector(&name)),
                ..LabelSelector::default()
            },
            template,
            update_strategy: Some(DaemonSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDaemonSet {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            ..DaemonSetSpec::default()
        }),
        status: None,
    })
}

/// The region as owner of what is applied for it: a cluster-scoped owner may own namespaced objects, so they
/// go with it.
pub(super) fn owner(region: &EdgeRegion) -> Option<OwnerReference> {
    region.controller_owner_ref(&()).map(|owner| OwnerReference {
        block_owner_deletion: None, // would need the right to change the region's finalizers
        ..owner
    })
}

fn drain_ms(local: &LocalRegion) -> u64 {
    // A text that isn't a duration is the region's status' business.
    local
        .drain
        .as_ref()
        .and_then(|drain| drain.as_millis().ok())
        .unwrap_or(DRAIN_DEFAULT_MS)
}

fn pod(region: &EdgeRegion, local: &LocalRegion, settings: &EdgeSettings, drain_ms: u64) -> PodSpec {
    let state = local
        .state_directory
        .clone()
        .unwrap_or_else(|| format!("/var/lib/breakwater/{}", region.name_any()));
    let grace = drain_ms.div_ceil(1_000).saturating_add(AFTER_DRAIN_SECS);
    PodSpec {
        host_network: Some(true),
        dns_policy: Some("ClusterFirstWithHostNet".to_owned()),
        enable_service_links: Some(false),
        service_account_name: Some(SERVICE_ACCOUNT.to_owned()),
        node_selector: Some(local.node_selector.clone()).filter(|s| !s.is_empty()),
        tolerations: Some(local.tolerations.iter().map(toleration).collect::<Vec<_>>())
            .filter(|t| !t.is_empty()),
        priority_class_name: local.priority_class_name.clone(),
        termination_grace_period_seconds: i64::try_from(grace).ok(),
        image_pull_secrets: Some(
            settings
                .pull_secrets
                .iter()
                .map(|name| LocalObjectReference { name: name.clone() })
                .collect::<Vec<_>>(),
        )
        .filter(|secrets| !secrets.is_empty()),
        security_context: Some(PodSecurityContext {
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(region, local, settings, drain_ms)],
        volumes: Some(vec![
            Volume {
                name: "run".to_owned(),
                empty_dir: Some(EmptyDirVolumeSource {
                    medium: Some("Memory".to_owned()),
                    size_limit: Some(Quantity("1Mi".to_owned())),
                }),
                ..Volume::default()
            },
            Volume {
                name: "state".to_owned(),
                host_path: Some(HostPathVolumeSource {
                    path: state,
                    type_: Some("DirectoryOrCreate".to_owned()),
                }),
                ..Volume::default()
            },
        ]),
        ..PodSpec::default()
    }
}

fn container(region: &EdgeRegion, local: &LocalRegion, settings: &EdgeSettings, drain_ms: u64) -> Container {
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    };
    Container {
        name: "edge".to_owned(),
        image: Some(settings.image.clone()),
        image_pull_policy: settings.pull_policy.clone(),
        command: Some(vec![EDGE_BINARY.to_owned()]),
        args: Some(args(region, local, drain_ms)),
        env: Some(environment(settings)),
        resources: local.resources.as_ref().map(requirements),
        volume_mounts: Some(vec![mount("run", "/run/breakwater"), mount("state", STATE_DIR)]),
        startup_probe: Some(probe("live", 1, 60)),
        readiness_probe: Some(probe("ready", 2, 2)),
        liveness_probe: Some(probe("live", 10, 3)),
        security_context: Some(SecurityContext {
            run_as_user: Some(0),
            run_as_group: Some(0),
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: Some(vec!["NET_BIND_SERVICE".to_owned()]),
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn args(region: &EdgeRegion, local: &LocalRegion, drain_ms: u64) -> Vec<String> {
    let ports = &local.ports;
    let mut args = vec![
        "run".to_owned(),
        format!("--region={}", region.name_any()),
        format!("--http=[::]:{}", ports.http),
        format!("--https=[::]:{}", ports.https),
        format!("--admin={}", admin(local)),
        format!("--admin-socket={ADMIN_SOCKET}"),
        format!("--state={STATE_DIR}"),
        format!("--drain-seconds={}", drain_ms.div_ceil(1_000)),
    ];
    if let Some(cores) = local.cores {
        args.push(format!("--workers={cores}"));
    }
    if let Some(mib) = cache_mib(local) {
        args.push(format!("--cache-mib={mib}"));
    }
    if let Some(mib) = cache_disk_mib(local) {
        args.push(format!("--cache-disk-mib={mib}"));
    }
    args
}

/// Where metrics listen; the node's own address is put in by Kubernetes.
fn admin(local: &LocalRegion) -> String {
    let port = local.ports.admin;
    match local.ports.admin_address.as_str() {
        "NodeIP" => format!("$(NODE_IP):{port}"),
        v6 if v6.contains(':') => format!("[{v6}]:{port}"),
        v4 => format!("{v4}:{port}"),
    }
}

/// Mebibytes of the cache: what the region says, else half of the memory limit.
fn cache_mib(local: &LocalRegion) -> Option<u64> {
    let said = local
        .cache_memory_bytes
        .and_then(|bytes| u64::try_from(bytes).ok());
    let of_limit = || {
        let limit = local.resources.as_ref()?.limits.get("memory")?;
        bytes(limit).map(|bytes| bytes / 2)
    };
    said.or_else(of_limit).map(|bytes| (bytes >> 20).max(1))
}

/// Mebibytes of the cache's files; a size below one is one, so that only 0 means none.
fn cache_disk_mib(local: &LocalRegion) -> Option<u64> {
    let bytes = u64::try_from(local.cache_disk_bytes?).ok()?;
    Some((bytes >> 20).max(u64::from(bytes > 0)))
}

fn environment(settings: &EdgeSettings) -> Vec<EnvVar> {
    let field = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: path.to_owned(),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let mut env = vec![
        field("BREAKWATER_POD", "metadata.name"),
        field("BREAKWATER_NAMESPACE", "metadata.namespace"),
        field("BREAKWATER_POD_UID", "metadata.uid"),
        field("BREAKWATER_NODE", "spec.nodeName"),
        field("NODE_IP", "status.hostIP"),
    ];
    if let Some(log) = &settings.log {
        env.push(EnvVar {
            name: "RUST_LOG".to_owned(),
            value: Some(log.clone()),
            ..EnvVar::default()
        });
    }
    env
}

fn probe(what: &str, every_secs: i32, failures: i32) -> Probe {
    let command = [EDGE_BINARY, "probe", what, "--socket", ADMIN_SOCKET];
    Probe {
        exec: Some(ExecAction {
            command: Some(command.map(str::to_owned).into()),
        }),
        period_seconds: Some(every_secs),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn requirements(resources: &Resources) -> ResourceRequirements {
    let quantities = |map: &BTreeMap<String, String>| {
        let map: BTreeMap<_, _> = map
            .iter()
            .map(|(name, amount)| (name.clone(), Quantity(amount.clone())))
            .collect();
        Some(map).filter(|map| !map.is_empty())
    };
    let Resources { requests, limits } = resources;
    ResourceRequirements {
        requests: quantities(requests),
        limits: quantities(limits),
        ..ResourceRequirements::default()
    }
}

fn toleration(toleration: &Toleration) -> k8s_openapi::api::core::v1::Toleration {
    let Toleration {
        key,
        operator,
        value,
        effect,
    } = toleration;
    k8s_openapi::api::core::v1::Toleration {
        key: key.clone(),
        // Without a key only `Exists` is valid: every taint.
        operator: operator
            .or_else(|| key.is_none().then_some(TolerationOperator::Exists))
            .map(|operator| {
                match operator {
                    TolerationOperator::Exists => "Exists",
                    TolerationOperator::Equal => "Equal",
                }
                .to_owned()
            }),
        value: value.clone(),
        effect: effect.map(|effect| {
            match effect {
                TaintEffect::NoSchedule => "NoSchedule",
                TaintEffect::PreferNoSchedule => "PreferNoSchedule",
                TaintEffect::NoExecute => "NoExecute",
            }
            .to_owned()
        }),
        toleration_seconds: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(local: &LocalRegion) -> Vec<String> {
        let spec = serde_json::from_value(serde_json::json!({ "local": local })).unwrap();
        let region = EdgeRegion::new("north", spec);
        let daemon_set = build(&region, &EdgeSettings::default()).unwrap();
        let pod = daemon_set.spec.unwrap().template.spec.unwrap();
        pod.containers.into_iter().next().unwrap().args.unwrap()
    }

    #[test]
    fn an_edge_is_told_how_large_its_cache_may_be() {
        let limit = |memory: &str| Resources {
            limits: BTreeMap::from([("memory".to_owned(), memory.to_owned())]),
            ..Resources::default()
        };
        let cases = [
            (LocalRegion::default(), None, None),
            (
                LocalRegion {
                    resources: Some(limit("1Gi")),
                    ..LocalRegion::default()
                },
                Some("--cache-mib=512"),
                None,
            ),
            (
                LocalRegion {
                    resources: Some(limit("1Gi")),
                    cache_memory_bytes: Some(64 << 20),
                    cache_disk_bytes: Some(2 << 30),
                    ..LocalRegion::default()
                },
                Some("--cache-mib=64"),
                Some("--cache-disk-mib=2048"),
            ),
            (
                LocalRegion {
                    cache_disk_bytes: Some(0),
                    ..LocalRegion::default()
                },
                None,
                Some("--cache-disk-mib=0"),
            ),
            (
                LocalRegion {
                    cache_disk_bytes: Some(1),
                    ..LocalRegion::default()
                },
                None,
                Some("--cache-disk-mib=1"),
            ),
        ];
        for (local, memory, disk) in cases {
            let args = told(&local);
            let said = |prefix: &str| {
                args.iter()
                    .find(|arg| arg.starts_with(prefix))
                    .map(String::as_str)
            };
            assert_eq!(
                (said("--cache-mib="), said("--cache-disk-mib=")),
                (memory, disk),
                "{local:?}"
            );
        }
    }
}

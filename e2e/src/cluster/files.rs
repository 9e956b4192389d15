//! What the programs of a cluster are given: files and arguments.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::{Assets, Program};
use crate::component::Component;
use crate::control_plane;

pub(super) fn write_all(directory: &Path, name: &str, address: &str, port: u16) -> Result<()> {
    for part in ["logs", "certs", "cni", "fs"] {
        fs::create_dir_all(directory.join(part))?;
    }
    let write = |file: &str, text: &str| fs::write(directory.join(file), text);
    write("init.sh", include_str!("init.sh"))?;
    control_plane::write(directory, address, port, name)?;

    write("containerd.toml", &containerd(directory))?;
    write("cni/10-pods.conflist", &pod_network(directory))?;
    write("kubelet.yaml", &kubelet(address))?;
    Ok(())
}

/// `restrict_oom_score_adj`: without `CAP_SYS_RESOURCE` no sandbox could lower its score.
fn containerd(directory: &Path) -> String {
    let directory = directory.display();
    let plugins = ["/usr/lib/cni", "/opt/cni/bin"]
        .into_iter()
        .find(|p| Path::new(p).is_dir())
        .unwrap_or("/opt/cni/bin");
    format!(
        r#"version = 2
root = "{directory}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/c.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{directory}/cni"
"#
    )
}

fn pod_network(directory: &Path) -> String {
    serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.78.0.0/24"}]],
                "dataDir": directory.join("ipam"),
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
    .to_string()
}

fn kubelet(address: &str) -> String {
    let version_1 = Path::new("/sys/fs/cgroup/memory").is_dir();
    let groups = if version_1 {
        "failCgroupV1: false\ncgroupDriver: cgroupfs\n"
    } else {
        ""
    };
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n{groups}failSwapOn: false\n\
         containerRuntimeEndpoint: unix:///run/containerd/c.sock\naddress: {address}\nport: 20250\n\
         healthzPort: 20248\nauthentication: {{anonymous: {{enabled: true}}, webhook: {{enabled: false}}}}\n\
         authorization: {{mode: AlwaysAllow}}\nresolvConf: \"\"\nevictionHard: {{memory.available: 50Mi}}\n\
         nodeStatusUpdateFrequency: 2s\nsyncFrequency: 1s\n"
    )
}

/// An image of one static program.
pub(super) fn image(reference: &str, program: &Path, out: &Path) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/image.sh");
    let mut command = Command::new("bash");
    let status = command
        .arg(&script)
        .arg(reference)
        .args([program, out])
        .status()?;
    ensure!(status.success(), "{} failed for {reference}", script.display());
    Ok(())
}

pub(super) fn components(
    assets: &Assets,
    directory: &Path,
    name: &str,
    address: &str,
    port: u16,
) -> Vec<(Program, Component)> {
    let path = |file: &str| directory.join(file).display().to_string();
    let logs = directory.join("logs");
    let make = |program, name: &'static str, arguments: Vec<String>| {
        (
            program,
            Component::new(name, &assets.programs.join(name), arguments, &logs),
        )
    };
    let admin = path("admin.kubeconfig");
    vec![
        make(
            Program::Etcd,
            "etcd",
            control_plane::etcd_arguments(directory, Some(address), super::ETCD_PORT, 22_380),
        ),
        make(
            Program::Containerd,
            "containerd",
            vec!["-c".to_owned(), path("containerd.toml")],
        ),
        make(
            Program::ApiServer,
            "kube-apiserver",
            control_plane::api_arguments(directory, address, port, super::ETCD_PORT)
                .into_iter()
                .chain([
                    "--bind-address=0.0.0.0".to_owned(),
                    "--allow-privileged=true".to_owned(),
                    "--kubelet-preferred-address-types=InternalIP".to_owned(),
                    "--enable-admission-plugins=NodeRestriction".to_owned(),
                ])
                .collect(),
        ),
        make(
            Program::ControllerManager,
            "kube-controller-manager",
            vec![
                format!("--kubeconfig={admin}"),
                "--use-service-account-credentials".to_owned(),
                format!("--service-account-private-key-file={}", path("certs/sa.key")),
                format!("--root-ca-file={}", path("certs/ca.crt")),
                "--bind-address=127.0.0.1".to_owned(),
                "--secure-port=20257".to_owned(),
                "--leader-elect=false".to_owned(),
            ],
        ),
        make(
            Program::Scheduler,
            "kube-scheduler",
            vec![
                format!("--kubeconfig={admin}"),
                format!("--authentication-kubeconfig={admin}"),
                format!("--authorization-kubeconfig={admin}"),
                "--bind-address=127.0.0.1".to_owned(),
                "--secure-port=20259".to_owned(),
                "--leader-elect=false".to_owned(),
            ],
        ),
        make(
            Program::Kubelet,
            "kubelet",
            vec![
                format!("--config={}", path("kubelet.yaml")),
                format!("--kubeconfig={}", path("node.kubeconfig")),
                format!("--hostname-override={name}-n1"),
                format!("--node-ip={address}"),
                "--root-dir=/var/lib/kubelet".to_owned(),
                format!("--cert-dir={}", path("certs-kubelet")),
            ],
        ),
    ]
}

//! A cluster of one node in namespaces of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kube::Client;

use crate::component::{Component, Place, kill};
use crate::control_plane;
use crate::wait;

mod files;

/// Port of the API server.
const API_PORT: u16 = 26_443;

/// Port of etcd, on loopback and on the node's address.
const ETCD_PORT: u16 = 22_379;

/// What every cluster of a run uses.
#[derive(Clone, Debug)]
pub struct Assets {
    /// Directory with the programs.
    pub programs: PathBuf,
    /// Directory with our own binaries.
    pub binaries: PathBuf,
    /// The image, an OCI archive.
    pub image: PathBuf,
    /// Where clusters live and their logs stay.
    pub directory: PathBuf,
}

impl Assets {
    /// From the environment that `e2e/run.sh` sets; `None` without it.
    pub fn from_env() -> Result<Option<Self>> {
        if std::env::var_os("BREAKWATER_E2E_ASSETS").is_none() {
            return Ok(None);
        }
        let path = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .with_context(|| format!("{name} isn't set: use e2e/run.sh"))
        };
        Ok(Some(Self {
            programs: path("BREAKWATER_E2E_ASSETS")?,
            binaries: path("BREAKWATER_E2E_BIN")?,
            image: path("BREAKWATER_E2E_IMAGE")?,
            directory: path("BREAKWATER_E2E_DIR")?,
        }))
    }
}

/// The programs of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// containerd.
    Containerd,
    /// kubelet.
    Kubelet,
}

/// A running cluster; dropping it ends everything that it started.
pub struct Cluster {
    name: String,
    address: String,
    assets: Assets,
    directory: PathBuf,
    groups: Vec<PathBuf>,
    init: Init,
    components: Vec<(Program, Component)>,
    client: Client,
}

impl Cluster {
    /// Why there can be no cluster on this machine, if so.
    pub fn obstacle() -> Option<&'static str> {
        if !rustix::process::geteuid().is_root() {
            return Some("containers need root");
        }
        (!Path::new("/sys/fs/cgroup").is_dir()).then_some("containers need control groups")
    }

    /// Starts the cluster number `number` (1 to 9) of this run and waits until its node is Ready.
    pub async fn start(assets: &Assets, number: u8) -> Result<Self> {
        let name = format!("r{number}");
        let address = format!("10.77.0.{}", 10 + number);
        let directory = assets.directory.join("clusters").join(&name);
        if directory.exists() {
            fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()))?;
        }
        files::write_all(&directory, &name, &address, API_PORT)?;
        make_network(&name, number, &address)?;
        let groups = make_groups(&name)?;
        let init = start_init(&name, &directory, &groups)?;
        redirect_service(&name, &address)?;

        let client = control_plane::client(&directory.join("admin.kubeconfig")).await?;
        let components = files::components(assets, &directory, &name, &address, API_PORT);
        let mut cluster = Self {
            name,
            address,
            assets: assets.clone(),
            directory,
            groups,
            init,
            components,
            client,
        };
        for program in [Program::Etcd, Program::Containerd, Program::ApiServer] {
            cluster.begin(program)?;
        }
        cluster.import_images()?;
        cluster.api_ready().await?;
        for program in [Program::ControllerManager, Program::Scheduler, Program::Kubelet] {
            cluster.begin(program)?;
        }
        cluster.node_ready().await?;
        Ok(cluster)
    }

    /// Address of its node, and of its API server.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Name of its node.
    pub fn node(&self) -> String {
        format!("{}-n1", self.name)
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client with this bearer token.
    pub fn client_with_token(&self, token: &str) -> Result<Client> {
        let mut config = kube::Config::new(format!("https://{}:{API_PORT}", self.address).parse()?);
        config.root_cert = Some(control_plane::certificate(&self.directory)?);
        config.auth_info.token = Some(token.to_owned().into());
        Ok(Client::try_from(config)?)
    }

    /// Stops a program: SIGTERM, or SIGKILL when `sudden`.
    pub fn stop(&mut self, program: Program, sudden: bool) -> Result<()> {
        self.component(program)?.stop(sudden)
    }

    /// Starts a program that was stopped.
    pub fn begin(&mut self, program: Program) -> Result<()> {
        let place = Place {
            init: self.init.pid,
            groups: self.groups.clone(),
        };
        let path = format!(
            "{}:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
            self.assets.programs.display()
        );
        self.component(program)?.start(Some(&place), &path)
    }

    /// Waits until the API server is ready.
    pub async fn api_ready(&mut self) -> Result<()> {
        let client = self.client();
        let ready = wait::until("the API server is ready", Duration::from_mins(1), || async {
            let request = hyper::Request::get("/readyz")
                .body(Vec::new())
                .map_err(anyhow::Error::from)?;
            client.request_text(request).await.map_err(anyhow::Error::from)
        })
        .await;
        if ready.is_err() {
            let dead: Vec<_> = self
                .components
                .iter_mut()
                .filter_map(|(program, component)| {
                    (!component.running()).then(|| (*program, component.log().to_owned()))
                })
                .collect();
            return ready
                .map(drop)
                .with_context(|| format!("not running, with their logs: {dead:?}"));
        }
        Ok(())
    }

    async fn node_ready(&self) -> Result<()> {
        let nodes: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(self.client());
        wait::until("the node is Ready", Duration::from_secs(90), || async {
            let node = nodes.get(&self.node()).await.map_err(anyhow::Error::from)?;
            let conditions = node
                .status
                .and_then(|status| status.conditions)
                .unwrap_or_default();
            ensure!(
                conditions
                    .iter()
                    .any(|c| c.type_ == "Ready" && c.status == "True"),
                "{conditions:?}"
            );
            Ok(())
        })
        .await
        .with_context(|| format!("logs: {}", self.directory.join("logs").display()))
    }

    /// Runs kubectl with all rights; an error carries what it printed.
    pub fn kubectl<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String> {
        checked(&self.tool("kubectl", arguments).output()?)
    }

    /// `kubectl apply` of these manifests.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        self.with_input(
            "kubectl",
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            manifests,
        )
    }

    /// Runs kubectl with something on its standard input.
    pub fn with_input(&self, tool: &str, arguments: &[&str], input: &str) -> Result<String> {
        use std::io::Write;
        let mut child = self
            .tool(tool, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child
            .stdin
            .take()
            .context("no standard input")?
            .write_all(input.as_bytes())?;
        checked(&child.wait_with_output()?)
    }

    /// Runs Helm.
    pub fn helm<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String> {
        checked(&self.tool("helm", arguments).output()?)
    }

    fn tool<S: AsRef<str>>(&self, name: &str, arguments: &[S]) -> Command {
        let mut command = Command::new(self.assets.programs.join(name));
        command
            .env("KUBECONFIG", self.directory.join("admin.kubeconfig"))
            .env("HOME", &self.directory)
            .args(arguments.iter().map(AsRef::as_ref))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command inside the node's namespaces.
    pub fn on_node(&self, arguments: &[&str]) -> Result<String> {
        let init = self.init.pid.to_string();
        let mut command = Command::new("nsenter");
        command.args([
            "--target", &init, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--",
        ]);
        checked(&command.args(arguments).stdin(Stdio::null()).output()?)
    }

    /// Runs containerd's client for the containers of Pods.
    pub fn container_runtime(&self, arguments: &[&str]) -> Result<String> {
        let ctr = self.assets.programs.join("ctr").display().to_string();
        let mut command = vec![ctr.as_str(), "-a", "/run/containerd/c.sock", "-n", "k8s.io"];
        command.extend(arguments);
        self.on_node(&command)
    }

    /// Compacts etcd's history up to now, so that no watch can be resumed from before.
    pub async fn compact_etcd(&self) -> Result<()> {
        control_plane::compact(format!("{}:{ETCD_PORT}", self.address).parse()?).await
    }

    /// Copies etcd's data as they are now; etcd and the API server must be stopped.
    pub fn copy_etcd(&self, name: &str) -> Result<()> {
        copy(&self.directory.join("etcd"), &self.directory.join(name))
    }

    /// Puts an older copy of etcd's data back; etcd and the API server must be stopped.
    pub fn restore_etcd(&self, name: &str) -> Result<()> {
        fs::remove_dir_all(self.directory.join("etcd"))?;
        copy(&self.directory.join(name), &self.directory.join("etcd"))
    }

    /// The beginning of a command by which a person looks at it from another terminal.
    pub fn how_to_look(&self) -> String {
        format!(
            "nsenter --net=/run/netns/bw-e2e-{} {} --kubeconfig {}",
            self.name,
            self.assets.programs.join("kubectl").display(),
            self.directory.join("admin.kubeconfig").display()
        )
    }

    /// Where its logs lie.
    pub fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    fn component(&mut self, program: Program) -> Result<&mut Component> {
        let found = self.components.iter_mut().find(|(p, _)| *p == program);
        found.map(|(_, component)| component).context("no such program")
    }

    fn import_images(&mut self) -> Result<()> {
        let socket = self.directory.join("fs/run/containerd/c.sock");
        let end = Instant::now() + Duration::from_secs(20);
        while !socket.exists() {
            ensure!(
                Instant::now() < end,
                "containerd doesn't start, logs: {}",
                self.logs().display()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let pause = self.directory.join("pause.oci.tar");
        files::image("localhost/pause:1", &self.assets.programs.join("pause"), &pause)?;
        let origin = self.directory.join("origin.oci.tar");
        files::image(
            "localhost/origin:e2e",
            &self.assets.binaries.join("origin"),
            &origin,
        )?;
        for image in [&pause, &origin, &self.assets.image] {
            self.container_runtime(&["images", "import", &image.display().to_string()])?;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.init.end();
        for (_, component) in &mut self.components {
            let _ = component.stop(true);
        }
        let _ = run("ip", &["netns", "del", &format!("bw-e2e-{}", self.name)]);
        for group in &self.groups {
            remove_group(group);
        }
        let _ = fs::remove_dir_all(self.directory.join("fs"));
        let _ = fs::remove_dir_all(self.directory.join("containerd"));
    }
}

/// The first process inside a cluster's namespaces; with it everything inside ends.
struct Init {
    child: Child,
    /// As seen from here.
    pid: u32,
}

impl Init {
    fn end(&mut self) {
        kill(self.pid, libc::SIGKILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        self.end();
    }
}

/// A network namespace with a leg on the bridge in ours.
fn make_network(name: &str, number: u8, address: &str) -> Result<()> {
    let (namespace, leg) = (format!("bw-e2e-{name}"), format!("leg{number}"));
    run("ip", &["netns", "add", &namespace])?;
    run("ip", &["-n", &namespace, "link", "set", "lo", "up"])?;
    run(
        "ip",
        &[
            "link", "add", &leg, "type", "veth", "peer", "name", "eth0", "netns", &namespace,
        ],
    )?;
    run("ip", &["link", "set", &leg, "master", "br0", "up"])?;
    run(
        "ip",
        &[
            "-n",
            &namespace,
            "addr",
            "add",
            &format!("{address}/24"),
            "dev",
            "eth0",
        ],
    )?;
    run("ip", &["-n", &namespace, "link", "set", "eth0", "up"])?;
    run(
        "ip",
        &["-n", &namespace, "route", "add", "default", "via", "10.77.0.1"],
    )?;
    run(
        "ip",
        &[
            "netns",
            "exec",
            &namespace,
            "sysctl",
            "-qw",
            "net.ipv4.ip_forward=1",
        ],
    )
}

/// The one Service that a cluster without kube-proxy needs: `kubernetes`, 10.96.0.1.
fn redirect_service(name: &str, address: &str) -> Result<()> {
    let rule = format!("ip daddr 10.96.0.1 tcp dport 443 dnat to {address}:{API_PORT}");
    let rules = format!(
        "table ip services {{\n chain in {{ type nat hook prerouting priority dstnat; {rule}; }}\n \
         chain out {{ type nat hook output priority -100; {rule}; }}\n}}\n"
    );
    let mut child = Command::new("ip")
        .args(["netns", "exec", &format!("bw-e2e-{name}"), "nft", "-f", "-"])
        .stdin(Stdio::piped())
        .spawn()?;
    std::io::Write::write_all(
        child.stdin.as_mut().context("no standard input")?,
        rules.as_bytes(),
    )?;
    drop(child.stdin.take());
    ensure!(child.wait()?.success(), "nft refused the rules");
    Ok(())
}

const CONTROLLERS: [&str; 9] = [
    "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd",
];

/// A control group of its own in every hierarchy (version 1) or in the one (version 2).
fn make_groups(name: &str) -> Result<Vec<PathBuf>> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let mut groups = Vec::new();
    for controller in CONTROLLERS {
        let Some(path) = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (list, path) = (parts.next()?, parts.next()?);
            let list = list.strip_prefix("name=").unwrap_or(list);
            list.split(',')
                .any(|c| c == controller)
                .then(|| path.trim_end_matches('/').to_owned())
        }) else {
            continue;
        };
        let group = PathBuf::from(format!("/sys/fs/cgroup/{controller}{path}/bw-e2e-{name}"));
        fs::create_dir_all(&group).with_context(|| format!("making {}", group.display()))?;
        if controller == "cpuset" {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                fs::copy(Path::new("/sys/fs/cgroup/cpuset").join(file), group.join(file))?;
            }
        }
        groups.push(group);
    }
    ensure!(
        !groups.is_empty(),
        "this machine has no control groups of version 1; /proc/self/cgroup: {own}"
    );
    Ok(groups)
}

fn remove_group(group: &Path) {
    let end = Instant::now() + Duration::from_secs(3);
    while group.exists() && Instant::now() < end {
        remove_tree(group);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn remove_tree(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

fn start_init(name: &str, directory: &Path, groups: &[PathBuf]) -> Result<Init> {
    use std::os::unix::process::CommandExt;
    let log = fs::File::create(directory.join("logs/init.log"))?;
    let files: Vec<PathBuf> = groups.iter().map(|group| group.join("cgroup.procs")).collect();
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net=/run/netns/bw-e2e-{name}"))
        .args([
            "unshare",
            "-m",
            "-u",
            "-i",
            "-C",
            "-p",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "bash",
        ])
        .args([&directory.join("init.sh"), directory])
        .arg(format!("{name}-n1"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    // SAFETY: as in `Component::start`.
    unsafe {
        command.pre_exec(move || files.iter().try_for_each(|file| fs::write(file, "0")));
    }
    let child = command.spawn()?;
    let ready = directory.join("init.ready");
    let end = Instant::now() + Duration::from_secs(10);
    while !ready.exists() {
        ensure!(
            Instant::now() < end,
            "the namespaces aren't set up: {}",
            directory.join("logs/init.log").display()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    let path = format!("/proc/{0}/task/{0}/children", child.id());
    let children = fs::read_to_string(path)?;
    let pid = children
        .split_whitespace()
        .next()
        .context("the namespaces have no first process")?
        .parse()?;
    Ok(Init { child, pid })
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    checked(&Command::new(program).args(arguments).output()?)
        .map(drop)
        .with_context(|| format!("{program} {}", arguments.join(" ")))
}

fn checked(output: &Output) -> Result<String> {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if !output.status.success() {
        bail!("{}: {}{}", output.status, err, out);
    }
    Ok(out.into_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    run(
        "cp",
        &["-a", &from.display().to_string(), &to.display().to_string()],
    )
}

//! An edge as a process of this machine, beside an API server that has no kubelet.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::process::{Child, Command};

use crate::api_server::free_ports;
use crate::wait;

/// How long an edge may take to have its configuration and to listen.
const START: Duration = Duration::from_secs(20);

/// An edge on one node: the process may end and begin again, its ports and its disk stay.
pub struct Edge {
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    http: SocketAddr,
    admin: SocketAddr,
    child: Option<Child>,
}

impl Edge {
    /// An edge in this Pod, of the region `region`. What it writes goes below `directory`.
    pub fn new(
        binaries: &Path,
        directory: &Path,
        kubeconfig: &Path,
        pod: &Pod,
        region: &str,
    ) -> Result<Self> {
        let ports: [u16; 3] = free_ports()?;
        let [http, https, admin] = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let name = pod.name_any();
        let namespace = pod.namespace().context("a Pod without a namespace")?;
        let arguments = [
            "run".to_owned(),
            format!("--region={region}"),
            format!("--namespace={namespace}"),
            "--node=node".to_owned(),
            format!("--pod={name}"),
            format!("--pod-uid={}", pod.uid().unwrap_or_default()),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--http={http}"),
            format!("--https={https}"),
            format!("--admin={admin}"),
            format!("--state={}", directory.join(&name).display()),
            "--workers=1".to_owned(),
            "--cache-mib=16".to_owned(),
            "--drain-seconds=5".to_owned(),
            "--access-log=off".to_owned(),
        ];
        Ok(Self {
            program: binaries.join("breakwater-edge"),
            arguments: arguments.to_vec(),
            log: directory.join(format!("{name}.log")),
            http,
            admin,
            child: None,
        })
    }

    /// Starts its process.
    pub fn start(&mut self) -> Result<()> {
        let file = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true);
        // SAFETY: prctl with these arguments only sets an attribute of the calling process.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        self.child = Some(command.spawn().context("starting the edge")?);
        Ok(())
    }

    /// Waits until it has its configuration and listens.
    pub async fn ready(&mut self) -> Result<()> {
        wait::until("the edge is ready", START, || self.admin("/readyz"))
            .await
            .with_context(|| self.log.display().to_string())
            .map(drop)
    }

    /// Where it listens for plain HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The text that it answers for a host.
    pub async fn body(&self, host: &str) -> Result<String> {
        let answer = crate::client::get(self.http, host, "/").await?;
        ensure!(answer.status() == 200, "{answer:?}");
        Ok(String::from_utf8_lossy(answer.body()).into_owned())
    }

    /// What its admin server answers.
    pub async fn admin(&self, path: &str) -> Result<String> {
        let answer = crate::client::get(self.admin, "edge", path).await?;
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        ensure!(answer.status() == 200, "{} {body}", answer.status());
        Ok(body)
    }

    /// A whole number of `/metrics`.
    pub async fn metric(&self, name: &str) -> Result<u64> {
        let text = self.admin("/metrics").await?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.with_context(|| format!("no {name}"))?
            .parse()
            .with_context(|| name.to_owned())
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Where its log is.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Asks it to end; how it ended.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("it doesn't run")?;
        crate::component::kill(child.id().context("it has ended already")?, libc::SIGTERM);
        tokio::time::timeout(Duration::from_secs(15), child.wait())
            .await
            .context("it doesn't end on SIGTERM")?
            .map_err(Into::into)
    }
}

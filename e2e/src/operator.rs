//! The operator as a process of this machine, beside an API server that has no kubelet.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};

use crate::api_server::free_ports;
use crate::wait;

/// How long an operator may take to list everything and to be ready.
const START: Duration = Duration::from_secs(20);

/// A running operator; dropping it kills it.
pub struct Operator {
    child: Child,
    admin: u16,
    log: PathBuf,
}

impl Operator {
    /// Starts one that works in the cluster of `kubeconfig`, in the Pod `name`; its log goes to `directory`. A
    /// second one of the same name is that Pod's container after a restart.
    pub fn start(binaries: &Path, directory: &Path, kubeconfig: &Path, name: &str) -> Result<Self> {
        let [admin] = free_ports()?;
        let log = directory.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(binaries.join("breakwater"));
        command
            .args(["operator", "--home-region=e2e", "--edge-image=breakwater:e2e"])
            .arg(format!("--pod-name={name}"))
            .arg(format!("--pod-uid=uid-of-{name}"))
            .arg(format!("--listen=127.0.0.1:{admin}"))
            .env("KUBECONFIG", kubeconfig)
            .env("RUST_LOG", "breakwater_operator=debug,info")
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
        let child = command.spawn().context("starting the operator")?;
        Ok(Self { child, admin, log })
    }

    /// Waits until it has listed everything.
    pub async fn ready(&mut self) -> Result<()> {
        wait::until("the operator is ready", START, || self.get("/readyz"))
            .await
            .with_context(|| self.log.display().to_string())
            .map(drop)
    }

    /// What its admin server answers.
    pub async fn get(&self, path: &str) -> Result<String> {
        let address = format!("127.0.0.1:{}", self.admin).parse()?;
        let answer = crate::client::get(address, "operator", path).await?;
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        ensure!(answer.status() == 200, "{} {body}", answer.status());
        Ok(body)
    }

    /// A whole number of `/metrics`, the sum over all its labels that contain `label`.
    pub async fn metric(&self, name: &str, label: &str) -> Result<usize> {
        let text = self.get("/metrics").await?;
        let lines = text
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(label));
        Ok(lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok())
            .sum())
    }

    /// Seconds of CPU that it has used, and its memory in KiB.
    pub fn used(&self) -> Result<(f32, usize)> {
        let pid = self.child.id().context("it has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // After the name, which may contain anything: user and system time are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(')').context("no name")?;
        let ticks: f32 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|f| f.parse::<f32>().ok())
            .sum();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let memory = status.lines().find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        });
        Ok((ticks / 100.0, memory.unwrap_or_default()))
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// True while it runs.
    pub fn running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Ends it without a word.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Stops it in the middle of whatever it does, or lets it go on.
    pub fn pause(&self, pause: bool) -> Result<()> {
        let pid = self.child.id().context("it has ended")?;
        let signal = if pause { libc::SIGSTOP } else { libc::SIGCONT };
        crate::component::kill(pid, signal);
        Ok(())
    }

    /// Asks it to end; how it ended and how long that took.
    pub async fn terminate(&mut self) -> Result<(ExitStatus, Duration)> {
        let pid = self.child.id().context("it has ended already")?;
        let begun = Instant::now();
        crate::component::kill(pid, libc::SIGTERM);
        let status = tokio::time::timeout(Duration::from_secs(15), self.child.wait())
            .await
            .context("it doesn't end on SIGTERM")??;
        Ok((status, begun.elapsed()))
    }
}

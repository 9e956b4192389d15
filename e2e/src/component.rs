//! One program of a cluster, running inside the cluster's namespaces.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Where a program runs: the namespaces of a process and the control groups that it is charged to.
pub(crate) struct Place {
    pub(crate) init: u32,
    pub(crate) groups: Vec<PathBuf>,
}

impl Place {
    fn command(&self, program: &Path) -> Command {
        let files: Vec<PathBuf> = self
            .groups
            .iter()
            .map(|group| group.join("cgroup.procs"))
            .collect();
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init.to_string()])
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"])
            .arg(program);
        // SAFETY: between fork and exec only writes to files; std::fs::write allocates, which is safe here
        // because the parent's allocator isn't held by another thread at fork under glibc's atfork handlers.
        unsafe {
            command.pre_exec(move || files.iter().try_for_each(|file| std::fs::write(file, "0")));
        }
        command
    }
}

/// Ends with this process, however that ends.
fn beside(program: &Path) -> Command {
    let mut command = Command::new(program);
    // SAFETY: prctl with these arguments only sets an attribute of the calling process.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    command
}

/// A program that can be stopped and started again.
pub(crate) struct Component {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Component {
    pub(crate) fn new(name: &'static str, program: &Path, arguments: Vec<String>, logs: &Path) -> Self {
        let log = logs.join(format!("{name}.log"));
        Self {
            name,
            program: program.to_owned(),
            arguments,
            log,
            child: None,
        }
    }

    /// Starts it, at its place or beside this process.
    pub(crate) fn start(&mut self, place: Option<&Place>, path: &str) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = match place {
            Some(place) => place.command(&self.program),
            None => beside(&self.program),
        };
        command
            .args(&self.arguments)
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.child = Some(
            command
                .spawn()
                .with_context(|| format!("starting {}", self.name))?,
        );
        Ok(())
    }

    /// Ends it: SIGTERM, or SIGKILL when it must be sudden.
    pub(crate) fn stop(&mut self, sudden: bool) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let signal = if sudden { libc::SIGKILL } else { libc::SIGTERM };
        // nsenter has forked into the PID namespace; the program is its only child.
        for pid in children(child.id()).into_iter().chain([child.id()]) {
            kill(pid, signal);
        }
        let end = Instant::now() + Duration::from_secs(20);
        while child.try_wait()?.is_none() {
            if Instant::now() > end {
                bail!("{} doesn't end; its log: {}", self.name, self.log.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub(crate) fn running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }
}

fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

pub(crate) fn kill(pid: u32, signal: i32) {
    if let Ok(pid) = i32::try_from(pid) {
        // SAFETY: kill has no memory effects; the process was started by this harness.
        unsafe { libc::kill(pid, signal) };
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        let _ = self.stop(true);
    }
}

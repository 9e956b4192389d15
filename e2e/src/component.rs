//! One program of a cluster, running inside the cluster's namespaces.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

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

    /// Starts it in the namespaces of the process `init`, charged to the control groups `groups`.
    pub(crate) fn start(&mut self, init: u32, groups: &[PathBuf], path: &str) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let files: Vec<PathBuf> = groups.iter().map(|group| group.join("cgroup.procs")).collect();
        let mut command = Command::new("nsenter");
        command
            .args([
                "--target",
                &init.to_string(),
                "--mount",
                "--uts",
                "--ipc",
                "--net",
                "--pid",
                "--cgroup",
                "--",
            ])
            .arg(&self.program)
            .args(&self.arguments)
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // SAFETY: between fork and exec only writes to files; std::fs::write allocates, which is safe here
        // because the parent's allocator isn't held by another thread at fork under glibc's atfork handlers.
        unsafe {
            command.pre_exec(move || files.iter().try_for_each(|file| std::fs::write(file, "0")));
        }
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

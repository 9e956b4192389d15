//! Servers under test. Each has a directory in `bench/peers` with its configuration and a `peer.sh`, which says
//! its version (`version`; a status other than 0: it can't be had, and why) and starts it (`start`).

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// In the order of the table; the first is what the others are compared with.
pub(crate) const ALL: [&str; 8] = [
    "breakwater",
    "nginx",
    "haproxy",
    "vinyl",
    "trafficserver",
    "envoy",
    "h2o",
    "caddy",
];

/// What a server can be asked for, from the first line of its `peer.sh`: words after `# can:`.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) version: Result<String, String>,
    can: Vec<String>,
    script: PathBuf,
}

/// Where servers find what they serve with.
pub(crate) struct Setting<'a> {
    pub(crate) origin: SocketAddr,
    pub(crate) directory: &'a Path,
    pub(crate) core: usize,
}

/// A server that runs; it ends when this is dropped.
pub(crate) struct Running {
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    directory: PathBuf,
    child: Child,
}

impl Peer {
    pub(crate) fn find(peers: &Path, name: &str) -> anyhow::Result<Self> {
        let script = peers.join(name).join("peer.sh");
        let text = fs::read_to_string(&script).with_context(|| script.display().to_string())?;
        let can = capabilities(&text);
        let output = Command::new("bash").arg(&script).arg("version").output()?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().replace('\n', " ");
        let version = if output.status.success() {
            Ok(said(&output.stdout))
        } else {
            Err(said(&output.stderr))
        };
        Ok(Self {
            name: name.to_owned(),
            version,
            can,
            script,
        })
    }

    pub(crate) fn can(&self, what: &str) -> bool {
        self.can.iter().any(|word| word == what)
    }

    /// Starts it on one core, and waits until it listens.
    pub(crate) fn start(&self, setting: &Setting<'_>) -> anyhow::Result<Running> {
        let directory = setting.directory.join(&self.name);
        drop(fs::remove_dir_all(&directory));
        fs::create_dir_all(&directory)?;
        let (http, https, admin) = (free_port()?, free_port()?, free_port()?);
        let output = File::create(directory.join("output.log"))?;
        let child = Command::new("taskset")
            .args(["-c", &setting.core.to_string(), "bash"])
            .arg(&self.script)
            .arg("start")
            .env("HTTP_PORT", http.port().to_string())
            .env("HTTPS_PORT", https.port().to_string())
            .env("ADMIN_PORT", admin.port().to_string())
            .env("ORIGIN_PORT", setting.origin.port().to_string())
            .env("DIRECTORY", &directory)
            .env("CERTIFICATES", setting.directory)
            .env_remove("OPENSSL_CONF")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("taskset")?;
        let mut running = Running {
            http,
            https,
            directory,
            child,
        };
        running.listening(running.http)?;
        if self.can("tls") {
            running.listening(running.https)?;
        }
        Ok(running)
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What generators that use OpenSSL are configured with.
    pub(crate) fn openssl_conf(&self) -> PathBuf {
        self.directory.with_file_name("openssl.cnf")
    }

    fn listening(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                let text = fs::read_to_string(self.directory.join("output.log"))?;
                let tail: Vec<&str> = text.lines().rev().take(3).collect();
                bail!("it doesn't listen: {}", tail.join(" | "));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Empties its logs, which lie in memory: they are opened for appending.
    pub(crate) fn empty_logs(&self) {
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|end| end == "log") {
                drop(File::options().write(true).truncate(true).open(entry.path()));
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.directory));
    }
}

fn capabilities(script: &str) -> Vec<String> {
    script
        .lines()
        .find_map(|line| line.strip_prefix("# can:"))
        .into_iter()
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect()
}

fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_can_stands_in_its_script() {
        assert_eq!(
            capabilities("#!/bin/bash\n# can: http tls h2\nx"),
            ["http", "tls", "h2"]
        );
        assert!(capabilities("x").is_empty());
    }

    #[test]
    fn each_server_has_a_script() {
        for name in ALL {
            let script = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("peers")
                .join(name)
                .join("peer.sh");
            assert!(
                !capabilities(&fs::read_to_string(script).unwrap()).is_empty(),
                "{name}"
            );
        }
    }
}

//! The process that is killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use crate::origin::Origin;

pub(crate) struct Edge {
    child: Mutex<Child>,
    http: SocketAddr,
    admin: SocketAddr,
}

impl Edge {
    /// Starts it in its directory and waits until it serves.
    pub(crate) fn start(directory: &Path, origin: &Origin) -> Self {
        let manifests = directory.join("manifests");
        std::fs::create_dir_all(&manifests).unwrap();
        let site = format!(
            "apiVersion: edge.breakwater.dev/v1alpha1\nkind: EdgeSite\nmetadata: {{name: kill}}\nspec:\n  \
             hosts: [kill.example]\n  tls: {{redirect: {{enabled: false}}}}\n  \
             origins: [{{name: app, addresses: [{{address: 127.0.0.1, port: {}}}]}}]\n",
            origin.address().port()
        );
        std::fs::write(manifests.join("site.yaml"), site).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_breakwater"))
            .args([
                "run",
                "--http",
                "127.0.0.1:0",
                "--https",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
            ])
            .args(["--workers", "2", "--cache-mib", "8", "--cache-disk-mib", "32"])
            .arg("--manifests")
            .arg(&manifests)
            .arg("--state")
            .arg(directory.join("state"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("ready ") {
            line.clear();
            assert!(
                out.read_line(&mut line).unwrap() > 0,
                "it ended instead of starting"
            );
        }
        // Whatever else it says must find a reader.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        let address = |name: &str| {
            let value = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            value.unwrap().parse().unwrap()
        };
        let edge = Self {
            http: address("http"),
            admin: address("admin"),
            child: Mutex::new(child),
        };
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !edge.metrics().contains("breakwater_cache_disk_entries") {
            assert!(
                std::time::Instant::now() < limit,
                "the cache on disk isn't opened"
            );
            std::thread::park_timeout(std::time::Duration::from_millis(2));
        }
        edge
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// SIGKILL: nothing that it has not given to the system is kept.
    pub(crate) fn kill_now(&self) {
        self.child.lock().unwrap().kill().unwrap();
    }

    pub(crate) fn kill(self) {
        self.kill_now();
        self.child.lock().unwrap().wait().unwrap();
    }

    pub(crate) fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics();
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{name} isn't in\n{metrics}"))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Ok(child) = self.child.get_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

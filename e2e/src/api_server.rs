//! etcd and kube-apiserver alone, on loopback: what needs no kubelet needs no root.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::Client;

use crate::component::Component;
use crate::{control_plane, wait};

/// Times that a start is tried: a port that was free may be taken a moment later.
const ATTEMPTS: u8 = 3;

/// A running API server; dropping it ends it.
pub struct ApiServer {
    directory: PathBuf,
    port: u16,
    etcd_port: u16,
    client: Client,
    // In this order: the API server ends before its store.
    process: Component,
    etcd: Component,
}

impl ApiServer {
    /// Starts both from the programs in a directory and waits until the server is ready. What they write
    /// goes below `directory`, which is emptied first.
    pub async fn start(programs: &Path, directory: &Path) -> Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::try_start(programs, directory).await {
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                other => return other,
            }
        }
    }

    async fn try_start(programs: &Path, directory: &Path) -> Result<Self> {
        if directory.exists() {
            fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))?;
        }
        fs::create_dir_all(directory)?;
        let [port, etcd_port, peer_port] = free_ports()?;
        control_plane::write(directory, "127.0.0.1", port, "none")?;
        let logs = directory.join("logs");
        let mut arguments = control_plane::api_arguments(directory, "127.0.0.1", port, etcd_port);
        arguments.push("--bind-address=127.0.0.1".to_owned());
        // An address on loopback can't be published as the address of a Service.
        arguments.push("--endpoint-reconciler-type=none".to_owned());
        let mut server = Self {
            client: control_plane::client(&directory.join("admin.kubeconfig")).await?,
            etcd: Component::new(
                "etcd",
                &programs.join("etcd"),
                control_plane::etcd_arguments(directory, None, etcd_port, peer_port),
                &logs,
            ),
            process: Component::new(
                "kube-apiserver",
                &programs.join("kube-apiserver"),
                arguments,
                &logs,
            ),
            directory: directory.to_owned(),
            port,
            etcd_port,
        };
        let path = std::env::var("PATH").unwrap_or_default();
        server.etcd.start(None, &path)?;
        server.process.start(None, &path)?;
        server.ready().await?;
        Ok(server)
    }

    /// Ends the server; its store goes on.
    pub fn stop(&mut self, sudden: bool) -> Result<()> {
        self.process.stop(sudden)
    }

    /// Starts the server again and waits until it is ready.
    pub async fn begin(&mut self) -> Result<()> {
        let path = std::env::var("PATH").unwrap_or_default();
        self.process.start(None, &path)?;
        self.ready().await
    }

    /// Compacts the store's history up to now, so that no watch can be resumed from before.
    pub async fn compact(&self) -> Result<()> {
        control_plane::compact(([127, 0, 0, 1], self.etcd_port).into()).await
    }

    async fn ready(&mut self) -> Result<()> {
        let logs = self.directory.join("logs").display().to_string();
        let alive = wait::until("the API server is ready", Duration::from_mins(1), || {
            let (alive, client) = (self.process.running(), self.client());
            async move {
                if alive {
                    let request = hyper::Request::get("/readyz").body(Vec::new())?;
                    client.request_text(request).await?;
                }
                anyhow::Ok(alive)
            }
        })
        .await
        .with_context(|| format!("logs: {logs}"))?;
        ensure!(alive, "the API server has ended; logs: {logs}");
        Ok(())
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A kubeconfig with all rights.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.join("admin.kubeconfig")
    }

    /// A kubeconfig with this bearer token, for the user `name`.
    pub fn kubeconfig_with_token(&self, name: &str, token: &str) -> Result<PathBuf> {
        let path = self.directory.join(format!("{name}.kubeconfig"));
        let text = control_plane::kubeconfig(&self.directory, "127.0.0.1", self.port, token);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// A client with this bearer token.
    pub fn client_with_token(&self, token: &str) -> Result<Client> {
        let mut config = kube::Config::new(format!("https://127.0.0.1:{}", self.port).parse()?);
        config.root_cert = Some(control_plane::certificate(&self.directory)?);
        config.auth_info.token = Some(token.to_owned().into());
        Ok(Client::try_from(config)?)
    }
}

pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All at a time, or the same might come twice.
    let mut listeners = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

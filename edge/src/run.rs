//! `breakwater-edge run`: an edge, its source of configuration, and the signals that end it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use breakwater_edge::source::kubernetes;
use breakwater_edge::{CacheDisk, Edge, EdgeOptions, Http1, LogTarget};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{RunArgs, Server};

pub(crate) fn run(args: RunArgs) -> anyhow::Result<()> {
    // The source's watch and the signals; visitors are the workers' own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: RunArgs) -> anyhow::Result<()> {
    // Caught from the start: a signal that comes before the first site is there must end it too.
    let mut signals = Signals::new()?;
    let edge = Edge::start(options(&args))?;
    tracing::info!(region = args.region, node = args.node, "started");
    tokio::select! {
        () = signals.next() => {}
        result = follow(&args, &edge) => result?,
    }
    let grace = Duration::from_secs(args.drain_seconds);
    tracing::info!(grace_s = args.drain_seconds, "draining");
    tokio::select! {
        () = edge.drain(grace) => {}
        // The second signal ends it at once.
        () = signals.next() => edge.drain(Duration::ZERO).await,
    }
    tracing::info!("ended");
    Ok(())
}

/// Takes configuration over as it comes, and listens once it is complete.
async fn follow(args: &RunArgs, edge: &Edge) -> anyhow::Result<()> {
    let source = kubernetes::Options {
        namespace: args.namespace.clone(),
        region: args.region.clone(),
        node: args.node.clone(),
        pod: args.pod.clone(),
        pod_uid: args.pod_uid.clone(),
        kubeconfig: args.kubeconfig.clone(),
        state_dir: args.state.clone(),
        state_key_file: args.state_key.clone(),
    };
    let listening = async {
        let mut changes = edge.watch();
        while !edge.status().complete {
            changes.changed().await?;
        }
        edge.listen()?;
        tracing::info!(addresses = ?edge.addresses(), "listening");
        std::future::pending().await
    };
    tokio::select! {
        followed = kubernetes::run(edge.clone(), source) => Ok(followed?),
        failed = listening => failed,
    }
}

fn options(args: &RunArgs) -> EdgeOptions {
    EdgeOptions {
        http: args.http.clone(),
        https: args.https.clone(),
        admin: Some(args.admin),
        admin_socket: args.admin_socket.clone(),
        workers: args.workers,
        state_dir: Some(args.state.clone()),
        doubt_stored: true,
        cache_max_bytes: args.cache_mib << 20,
        cache_disk: (args.cache_disk_mib > 0).then(|| CacheDisk {
            dir: args.state.join("cache"),
            max_bytes: args.cache_disk_mib << 20,
        }),
        max_connections: args.max_connections,
        access_log: match args.access_log.as_str() {
            "off" => LogTarget::Off,
            "stdout" => LogTarget::Stdout,
            path => LogTarget::File(PathBuf::from(path)),
        },
        http1: match args.http1 {
            Server::Own => Http1::Own,
            Server::Hyper => Http1::Hyper,
        },
        ..EdgeOptions::default()
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

//! `breakwater operator`: the operator in a cluster.
//!
//! In: the cluster's objects. Out: published Secrets, statuses, events, and the `DaemonSet` of each local
//! region. Several replicas may run; one writes.
//!
//! # Rights that it needs
//!
//! In the whole cluster:
//! - `edge.breakwater.dev` `edgeregions`: get, list, watch, create, patch; `edgeregions/status`: patch
//! - `apiextensions.k8s.io` `customresourcedefinitions` of sites: get
//! - `nodes`, `namespaces`, `networking.k8s.io` `servicecidrs`: list, watch
//! - events in `default`, for cluster-scoped objects: `events.k8s.io` `events`: create, patch
//!
//! In the whole cluster, or in each namespace of `--watch-namespace` and the operator's own:
//! - `edge.breakwater.dev` `edgesites`, `cachepolicies`, `raterules`: list, watch; their `status`: patch
//! - `secrets`: get, list, watch (metadata is listed; content is read by name when a site names it)
//! - `services`, `pods`, `discovery.k8s.io` `endpointslices`: list, watch
//! - `events.k8s.io` `events`: create, patch
//!
//! In the operator's own namespace: `coordination.k8s.io` `leases`: get, create, update.
//!
//! In `default`: `discovery.k8s.io` `endpointslices`: list, watch (the API server's addresses).
//!
//! In each region's namespace:
//! - `secrets`: get, list, watch, create, patch, delete
//! - `configmaps`: list, watch, create, patch
//! - `services`: create, patch, delete
//! - `apps` `daemonsets`: list, watch, create, patch
//! - `pods`, `edge.breakwater.dev` `edgenodes`: list, watch

mod files;
mod health;
mod metrics;
mod options;
mod platform;
mod serve;

pub use files::FileError;
pub use health::Health;
pub use metrics::Metrics;
pub use options::OperatorOptions;
pub use platform::PlatformOptions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use breakwater_render::Settings;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::controllers::state;
use crate::controllers::{self, Context};
use crate::leader::{Leadership, LeaseOptions, elect};
use crate::publish::{MayGo, Writer};
use crate::regions::EdgeSettings;

/// Most time from the signal to the end.
const END_WITHIN: Duration = Duration::from_secs(9);

/// Why the operator can't start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no way to the API server.
    #[error("no cluster to work in: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// A client can't be made.
    #[error("no client for the API server: {0}")]
    Client(#[from] kube::Error),
    /// A file can't be used.
    #[error(transparent)]
    File(#[from] files::FileError),
    /// The admin server can't listen, or signals can't be caught.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(options: OperatorOptions) -> Result<(), RunError> {
    let system = |what: &str| {
        let what = what.to_owned();
        move |error| RunError::System { what, error }
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(system("SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("SIGINT"))?;
    let state_options = state_options(&options)?;
    let mut config = Config::infer().await?;
    // Whoever asks tries again at the pace that suits it. The client would wait as long as the server says:
    // after a restart of the API server 5 s, in which a watch is missing or a write runs out of time.
    config.default_retry = false;
    let client = Client::try_from(config)?;
    let health = Arc::new(Health::default());
    let metrics = Arc::new(Metrics::default());
    let listener = serve::bind(options.listen)
        .await
        .map_err(system("admin server"))?;
    let stop = CancellationToken::new();
    let admin = tokio::spawn(serve::serve(
        listener,
        Arc::clone(&health),
        Arc::clone(&metrics),
        stop.clone(),
    ));

    let (until, leading) = watch::channel(None);
    let (lease_rewound, rewound) = watch::channel(0);
    let stop_election = CancellationToken::new();
    let lease = LeaseOptions::new(&options.namespace, options.identity());
    let election = if options.leader_elect {
        Some(tokio::spawn(elect(
            client.clone(),
            lease,
            until,
            lease_rewound,
            stop_election.clone(),
        )))
    } else {
        // A single replica leads for as long as it runs.
        until.send_replace(Some(Instant::now() + Duration::from_secs(u64::from(u32::MAX))));
        None
    };
    let leadership = Leadership::new(leading);
    let reporter = Reporter {
        controller: "breakwater-operator".to_owned(),
        instance: options.pod_name.clone(),
    };
    let context = Context {
        client: client.clone(),
        writer: Writer::new(client.clone(), leadership.clone()),
        leadership,
        rewound,
        recorder: Recorder::new(client, reporter),
        health,
        metrics,
    };
    let mut core = tokio::spawn(controllers::run(context, state_options, stop.clone()));
    info!(
        namespace = options.namespace,
        version = env!("CARGO_PKG_VERSION"),
        "started"
    );

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = &mut core => warn!("the core has ended"),
    }
    info!("ending");
    stop.cancel();
    let end = async {
        if !core.is_finished() {
            let _ = core.await;
        }
        // Only now: nothing is written any more that the next leader might contradict.
        stop_election.cancel();
        if let Some(election) = election {
            let _ = election.await;
        }
        admin.abort();
    };
    if tokio::time::timeout(END_WITHIN, end).await.is_err() {
        warn!("not everything ended in time");
    }
    info!("ended");
    Ok(())
}

fn state_options(options: &OperatorOptions) -> Result<state::Options, RunError> {
    let settings = options
        .platform
        .apply(Settings::cluster(&options.home_region, &options.namespace))?;
    Ok(state::Options {
        settings,
        watch_namespaces: options.watch_namespaces.clone(),
        edge: EdgeSettings {
            image: options.edge_image.clone(),
            pull_policy: options.edge_image_pull_policy.clone(),
            pull_secrets: options.edge_image_pull_secrets.clone(),
            log: options.edge_log.clone(),
        },
        regions: options
            .regions_file
            .as_deref()
            .map(files::regions)
            .transpose()?
            .unwrap_or_default(),
        writes: usize::from(options.writes),
        may_go: MayGo {
            always: usize::from(options.withdrawals),
            percent: usize::from(options.withdrawals_percent),
        },
    })
}

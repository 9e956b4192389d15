use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use breakwater_edge::{CacheDisk, Edge, EdgeOptions, LogTarget, StartError};
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use super::authority::{Authority, AuthorityError};
use super::folder::{Delta, Folder};
use super::manifests::texts;
use super::options::RunOptions;
use super::platform::Platform;
use super::report::Told;
use super::watch::Changes;

/// Longest sleep between looks at what is due without a change.
const LOOK_AT_MOST: Duration = Duration::from_hours(1);

/// Why it can't run.
#[derive(Debug, thiserror::Error)]
pub enum StandaloneError {
    /// The directory can't be read.
    #[error("--manifests {path}: {error}")]
    Manifests {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The directory can't be watched.
    #[error("--manifests {path}: it can't be watched: {error}")]
    Watch {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: notify::Error,
    },
    /// The local CA can't be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The edge can't start.
    #[error(transparent)]
    Edge(#[from] StartError),
    /// Signals can't be caught.
    #[error("signals can't be caught: {0}")]
    Signals(std::io::Error),
}

/// Serves the manifests until SIGTERM or SIGINT; a second signal ends it at once.
pub async fn run(options: RunOptions) -> Result<(), StandaloneError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StandaloneError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StandaloneError::Signals)?;
    // Watched before it is read: no change falls between.
    let mut changes = Changes::of(&options.manifests).map_err(|error| StandaloneError::Watch {
        path: options.manifests.clone(),
        error,
    })?;
    let mut standalone = Standalone::start(&options)?;

    let follow = async {
        loop {
            let wait = standalone.wait();
            match tokio::time::timeout(wait, changes.next()).await {
                Ok(None) => std::future::pending().await,
                Ok(Some(())) | Err(_) => standalone.reload(),
            }
        }
    };
    tokio::select! {
        () = follow => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let grace = Duration::from_secs(options.drain_seconds);
    say(&format!("draining for at most {} s", options.drain_seconds));
    let edge = standalone.edge;
    tokio::select! {
        () = edge.drain(grace) => {}
        _ = terminate.recv() => edge.drain(Duration::ZERO).await,
        _ = interrupt.recv() => edge.drain(Duration::ZERO).await,
    }
    Ok(())
}

struct Standalone {
    manifests: PathBuf,
    edge: Edge,
    folder: Folder,
    platform: Platform,
    told: Told,
}

impl Standalone {
    fn start(options: &RunOptions) -> Result<Self, StandaloneError> {
        let now = Timestamp::now();
        let edge = Edge::start(edge_options(options))?;
        let authority = Authority::open(&options.state, now.as_second())?;
        let ca = authority.certificate_path();
        let port = options.https.first().map_or(443, SocketAddr::port);
        let mut started = Self {
            manifests: options.manifests.clone(),
            edge,
            folder: Folder::default(),
            platform: Platform::new(authority, options.allow_origin_cidrs.clone(), port),
            told: Told::default(),
        };
        let delta = started.read()?;
        let everything = Delta {
            apply: delta.apply.clone(),
            remove: Vec::new(),
        };
        let edge_changes = started.platform.update(delta, now);
        started.edge.apply(edge_changes);
        started.edge.set_complete();
        started.edge.listen()?;
        let addresses = started.edge.addresses();
        // Redirects to HTTPS name the port; a free one is known only now.
        if let Some(real) = addresses.https.first().map(SocketAddr::port)
            && real != port
        {
            started.platform = started.platform.with_https_port(real);
            let edge_changes = started.platform.update(everything, now);
            started.edge.apply(edge_changes);
        }
        started.report();
        let list = |addresses: &[SocketAddr]| {
            addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(",")
        };
        say(&format!(
            "ready http={} https={} admin={} sites={} refused={} ca={}",
            list(&addresses.http),
            list(&addresses.https),
            addresses.admin.map(|admin| admin.to_string()).unwrap_or_default(),
            started.edge.status().sites,
            started.told.refused(),
            ca.display(),
        ));
        Ok(started)
    }

    fn read(&mut self) -> Result<Delta, StandaloneError> {
        let found = texts(&self.manifests).map_err(|error| StandaloneError::Manifests {
            path: self.manifests.clone(),
            error,
        })?;
        Ok(self.folder.update(below(&self.manifests, found)))
    }

    fn reload(&mut self) {
        let delta = match self.read() {
            Ok(delta) => delta,
            Err(error) => {
                return say(&format!(
                    "unreadable  {error}; what it said before stays in force"
                ));
            }
        };
        let changed = !(delta.apply.is_empty() && delta.remove.is_empty());
        let edge_changes = self.platform.update(delta, Timestamp::now());
        let changed = changed || !edge_changes.is_empty();
        self.edge.apply(edge_changes);
        let news = self.report();
        if changed || news {
            let (sites, refused) = (self.edge.status().sites, self.told.refused());
            say(&format!("reloaded sites={sites} refused={refused}"));
        }
    }

    /// True when there was something new to say.
    fn report(&mut self) -> bool {
        let mut notes = self.folder.notes();
        notes.extend(self.platform.notes(&self.folder));
        let news = self.told.news(notes);
        for note in &news {
            say(&note.to_string());
        }
        for failure in self.edge.status().failures {
            say(&format!("failed  {failure}"));
        }
        !news.is_empty()
    }

    /// How long nothing is due.
    fn wait(&self) -> Duration {
        let until =
            |next: Timestamp| Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or_default();
        self.platform.next().map_or(LOOK_AT_MOST, until).min(LOOK_AT_MOST)
    }
}

fn edge_options(options: &RunOptions) -> EdgeOptions {
    EdgeOptions {
        http: options.http.clone(),
        https: options.https.clone(),
        admin: Some(options.admin),
        workers: options.workers,
        cache_max_bytes: options.cache_mib << 20,
        cache_disk: (options.cache_disk_mib > 0).then(|| CacheDisk {
            dir: options.state.join("cache"),
            max_bytes: options.cache_disk_mib << 20,
        }),
        access_log: if options.access_log {
            LogTarget::Stdout
        } else {
            LogTarget::Off
        },
        allow_local_origins: true,
        ..EdgeOptions::default()
    }
}

fn below(
    directory: &Path,
    texts: BTreeMap<PathBuf, Result<String, String>>,
) -> BTreeMap<PathBuf, Result<String, String>> {
    let relative = |path: PathBuf| path.strip_prefix(directory).map(Path::to_owned).unwrap_or(path);
    texts
        .into_iter()
        .map(|(path, text)| (relative(path), text))
        .collect()
}

/// To standard output, whole lines; nobody may be listening any more.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

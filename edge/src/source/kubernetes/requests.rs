//! The requests of an edge to the API. Each [`Ask`] becomes a stream of [`Input`]s that ends with one that
//! moves the state machine on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use breakwater_edge_config::bundle::SECRET_TYPE;
use breakwater_edge_config::incarnation::{CONFIG_MAP, Incarnation};
use futures::stream::{self, BoxStream, StreamExt};
use k8s_openapi::ByteString;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use super::sync::{Ask, Input, Probe};
use crate::source::Gauges;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The server sends a bookmark about once a minute; a watch that is silent for longer is dead.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(100);
/// Watches end after this, spread so that edges don't come back together.
const WATCH_S: std::ops::Range<u32> = 240..290;
/// Objects a page: each may have 900 KiB.
const PAGE: u32 = 100;
const LIST_END: &str = "k8s.io/initial-events-end";

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("no way to the API: {0}")]
    Config(String),
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("an answer can't be read: {0}")]
    Answer(String),
}

impl RequestError {
    fn code(&self) -> u16 {
        match self {
            Self::Api(kube::Error::Api(status)) => status.code,
            _ => 0,
        }
    }
}

impl RequestError {
    /// True when a server can't stream lists: without the feature it calls the parameters invalid, and over an
    /// etcd older than 3.4.31 it finds at the first event that it can't ask for progress.
    fn is_no_streams(&self) -> bool {
        matches!(self.code(), 400 | 422 | 500)
    }
}

/// Makes clients; a client reads tokens and certificates again by itself.
pub(crate) async fn client(kubeconfig: Option<&Path>) -> Result<Client, RequestError> {
    let wrong = |error: &dyn std::fmt::Display| RequestError::Config(error.to_string());
    let mut config = match kubeconfig {
        Some(path) => {
            let read = Kubeconfig::read_from(path).map_err(|error| wrong(&error))?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(read, &options)
                .await
                .map_err(|error| wrong(&error))?
        }
        None => Config::incluster().map_err(|error| wrong(&error))?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // The source backs off by itself, and counts what failed.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

#[derive(Clone, Debug, Deserialize)]
struct Object {
    metadata: ObjectMeta,
    #[serde(default)]
    data: BTreeMap<String, ByteString>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectMeta {
    name: String,
    resource_version: String,
}

#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct List<T> {
    metadata: ListMeta,
    items: Vec<T>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: String,
}

#[derive(Debug, Deserialize)]
struct ConfigMap {
    metadata: Annotated,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Annotated {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Sends an edge's requests.
pub(super) struct Requests {
    kubeconfig: Option<PathBuf>,
    secrets: kube::core::Request,
    config_maps: kube::core::Request,
    gauges: Arc<Gauges>,
    client: tokio::sync::Mutex<Option<Client>>,
}

impl Requests {
    pub(super) fn new(namespace: &str, kubeconfig: Option<PathBuf>, gauges: Arc<Gauges>) -> Self {
        let collection =
            |kind: &str| kube::core::Request::new(format!("/api/v1/namespaces/{namespace}/{kind}"));
        Self {
            kubeconfig,
            secrets: collection("secrets"),
            config_maps: collection("configmaps"),
            gauges,
            client: tokio::sync::Mutex::new(None),
        }
    }

    /// Makes the next request with a new client: new connections, configuration read again.
    pub(super) async fn reconnect(&self) {
        *self.client.lock().await = None;
    }

    async fn client(&self) -> Result<Client, RequestError> {
        let mut held = self.client.lock().await;
        if let Some(client) = held.as_ref() {
            return Ok(client.clone());
        }
        Ok(held.insert(client(self.kubeconfig.as_deref()).await?).clone())
    }

    /// Carries out what was asked.
    pub(super) fn ask(self: &Arc<Self>, ask: Ask) -> BoxStream<'static, Input> {
        let this = Arc::clone(self);
        match ask {
            Ask::Rest { min_ms, max_ms } => stream::once(async move {
                let rest = fastrand::u64(min_ms..=max_ms.max(min_ms));
                tokio::time::sleep(Duration::from_millis(rest)).await;
                Input::Rested
            })
            .boxed(),
            Ask::Probe => stream::once(async move {
                let probe = this.probe().await;
                this.answer("reading the incarnation", probe.map(Input::Probed))
            })
            .boxed(),
            Ask::Stream => stream::once(async move { this.watch(None).await })
                .flatten()
                .boxed(),
            Ask::Watch(from) => stream::once(async move { this.watch(Some(from)).await })
                .flatten()
                .boxed(),
            Ask::Page(token) => stream::once(async move {
                let inputs = match this.page(token).await {
                    Ok(inputs) => inputs,
                    Err(error) => vec![this.answer("listing", Err(error))],
                };
                stream::iter(inputs)
            })
            .flatten()
            .boxed(),
        }
    }

    fn answer(&self, what: &str, answer: Result<Input, RequestError>) -> Input {
        match answer {
            Ok(input) => input,
            Err(error) if error.code() == 410 => Input::Expired,
            Err(error) => {
                self.gauges.failures.count();
                tracing::warn!(%error, "{what} failed");
                Input::Failed
            }
        }
    }

    /// Reads the incarnation and the collection's version, from the store, not from a cache that may lag.
    pub(super) async fn probe(&self) -> Result<Probe, RequestError> {
        let request = self.config_maps.get(CONFIG_MAP, &kube::api::GetParams::default());
        let incarnation = match self.read::<ConfigMap>(request).await {
            Ok(map) => Incarnation::read(&map.data, &map.metadata.annotations),
            Err(error) if error.code() == 404 => None,
            Err(error) => return Err(error),
        };
        let first = ListParams::default().fields(&selector()).limit(1);
        let list: List<serde::de::IgnoredAny> = self.read(self.secrets.list_metadata(&first)).await?;
        Ok(Probe {
            incarnation,
            version: version(&list.metadata.resource_version)?,
        })
    }

    async fn page(&self, token: Option<String>) -> Result<Vec<Input>, RequestError> {
        let mut params = ListParams::default().fields(&selector()).limit(PAGE);
        params.continue_token = token;
        let list: List<Object> = self.read(self.secrets.list(&params)).await?;
        let mut inputs = list.items.into_iter().map(put).collect::<Result<Vec<_>, _>>()?;
        let next = Some(list.metadata.next).filter(|next| !next.is_empty());
        inputs.push(Input::Page {
            version: version(&list.metadata.resource_version)?,
            next,
        });
        Ok(inputs)
    }

    /// Sends a request and reads its answer. (`Client::request` would log an answer that it can't read, keys
    /// included.)
    async fn read<T: DeserializeOwned>(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T, RequestError> {
        let request = request.map_err(kube::Error::BuildRequest)?;
        let client = self.client().await?;
        let text = timeout(REQUEST_TIMEOUT, client.request_text(request)).await;
        let text = text.map_err(|_| RequestError::Timeout(REQUEST_TIMEOUT))??;
        serde_json::from_str(&text).map_err(|error| RequestError::Answer(error.to_string()))
    }

    /// A watch from a version on, or one that begins with a list.
    async fn watch(self: Arc<Self>, from: Option<u64>) -> BoxStream<'static, Input> {
        self.gauges.watches.count();
        let listing = from.is_none();
        let opened = timeout(REQUEST_TIMEOUT, self.open_watch(from)).await;
        let events = match opened.unwrap_or(Err(RequestError::Timeout(REQUEST_TIMEOUT))) {
            Ok(events) => events,
            Err(error) if listing && error.is_no_streams() => {
                tracing::info!(%error, "the API doesn't stream lists; asking for pages");
                return stream::iter([Input::StreamRefused]).boxed();
            }
            Err(error) => {
                let input = self.answer("watching", Err(error));
                return stream::iter([input]).boxed();
            }
        };
        let open = Open {
            this: self,
            events,
            since: Instant::now(),
            listing,
            done: false,
        };
        stream::unfold(open, |mut open| async move {
            if open.done {
                return None;
            }
            let input = open.next().await;
            open.done = matches!(
                input,
                Input::Ended { .. } | Input::Failed | Input::Expired | Input::StreamRefused
            );
            Some((input, open))
        })
        .boxed()
    }

    async fn open_watch(&self, from: Option<u64>) -> Result<Events, RequestError> {
        let mut params = WatchParams::default()
            .fields(&selector())
            .timeout(fastrand::u32(WATCH_S));
        params.send_initial_events = from.is_none();
        // Without a version a streamed list is read from the store; `0` would take what a cache happens to have.
        let from = from.map(|version| version.to_string()).unwrap_or_default();
        let request = self
            .secrets
            .watch(&params, &from)
            .map_err(kube::Error::BuildRequest)?;
        let events = self.client().await?.request_events::<Object>(request).await?;
        Ok(events.boxed())
    }
}

type Events = BoxStream<'static, Result<WatchEvent<Object>, kube::Error>>;

struct Open {
    this: Arc<Requests>,
    events: Events,
    since: Instant,
    /// Nothing has come yet of a list.
    listing: bool,
    done: bool,
}

impl Open {
    async fn next(&mut self) -> Input {
        let event = match timeout(SILENCE_TIMEOUT, self.events.next()).await {
            Ok(Some(event)) => event,
            Ok(None) => {
                return Input::Ended {
                    at_once: self.since.elapsed() < Duration::from_secs(1),
                };
            }
            Err(_) => {
                tracing::info!("a watch was silent for too long; it begins anew");
                return Input::Ended { at_once: false };
            }
        };
        let input = event.map_err(RequestError::from).and_then(input);
        let listing = std::mem::take(&mut self.listing);
        match input {
            Err(error) if listing && error.is_no_streams() => {
                tracing::info!(%error, "the API doesn't stream lists; asking for pages");
                Input::StreamRefused
            }
            input => self.this.answer("watching", input),
        }
    }
}

fn input(event: WatchEvent<Object>) -> Result<Input, RequestError> {
    match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => put(object),
        WatchEvent::Deleted(object) => Ok(Input::Deleted {
            version: version(&object.metadata.resource_version)?,
            name: object.metadata.name,
        }),
        WatchEvent::Bookmark(bookmark) => Ok(Input::Bookmark {
            version: version(&bookmark.metadata.resource_version)?,
            list_end: bookmark
                .metadata
                .annotations
                .get(LIST_END)
                .is_some_and(|end| end == "true"),
        }),
        WatchEvent::Error(status) => Err(RequestError::Api(kube::Error::Api(status))),
    }
}

fn put(object: Object) -> Result<Input, RequestError> {
    Ok(Input::Put {
        version: version(&object.metadata.resource_version)?,
        name: object.metadata.name,
        files: object
            .data
            .into_iter()
            .map(|(name, bytes)| (name, bytes.0))
            .collect(),
    })
}

/// Versions are decimal numbers that grow with every write to the store.
fn version(text: &str) -> Result<u64, RequestError> {
    text.parse()
        .map_err(|_| RequestError::Answer(format!("resourceVersion {text:?} isn't a number")))
}

fn selector() -> String {
    format!("type={SECRET_TYPE}")
}

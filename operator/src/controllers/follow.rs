use std::collections::HashSet;
use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use kube::core::Status;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tracing::debug;

use super::sighting::{Item, Key, Sighting, Source, What};

/// First pause after a failure, and the longest. Short: after an API server restart every second that a
/// watch is missing is a second in which nothing is published.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Longest pause where rights are missing: that takes a person.
const FORBIDDEN: Duration = Duration::from_secs(4);

/// How long until a kind that doesn't exist is looked for again.
const UNKNOWN_KIND: Duration = Duration::from_mins(5);

fn is_unknown_kind(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}

/// What the API server answered.
fn answer(error: &watcher::Error) -> Option<&Status> {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    match error {
        WatchError(status)
        | InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    answer(error).is_some_and(|status| status.code == 403)
}

/// What went wrong, for people: of an answer its message alone.
fn in_words(error: &watcher::Error) -> String {
    answer(error).map_or_else(|| error.to_string(), |status| status.message.clone())
}

fn is_expired(error: &watcher::Error) -> bool {
    answer(error).is_some_and(|status| status.code == 410)
}

/// Where a watch tells what it sees.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    source: Source,
    epoch: u64,
    out: mpsc::Sender<Sighting>,
    optional: bool,
}

impl Teller {
    /// A teller for one start of a watch.
    pub(super) fn new(source: Source, epoch: u64, out: mpsc::Sender<Sighting>) -> Self {
        Self {
            source,
            epoch,
            out,
            optional: false,
        }
    }

    /// The kind needn't exist in every version of Kubernetes: where it doesn't, there are none.
    pub(super) fn optional(self) -> Self {
        Self {
            optional: true,
            ..self
        }
    }

    /// Tells; false when nobody listens any more.
    pub(super) async fn tell(&self, what: What) -> bool {
        let sighting = Sighting {
            source: self.source.clone(),
            epoch: self.epoch,
            what,
        };
        self.out.send(sighting).await.is_ok()
    }
}

/// Watches until nobody listens: lists, tells every object and that the list is complete, then every change.
pub(super) async fn follow<K>(api: Api<K>, config: watcher::Config, teller: Teller, read: fn(K) -> Item)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut stream = pin!(watcher(api, config));
    let mut listed = HashSet::new();
    let mut pause = BACKOFF.0;
    while let Some(event) = stream.next().await {
        let what = match event {
            Ok(Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(Event::InitApply(object)) => {
                let key = Key::of(object.meta());
                listed.insert(key.clone());
                What::Applied(key, read(object))
            }
            Ok(Event::InitDone) => What::Listed(std::mem::take(&mut listed)),
            Ok(Event::Apply(object)) => What::Applied(Key::of(object.meta()), read(object)),
            Ok(Event::Delete(object)) => {
                let uid = object.meta().uid.clone().unwrap_or_default();
                What::Deleted(Key::of(object.meta()), uid)
            }
            Err(error) => {
                debug!(source = %teller.source, %error, "watch");
                if is_expired(&error) {
                    continue; // nothing fails: it lists again, as after every restart of an API server
                }
                if teller.optional && is_unknown_kind(&error) {
                    if !teller.tell(What::Listed(HashSet::new())).await {
                        return;
                    }
                    tokio::time::sleep(UNKNOWN_KIND).await;
                    continue;
                }
                if !teller.tell(What::Failing(in_words(&error))).await {
                    return;
                }
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                let longest = if is_forbidden(&error) {
                    FORBIDDEN
                } else {
                    BACKOFF.1
                };
                pause = (pause * 2).min(longest);
                continue;
            }
        };
        pause = BACKOFF.0;
        if !teller.tell(what).await {
            return;
        }
    }
}

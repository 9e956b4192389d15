use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::task::Task;

/// Bounds of how long an answer is used, whatever its TTL.
const MIN_TTL: Duration = Duration::from_secs(5);
const MAX_TTL: Duration = Duration::from_mins(5);

/// After a failure; doubles up to [`MIN_TTL`] times eight.
const RETRY: Duration = Duration::from_secs(1);

/// For one question with all of its retries.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Most addresses of a name that are used.
const MAX_ADDRESSES: usize = 64;

/// Asks the system's name servers. Not by the C library: a static binary has no name service switch.
#[derive(Clone)]
pub(super) struct Dns {
    resolver: Result<TokioResolver, String>,
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns")
            .field("problem", &self.resolver.as_ref().err())
            .finish_non_exhaustive()
    }
}

/// The addresses of one family; empty: there are none.
type Family = Result<Vec<IpAddr>, String>;

/// What the name servers said of a name.
#[derive(Clone, Debug)]
struct Answer {
    v4: Family,
    v6: Family,
    ttl: Duration,
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    /// The first answer isn't there.
    Pending,
    /// The last good answer, sorted.
    Addresses(Arc<[IpAddr]>),
    /// There never was one.
    Failed(String),
}

impl Dns {
    /// `servers` in place of `/etc/resolv.conf`.
    pub(super) fn new(servers: Option<&[SocketAddr]>) -> Self {
        Self {
            resolver: resolver(servers).map_err(|error| error.to_string()),
        }
    }

    async fn ask(&self, name: &str) -> Answer {
        let resolver = match &self.resolver {
            Ok(resolver) => resolver,
            Err(problem) => {
                let problem = format!("no name servers: {problem}");
                return Answer {
                    v4: Err(problem.clone()),
                    v6: Err(problem),
                    ttl: MIN_TTL,
                };
            }
        };
        // Absolute, so that no search domain turns one name into another.
        let name = format!("{}.", name.trim_end_matches('.'));
        let (v4, v6) = tokio::join!(
            one_family(resolver, &name, RecordType::A),
            one_family(resolver, &name, RecordType::AAAA)
        );
        let ttl = [&v4, &v6]
            .into_iter()
            .filter_map(|f| f.as_ref().ok()?.1)
            .min()
            .unwrap_or(MIN_TTL);
        Answer {
            v4: v4.map(|f| f.0),
            v6: v6.map(|f| f.0),
            ttl,
        }
    }
}

fn resolver(servers: Option<&[SocketAddr]>) -> Result<TokioResolver, NetError> {
    let mut builder = match servers {
        None => TokioResolver::builder_tokio()?,
        Some(servers) => {
            let mut config = ResolverConfig::default();
            for server in servers {
                let mut entry = NameServerConfig::udp_and_tcp(server.ip());
                for connection in &mut entry.connections {
                    connection.port = server.port();
                }
                config.add_name_server(entry);
            }
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let options: &mut ResolverOpts = builder.options_mut();
    // Answers are kept here, with their last good ones; a second store would only make them older.
    options.cache_size = 0;
    builder.build()
}

async fn one_family(
    resolver: &TokioResolver,
    name: &str,
    kind: RecordType,
) -> Result<(Vec<IpAddr>, Option<Duration>), String> {
    match tokio::time::timeout(TIMEOUT, resolver.lookup(name, kind)).await {
        Err(_) => Err("no answer in time".to_owned()),
        Ok(Err(error)) if error.is_no_records_found() => Ok((Vec::new(), None)),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(lookup)) => {
            let answers = lookup.answers();
            // An alias may live shorter than what it stands for.
            let ttl = answers.iter().map(|record| record.ttl).min();
            let addresses = answers.iter().filter_map(|record| match &record.data {
                RData::A(a) => Some(IpAddr::V4(a.0)),
                RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                _ => None,
            });
            Ok((
                addresses.collect(),
                ttl.map(|secs| Duration::from_secs(u64::from(secs))),
            ))
        }
    }
}

/// What is known after an answer, and when to ask again. `failures` counts those in a row.
fn settle(known: &Resolved, answer: Answer, failures: &mut u32) -> (Resolved, Duration) {
    let last: &[IpAddr] = match known {
        Resolved::Addresses(addresses) => addresses,
        _ => &[],
    };
    let has_failed = answer.v4.is_err() || answer.v6.is_err();
    let problem = match (&answer.v4, &answer.v6) {
        (Err(problem), _) | (_, Err(problem)) => problem.clone(),
        _ => "the name has no address".to_owned(),
    };
    // A family that couldn't be asked keeps its last good addresses.
    let of = |family: Family, is_mine: fn(&IpAddr) -> bool| {
        family.unwrap_or_else(|_| last.iter().copied().filter(is_mine).collect())
    };
    let mut addresses = of(answer.v4, IpAddr::is_ipv4);
    addresses.extend(of(answer.v6, IpAddr::is_ipv6));
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    let is_good = !addresses.is_empty() && !has_failed;
    *failures = if is_good { 0 } else { *failures + 1 };
    let next = if is_good {
        answer.ttl.clamp(MIN_TTL, MAX_TTL)
    } else {
        RETRY.saturating_mul(1 << (*failures - 1).min(6)).min(MIN_TTL * 8)
    };
    let resolved = match (addresses.is_empty(), last.is_empty()) {
        (false, _) => Resolved::Addresses(addresses.into()),
        (true, false) => known.clone(),
        (true, true) => Resolved::Failed(problem),
    };
    (resolved, next)
}

/// A name that is kept resolved, in the background.
#[derive(Debug)]
pub(super) struct Resolution {
    pub(super) name: String,
    known: watch::Receiver<Resolved>,
    _task: Task,
}

impl Resolution {
    pub(super) fn start(dns: &Dns, name: &str, control: &Handle) -> Arc<Self> {
        let (sender, known) = watch::channel(Resolved::Pending);
        let task = Task::spawn(control, keep(dns.clone(), name.to_owned(), sender));
        Arc::new(Self {
            name: name.to_owned(),
            known,
            _task: task,
        })
    }

    pub(super) fn watch(&self) -> watch::Receiver<Resolved> {
        self.known.clone()
    }
}

async fn keep(dns: Dns, name: String, known: watch::Sender<Resolved>) {
    let mut failures = 0;
    loop {
        let answer = dns.ask(&name).await;
        if let (Err(error), _) | (_, Err(error)) = (&answer.v4, &answer.v6) {
            tracing::debug!(%name, %error, "an origin's name wasn't resolved");
        }
        let before = known.borrow().clone();
        let (resolved, next) = settle(&before, answer, &mut failures);
        known.send_if_modified(|known| {
            let differs = *known != resolved;
            *known = resolved;
            differs
        });
        tokio::time::sleep(next).await;
    }
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;

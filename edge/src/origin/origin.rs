use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use breakwater_edge_config::{Endpoints, Origin as OriginConfig};
use smallvec::SmallVec;

use super::balance::{Balancer, Candidate, Tier};
use super::budget::RetryBudget;
use super::connect::TlsParams;
use super::counters::Counters;
use super::dns::{Resolution, Resolved};
use super::draft::Draft;
use super::endpoint::Endpoint;
use super::endpoints::{Building, EndpointSet};
use super::error::{OriginError, OriginErrorKind};
use super::exchange::Exchange;
use super::origins::Common;
use super::outgoing::RequestBody;
use super::probe::ProbeSpec;
use super::request::{Facts, OriginRequest};
use super::tls::TlsTarget;

/// One origin of a site, as its configuration is at present. A request goes on with the one it began with.
#[derive(Debug)]
pub struct Origin {
    pub(super) config: OriginConfig,
    pub(super) counters: Arc<Counters>,
    pub(super) common: Arc<Common>,
    pub(super) site_uid: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) tls: Option<TlsTarget>,
    pub(super) probe: Option<ProbeSpec>,
    balancer: Balancer,
    budget: Arc<RetryBudget>,
    waiting: Arc<AtomicUsize>,
    pub(super) resolution: Option<Arc<Resolution>>,
    pub(super) set: ArcSwap<EndpointSet>,
    pub(super) building: Mutex<Building>,
}

/// The endpoints that an attempt chooses from.
#[derive(Debug)]
pub(super) struct Choice {
    set: Arc<EndpointSet>,
    is_raced: bool,
}

impl Choice {
    /// The endpoints are addresses of one name: any will do.
    pub(super) fn is_raced(&self) -> bool {
        self.is_raced
    }
}

/// A place among the requests that may wait for an answer.
#[derive(Debug)]
pub(super) struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Origin {
    /// Puts a draft into force in place of `old`, of which it keeps what is still the same.
    pub(super) fn start(
        draft: Draft,
        site_uid: &Arc<str>,
        common: &Arc<Common>,
        old: Option<&Self>,
    ) -> Arc<Self> {
        let resolution = match &draft.config.endpoints {
            Endpoints::Dns { name, .. } => {
                let kept = old
                    .and_then(|old| old.resolution.clone())
                    .filter(|r| r.name == *name);
                Some(kept.unwrap_or_else(|| Resolution::start(&common.dns, name, &common.control)))
            }
            _ => None,
        };
        let now_ms = common.now_ms();
        let origin = Arc::new(Self {
            probe: draft.probe(),
            balancer: Balancer::new(&draft.config.balancing),
            name: draft.config.name.as_str().into(),
            site_uid: Arc::clone(site_uid),
            common: Arc::clone(common),
            counters: old.map(|old| Arc::clone(&old.counters)).unwrap_or_default(),
            budget: old.map_or_else(
                || Arc::new(RetryBudget::new(now_ms)),
                |old| Arc::clone(&old.budget),
            ),
            waiting: old.map(|old| Arc::clone(&old.waiting)).unwrap_or_default(),
            set: ArcSwap::from_pointee(EndpointSet {
                list: Vec::new(),
                resolved: None,
            }),
            building: Mutex::default(),
            resolution,
            tls: draft.tls,
            config: draft.config,
        });
        let old_set = old.map(|old| old.set.load_full());
        origin.rebuild(old_set.as_deref());
        origin.follow();
        origin
    }

    /// The name that routes refer to.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn site_uid(&self) -> &Arc<str> {
        &self.site_uid
    }

    /// A request, which the caller then sends in single attempts. An error means that the origin's limit of
    /// waiting requests is reached.
    pub fn exchange(
        self: &Arc<Self>,
        request: OriginRequest,
        body: RequestBody,
        facts: Facts,
    ) -> Result<Exchange, OriginError> {
        let waiting = self.waiting.fetch_add(1, Ordering::AcqRel);
        let slot = Slot(Arc::clone(&self.waiting));
        if waiting >= self.config.max_requests as usize {
            self.counters.note_error(OriginErrorKind::Overloaded);
            return Err(OriginError::new(
                OriginErrorKind::Overloaded,
                "its limit of waiting requests is reached",
            ));
        }
        Ok(Exchange::new(self, slot, request, body, facts))
    }

    pub(super) fn note_request(&self) {
        self.counters.requests.add(1);
        self.budget.deposit();
    }

    /// Takes a retry from the budget.
    pub(super) fn may_retry(&self) -> bool {
        let granted = self.budget.withdraw(self.common.now_ms());
        if granted {
            self.counters.retries.add(1);
        } else {
            self.counters.refused_retries.add(1);
        }
        granted
    }

    /// TLS for a request with this Host; the name where it depends on it.
    pub(super) fn tls_for(
        &self,
        authority: &str,
    ) -> Result<(Option<TlsParams>, Option<Arc<str>>), OriginError> {
        let Some(tls) = &self.tls else {
            return Ok((None, None));
        };
        let Some(name) = tls.name_for(authority) else {
            let detail = format!("{authority:?} can't be a server name");
            return Err(OriginError::new(OriginErrorKind::InvalidRequest, detail));
        };
        let key = tls
            .server_name
            .is_none()
            .then(|| Arc::from(name.to_str().as_ref()));
        Ok((
            Some(TlsParams {
                config: Arc::clone(&tls.config),
                name,
            }),
            key,
        ))
    }

    /// The endpoints; waits for the first answer of DNS.
    pub(super) async fn choice(&self, timeout: Duration) -> Result<Choice, OriginError> {
        if let Endpoints::Unavailable { reason } = &self.config.endpoints {
            return Err(OriginError::new(OriginErrorKind::Unavailable, reason));
        }
        if let Some(resolution) = &self.resolution {
            let mut known = resolution.watch();
            let resolved =
                match tokio::time::timeout(timeout, known.wait_for(|r| *r != Resolved::Pending)).await {
                    Ok(Ok(resolved)) => resolved.clone(),
                    Ok(Err(_)) | Err(_) => Resolved::Pending,
                };
            match resolved {
                Resolved::Addresses(_) => {}
                Resolved::Failed(problem) => return Err(OriginError::new(OriginErrorKind::Dns, problem)),
                Resolved::Pending => return Err(OriginError::new(OriginErrorKind::Dns, "no answer in time")),
            }
            if self.set.load().resolved.as_ref() != Some(&resolved) {
                self.rebuild(None);
            }
        }
        Ok(Choice {
            set: self.set.load_full(),
            is_raced: self.resolution.is_some(),
        })
    }

    pub(super) fn pick(
        &self,
        choice: &Choice,
        tried: &[SocketAddr],
        hash: Option<u64>,
    ) -> Result<Arc<Endpoint>, OriginError> {
        let now_ms = self.common.now_ms();
        let list = &choice.set.list;
        let candidates: SmallVec<[Candidate; 8]> = list
            .iter()
            .map(|(endpoint, weight)| Candidate {
                identity: endpoint.identity,
                weight: *weight,
                in_flight: endpoint.in_flight.load(Ordering::Relaxed),
                tier: tier(endpoint, tried, now_ms),
            })
            .collect();
        let picked = self
            .balancer
            .pick(&candidates, hash, |n| fastrand::usize(..n.max(1)));
        if let Some((endpoint, _)) = picked.and_then(|at| list.get(at)) {
            return Ok(Arc::clone(endpoint));
        }
        let weighted = || candidates.iter().filter(|c| c.weight > 0);
        Err(match weighted().next() {
            Some(_) => OriginError::new(OriginErrorKind::Forbidden, "no address may be an origin"),
            None => OriginError::new(OriginErrorKind::Unavailable, "it has no endpoint"),
        })
    }

    /// Requests that wait for the head of an answer.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

fn tier(endpoint: &Endpoint, tried: &[SocketAddr], now_ms: u64) -> Tier {
    if !endpoint.is_permitted() {
        return Tier::Forbidden;
    }
    let is_good = endpoint.health().is_good(now_ms);
    match (is_good, tried.contains(&endpoint.address())) {
        (true, false) => Tier::Healthy,
        (true, true) => Tier::HealthyTried,
        (false, false) => Tier::Unhealthy,
        (false, true) => Tier::UnhealthyTried,
    }
}

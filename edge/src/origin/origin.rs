use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use breakwater_edge_config::{Endpoints, HostHeader, Origin as OriginConfig, OriginProtocol};
use smallvec::SmallVec;

use super::answer::OriginResponse;
use super::balance::{Balancer, Candidate, Tier};
use super::budget::RetryBudget;
use super::connect::TlsParams;
use super::counters::Counters;
use super::dns::{Resolution, Resolved};
use super::endpoint::{Endpoint, EndpointKey};
use super::error::{OriginError, OriginErrorKind};
use super::exchange::Exchange;
use super::origins::Common;
use super::outgoing::RequestBody;
use super::probe::{Probe, ProbeSpec};
use super::request::{Facts, OriginRequest};
use super::task::Task;
use super::tls::TlsTarget;

/// One origin of a site, as its configuration is at present. A request goes on with the one it began with.
#[derive(Debug)]
pub struct Origin {
    pub(super) config: OriginConfig,
    pub(super) counters: Arc<Counters>,
    common: Arc<Common>,
    site_uid: Arc<str>,
    name: Arc<str>,
    tls: Option<TlsTarget>,
    probe: Option<ProbeSpec>,
    balancer: Balancer,
    budget: Arc<RetryBudget>,
    waiting: Arc<AtomicUsize>,
    resolution: Option<Arc<Resolution>>,
    set: ArcSwap<EndpointSet>,
    building: Mutex<()>,
    follower: Mutex<Option<Task>>,
}

/// The endpoints at present.
#[derive(Debug)]
pub(super) struct EndpointSet {
    list: Vec<(Arc<Endpoint>, u16)>,
    /// What DNS said when it was made.
    resolved: Option<Resolved>,
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

/// An origin that was compiled and isn't in force yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) config: OriginConfig,
    pub(super) tls: Option<TlsTarget>,
    /// The site's first exact host.
    pub(super) site_host: Option<String>,
}

impl Draft {
    fn probe(&self) -> Option<ProbeSpec> {
        let check = self.config.health_check.clone()?;
        let own = match &self.config.host_header {
            HostHeader::Fixed(host) => Some(host.clone()),
            HostHeader::Visitor => None,
        };
        let server_name = || self.config.tls.as_ref().and_then(|tls| tls.server_name.clone());
        let address = || match &self.config.endpoints {
            Endpoints::Dns { name, .. } => name.clone(),
            _ => "localhost".to_owned(),
        };
        let host = check
            .host
            .clone()
            .or(own)
            .or_else(|| self.site_host.clone())
            .or_else(server_name);
        Some(ProbeSpec {
            host: host.unwrap_or_else(address),
            check,
        })
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
            follower: Mutex::default(),
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

    /// Sends a request and waits for the head of the answer, repeating it by the rule as often as the
    /// configuration allows: only if no byte of the answer came, the method is idempotent, the body unsent or
    /// kept (64 KiB), the failure transient, and the origin's retry budget not spent.
    ///
    /// Must be called on a worker's runtime, which drives the connections that it opens.
    pub async fn fetch(
        self: &Arc<Self>,
        request: OriginRequest,
        body: RequestBody,
        facts: Facts,
    ) -> Result<OriginResponse, OriginError> {
        let mut exchange = self.exchange(request, body, facts)?;
        let mut retries = self.config.retries.attempts;
        loop {
            match exchange.send().await {
                Err(error) if error.retryable && retries > 0 => retries -= 1,
                result => return result,
            }
        }
    }

    /// The same in single attempts, for a caller that decides on each repetition itself. An error means that
    /// the origin's limit of waiting requests is reached.
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

    /// Makes the endpoints that configuration and DNS name. Those that are there already stay, with their
    /// connections; `old` are those of the origin that this one replaces.
    fn rebuild(&self, old: Option<&EndpointSet>) {
        let _building = self.lock_building();
        let current = self.set.load_full();
        let old = old.unwrap_or(&current);
        let (wanted, resolved) = self.wanted();
        let mut list: Vec<(Arc<Endpoint>, u16)> = Vec::with_capacity(wanted.len());
        for (address, weight) in wanted {
            if let Some((_, total)) = list.iter_mut().find(|(e, _)| e.address() == address) {
                *total = total.saturating_add(weight);
                continue;
            }
            let key = self.key(address);
            let kept = old
                .list
                .iter()
                .find(|(e, _)| e.key == key)
                .map(|(e, _)| Arc::clone(e));
            let endpoint = kept.unwrap_or_else(|| Endpoint::new(key, Arc::clone(&self.common)));
            endpoint.set_max_connections(self.config.max_connections);
            self.set_probe(&endpoint);
            list.push((endpoint, weight));
        }
        for (endpoint, _) in &old.list {
            if !list.iter().any(|(kept, _)| Arc::ptr_eq(kept, endpoint)) {
                endpoint.retire();
            }
        }
        self.set.store(Arc::new(EndpointSet { list, resolved }));
    }

    fn lock_building(&self) -> MutexGuard<'_, ()> {
        self.building.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> (Vec<(SocketAddr, u16)>, Option<Resolved>) {
        match &self.config.endpoints {
            Endpoints::Addresses { list } | Endpoints::Service { list } => {
                let listed = list
                    .iter()
                    .map(|e| (SocketAddr::new(e.address, e.port), e.weight));
                (listed.collect(), None)
            }
            Endpoints::Dns { port, .. } => {
                let known = self
                    .resolution
                    .as_ref()
                    .map(|resolution| resolution.watch().borrow().clone());
                let addresses: &[IpAddr] = match &known {
                    Some(Resolved::Addresses(addresses)) => addresses,
                    _ => &[],
                };
                (
                    addresses
                        .iter()
                        .map(|ip| (SocketAddr::new(*ip, *port), 1))
                        .collect(),
                    known,
                )
            }
            Endpoints::Unavailable { .. } => (Vec::new(), None),
        }
    }

    fn key(&self, address: SocketAddr) -> EndpointKey {
        EndpointKey {
            site_uid: Arc::clone(&self.site_uid),
            origin: Arc::clone(&self.name),
            address,
            class_is_service: matches!(self.config.endpoints, Endpoints::Service { .. }),
            tls: self.tls.as_ref().map(|tls| tls.key.clone()),
            is_http2: self.config.protocol == OriginProtocol::Http2,
        }
    }

    fn set_probe(&self, endpoint: &Arc<Endpoint>) {
        let mut running = endpoint.probe.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().map(|probe| &probe.spec) == self.probe.as_ref() {
            return;
        }
        *running = self.probe.clone().map(|spec| {
            let tls = self.tls_for(&spec.host).ok().and_then(|(tls, _)| tls);
            Probe::start(endpoint, spec, tls)
        });
        if running.is_none() {
            endpoint.health().forget_checks();
        }
    }

    /// Takes new addresses over without waiting for a request, so that they are probed.
    fn follow(self: &Arc<Self>) {
        let Some(resolution) = &self.resolution else {
            return;
        };
        let mut known = resolution.watch();
        let origin = Arc::downgrade(self);
        let following = async move {
            while known.changed().await.is_ok() {
                let Some(origin) = origin.upgrade() else { return };
                origin.rebuild(None);
            }
        };
        let task = Task::spawn(&self.common.control, following);
        *self.follower.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Stops what runs for it; `all`: with its connections.
    pub(super) fn stop(&self, all: bool) {
        *self.follower.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if all {
            for endpoint in self.endpoints() {
                endpoint.retire();
            }
        }
    }

    pub(super) fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.set
            .load()
            .list
            .iter()
            .map(|(endpoint, _)| Arc::clone(endpoint))
            .collect()
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

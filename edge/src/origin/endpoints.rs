//! The endpoints of an origin, as configuration and DNS name them.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, MutexGuard, PoisonError};

use breakwater_edge_config::{Endpoints, OriginProtocol};

use super::dns::Resolved;
use super::endpoint::{Endpoint, EndpointKey};
use super::origin::Origin;
use super::probe::Probe;
use super::task::Task;

/// The endpoints at present.
#[derive(Debug)]
pub(super) struct EndpointSet {
    pub(super) list: Vec<(Arc<Endpoint>, u16)>,
    /// What DNS said when it was made.
    pub(super) resolved: Option<Resolved>,
}

/// What makes the set.
#[derive(Debug, Default)]
pub(super) struct Building {
    /// Another has taken its place, to which the endpoints belong that both have: this one changes nothing
    /// any more.
    is_replaced: bool,
    follower: Option<Task>,
}

impl Origin {
    /// Makes the endpoints that configuration and DNS name. Those that are there already stay, with their
    /// connections; `old` are those of the origin that this one replaces.
    pub(super) fn rebuild(&self, old: Option<&EndpointSet>) {
        let building = self.building();
        if building.is_replaced {
            return;
        }
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
        drop(building);
    }

    fn building(&self) -> MutexGuard<'_, Building> {
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
    pub(super) fn follow(self: &Arc<Self>) {
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
        self.building().follower = Some(task);
    }

    /// Another takes its place: what it has stays as it is from now on, for the requests that go by it.
    pub(super) fn stop(&self) {
        let mut building = self.building();
        building.is_replaced = true;
        building.follower = None;
    }

    /// Nothing takes its place.
    pub(super) fn retire(&self) {
        self.stop();
        for endpoint in self.endpoints() {
            endpoint.retire();
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
}

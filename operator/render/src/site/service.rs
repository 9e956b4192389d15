//! Origins by Service.
//!
//! A tenant may write Services, and often `EndpointSlices` and their labels, so nothing of a slice is believed
//! that its target Pod doesn't confirm: the Pod is of the same namespace, has that very address by its own
//! status, and isn't on the host's network. Everything else (names elsewhere, Services without selector,
//! slices written by hand) could point an edge, which stands on the host's network, at a node or a neighbour.

use std::collections::BTreeSet;

use breakwater_crds::ServiceOrigin;
use breakwater_edge_config::Endpoint;

use crate::index::NamespaceObjects;
use crate::object::{EndpointSlice, Service, SliceEndpoint};
use crate::problem::{Problem, reason};

/// Who may write slices for Services with a selector.
const CONTROLLER: &str = "endpointslice-controller.k8s.io";

/// Endpoints of one Service; far more than an edge balances over with sense.
const MAX_ENDPOINTS: usize = 1_000;

/// Something that was left out; the rest is used.
pub(crate) struct Note(String);

impl Note {
    pub(crate) fn at(self, place: &str) -> Problem {
        Problem::new(reason::FORBIDDEN_ORIGIN, format!("{place}: {}", self.0))
    }
}

/// The ready Pods of a Service, sorted, and what was left out.
pub(crate) fn endpoints(
    origin: &ServiceOrigin,
    namespace: &str,
    objects: Option<&NamespaceObjects>,
) -> Result<(Vec<Endpoint>, Vec<Note>), Problem> {
    let name = &origin.name;
    let service = objects.and_then(|objects| objects.services.get(name));
    let (Some(objects), Some(service)) = (objects, service) else {
        return Err(Problem::new(
            reason::SERVICE_NOT_FOUND,
            format!("there is no Service {name} in namespace {namespace}"),
        ));
    };
    let port_name = check(service, origin)?;
    let mut found = Found::default();
    for slice in objects.slices_of(name) {
        if slice.managed_by == CONTROLLER {
            found.slice(slice, port_name, objects);
        } else {
            found.foreign.insert(slice.name.name.clone());
        }
    }
    Ok(found.finish())
}

/// The name of the port, when the Service may be used.
fn check<'a>(service: &'a Service, origin: &ServiceOrigin) -> Result<&'a str, Problem> {
    let ServiceOrigin { name, port } = origin;
    if service.external_name {
        return Err(Problem::new(
            reason::FORBIDDEN_ORIGIN,
            format!("Service {name} is of type ExternalName, which may name anything; use dns for a name"),
        ));
    }
    if !service.has_selector {
        return Err(Problem::new(
            reason::FORBIDDEN_ORIGIN,
            format!(
                "Service {name} has no selector, so its addresses are written by hand; use addresses for those"
            ),
        ));
    }
    let found = service.ports.iter().find(|(number, _)| number == port);
    found.map(|(_, name)| name.as_str()).ok_or_else(|| {
        let ports: Vec<String> = service
            .ports
            .iter()
            .map(|(number, _)| number.to_string())
            .collect();
        let ports = if ports.is_empty() {
            "none".to_owned()
        } else {
            ports.join(", ")
        };
        Problem::new(
            reason::SERVICE_NOT_FOUND,
            format!("Service {name} has no TCP port {port}; it has {ports}"),
        )
    })
}

#[derive(Default)]
struct Found {
    list: BTreeSet<Endpoint>,
    /// Slices written by others.
    foreign: BTreeSet<String>,
    /// Pods on the host's network.
    host_network: BTreeSet<String>,
    /// Endpoints that are no Pods of this namespace.
    strangers: usize,
}

impl Found {
    fn slice(&mut self, slice: &EndpointSlice, port_name: &str, objects: &NamespaceObjects) {
        let Some((_, port)) = slice.ports.iter().find(|(name, _)| name == port_name) else {
            return;
        };
        for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.ready) {
            self.endpoint(endpoint, *port, objects);
        }
    }

    fn endpoint(&mut self, endpoint: &SliceEndpoint, port: u16, objects: &NamespaceObjects) {
        let Some(pod) = &endpoint.pod else {
            self.strangers += 1;
            return;
        };
        // A Pod that isn't known yet will be; one whose address differs is not what the slice says.
        let Some(pod) = objects.pods.get(pod) else { return };
        if pod.host_network {
            self.host_network.insert(pod.name.name.clone());
            return;
        }
        for address in endpoint
            .addresses
            .iter()
            .filter(|address| pod.ips.contains(address))
        {
            self.list.insert(Endpoint {
                address: *address,
                port,
                weight: 1,
            });
        }
    }

    fn finish(self) -> (Vec<Endpoint>, Vec<Note>) {
        let mut notes = Vec::new();
        if let Some(first) = self.foreign.first() {
            notes.push(Note(format!(
                "EndpointSlice {first} isn't made by Kubernetes' own controller; what is written by hand is not used"
            )));
        }
        if let Some(first) = self.host_network.first() {
            notes.push(Note(format!(
                "Pod {first} is on its host's network; only Pods with an address of their own are used"
            )));
        }
        if self.strangers > 0 {
            notes.push(Note(format!(
                "{} endpoints are no Pods of this namespace and not used",
                self.strangers
            )));
        }
        if self.list.len() > MAX_ENDPOINTS {
            notes.push(Note(format!(
                "only {MAX_ENDPOINTS} of {} Pods are used",
                self.list.len()
            )));
        }
        (self.list.into_iter().take(MAX_ENDPOINTS).collect(), notes)
    }
}

use std::collections::{BTreeMap, BTreeSet};

use crate::object::{EndpointSlice, Pod, Service};

/// What origins by Service need of a namespace.
#[derive(Debug, Default)]
pub(crate) struct NamespaceObjects {
    /// Everything was listed.
    pub(crate) listed: bool,
    pub(crate) services: BTreeMap<String, Service>,
    pub(crate) pods: BTreeMap<String, Pod>,
    slices: BTreeMap<String, EndpointSlice>,
    by_service: BTreeMap<String, BTreeSet<String>>,
}

impl NamespaceObjects {
    pub(crate) fn is_empty(&self) -> bool {
        !self.listed && self.services.is_empty() && self.pods.is_empty() && self.slices.is_empty()
    }

    /// Puts a slice, or takes it away; tells the Services that it belongs or belonged to. Nothing when it is
    /// the same as before.
    pub(crate) fn set_slice(&mut self, name: &str, slice: Option<EndpointSlice>) -> BTreeSet<String> {
        let mut touched = BTreeSet::new();
        if self.slices.get(name) == slice.as_ref() {
            return touched;
        }
        if let Some(old) = self.slices.remove(name) {
            if let Some(names) = self.by_service.get_mut(&old.service) {
                names.remove(name);
                if names.is_empty() {
                    self.by_service.remove(&old.service);
                }
            }
            touched.insert(old.service);
        }
        if let Some(slice) = slice {
            self.by_service
                .entry(slice.service.clone())
                .or_default()
                .insert(name.to_owned());
            touched.insert(slice.service.clone());
            self.slices.insert(name.to_owned(), slice);
        }
        touched
    }

    /// The Services whose slices name a Pod.
    pub(crate) fn services_of_pod(&self, pod: &str) -> BTreeSet<String> {
        let names = |slice: &&EndpointSlice| {
            let mut endpoints = slice.endpoints.iter();
            endpoints.any(|endpoint| endpoint.pod.as_deref() == Some(pod))
        };
        let slices = self.slices.values().filter(names);
        slices.map(|slice| slice.service.clone()).collect()
    }

    /// The slices of a Service, by name.
    pub(crate) fn slices_of(&self, service: &str) -> impl Iterator<Item = &EndpointSlice> {
        self.by_service
            .get(service)
            .into_iter()
            .flatten()
            .filter_map(|name| self.slices.get(name))
    }
}

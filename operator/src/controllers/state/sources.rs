use std::collections::BTreeSet;

use super::State;
use crate::controllers::sighting::{Kind, Source};

/// Watches of a namespace with Service origins.
const OF_SERVICES: [Kind; 3] = [Kind::Service, Kind::EndpointSlice, Kind::Pod];

/// Watches of a region's namespace.
const OF_REGION: [Kind; 5] = [
    Kind::Published,
    Kind::EdgeNode,
    Kind::EdgePod,
    Kind::DaemonSet,
    Kind::Incarnation,
];

impl State {
    /// The watches that are needed now.
    pub fn wanted_sources(&self) -> BTreeSet<Source> {
        let mut wanted = self.fixed_sources();
        let of = |kinds: &[Kind], namespace: &str| {
            let source = |kind: &Kind| Source {
                kind: *kind,
                namespace: Some(namespace.to_owned()),
            };
            kinds.iter().map(source).collect::<Vec<_>>()
        };
        for namespace in &self.service_namespaces {
            wanted.extend(of(&OF_SERVICES, namespace));
        }
        for region in self.regions.values() {
            if self.namespaces.contains(&region.namespace) {
                wanted.extend(of(&OF_REGION, &region.namespace));
            }
        }
        wanted
    }

    fn fixed_sources(&self) -> BTreeSet<Source> {
        let mut wanted: BTreeSet<Source> = [Kind::Region, Kind::Namespace, Kind::Machine, Kind::ServiceCidr]
            .map(|kind| Source {
                kind,
                namespace: None,
            })
            .into();
        wanted.insert(Source {
            kind: Kind::ApiServer,
            namespace: Some("default".to_owned()),
        });
        let mut namespaces: BTreeSet<Option<String>> =
            self.options.watch_namespaces.iter().cloned().map(Some).collect();
        if namespaces.is_empty() {
            namespaces.insert(None);
        } else {
            namespaces.insert(Some(self.options.settings.operator_namespace.clone()));
        }
        for namespace in namespaces {
            for kind in [
                Kind::Site,
                Kind::CachePolicy,
                Kind::RateRule,
                Kind::TlsSecret,
                Kind::LabelledSecret,
            ] {
                wanted.insert(Source {
                    kind,
                    namespace: namespace.clone(),
                });
            }
        }
        wanted
    }

    /// What must be listed before anything is written, and isn't yet. A region whose namespace the operator
    /// may not read waits alone; the others don't wait for it. In a namespace that isn't there is nothing to
    /// list.
    pub fn waiting(&self) -> BTreeSet<String> {
        self.wanted_sources()
            .into_iter()
            .filter(|source| !OF_SERVICES.contains(&source.kind))
            .filter(|source| !self.listed.contains(source) && !self.is_forbidden(source))
            .filter(|source| !self.is_nowhere(source))
            .map(|source| match self.failing.get(&source) {
                Some(error) => format!("{source} ({error})"),
                None => source.to_string(),
            })
            .collect()
    }

    /// True when everything in a region's namespace was listed, so that it may be written there.
    pub(super) fn is_region_listed(&self, namespace: &str) -> bool {
        OF_REGION.iter().all(|kind| {
            self.listed.contains(&Source {
                kind: *kind,
                namespace: Some(namespace.to_owned()),
            })
        })
    }

    /// What the API server says about a region's namespace that the operator may not read.
    pub(super) fn forbidden(&self, namespace: &str) -> Option<&str> {
        OF_REGION.iter().find_map(|kind| {
            let source = Source {
                kind: *kind,
                namespace: Some(namespace.to_owned()),
            };
            self.is_forbidden(&source)
                .then(|| self.failing.get(&source).map(String::as_str))?
        })
    }

    /// True when the namespace of a watch doesn't exist.
    fn is_nowhere(&self, source: &Source) -> bool {
        let namespaces = Source {
            kind: Kind::Namespace,
            namespace: None,
        };
        let is_missing = |namespace: &String| !self.namespaces.contains(namespace);
        self.listed.contains(&namespaces) && source.namespace.as_ref().is_some_and(is_missing)
    }

    fn is_forbidden(&self, source: &Source) -> bool {
        OF_REGION.contains(&source.kind)
            && self
                .failing
                .get(source)
                .is_some_and(|error| error.contains("forbidden"))
    }

    /// Watches that fail at present, with what was said.
    pub fn failing(&self) -> impl Iterator<Item = (&Source, &String)> {
        self.failing.iter()
    }

    /// True when Services, `EndpointSlices` and Pods of a namespace are completely listed.
    pub(super) fn are_services_listed(&self, namespace: &str) -> bool {
        OF_SERVICES.iter().all(|kind| {
            self.listed.contains(&Source {
                kind: *kind,
                namespace: Some(namespace.to_owned()),
            })
        })
    }
}

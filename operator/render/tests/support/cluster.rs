//! What lies in the regions' namespaces: the operator's part after a rendering, done as simply as can be.

use std::collections::BTreeMap;

use breakwater_edge_config::Document;
use breakwater_edge_config::bundle::Files;
use breakwater_render::object::Published;
use breakwater_render::{Changes, Index, Key, Object, SecretPosition};

#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) secrets: BTreeMap<SecretPosition, (u64, Files)>,
    version: u64,
}

impl Cluster {
    /// Writes what is to be written and tells the index of it, as a watch would. Every write must be against
    /// the version that is there.
    pub(crate) fn take(&mut self, changes: &Changes, index: &mut Index) {
        for publish in &changes.publish {
            let there = self
                .secrets
                .get(&publish.position)
                .map(|(version, _)| version.to_string());
            assert_eq!(publish.resource_version, there, "{:?}", publish.position);
            Document::from_files(&publish.files).expect("an edge can read it");
            self.version += 1;
            self.secrets
                .insert(publish.position.clone(), (self.version, publish.files.clone()));
            index.apply(self.object(&publish.position, false));
        }
        let withdrawn = changes
            .withdraw
            .iter()
            .map(|w| (&w.position, &w.resource_version));
        let retired = changes.retire.iter().map(|r| (&r.position, &r.resource_version));
        for (position, version) in withdrawn.chain(retired) {
            let (there, _) = self.secrets.remove(position).expect("what is deleted is there");
            assert_eq!(there.to_string(), *version, "{position:?}");
            index.remove(&Key::Published(position.clone()));
        }
        for position in &changes.needs.files {
            if self.secrets.contains_key(position) {
                index.apply(self.object(position, true));
            }
        }
    }

    /// A published Secret as the index gets it.
    pub(crate) fn object(&self, position: &SecretPosition, keep_files: bool) -> Object {
        let (version, files) = &self.secrets[position];
        let published =
            Published::from_files(position.clone(), version.to_string(), files.clone(), keep_files);
        Object::Published(published.unwrap())
    }

    /// All of them.
    pub(crate) fn objects(&self) -> Vec<Object> {
        self.secrets
            .keys()
            .map(|position| self.object(position, false))
            .collect()
    }
}

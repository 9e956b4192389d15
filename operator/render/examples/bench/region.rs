use std::collections::BTreeMap;

use breakwater_edge_config::bundle::Files;
use breakwater_render::object::Published as Secret;
use breakwater_render::{Changes, Index, Key, Object, SecretPosition};

/// What lies in the region's namespace: the operator's part after a rendering.
#[derive(Default)]
pub(crate) struct Published {
    files: BTreeMap<SecretPosition, Files>,
    version: u64,
}

impl Published {
    /// Writes what is to be written and tells the index of it, as a watch would.
    pub(crate) fn take(&mut self, changes: Changes, index: &mut Index) {
        for publish in changes.publish {
            self.version += 1;
            index.apply(self.object(&publish.position, publish.files.clone(), false));
            self.files.insert(publish.position, publish.files);
        }
        let withdrawn = changes.withdraw.into_iter().map(|withdraw| withdraw.position);
        let retired = changes.retire.into_iter().map(|retire| retire.position);
        for position in withdrawn.chain(retired) {
            self.files.remove(&position);
            index.remove(&Key::Published(position));
        }
        for position in changes.needs.files {
            if let Some(files) = self.files.get(&position) {
                index.apply(self.object(&position, files.clone(), true));
            }
        }
    }

    fn object(&self, position: &SecretPosition, files: Files, keep: bool) -> Object {
        let version = self.version.to_string();
        Object::Published(Secret::from_files(position.clone(), version, files, keep).unwrap())
    }
}

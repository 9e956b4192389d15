//! The operator's part: objects in, changes for the edge out, without a cluster between them.

use std::collections::BTreeMap;

use breakwater_edge::Change;
use breakwater_edge_config::HostPattern;
use breakwater_edge_config::bundle::Files;
use breakwater_render::object::{Published, Secret};
use breakwater_render::{Changes, Index, Key, Name, Object, SecretPosition, Settings, StatusUpdate};
use ipnet::IpNet;
use jiff::Timestamp;

use super::authority::Authority;
use super::folder::{Delta, Folder};
use super::report::{Line, Note, status_notes};

/// Name of the Secret with a site's certificate from the local CA; no Secret in a file can have it.
const LOCAL_CERTIFICATE: &str = "local-ca:";
/// Rounds until everything that was published has been taken note of; two do.
const MAX_ROUNDS: usize = 8;

/// What is in force.
pub(super) struct Platform {
    index: Index,
    authority: Authority,
    published: BTreeMap<SecretPosition, Files>,
    statuses: BTreeMap<Key, StatusUpdate>,
    /// Sites that get their certificate from the local CA, with the names in it.
    local: BTreeMap<Name, Vec<String>>,
    notes: BTreeMap<Key, String>,
    versions: u64,
    /// When something is to be done although no file changes.
    next: Option<Timestamp>,
}

impl Platform {
    pub(super) fn new(authority: Authority, allow: Vec<IpNet>, https_port: u16) -> Self {
        let settings = Settings {
            allow_origin_cidrs: allow,
            ..Settings::standalone(https_port)
        };
        Self {
            index: Index::new(settings),
            authority,
            published: BTreeMap::new(),
            statuses: BTreeMap::new(),
            local: BTreeMap::new(),
            notes: BTreeMap::new(),
            versions: 0,
            next: None,
        }
    }

    /// The same with another port for HTTPS: everything is to be applied anew.
    pub(super) fn with_https_port(self, https_port: u16) -> Self {
        let allow = self.index.settings().allow_origin_cidrs.clone();
        let mut new = Self::new(self.authority, allow, https_port);
        // What was published stays: that is what the edge has.
        for (position, files) in self.published {
            new.take_note(position, files);
        }
        new
    }

    /// Takes a change of the files over, and renews certificates that are due.
    pub(super) fn update(&mut self, delta: Delta, now: Timestamp) -> Vec<Change> {
        for key in delta.remove {
            self.remove(&key);
        }
        for (object, _) in delta.apply {
            self.apply(object, now);
        }
        for (site, names) in self.local.clone() {
            self.certify(&site, &names, now);
        }
        self.render(now)
    }

    /// When [`Self::update`] wants to be called although no file changed.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// What is to be said about the objects in force.
    pub(super) fn notes(&self, folder: &Folder) -> Vec<Note> {
        let mut notes = status_notes(folder, self.statuses.values());
        let ignored = |(key, text): (&Key, &String)| {
            Some(Note {
                place: folder.place(key)?,
                line: Line::Ignored(format!("{key}: {text}")),
            })
        };
        notes.extend(self.notes.iter().filter_map(ignored));
        notes
    }

    fn apply(&mut self, object: Object, now: Timestamp) {
        let key = object.key();
        match object {
            // Regions are clusters' business; here one edge serves every site.
            Object::EdgeRegion(..) => {
                let text = "without a cluster, the edge of this process serves every site";
                self.notes.insert(key, text.to_owned());
            }
            Object::EdgeSite(meta, mut spec) => {
                let name = meta.key();
                self.local.remove(&name);
                if spec.tls.certificate_refs.is_empty() {
                    let names = certifiable(&spec.hosts);
                    if self.certify(&name, &names, now) {
                        spec.tls.certificate_refs.push(breakwater_crds::SecretRef {
                            name: secret_of(&name).name,
                        });
                        self.local.insert(name, names);
                    }
                }
                self.index.apply(Object::EdgeSite(meta, spec));
            }
            other => self.index.apply(other),
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Key::EdgeSite(name) = key {
            self.local.remove(name);
            self.index.remove(&Key::Secret(secret_of(name)));
        }
        self.notes.remove(key);
        self.statuses.remove(key);
        self.index.remove(key);
    }

    /// Puts a site's certificate from the local CA into the index; the same one until it is due.
    fn certify(&mut self, site: &Name, names: &[String], now: Timestamp) -> bool {
        if names.is_empty() {
            return false;
        }
        let issued = match self.authority.certificate(names, now.as_second()) {
            Ok(issued) => issued,
            Err(error) => {
                let problem = format!("it has no certificate: {error}");
                self.notes.insert(Key::EdgeSite(site.clone()), problem);
                return false;
            }
        };
        self.notes.remove(&Key::EdgeSite(site.clone()));
        self.index.apply(Object::Secret(Secret {
            name: secret_of(site),
            kind: "kubernetes.io/tls".to_owned(),
            usable: true,
            data: BTreeMap::from([
                ("tls.crt".to_owned(), issued.chain_pem.into_bytes()),
                ("tls.key".to_owned(), issued.key_pem.into_bytes()),
            ]),
        }));
        true
    }

    fn render(&mut self, now: Timestamp) -> Vec<Change> {
        let mut edge = Vec::new();
        for _ in 0..MAX_ROUNDS {
            let changes = self.index.render_dirty(now);
            self.next = changes.next;
            if !self.take_over(changes, &mut edge) {
                break;
            }
        }
        edge
    }

    /// True when something was written, which the index looks at again.
    fn take_over(&mut self, changes: Changes, edge: &mut Vec<Change>) -> bool {
        let gone = changes.withdraw.into_iter().map(|w| w.position);
        let gone: Vec<_> = gone
            .chain(changes.retire.into_iter().map(|r| r.position))
            .collect();
        let again = !(changes.publish.is_empty() && gone.is_empty() && changes.needs.files.is_empty());
        for publish in changes.publish {
            edge.push(Change::from_files(&publish.position.secret, &publish.files));
            self.take_note(publish.position, publish.files);
        }
        for position in gone {
            edge.push(Change::Remove {
                name: position.secret.clone(),
            });
            self.published.remove(&position);
            self.index.remove(&Key::Published(position));
        }
        for position in changes.needs.files {
            if let Some(files) = self.published.get(&position).cloned() {
                self.published_again(position, files, true);
            }
        }
        for status in changes.statuses {
            self.statuses.insert(status.key.clone(), status);
        }
        again
    }

    fn take_note(&mut self, position: SecretPosition, files: Files) {
        self.published.insert(position.clone(), files.clone());
        self.published_again(position, files, false);
    }

    fn published_again(&mut self, position: SecretPosition, files: Files, keep_files: bool) {
        self.versions += 1;
        // It was rendered here: it can be read.
        if let Ok(published) = Published::from_files(position, self.versions.to_string(), files, keep_files) {
            self.index.apply(Object::Published(published));
        }
    }
}

fn secret_of(site: &Name) -> Name {
    Name::new(&site.namespace, format!("{LOCAL_CERTIFICATE}{}", site.name))
}

/// The hosts that a certificate can name; what is wrong with others is said when the site is rendered.
fn certifiable(hosts: &[String]) -> Vec<String> {
    let patterns = hosts.iter().filter_map(|host| HostPattern::parse(host).ok());
    let mut names: Vec<String> = patterns.map(|pattern| pattern.to_string()).collect();
    names.sort();
    names.dedup();
    names
}

//! What the files of a directory say together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use breakwater_render::schema::{self, Document, Verdict};
use breakwater_render::{Key, Name, Object, PolicyKey, PolicyKind};

use super::report::{Line, Note};

/// Namespace of objects that name none.
pub(super) const DEFAULT_NAMESPACE: &str = "default";

/// Where an object stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, below the directory.
    pub file: PathBuf,
    /// Line at which the object begins, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Objects of a directory, as they are in force: a file that can't be read, or an object that is refused,
/// leaves in force what it said before.
#[derive(Debug, Default)]
pub struct Folder {
    files: BTreeMap<PathBuf, File>,
}

#[derive(Debug, Default)]
struct File {
    text: String,
    objects: BTreeMap<Key, (usize, Object)>,
    notes: Vec<Note>,
}

/// What a new reading changed.
#[derive(Debug, Default)]
pub struct Delta {
    /// Objects that are new or may be others now.
    pub apply: Vec<(Object, Place)>,
    /// Objects that are gone.
    pub remove: Vec<Key>,
}

impl Folder {
    /// Takes over what was read, by path below the directory, and tells what that changes. The first file by
    /// name that has an object keeps it.
    pub fn update(&mut self, texts: BTreeMap<PathBuf, Result<String, String>>) -> Delta {
        let before = self.owners();
        self.files.retain(|path, _| texts.contains_key(path));
        let mut touched = BTreeSet::new();
        for (path, text) in texts {
            let file = self.files.entry(path.clone()).or_default();
            if file.read(&path, text) {
                touched.insert(path);
            }
        }
        let after = self.owners();
        let remove = before
            .keys()
            .filter(|key| !after.contains_key(*key))
            .cloned()
            .collect();
        let moved = |key: &Key, path: &PathBuf| before.get(key) != Some(path);
        let apply = after
            .iter()
            .filter(|(key, path)| touched.contains(*path) || moved(key, path))
            .filter_map(|(key, path)| {
                let (line, object) = self.files.get(path)?.objects.get(key)?;
                Some((object.clone(), place(path, *line)))
            })
            .collect();
        Delta { apply, remove }
    }

    /// What is to be said about the files as they are now.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes: Vec<Note> = self
            .files
            .values()
            .flat_map(|file| file.notes.iter().cloned())
            .collect();
        let owners = self.owners();
        for (path, file) in &self.files {
            for (key, (line, _)) in &file.objects {
                let Some(owner) = owners.get(key).filter(|owner| *owner != path) else {
                    continue;
                };
                let Some((first, _)) = self.files.get(owner).and_then(|file| file.objects.get(key)) else {
                    continue;
                };
                notes.push(Note {
                    place: place(path, *line),
                    line: Line::Refused(format!("{key}: it is already in {}", place(owner, *first))),
                });
            }
        }
        notes.sort();
        notes
    }

    /// Where an object that is in force stands.
    pub fn place(&self, key: &Key) -> Option<Place> {
        let owner =
            |(path, file): (&PathBuf, &File)| file.objects.get(key).map(|(line, _)| place(path, *line));
        self.files.iter().find_map(owner)
    }

    fn owners(&self) -> BTreeMap<Key, PathBuf> {
        let mut owners = BTreeMap::new();
        for (path, file) in &self.files {
            for key in file.objects.keys() {
                owners.entry(key.clone()).or_insert_with(|| path.clone());
            }
        }
        owners
    }
}

impl File {
    /// True when it says something else than before.
    fn read(&mut self, path: &Path, text: Result<String, String>) -> bool {
        let text = match text {
            Ok(text) => text,
            Err(problem) => {
                self.notes = vec![self.unreadable(path, 1, &problem)];
                return false;
            }
        };
        if text.trim().is_empty() && !self.objects.is_empty() {
            // What an editor leaves for a moment; a person who means it deletes the file.
            let problem = "it is empty now (delete the file to remove its objects)";
            self.notes = vec![self.unreadable(path, 1, problem)];
            return false;
        }
        if text == self.text && !text.is_empty() {
            // A file that couldn't be read in between is the same again.
            self.notes
                .retain(|note| !matches!(note.line, Line::Unreadable(_)));
            return false;
        }
        let documents = schema::read(&text, DEFAULT_NAMESPACE);
        let malformed: Vec<Note> = documents
            .iter()
            .filter_map(|document| self.malformed(path, document))
            .collect();
        if !malformed.is_empty() && !self.objects.is_empty() {
            // Half of a file isn't what anybody meant.
            self.notes = malformed;
            return false;
        }
        self.text = text;
        self.notes = malformed;
        self.take(path, documents);
        true
    }

    fn take(&mut self, path: &Path, documents: Vec<Document>) {
        let mut before = std::mem::take(&mut self.objects);
        for document in documents {
            let at = place(path, document.line);
            let what = described(&document);
            match document.verdict {
                Verdict::Object(object) => {
                    let key = object.key();
                    if let Some((first, _)) = self.objects.get(&key) {
                        let first = place(path, *first);
                        self.notes.push(note(
                            at,
                            Line::Refused(format!("{key}: it is already in {first}")),
                        ));
                    } else {
                        self.objects.insert(key, (document.line, *object));
                    }
                }
                Verdict::Ignored(why) => self.notes.push(note(at, Line::Ignored(format!("{what}: {why}")))),
                Verdict::Refused(refusal) => {
                    let kept =
                        key_of(&document.kind, &document.name).and_then(|key| before.remove_entry(&key));
                    let stays = if kept.is_some() {
                        "; what it said before stays in force"
                    } else {
                        ""
                    };
                    self.notes
                        .push(note(at, Line::Refused(format!("{what}: {refusal}{stays}"))));
                    if let Some((key, (_, object))) = kept {
                        self.objects.entry(key).or_insert((document.line, object));
                    }
                }
                Verdict::Malformed { .. } => {}
            }
        }
    }

    fn malformed(&self, path: &Path, document: &Document) -> Option<Note> {
        let Verdict::Malformed {
            line,
            column,
            problem,
        } = &document.verdict
        else {
            return None;
        };
        Some(self.unreadable(path, *line, &format!("column {column}: {problem}")))
    }

    fn unreadable(&self, path: &Path, line: usize, problem: &str) -> Note {
        let stays = if self.objects.is_empty() {
            ""
        } else {
            "; what the file said before stays in force"
        };
        note(place(path, line), Line::Unreadable(format!("{problem}{stays}")))
    }
}

fn note(place: Place, line: Line) -> Note {
    Note { place, line }
}

fn place(file: &Path, line: usize) -> Place {
    Place {
        file: file.to_owned(),
        line,
    }
}

fn described(document: &Document) -> String {
    let kind = if document.kind.is_empty() {
        "document"
    } else {
        &document.kind
    };
    match (document.name.namespace.as_str(), document.name.name.as_str()) {
        (_, "") => kind.to_owned(),
        ("", name) => format!("{kind} {name}"),
        (namespace, name) => format!("{kind} {namespace}/{name}"),
    }
}

/// The key of a refused object.
fn key_of(kind: &str, name: &Name) -> Option<Key> {
    let policy = |kind| {
        Some(Key::Policy(PolicyKey {
            kind,
            name: name.clone(),
        }))
    };
    match kind {
        "EdgeSite" => Some(Key::EdgeSite(name.clone())),
        "CachePolicy" => policy(PolicyKind::CachePolicy),
        "RateRule" => policy(PolicyKind::RateRule),
        "Secret" => Some(Key::Secret(name.clone())),
        "Service" => Some(Key::Service(name.clone())),
        "EndpointSlice" => Some(Key::EndpointSlice(name.clone())),
        "Pod" => Some(Key::Pod(name.clone())),
        "EdgeRegion" => Some(Key::EdgeRegion(name.name.clone())),
        "Namespace" => Some(Key::Namespace(name.name.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "apiVersion: edge.breakwater.dev/v1alpha1\nkind: EdgeSite\nmetadata: {name: a}\nspec:\n  \
                        hosts: [a.example.com]\n  origins: [{name: o, addresses: [{address: 192.0.2.1, port: 80}]}]\n";

    fn texts(files: &[(&str, &str)]) -> BTreeMap<PathBuf, Result<String, String>> {
        files
            .iter()
            .map(|(name, text)| (PathBuf::from(name), Ok((*text).to_owned())))
            .collect()
    }

    fn said(folder: &Folder) -> String {
        folder
            .notes()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn only_files_that_changed_are_taken_over() {
        let mut folder = Folder::default();
        assert_eq!(folder.update(texts(&[("a.yaml", SITE)])).apply.len(), 1);
        let again = folder.update(texts(&[("a.yaml", SITE)]));
        assert!(again.apply.is_empty() && again.remove.is_empty());
        assert_eq!(folder.update(texts(&[])).remove.len(), 1);
    }

    #[test]
    fn a_half_written_file_keeps_what_it_said() {
        let mut folder = Folder::default();
        folder.update(texts(&[("a.yaml", SITE)]));
        for half in ["", "apiVersion: [", &format!("{SITE}---\nkind: {{")] {
            let delta = folder.update(texts(&[("a.yaml", half)]));
            assert!(delta.apply.is_empty() && delta.remove.is_empty(), "{half}");
            assert!(said(&folder).contains("stays in force"), "{}", said(&folder));
        }
        folder.update(texts(&[("a.yaml", SITE)]));
        assert_eq!(said(&folder), "");
    }

    #[test]
    fn a_refused_object_keeps_what_it_said_and_the_rest_of_the_file_goes_on() {
        let mut folder = Folder::default();
        folder.update(texts(&[("a.yaml", SITE)]));
        let other = SITE
            .replace("name: a}", "name: b}")
            .replace("a.example", "b.example");
        let broken = SITE.replace("hosts: [a.example.com]", "hosts: 7");
        let delta = folder.update(texts(&[("a.yaml", &format!("{broken}---\n{other}"))]));
        assert!(delta.remove.is_empty());
        assert_eq!(delta.apply.len(), 2);
        let said = said(&folder);
        assert!(
            said.starts_with("refused  EdgeSite default/a (a.yaml:1): spec.hosts"),
            "{said}"
        );
        assert!(said.contains("stays in force"), "{said}");
    }

    #[test]
    fn an_object_belongs_to_the_first_file_that_has_it() {
        let mut folder = Folder::default();
        folder.update(texts(&[("a.yaml", SITE), ("b.yaml", SITE)]));
        assert!(
            said(&folder).contains("(b.yaml:1): it is already in a.yaml:1"),
            "{}",
            said(&folder)
        );
        let delta = folder.update(texts(&[("b.yaml", SITE)]));
        assert!(delta.remove.is_empty());
        assert_eq!(delta.apply.len(), 1);
        assert_eq!(said(&folder), "");
    }

    #[test]
    fn what_isnt_ours_is_told_apart() {
        let mut folder = Folder::default();
        folder.update(texts(&[
            (
                "a.yaml",
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n",
            ),
            ("b.yaml", "just: a map\n"),
            ("c.yaml", "- a list\n"),
        ]));
        let said = said(&folder);
        assert!(
            said.contains("ignored  Deployment default/web (a.yaml:1)"),
            "{said}"
        );
        assert!(said.contains("(b.yaml:1): it is no manifest"), "{said}");
        assert!(said.contains("(c.yaml:1): it is no object"), "{said}");
    }
}

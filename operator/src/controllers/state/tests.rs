use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use breakwater_crds::EdgeRegionSpec;
use breakwater_render::{Object, Settings};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, ObjectMeta};
use serde_json::{Value, json};

use super::*;
use crate::controllers::sighting::{Item, Kind, Sighting, What, Whole};
use crate::publish::{Outcome, PublishedSecret, Resource};

/// A cluster as far as the state machine sees it: what it writes is kept and told.
struct World {
    state: State,
    now: Instant,
    version: u64,
    /// By namespace and name.
    secrets: BTreeMap<(String, String), Secret>,
    /// Names of Secrets in the order in which they were deleted.
    deleted: Vec<String>,
}

const WALL: &str = "2026-01-01T00:00:00Z";

impl World {
    fn new() -> Self {
        Self::watching(&[])
    }

    /// With these namespaces watched, all for none; namespaces `default` and `edges` exist.
    fn watching(namespaces: &[&str]) -> Self {
        let now = Instant::now();
        let options = Options {
            settings: Settings::cluster("home", "system"),
            watch_namespaces: namespaces.iter().map(ToString::to_string).collect(),
            edge: EdgeSettings {
                image: "edge".to_owned(),
                ..EdgeSettings::default()
            },
            regions: BTreeMap::new(),
            writes: 16,
            may_go: MayGo::default(),
        };
        let mut world = Self {
            state: State::new(options, now),
            now,
            version: 100,
            secrets: BTreeMap::new(),
            deleted: Vec::new(),
        };
        for namespace in ["default", "edges", "system"] {
            world.namespace(namespace);
        }
        world
    }

    fn tell(&mut self, kind: Kind, namespace: Option<&str>, what: What) {
        let source = Source {
            kind,
            namespace: namespace.map(str::to_owned),
        };
        self.state.sighted(Sighting {
            source,
            epoch: 1,
            what,
        });
    }

    fn namespace(&mut self, name: &str) {
        let object = Object::Namespace(name.to_owned(), BTreeMap::new());
        let what = What::Applied(Key::new("", name), Item::Plain(object));
        self.tell(Kind::Namespace, None, what);
    }

    /// Every watch that is wanted has listed what is there, but for those that `fails` says.
    fn list(&mut self, fails: impl Fn(&Source) -> bool) {
        let wanted = self.state.wanted_sources();
        for source in wanted.into_iter().filter(|source| !fails(source)) {
            let mut there = self.state.known.get(&source).cloned().unwrap_or_default();
            if source.kind == Kind::Published {
                there = self.list_published(&source);
            }
            self.tell(source.kind, source.namespace.as_deref(), What::Listed(there));
        }
    }

    fn list_published(&mut self, source: &Source) -> HashSet<Key> {
        let namespace = source.namespace.clone().unwrap_or_default();
        let secrets: Vec<Secret> = self
            .secrets
            .iter()
            .filter(|((n, _), _)| *n == namespace)
            .map(|(_, secret)| secret.clone())
            .collect();
        let mut there = HashSet::new();
        for secret in secrets {
            let key = Key::of(&secret.metadata);
            there.insert(key.clone());
            let item = Item::Published(Box::new(PublishedSecret::read(secret, false)));
            self.tell(Kind::Published, Some(&namespace), What::Applied(key, item));
        }
        there
    }

    fn region(&mut self, namespace: &str) {
        let spec: EdgeRegionSpec =
            serde_json::from_value(json!({"local": {"namespace": namespace}})).unwrap();
        let meta = self.meta("", "fra", 1);
        let region = Item::Region(Ok(Box::new(Whole {
            meta,
            spec,
            status: None,
        })));
        self.tell(Kind::Region, None, What::Applied(Key::new("", "fra"), region));
    }

    fn region_is_deleted(&mut self) {
        let what = What::Deleted(Key::new("", "fra"), String::new());
        self.tell(Kind::Region, None, what);
        for source in self.state.wanted_sources() {
            assert_ne!(source.kind, Kind::Published);
        }
        let watched: Vec<Source> = self.state.listed.iter().cloned().collect();
        for source in watched {
            if source.namespace.as_deref() == Some("edges") {
                self.state.stopped(&source);
            }
        }
    }

    fn meta(&mut self, namespace: &str, name: &str, generation: i64) -> ObjectMeta {
        self.version += 1;
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()).filter(|n| !n.is_empty()),
            uid: Some(format!("uid-of-{name}")),
            generation: Some(generation),
            resource_version: Some(self.version.to_string()),
            ..ObjectMeta::default()
        }
    }

    /// A site with this origin port; its generation is the port, too.
    fn site(&mut self, name: &str, port: u16) {
        let spec = json!({
            "hosts": [format!("{name}.example.com")],
            "origins": [{"name": "app", "addresses": [{"address": "192.0.3.1", "port": port}]}],
        });
        let meta = self.meta("default", name, i64::from(port));
        let site = Item::Site(Ok(Box::new(Whole {
            meta,
            spec: serde_json::from_value(spec).unwrap(),
            status: None,
        })));
        self.tell(Kind::Site, None, What::Applied(Key::new("default", name), site));
    }

    /// Renders, and begins what may be begun.
    fn begin(&mut self) -> Vec<(Task, Write)> {
        self.state
            .render("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap(), self.now);
        std::iter::from_fn(|| self.state.next_write(self.now, WALL)).collect()
    }

    /// What the API server makes of a write.
    fn answer(&mut self, write: &Write) -> Outcome {
        self.version += 1;
        match write {
            Write::Apply {
                resource,
                namespace,
                name,
                body,
            } => {
                let mut object: DynamicObject = serde_json::from_value(body.clone()).unwrap();
                object.metadata.resource_version = Some(self.version.to_string());
                object.metadata.uid = Some(format!("uid-of-{namespace}/{name}"));
                if *resource == Resource::Secret {
                    let secret = object.clone().try_parse().unwrap();
                    self.secrets.insert((namespace.clone(), name.clone()), secret);
                }
                Outcome::Applied(Box::new(object))
            }
            Write::Delete { namespace, name, .. } => {
                if self.secrets.remove(&(namespace.clone(), name.clone())).is_some() {
                    self.deleted.push(name.clone());
                }
                Outcome::Deleted
            }
            Write::Remove { .. } => panic!("nothing foreign is there"),
        }
    }

    fn end(&mut self, task: &Task, outcome: Outcome) {
        self.state.written(task, outcome, self.now, 0.5);
    }

    /// Until nothing is to be written that doesn't wait for its time.
    fn settle(&mut self) {
        for _ in 0..20 {
            let begun = self.begin();
            if begun.is_empty() {
                return;
            }
            for (task, write) in begun {
                let outcome = self.answer(&write);
                self.end(&task, outcome);
            }
        }
        panic!("it goes on writing");
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Namespaces and ports of the only site's Secrets.
    fn published(&self) -> Vec<(&str, bool)> {
        let sites = self
            .secrets
            .iter()
            .filter(|((_, name), _)| name.starts_with("site-"));
        sites
            .map(|((namespace, _), secret)| {
                let data = secret.data.as_ref().unwrap();
                let document: Value = serde_json::from_slice(&data["breakwater.json"].0).unwrap();
                (namespace.as_str(), document.to_string().contains("8002"))
            })
            .collect()
    }
}

fn running() -> World {
    let mut world = World::new();
    world.region("edges");
    world.site("a", 8001);
    world.list(|_| false);
    world.settle();
    world
}

fn is_secret(write: &(Task, Write)) -> bool {
    matches!(write.0, Task::Secret(_))
}

#[test]
fn what_changes_while_it_is_being_written_is_written_after_it() {
    let mut world = running();
    world.site("a", 8003);
    let begun = world.begin();
    let (task, write) = begun.into_iter().find(is_secret).unwrap();
    world.site("a", 8002);
    world.begin();
    let outcome = world.answer(&write);
    world.end(&task, outcome);
    assert_eq!(world.published(), [("edges", false)]);
    world.settle();
    assert_eq!(world.published(), [("edges", true)]);
}

#[test]
fn what_is_changed_back_before_its_turn_is_not_written() {
    let mut world = running();
    world.site("a", 8002);
    world
        .state
        .render("2026-01-01T00:00:00Z".parse().unwrap(), world.now);
    world.site("a", 8001);
    assert!(!world.begin().iter().any(is_secret));
    assert_eq!(world.published(), [("edges", false)]);
}

#[test]
fn a_region_that_comes_back_takes_nothing_away_and_gets_what_changed() {
    let mut world = running();
    world.site("b", 8001);
    world.settle();
    let before = world.secrets.clone();
    world.region_is_deleted();
    world.settle();
    world.site("a", 8002);
    world.settle();
    assert_eq!(world.secrets, before, "nothing is written without a region");
    world.region("edges");
    world.settle();
    assert_eq!(world.secrets, before, "nothing is written before all is listed");
    world.list(|_| false);
    world.settle();
    world.wait(Duration::from_secs(1));
    world.settle();
    assert_eq!(world.deleted, [""; 0]);
    let changed = world
        .secrets
        .iter()
        .filter(|(name, secret)| before.get(*name) != Some(*secret));
    let changed: Vec<_> = changed.map(|(_, secret)| secret).collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(
        world.published().iter().filter(|(_, changed)| *changed).count(),
        1
    );
}

#[test]
fn a_region_that_moves_is_published_where_it_is_then() {
    let mut world = running();
    world.namespace("elsewhere");
    world.region("elsewhere");
    world.list(|_| false);
    world.settle();
    assert_eq!(world.published(), [("edges", false), ("elsewhere", false)]);
}

#[test]
fn a_namespace_that_isnt_there_is_not_waited_for_but_one_that_cant_be_read_is() {
    let mut world = World::watching(&["default", "gone"]);
    world.list(|source| source.namespace.as_deref() == Some("gone"));
    assert_eq!(world.state.waiting(), BTreeSet::new());

    let mut world = World::watching(&["default", "edges"]);
    let fails = |source: &Source| source.kind == Kind::Site && source.namespace.as_deref() == Some("edges");
    world.list(fails);
    world.tell(
        Kind::Site,
        Some("edges"),
        What::Failing("it is forbidden".to_owned()),
    );
    let waits: Vec<String> = world.state.waiting().into_iter().collect();
    assert_eq!(waits, ["Site in edges (it is forbidden)"]);
    assert!(world.begin().is_empty());
}

#[test]
fn a_refusal_is_told_as_long_as_it_lasts_whatever_else_succeeds() {
    let mut world = running();
    world.site("a", 8002);
    world.site("b", 8001);
    let begun: Vec<_> = world.begin().into_iter().filter(is_secret).collect();
    assert_eq!(begun.len(), 2);
    let (refused, written) = (&begun[0], &begun[1]);
    world.end(&refused.0, Outcome::Refused("no room".to_owned()));
    let outcome = world.answer(&written.1);
    world.end(&written.0, outcome);
    assert_eq!(world.state.regions["fra"].refusal(), Some("no room"));
    world.wait(Duration::from_secs(1));
    world.settle();
    assert_eq!(world.state.regions["fra"].refusal(), None);
}

#[test]
fn a_status_is_not_written_before_what_it_is_about() {
    let mut world = World::new();
    world.region("edges");
    world.site("a", 8001);
    world.list(|_| false);
    let pod = Item::EdgePod(crate::controllers::sighting::EdgePod {
        uid: "u".to_owned(),
        live: true,
        ..Default::default()
    });
    world.tell(
        Kind::EdgePod,
        Some("edges"),
        What::Applied(Key::new("edges", "edge"), pod),
    );
    let site = Task::Status(StatusOf::Site(Name::new("default", "a")));
    let begun = world.begin();
    let secret = begun
        .into_iter()
        .find(|(task, _)| matches!(task, Task::Secret(p) if p.secret.starts_with("site-")));
    let (task, write) = secret.unwrap();
    world.wait(Duration::from_secs(5));
    assert!(
        !world.begin().iter().any(|(task, _)| *task == site),
        "before its Secret"
    );
    let outcome = world.answer(&write);
    world.end(&task, outcome);
    assert!(
        !world.begin().iter().any(|(task, _)| *task == site),
        "before an edge can have it"
    );
    world.wait(Duration::from_secs(1));
    assert!(world.begin().iter().any(|(task, _)| *task == site));
}

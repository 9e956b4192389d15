//! Reads a case.

use std::path::Path;

use breakwater_render::object::Invalid;
use breakwater_render::schema::{self, Verdict};
use breakwater_render::{HostGrant, Key, Name, Object, PolicyKey, PolicyKind, Settings};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::testdata;

/// What happens between two renderings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    pub(crate) title: String,
    pub(crate) now: Option<Timestamp>,
    pub(crate) actions: Vec<Action>,
    /// Refused by the schema, or not ours.
    pub(crate) said: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    Apply(Box<Object>),
    Remove(Key),
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) settings: Settings,
    pub(crate) steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", deny_unknown_fields)]
enum Directive {
    Settings {
        #[serde(rename = "apiVersion")]
        _api: String,
        #[serde(default)]
        settings: SettingsIn,
    },
    Step {
        #[serde(rename = "apiVersion")]
        _api: String,
        title: String,
        now: Option<Timestamp>,
    },
    Remove {
        #[serde(rename = "apiVersion")]
        _api: String,
        of: String,
        name: String,
    },
    Listed {
        #[serde(rename = "apiVersion")]
        _api: String,
        namespace: String,
    },
    Unreadable {
        #[serde(rename = "apiVersion")]
        _api: String,
        of: String,
        metadata: Value,
        spec: Option<Value>,
    },
    Unchecked {
        #[serde(rename = "apiVersion")]
        _api: String,
        of: String,
        metadata: Box<ObjectMeta>,
        spec: Value,
    },
    Absent {
        #[serde(rename = "apiVersion")]
        _api: String,
        name: String,
    },
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SettingsIn {
    cluster: bool,
    standalone: bool,
    allow_origin_cidrs: Vec<String>,
    pod_cidrs: Vec<String>,
    service_cidrs: Vec<String>,
    deny_origin_cidrs: Vec<String>,
    host_grants: Vec<GrantIn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantIn {
    namespaces: Vec<String>,
    suffixes: Vec<String>,
}

impl SettingsIn {
    fn settings(self) -> Settings {
        let mut settings = match (self.cluster, self.standalone) {
            (true, _) => Settings::cluster("home", "breakwater-system"),
            (_, true) => Settings::standalone(8443),
            _ => Settings::files("home", "breakwater-system"),
        };
        let nets = |list: Vec<String>| list.iter().map(|net| net.parse().unwrap()).collect::<Vec<_>>();
        // Examples use the networks that are set aside for documentation.
        settings.allow_origin_cidrs = nets(self.allow_origin_cidrs);
        settings
            .allow_origin_cidrs
            .extend(nets(vec!["192.0.2.0/24".to_owned(), "2001:db8::/32".to_owned()]));
        settings.pod_cidrs = nets(self.pod_cidrs);
        settings.service_cidrs = nets(self.service_cidrs);
        settings.deny_origin_cidrs = nets(self.deny_origin_cidrs);
        settings.host_grants = self
            .host_grants
            .into_iter()
            .map(|grant| HostGrant {
                namespaces: grant.namespaces,
                suffixes: grant.suffixes,
            })
            .collect();
        settings
    }
}

impl Case {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        Self::parse(&with_files(&text))
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut case = Self {
            settings: SettingsIn::default().settings(),
            steps: vec![Step::default()],
        };
        for part in text.split("\n---\n") {
            if part.lines().any(|line| line == "apiVersion: golden") {
                let directive: Directive =
                    serde_saphyr::from_str(part).unwrap_or_else(|e| panic!("{part}\n{e}"));
                case.direct(directive);
            } else {
                case.read_documents(part);
            }
        }
        case
    }

    fn direct(&mut self, directive: Directive) {
        match directive {
            Directive::Settings { settings, .. } => self.settings = settings.settings(),
            Directive::Step { title, now, .. } => self.steps.push(Step {
                title,
                now,
                ..Step::default()
            }),
            Directive::Remove { of, name, .. } => self.act(Action::Remove(key(&of, &name))),
            Directive::Listed { namespace, .. } => {
                self.act(Action::Apply(Box::new(Object::NamespaceListed(namespace))));
            }
            Directive::Unreadable {
                of, metadata, spec, ..
            } => {
                let object = json!({"kind": of, "metadata": metadata, "spec": spec});
                let invalid = Invalid::from_value(&object, "spec.hosts: this build can't read it").unwrap();
                self.act(Action::Apply(Box::new(Object::Invalid(invalid))));
            }
            Directive::Unchecked {
                of, metadata, spec, ..
            } => self.act(Action::Apply(Box::new(unchecked(&of, &metadata, spec)))),
            Directive::Absent { name, .. } => {
                self.act(Action::Apply(Box::new(Object::SecretAbsent(qualified(&name)))));
            }
        }
    }

    fn act(&mut self, action: Action) {
        self.steps.last_mut().unwrap().actions.push(action);
    }

    fn read_documents(&mut self, text: &str) {
        for document in schema::read(text, "default") {
            let what = format!("{} {}", document.kind, document.name);
            let said = match document.verdict {
                Verdict::Object(object) => {
                    self.act(Action::Apply(object));
                    continue;
                }
                Verdict::Ignored(why) => format!("{what}: ignored: {why}"),
                Verdict::Refused(refusal) => format!("{what}: refused: {refusal}"),
                Verdict::Malformed { line, problem, .. } => format!("malformed at line {line}: {problem}"),
            };
            self.steps.last_mut().unwrap().said.push(said);
        }
    }
}

fn with_files(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$(") {
        let (name, after) = after.split_once(')').unwrap();
        let contents = std::fs::read_to_string(testdata().join("pairs").join(name)).unwrap();
        out.push_str(before);
        out.push_str(&serde_json::to_string(&contents).unwrap());
        rest = after;
    }
    out + rest
}

/// An object as its types read it.
fn unchecked(kind: &str, metadata: &ObjectMeta, spec: Value) -> Object {
    fn of<T: DeserializeOwned>(spec: Value) -> T {
        serde_json::from_value(spec).unwrap()
    }
    let meta = metadata.into();
    match kind {
        "EdgeSite" => Object::EdgeSite(meta, Box::new(of(spec))),
        "RateRule" => Object::RateRule(meta, Box::new(of(spec))),
        "CachePolicy" => Object::CachePolicy(meta, Box::new(of(spec))),
        other => panic!("{other}"),
    }
}

fn qualified(name: &str) -> Name {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    Name::new(namespace, name)
}

fn key(kind: &str, name: &str) -> Key {
    let policy = |kind| {
        Key::Policy(PolicyKey {
            kind,
            name: qualified(name),
        })
    };
    match kind {
        "EdgeSite" => Key::EdgeSite(qualified(name)),
        "RateRule" => policy(PolicyKind::RateRule),
        "CachePolicy" => policy(PolicyKind::CachePolicy),
        "EdgeRegion" => Key::EdgeRegion(name.to_owned()),
        "Namespace" => Key::Namespace(name.to_owned()),
        "Node" => Key::Node(name.to_owned()),
        "ServiceCIDR" => Key::ServiceCidr(name.to_owned()),
        "Service" => Key::Service(qualified(name)),
        "EndpointSlice" => Key::EndpointSlice(qualified(name)),
        "Pod" => Key::Pod(qualified(name)),
        "Secret" => Key::Secret(qualified(name)),
        other => panic!("{other}"),
    }
}

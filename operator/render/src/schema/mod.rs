//! The verdict on manifests that never saw a cluster: what the API server would refuse, and with which words.
//!
//! In: the text of a file. Out: its documents, each an [`Object`] for the index, a refusal, or a note that it
//! isn't ours. The whole schema of the `CustomResourceDefinition`s is applied, in the API server's order:
//! unknown fields (as `kubectl apply` asks for them to be refused), nulls, defaults, types and bounds, then the
//! CEL rules. No message ever shows the contents of a Secret.

mod load;
mod normalize;
mod structural;
mod yaml;

use std::fmt;
use std::sync::OnceLock;

use kube_cel::{CompiledSchema, ErrorKind, Validator};
use serde_json::Value;

use crate::key::{Key, Name};
use crate::object::Object;

/// A document of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// Line at which it begins, from 1.
    pub line: usize,
    /// `kind`, empty where it has none.
    pub kind: String,
    /// Namespace and name, as far as they can be read.
    pub name: Name,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a document.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is in order, as far as it can be told without other objects.
    Object(Box<Object>),
    /// It is no kind that render looks at.
    Ignored(String),
    /// The API server would refuse it.
    Refused(Refusal),
    /// It can't be read at all.
    Malformed {
        /// Line in the file, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        problem: String,
    },
}

/// Why an object is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The object, where it is one of our kinds and has a name: applying it as
    /// [`Invalid`](crate::object::Invalid) keeps what was published of it.
    pub key: Option<Key>,
    /// Each with the path of its field.
    pub problems: Vec<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("; "))
    }
}

/// Reads every document of a file. One that is broken doesn't keep the others from being read.
/// `default_namespace` is for objects that name none.
pub fn read(text: &str, default_namespace: &str) -> Vec<Document> {
    let mut documents = Vec::new();
    for (line, part) in yaml::documents(text) {
        match yaml::parse(part, line) {
            Ok(None) => {}
            Ok(Some(value)) => {
                for value in load::items(value) {
                    documents.push(document(line, value, default_namespace));
                }
            }
            Err((at, column, problem)) => documents.push(Document {
                line,
                kind: String::new(),
                name: Name::new("", ""),
                verdict: Verdict::Malformed {
                    line: at,
                    column,
                    problem,
                },
            }),
        }
    }
    documents
}

fn document(line: usize, mut value: Value, default_namespace: &str) -> Document {
    let kind = load::text(&value, "/kind");
    load::default_namespace(&mut value, default_namespace);
    let name = Name::new(
        load::text(&value, "/metadata/namespace"),
        load::text(&value, "/metadata/name"),
    );
    Document {
        line,
        verdict: load::verdict(value),
        kind,
        name,
    }
}

/// A kind's schema, ready to use.
struct Kind {
    name: String,
    namespaced: bool,
    schema: Value,
    rules: CompiledSchema,
}

/// Compiled once a process.
fn kinds() -> &'static [Kind] {
    static KINDS: OnceLock<Vec<Kind>> = OnceLock::new();
    KINDS.get_or_init(|| {
        breakwater_crds::all()
            .into_iter()
            .filter_map(|crd| {
                let version = crd
                    .spec
                    .versions
                    .into_iter()
                    .find(|v| v.name == breakwater_crds::VERSION)?;
                let schema = serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?;
                Some(Kind {
                    name: crd.spec.names.kind,
                    namespaced: crd.spec.scope == "Namespaced",
                    rules: kube_cel::compile_schema(&schema),
                    schema,
                })
            })
            .collect()
    })
}

/// What the API server makes of an object of one of our kinds: with its defaults, or refused.
pub(crate) fn admit(kind: &str, mut object: Value) -> Result<Value, Vec<String>> {
    let Some(kind) = kinds().iter().find(|k| k.name == kind) else {
        return Err(vec![format!(
            "no matches for kind {kind:?} in group {}",
            breakwater_crds::GROUP
        )]);
    };
    let unknown = normalize::unknown_fields(&kind.schema, &object);
    if !unknown.is_empty() {
        return Err(unknown
            .into_iter()
            .map(|path| format!("unknown field {path:?}"))
            .collect());
    }
    // The status is a subresource: what a file says of it is dropped.
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    normalize::drop_nulls(&kind.schema, &mut object);
    let object = kube_cel::apply_defaults(&kind.schema, &object);
    let mut problems = normalize::metadata(&object);
    let (schema_problems, blocking) = structural::validate(&kind.schema, &object);
    problems.extend(schema_problems);
    // The API server leaves the rules out as well when the object doesn't have the form that they rely on.
    if !blocking {
        problems.extend(rules(kind, &object));
    }
    if problems.is_empty() {
        Ok(object)
    } else {
        Err(problems)
    }
}

fn rules(kind: &Kind, object: &Value) -> Vec<String> {
    let Err(errors) = Validator::new().validate_compiled(&kind.rules, object, None) else {
        return Vec::new();
    };
    errors
        .into_iter()
        .map(|error| match error.kind {
            ErrorKind::ValidationFailure if error.field_path.is_empty() => error.message,
            ErrorKind::ValidationFailure => format!("{}: {}", error.field_path, error.message),
            _ => format!(
                "{}: the rule {:?} can't be evaluated: {}",
                error.field_path, error.rule, error.message
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_every_kind_compiles_here() {
        fn walk(schema: &CompiledSchema, rules: &mut usize) {
            for rule in &schema.validations {
                assert!(rule.is_ok(), "{rule:?}");
                *rules += 1;
            }
            for child in schema.properties.values() {
                walk(child, rules);
            }
            for child in schema.items.iter().chain(&schema.additional_properties) {
                walk(child, rules);
            }
        }
        let mut rules = 0;
        for kind in kinds() {
            walk(&kind.rules, &mut rules);
        }
        assert!(rules > 40, "{rules}");
    }
}

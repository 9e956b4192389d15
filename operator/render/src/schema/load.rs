//! From a document's value to an object.

use std::collections::BTreeMap;

use breakwater_crds as crds;
use k8s_openapi::ByteString;
use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery, networking::v1 as networking};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Refusal, Verdict, admit, kinds};
use crate::key::Name;
use crate::object::{Invalid, Object, Secret, USE_LABEL};

pub(super) fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// The items of a `List`, else the value itself.
pub(super) fn items(value: Value) -> Vec<Value> {
    let is_list = text(&value, "/kind") == "List" && text(&value, "/apiVersion") == "v1";
    match value.get("items") {
        Some(Value::Array(items)) if is_list => items.clone(),
        _ => vec![value],
    }
}

/// Kinds without namespace among those that we look at and aren't ours.
const CLUSTER_SCOPED: [&str; 3] = ["Namespace", "Node", "ServiceCIDR"];

pub(super) fn default_namespace(value: &mut Value, namespace: &str) {
    let kind = text(value, "/kind");
    let namespaced = match kinds().iter().find(|k| k.name == kind) {
        Some(ours) => ours.namespaced,
        None => !CLUSTER_SCOPED.contains(&kind.as_str()),
    };
    let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    if !namespaced {
        metadata.remove("namespace");
    } else if metadata
        .get("namespace")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        metadata.insert("namespace".to_owned(), Value::String(namespace.to_owned()));
    }
}

fn refuse(problem: impl Into<String>) -> Verdict {
    Verdict::Refused(Refusal {
        key: None,
        problems: vec![problem.into()],
    })
}

pub(super) fn verdict(value: Value) -> Verdict {
    if !value.is_object() {
        return refuse("it is no object: a manifest has apiVersion, kind and metadata");
    }
    let (version, kind) = (text(&value, "/apiVersion"), text(&value, "/kind"));
    if version.is_empty() || kind.is_empty() {
        return refuse("it is no manifest: apiVersion or kind is missing");
    }
    match (version.as_str(), kind.as_str()) {
        ("v1", "Secret") => secret(&value),
        ("v1", "Namespace") => plain::<core::Namespace>(value, |object| object.into()),
        ("v1", "Node") => plain::<core::Node>(value, |object| object.into()),
        ("v1", "Service") => plain::<core::Service>(value, |object| object.into()),
        ("v1", "Pod") => plain::<core::Pod>(value, |object| object.into()),
        ("discovery.k8s.io/v1", "EndpointSlice") => {
            plain::<discovery::EndpointSlice>(value, |object| object.into())
        }
        ("networking.k8s.io/v1", "ServiceCIDR") => {
            plain::<networking::ServiceCIDR>(value, |object| object.into())
        }
        (version, _)
            if version
                .split_once('/')
                .is_some_and(|(group, _)| group == crds::GROUP) =>
        {
            ours(version, &kind, value)
        }
        (version, kind) => Verdict::Ignored(format!("{kind} of {version} is no kind that sites are made of")),
    }
}

fn plain<T: DeserializeOwned>(value: Value, convert: impl Fn(&T) -> Object) -> Verdict {
    let kind = text(&value, "/kind");
    match serde_json::from_value::<T>(value) {
        Ok(object) => Verdict::Object(Box::new(convert(&object))),
        Err(error) => refuse(format!("it is no {kind}: {error}")),
    }
}

/// Read by hand: a parser's message would quote what it stumbled over.
fn secret(value: &Value) -> Verdict {
    let mut data = BTreeMap::new();
    let mut problems = Vec::new();
    let entries = |field: &str| value.get(field).and_then(Value::as_object).into_iter().flatten();
    for (key, value) in entries("data") {
        match serde_json::from_value::<ByteString>(value.clone()) {
            Ok(bytes) => {
                data.insert(key.clone(), bytes.0);
            }
            Err(_) => problems.push(format!(
                "data.{key}: it is not base64; plain text belongs to stringData"
            )),
        }
    }
    for (key, value) in entries("stringData") {
        match value.as_str() {
            Some(text) => {
                data.insert(key.clone(), text.as_bytes().to_vec());
            }
            None => problems.push(format!("stringData.{key}: it is not a string")),
        }
    }
    let name = Name::new(text(value, "/metadata/namespace"), text(value, "/metadata/name"));
    if name.name.is_empty() {
        problems.push("metadata.name: Required value: name or generateName is required".to_owned());
    }
    if !problems.is_empty() {
        return Verdict::Refused(Refusal { key: None, problems });
    }
    let kind = text(value, "/type");
    let label = value
        .pointer("/metadata/labels")
        .and_then(|labels| labels.get(USE_LABEL));
    Verdict::Object(Box::new(Object::Secret(Secret {
        name,
        kind: if kind.is_empty() {
            "Opaque".to_owned()
        } else {
            kind
        },
        usable: label.and_then(Value::as_str) == Some("true"),
        data,
    })))
}

fn ours(version: &str, kind: &str, value: Value) -> Verdict {
    if version != format!("{}/{}", crds::GROUP, crds::VERSION) {
        return refuse(format!("no matches for kind {kind:?} in version {version:?}"));
    }
    let key = Invalid::from_value(&value, "").map(|invalid| invalid.key);
    let refused = |problems| Verdict::Refused(Refusal { key, problems });
    let object = match admit(kind, value) {
        Ok(object) => object,
        Err(problems) => return refused(problems),
    };
    let typed = match kind {
        "EdgeSite" => serde_json::from_value::<crds::EdgeSite>(object).map(Object::from),
        "CachePolicy" => serde_json::from_value::<crds::CachePolicy>(object).map(Object::from),
        "RateRule" => serde_json::from_value::<crds::RateRule>(object).map(Object::from),
        "EdgeRegion" => serde_json::from_value::<crds::EdgeRegion>(object).map(Object::from),
        _ => return Verdict::Ignored(format!("{kind} is written by edges")),
    };
    match typed {
        Ok(object) => Verdict::Object(Box::new(object)),
        Err(error) => refused(vec![error.to_string()]),
    }
}

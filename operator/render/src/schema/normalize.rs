//! What the API server does before it validates: unknown fields, nulls, metadata.

use serde_json::{Map, Value};

/// Fields of `metadata` that people write or that a cluster wrote.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Paths of the fields that the schema doesn't know, in order.
pub(super) fn unknown_fields(schema: &Value, object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let Some(fields) = object.as_object() else {
        return found;
    };
    for (name, value) in fields {
        match name.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => {
                let unknown = value.as_object().into_iter().flat_map(Map::keys);
                let unknown = unknown.filter(|name| !METADATA.contains(&name.as_str()));
                found.extend(unknown.map(|name| format!("metadata.{name}")));
            }
            _ => match schema.pointer("/properties").and_then(|p| p.get(name)) {
                Some(schema) => walk(schema, value, name, &mut found),
                None => found.push(name.clone()),
            },
        }
    }
    found
}

fn walk(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let known = schema.get("properties");
            let others = schema
                .get("additionalProperties")
                .filter(|others| others.is_object());
            let any = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match known.and_then(|known| known.get(name)).or(others) {
                    Some(schema) => walk(schema, value, &path, found),
                    None if any || schema.get("type").and_then(Value::as_str) != Some("object") => {}
                    None => found.push(path),
                }
            }
        }
        Value::Array(list) => {
            let Some(schema) = schema.get("items") else { return };
            for (i, value) in list.iter().enumerate() {
                walk(schema, value, &format!("{path}[{i}]"), found);
            }
        }
        _ => {}
    }
}

/// A null stands for a field that isn't given, where the schema has no use for null.
pub(super) fn drop_nulls(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let known = schema.get("properties");
            let others = schema
                .get("additionalProperties")
                .filter(|others| others.is_object());
            let schema_of = |name: &String| known.and_then(|known| known.get(name)).or(others);
            fields.retain(|name, value| {
                let nullable =
                    schema_of(name).is_none_or(|schema| schema.get("nullable") == Some(&Value::Bool(true)));
                !value.is_null() || nullable
            });
            for (name, value) in fields.iter_mut() {
                if let Some(schema) = schema_of(name) {
                    drop_nulls(schema, value);
                }
            }
        }
        Value::Array(list) => {
            let Some(schema) = schema.get("items") else { return };
            for value in list {
                drop_nulls(schema, value);
            }
        }
        _ => {}
    }
}

/// What is wrong with the name and the namespace.
pub(super) fn metadata(object: &Value) -> Vec<String> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let mut problems = Vec::new();
    match text("/metadata/name") {
        None | Some("") => {
            problems.push("metadata.name: Required value: name or generateName is required".to_owned());
        }
        Some(name) if !is_subdomain(name) => problems.push(format!(
            "metadata.name: Invalid value: {name:?}: a lowercase RFC 1123 subdomain must consist of lower case \
             alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
        )),
        Some(_) => {}
    }
    if let Some(namespace) = text("/metadata/namespace").filter(|text| !is_label(text)) {
        problems.push(format!(
            "metadata.namespace: Invalid value: {namespace:?}: it is not an RFC 1123 label"
        ));
    }
    problems
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_form_of_label)
}

fn is_label(name: &str) -> bool {
    name.len() <= 63 && is_form_of_label(name)
}

fn is_form_of_label(label: &str) -> bool {
    !label.is_empty()
        && label
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

//! A page of documentation for each kind, made from its schema.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};

/// File name of a kind's page: `edgesite.md`.
pub fn reference_file_name(crd: &CustomResourceDefinition) -> String {
    format!(
        "{}.md",
        crd.spec
            .names
            .singular
            .as_deref()
            .unwrap_or(&crd.spec.names.plural)
    )
}

/// A kind's page, Markdown: every field with its type, bounds, default and meaning, then the rules.
pub fn reference(crd: &CustomResourceDefinition) -> String {
    let schema = crd
        .spec
        .versions
        .iter()
        .find(|version| version.name == crate::VERSION)
        .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref())
        .and_then(|schema| serde_json::to_value(schema).ok())
        .unwrap_or_default();
    let names = &crd.spec.names;
    let short = names
        .short_names
        .iter()
        .flatten()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>();
    let mut page = format!(
        "<!-- Made by `make crds` from the types in crds/src. Don't edit. -->\n# {kind}\n\n{about}\n\n\
         `{group}/{version}`, {scope}; `kubectl get {plural}`{short}. Fields with * are required.\n",
        kind = names.kind,
        about = text(&schema, "description"),
        group = crate::GROUP,
        version = crate::VERSION,
        scope = if crd.spec.scope == "Namespaced" {
            "in a namespace"
        } else {
            "cluster-wide"
        },
        plural = names.plural,
        short = if short.is_empty() {
            String::new()
        } else {
            format!(", short {}", short.join(", "))
        },
    );
    for part in ["spec", "status"] {
        let Some(schema) = schema.pointer(&format!("/properties/{part}")) else {
            continue;
        };
        let mut rows = Vec::new();
        let mut rules = Vec::new();
        walk(part, schema, &mut rows, &mut rules);
        let _ = write!(
            page,
            "\n## {part}\n\n| field | type | default | meaning |\n|---|---|---|---|\n"
        );
        page.extend(rows);
        if !rules.is_empty() {
            let _ = write!(page, "\nWhat is refused besides, and what is said then:\n\n");
            page.extend(rules);
        }
    }
    page
}

fn text<'a>(schema: &'a Value, field: &str) -> &'a str {
    schema.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn walk(path: &str, schema: &Value, rows: &mut Vec<String>, rules: &mut Vec<String>) {
    for rule in schema
        .get("x-kubernetes-validations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        rules.push(format!("- `{path}`: {}\n", cell(text(rule, "message"))));
    }
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, field) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
    {
        let mark = if required.contains(&name.as_str()) {
            "*"
        } else {
            ""
        };
        let field_path = format!("{path}.{name}");
        rows.push(format!(
            "| `{field_path}`{mark} | {} | {} | {} |\n",
            form(field),
            field
                .get("default")
                .map(|default| format!("`{default}`"))
                .unwrap_or_default(),
            cell(text(field, "description")),
        ));
        walk(&field_path, field, rows, rules);
    }
    if let Some(items) = schema.get("items") {
        walk(&format!("{path}[]"), items, rows, rules);
    }
    if let Some(values) = schema
        .get("additionalProperties")
        .filter(|values| values.is_object())
    {
        walk(&format!("{path}.KEY"), values, rows, rules);
    }
}

/// A type with its bounds, for people.
fn form(schema: &Value) -> String {
    let number = |field: &str| {
        schema
            .get(field)
            .and_then(Value::as_f64)
            .filter(|number| *number != 0.0)
    };
    let range = |low: &str, high: &str| match (number(low), number(high)) {
        (None, None) => String::new(),
        (None, Some(high)) => format!(", at most {high}"),
        (Some(low), None) => format!(", at least {low}"),
        (Some(low), Some(high)) if (high - low).abs() < 0.5 => format!(", {low}"),
        (Some(low), Some(high)) => format!(", {low} to {high}"),
    };
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let values: Vec<String> = values
            .iter()
            .map(|value| format!("`{}`", value.as_str().unwrap_or_default()))
            .collect();
        return values.join(", ");
    }
    match text(schema, "type") {
        "array" => {
            let items = schema.get("items").map(form).unwrap_or_default();
            format!("list of {items}{}", range("minItems", "maxItems"))
        }
        "object" if schema.get("additionalProperties").is_some() => {
            format!("map{}", range("minProperties", "maxProperties"))
        }
        "string" => format!("string{}", range("minLength", "maxLength")),
        "integer" => format!("integer{}", range("minimum", "maximum")),
        "" => "any".to_owned(),
        other => other.to_owned(),
    }
}

fn cell(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

//! Types, bounds, patterns and enumerations, in the words of the API server.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use regex_lite::Regex;
use serde_json::{Map, Value};

/// Validates; true when the object's form is so far off that its rules can't be evaluated.
pub(super) fn validate(schema: &Value, object: &Value) -> (Vec<String>, bool) {
    let mut walk = Walk::default();
    if let (Some(properties), Some(fields)) = (
        schema.get("properties").and_then(Value::as_object),
        object.as_object(),
    ) {
        walk.required(schema, fields, "");
        for (name, schema) in properties {
            if let Some(value) = fields.get(name).filter(|_| name != "metadata") {
                walk.value(schema, value, name);
            }
        }
    }
    (walk.problems, walk.blocking)
}

#[derive(Default)]
struct Walk {
    problems: Vec<String>,
    blocking: bool,
}

impl Walk {
    fn block(&mut self, path: &str, problem: impl std::fmt::Display) {
        self.blocking = true;
        self.tell(path, problem);
    }

    fn tell(&mut self, path: &str, problem: impl std::fmt::Display) {
        self.problems.push(format!("{path}: {problem}"));
    }

    fn value(&mut self, schema: &Value, value: &Value, path: &str) {
        if !self.is_of_type(schema, value, path) {
            return;
        }
        let allowed = schema.get("enum").and_then(Value::as_array);
        if let Some(allowed) = allowed.filter(|allowed| !allowed.contains(value)) {
            let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
            let allowed = allowed.join(", ");
            self.block(
                path,
                format_args!("Unsupported value: {value}: supported values: {allowed}"),
            );
        }
        match value {
            Value::String(text) => self.string(schema, text, path),
            Value::Number(_) => self.number(schema, value, path),
            Value::Array(list) => self.array(schema, list, path),
            Value::Object(fields) => self.object(schema, fields, path),
            _ => {}
        }
    }

    fn is_of_type(&mut self, schema: &Value, value: &Value, path: &str) -> bool {
        let Some(wanted) = schema.get("type").and_then(Value::as_str) else {
            return true;
        };
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() && number.as_f64().is_some_and(|n| n.fract() != 0.0) => {
                "number"
            }
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if found == wanted || (wanted == "number" && found == "integer") {
            return true;
        }
        self.block(
            path,
            format_args!("Invalid value: {found:?}: {path} in body must be of type {wanted}: {found:?}"),
        );
        false
    }

    fn string(&mut self, schema: &Value, text: &str, path: &str) {
        let length = text.chars().count() as u64;
        if let Some(max) = limit(schema, "maxLength").filter(|max| length > *max) {
            self.block(path, format_args!("Too long: may not be more than {max} bytes"));
        }
        if let Some(min) = limit(schema, "minLength").filter(|min| length < *min) {
            self.tell(
                path,
                format_args!("Invalid value: {text:?}: {path} in body should be at least {min} chars long"),
            );
        }
        let pattern = schema.get("pattern").and_then(Value::as_str);
        if let Some(pattern) = pattern.filter(|pattern| !is_match(pattern, text)) {
            self.tell(
                path,
                format_args!("Invalid value: {text:?}: {path} in body should match '{pattern}'"),
            );
        }
    }

    fn number(&mut self, schema: &Value, value: &Value, path: &str) {
        let number = value.as_f64().unwrap_or_default();
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        if let Some(max) = bound("maximum").filter(|max| number > *max) {
            self.tell(
                path,
                format_args!("Invalid value: {value}: {path} in body should be less than or equal to {max}"),
            );
        }
        if let Some(min) = bound("minimum").filter(|min| number < *min) {
            self.tell(
                path,
                format_args!(
                    "Invalid value: {value}: {path} in body should be greater than or equal to {min}"
                ),
            );
        }
    }

    fn array(&mut self, schema: &Value, list: &[Value], path: &str) {
        let length = list.len() as u64;
        if let Some(max) = limit(schema, "maxItems").filter(|max| length > *max) {
            self.block(
                path,
                format_args!("Too many: {length}: must have at most {max} items"),
            );
        }
        if let Some(min) = limit(schema, "minItems").filter(|min| length < *min) {
            self.tell(
                path,
                format_args!("Invalid value: {length}: {path} in body should have at least {min} items"),
            );
        }
        if let Some(items) = schema.get("items") {
            for (i, value) in list.iter().enumerate() {
                self.value(items, value, &format!("{path}[{i}]"));
            }
        }
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>, path: &str) {
        self.required(schema, fields, path);
        let length = fields.len() as u64;
        if let Some(max) = limit(schema, "maxProperties").filter(|max| length > *max) {
            self.block(
                path,
                format_args!("Too many: {length}: must have at most {max} items"),
            );
        }
        let known = schema.get("properties");
        let others = schema
            .get("additionalProperties")
            .filter(|others| others.is_object());
        for (name, value) in fields {
            if let Some(schema) = known.and_then(|known| known.get(name)).or(others) {
                self.value(schema, value, &format!("{path}.{name}"));
            }
        }
    }

    fn required(&mut self, schema: &Value, fields: &Map<String, Value>, path: &str) {
        let required = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for name in required
            .filter_map(Value::as_str)
            .filter(|name| !fields.contains_key(*name))
        {
            let path = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            self.block(&path, "Required value");
        }
    }
}

fn limit(schema: &Value, name: &str) -> Option<u64> {
    schema.get(name).and_then(Value::as_u64)
}

/// Patterns come from our own schemas: few, and compiled once. One that doesn't compile lets nothing pass.
fn is_match(pattern: &str, text: &str) -> bool {
    static PATTERNS: OnceLock<Mutex<HashMap<String, Option<Regex>>>> = OnceLock::new();
    let mut patterns = PATTERNS
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let compiled = patterns
        .entry(pattern.to_owned())
        .or_insert_with(|| Regex::new(pattern).ok());
    compiled.as_ref().is_some_and(|regex| regex.is_match(text))
}

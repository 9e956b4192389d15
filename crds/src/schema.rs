//! From the schemas that the types give to ones that suit Kubernetes.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
    JSONSchemaPropsOrBool,
};
use serde_json::{Value, json};

/// CEL rules as the `x-kubernetes-validations` of a schema: pairs of rule and message. A message says what to
/// do; the render crate tells the same text.
pub(crate) fn rules(pairs: &[(&str, &str)]) -> Value {
    pairs
        .iter()
        .map(|(rule, message)| json!({"rule": rule, "message": message}))
        .collect()
}

/// What Kubernetes asks of a structural schema, and what makes its objects pleasant:
/// - unknown fields are its own business (strict field validation), so `additionalProperties: false` goes;
/// - Rust's integer formats become bounds;
/// - a field is left out, never null;
/// - only scalar defaults are written into people's objects, and no `false`;
/// - an object that is not yet looked at says so in its status.
pub(crate) fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|v| v.open_api_v3_schema.as_mut())
        {
            walk(schema);
            describe(schema);
            pending_status(schema);
        }
        version
            .additional_printer_columns
            .get_or_insert_default()
            .push(age_column());
    }
    crd
}

/// `kubectl explain KIND` shows what the kind is for.
fn describe(schema: &mut JSONSchemaProps) {
    let spec = schema
        .properties
        .as_ref()
        .and_then(|properties| properties.get("spec"));
    schema.description = spec.and_then(|spec| spec.description.clone());
}

fn age_column() -> CustomResourceColumnDefinition {
    CustomResourceColumnDefinition {
        name: "Age".to_owned(),
        type_: "date".to_owned(),
        json_path: ".metadata.creationTimestamp".to_owned(),
        ..Default::default()
    }
}

fn walk(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(JSONSchemaPropsOrBool::Bool(_)) = schema.additional_properties {
        schema.additional_properties = None;
    }
    let (minimum, maximum) = match schema.format.as_deref() {
        Some("uint8") => (0.0, 255.0),
        Some("uint16") => (0.0, 65_535.0),
        Some("uint32") => (0.0, 4_294_967_295.0),
        _ => (f64::MIN, f64::MAX),
    };
    if maximum < f64::MAX {
        schema.format = Some(if maximum > 65_535.0 { "int64" } else { "int32" }.to_owned());
        schema.minimum.get_or_insert(minimum);
        schema.maximum.get_or_insert(maximum);
    }
    if schema.default.as_ref().is_some_and(|value| {
        matches!(
            value.0,
            Value::Object(_) | Value::Array(_) | Value::Bool(false) | Value::Null
        )
    }) {
        schema.default = None;
    }
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        walk(property);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => walk(items),
        Some(JSONSchemaPropsOrArray::Schemas(list)) => list.iter_mut().for_each(walk),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        walk(values);
        values.max_length.get_or_insert(253);
    }
}

/// A status that has conditions starts as `Ready=Unknown, Pending` with `observedGeneration: -1`, so that
/// `kubectl wait` and kstatus never take a new object for a finished one.
fn pending_status(schema: &mut JSONSchemaProps) {
    let Some(status) = schema.properties.as_mut().and_then(|p| p.get_mut("status")) else {
        return;
    };
    let Some(properties) = status
        .properties
        .as_mut()
        .filter(|p| p.contains_key("conditions"))
    else {
        return;
    };
    let pending = json!([{
        "type": "Ready",
        "status": "Unknown",
        "reason": "Pending",
        "message": "Waiting for the operator",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }]);
    let defaults = [("observedGeneration", json!(-1)), ("conditions", pending)];
    for (name, value) in &defaults {
        if let Some(property) = properties.get_mut(*name) {
            property.default = Some(JSON(value.clone()));
        }
    }
    let object: serde_json::Map<String, Value> = defaults
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    status.default = Some(JSON(Value::Object(object)));
}

//! Changes of header fields.

use std::collections::BTreeSet;

use breakwater_crds as crds;
use breakwater_edge_config::HeaderEdits;

use crate::problem::Problem;

/// Fields that frame or route messages: with them a site's author could write messages that the next reader
/// takes apart differently, or hide a loop.
const FRAMING: [&str; 10] = [
    "cdn-loop",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Lower-cases and checks; `place` names the field in messages, as in `requestHeaders`.
pub(crate) fn edits(edits: &crds::HeaderEdits, place: &str, problems: &mut Vec<Problem>) -> HeaderEdits {
    let crds::HeaderEdits { set, add, remove } = edits;
    let mut seen = BTreeSet::new();
    let mut fields = |list: &[crds::HeaderValue], unique: bool, verb: &str| {
        let mut compiled = Vec::new();
        for (i, field) in list.iter().enumerate() {
            let place = format!("{place}.{verb}[{i}]");
            let Some(name) = field_name(&field.name, &place, problems) else {
                continue;
            };
            if unique && !seen.insert(name.clone()) {
                problems.push(Problem::invalid(format!(
                    "{place}: {name} is set twice: keep one of them"
                )));
            } else if let Some(value) = field_value(&field.value, &place, problems) {
                compiled.push((name, value));
            }
        }
        compiled
    };
    let set = fields(set, true, "set");
    let add = fields(add, false, "add");
    let mut remove: Vec<String> = remove
        .iter()
        .enumerate()
        .filter_map(|(i, name)| field_name(name, &format!("{place}.remove[{i}]"), problems))
        .collect();
    remove.sort();
    remove.dedup();
    HeaderEdits { remove, set, add }
}

fn field_name(name: &str, place: &str, problems: &mut Vec<Problem>) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if lower.is_empty() || !lower.bytes().all(is_token) {
        problems.push(Problem::invalid(format!("{place}: {name:?} is not a field name")));
        return None;
    }
    if FRAMING.contains(&lower.as_str()) || lower.starts_with("proxy-") {
        problems.push(Problem::invalid(format!(
            "{place}: {name} frames or routes the message and can't be changed: remove this entry"
        )));
        return None;
    }
    Some(lower)
}

fn field_value(value: &str, place: &str, problems: &mut Vec<Problem>) -> Option<String> {
    // RFC 9110 §5.5 without obs-text: what HTTP/1.1, /2 and /3 all carry unchanged.
    if value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)) {
        return Some(value.trim_matches([' ', '\t']).to_owned());
    }
    problems.push(Problem::invalid(format!(
        "{place}: the value may hold visible ASCII characters, spaces and tabs only"
    )));
    None
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

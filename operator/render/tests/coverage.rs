//! Every reason that a condition can have is in a golden, so that somebody has looked at its words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::path::Path;

/// The reasons that the source names.
fn reasons() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/problem.rs");
    let source = std::fs::read_to_string(path).unwrap();
    source
        .lines()
        .filter_map(|line| {
            let (_, value) = line
                .trim()
                .strip_prefix("pub const ")?
                .split_once(": &str = \"")?;
            Some(value.strip_suffix("\";")?.to_owned())
        })
        .collect()
}

#[test]
fn every_reason_of_a_condition_is_in_a_golden() {
    let outputs: String = support::inputs()
        .iter()
        .map(|input| input.to_string_lossy().replace(".in.yaml", ".out.yaml"))
        .map(|output| std::fs::read_to_string(output).unwrap())
        .collect();
    let reasons = reasons();
    assert!(reasons.len() >= 25, "{reasons:?}");
    let missing: Vec<&String> = reasons
        .iter()
        .filter(|reason| {
            ["True", "False"]
                .iter()
                .all(|status| !outputs.contains(&format!(" {status} {reason}:")))
        })
        .collect();
    assert!(missing.is_empty(), "no golden has {missing:?}");
}

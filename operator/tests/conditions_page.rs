//! docs/reference/conditions.md knows every reason that render may give.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    reason = "helpers of tests are outside of what clippy takes for a test"
)]

#[test]
fn every_reason_of_a_condition_is_in_the_reference() {
    let source = include_str!("../render/src/problem.rs");
    let page = include_str!("../../docs/reference/conditions.md");
    let reasons: Vec<&str> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub const ")?.split('"').nth(1))
        .collect();
    assert!(reasons.len() > 20, "the list of reasons moved");
    for reason in reasons {
        assert!(page.contains(&format!("`{reason}`")), "{reason} isn't explained");
    }
}

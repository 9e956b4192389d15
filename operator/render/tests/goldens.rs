//! `testdata/NAME.in.yaml` becomes `testdata/NAME.out.yaml`. `UPDATE_GOLDENS=1` writes the latter anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::path::Path;

use breakwater_render::Index;
use jiff::Timestamp;

use support::case::{Action, Case};
use support::cluster::Cluster;
use support::show;

/// Where a case says nothing.
const NOW: &str = "2026-11-01T00:00:00Z";

/// Renders a case; with `reverse`, what stands in a step comes in from its end.
fn run(case: &Case, reverse: bool) -> String {
    let mut index = Index::new(case.settings.clone());
    let mut cluster = Cluster::default();
    let mut now: Timestamp = NOW.parse().unwrap();
    let mut shown = Vec::new();
    for step in &case.steps {
        now = step.now.unwrap_or(now);
        let mut actions: Vec<&Action> = step.actions.iter().collect();
        if reverse {
            actions.reverse();
        }
        for action in actions {
            match action {
                Action::Apply(object) => index.apply(object.as_ref().clone()),
                Action::Remove(key) => index.remove(key),
            }
        }
        let changes = index.render_dirty(now);
        cluster.take(&changes, &mut index);
        shown.push(show::step(&step.title, &step.said, &changes));
        settle(&mut index, &mut cluster, now, &mut shown);
    }
    serde_saphyr::to_string(&shown).unwrap()
}

/// What was written comes back, and may have consequences; then there is quiet.
fn settle(index: &mut Index, cluster: &mut Cluster, now: Timestamp, shown: &mut Vec<show::StepOut>) {
    for round in 1.. {
        let changes = index.render_dirty(now);
        let quiet = changes.publish.is_empty()
            && changes.withdraw.is_empty()
            && changes.retire.is_empty()
            && changes.statuses.is_empty()
            && changes.needs.is_empty();
        if quiet {
            return;
        }
        assert!(round < 5, "it never settles: {changes:?}");
        cluster.take(&changes, index);
        shown.push(show::step(&format!("settled, round {round}"), &[], &changes));
    }
}

fn golden(input: &Path) -> Result<(), String> {
    let output = input.to_string_lossy().replace(".in.yaml", ".out.yaml");
    let case = Case::read(input);
    let found = run(&case, false);
    let reversed = run(&case, true);
    if reversed != found {
        return Err(format!(
            "{}: the order matters:\n{found}\n{reversed}",
            input.display()
        ));
    }
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&output, &found).unwrap();
        return Ok(());
    }
    let expected = std::fs::read_to_string(&output).unwrap_or_default();
    if expected == found {
        return Ok(());
    }
    let line = expected
        .lines()
        .zip(found.lines())
        .take_while(|(a, b)| a == b)
        .count();
    let at = |text: &str| text.lines().nth(line).unwrap_or("(end)").to_owned();
    Err(format!(
        "{output}:{}: expected {:?}, found {:?}; UPDATE_GOLDENS=1 writes it anew",
        line + 1,
        at(&expected),
        at(&found)
    ))
}

#[test]
fn every_case_is_rendered_as_reviewed_in_whatever_order_it_came() {
    let inputs = support::inputs();
    assert!(inputs.len() >= 60, "{} cases", inputs.len());
    let problems: Vec<String> = inputs.iter().filter_map(|input| golden(input).err()).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_output_is_left_without_its_input() {
    for entry in std::fs::read_dir(support::testdata()).unwrap() {
        let path = entry.unwrap().path();
        if let Some(stem) = path.to_string_lossy().strip_suffix(".out.yaml") {
            assert!(Path::new(&format!("{stem}.in.yaml")).exists(), "{stem}");
        }
    }
}

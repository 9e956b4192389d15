//! `breakwater run` as its users start it: the real binary, files, sockets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    reason = "helpers of tests are outside of what clippy takes for a test"
)]

mod process;

use std::fmt::Write as _;

use process::{Running, Site};

#[test]
fn manifests_become_traffic_and_changes_of_files_too() {
    let running = Running::start(&[("site.yaml", &Site::new("a", "a.example.com").responding("first"))]);
    assert_eq!(running.get("a.example.com", "/"), (200, "first".to_owned()));
    running.write("site.yaml", &Site::new("a", "a.example.com").responding("second"));
    running.wait_for_line("reloaded sites=1 refused=0");
    assert_eq!(running.get("a.example.com", "/"), (200, "second".to_owned()));
    running.write("other.yaml", &Site::new("b", "b.example.com").responding("other"));
    running.wait_for_line("reloaded sites=2 refused=0");
    assert_eq!(running.get("b.example.com", "/"), (200, "other".to_owned()));
    running.remove("site.yaml");
    running.wait_until(|running| running.get("a.example.com", "/").1 != "second");
    assert_eq!(running.get("b.example.com", "/"), (200, "other".to_owned()));
}

#[test]
fn what_is_broken_is_told_and_the_rest_goes_on() {
    let good = Site::new("good", "good.example.com").responding("good");
    let running = Running::start(&[
        ("good.yaml", &good),
        (
            "typo.yaml",
            &Site::new("typo", "typo.example.com")
                .responding("x")
                .replace("hosts:", "hostz:"),
        ),
        (
            "half.yaml",
            "apiVersion: edge.breakwater.dev/v1alpha1\nkind: EdgeSite\nmetadata: {name: ",
        ),
        (
            "theirs.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {}\n",
        ),
        (
            "conflict.yaml",
            &Site::new("late", "good.example.com").responding("stolen"),
        ),
        ("binary.yaml", "\u{0}\u{1}"),
    ]);
    for expected in [
        "refused  EdgeSite default/typo (typo.yaml:1): unknown field \"spec.hostz\"",
        "unreadable  half.yaml:3: ",
        "ignored  Deployment default/web (theirs.yaml:1): ",
        "refused  EdgeSite default/late (conflict.yaml:1): HostConflict: ",
        "binary.yaml:1",
    ] {
        running.wait_for_line(expected);
    }
    assert_eq!(running.get("good.example.com", "/"), (200, "good".to_owned()));
    running.write(
        "good.yaml",
        &good.replace("responding", "").replace("hosts:", "hostz:"),
    );
    running.wait_for_line("what it said before stays in force");
    assert_eq!(running.get("good.example.com", "/"), (200, "good".to_owned()));
    running.write("good.yaml", "");
    running.wait_for_line("unreadable  good.yaml:1: it is empty now");
    assert_eq!(running.get("good.example.com", "/"), (200, "good".to_owned()));
}

#[test]
fn a_secret_with_a_broken_key_keeps_the_last_good_certificate_and_says_so() {
    let (chain, key) = process::certificate("tls.example.com");
    let (other_chain, other_key) = process::certificate("tls.example.com");
    let site = Site::new("tls", "tls.example.com")
        .with_certificate("pair")
        .responding("over TLS");
    let running = Running::start(&[
        ("site.yaml", &site),
        ("secret.yaml", &process::secret("pair", &chain, &key)),
    ]);
    assert_eq!(running.certificate_of("tls.example.com"), process::der(&chain));
    running.write("secret.yaml", &process::secret("pair", &chain, &other_key));
    running.wait_for_line("InvalidCertificate: ");
    assert_eq!(running.certificate_of("tls.example.com"), process::der(&chain));
    running.write("secret.yaml", &process::secret("pair", &other_chain, &other_key));
    running.wait_until(|running| running.certificate_of("tls.example.com") == process::der(&other_chain));
    assert!(!running.said().contains("PRIVATE"), "{}", running.said());
}

#[test]
fn a_site_without_certificate_gets_one_of_the_local_ca_and_keeps_it() {
    let site = Site::new("a", "a.example.com").responding("hello");
    let running = Running::start(&[("site.yaml", &site)]);
    let first = running.certificate_of("a.example.com");
    // Plain HTTP is sent there, to the port that was free.
    let (status, head) = running.head("a.example.com", "/x?y");
    assert_eq!(status, 308);
    let location = format!("location: https://a.example.com:{}/x?y", running.https().port());
    assert!(head.to_lowercase().contains(&location), "{head}");
    let again = running.restart();
    assert_eq!(again.certificate_of("a.example.com"), first);
}

#[test]
fn sigterm_ends_it_with_success() {
    let running = Running::start(&[("site.yaml", &Site::new("a", "a.example.com").responding("hello"))]);
    assert!(running.end().success());
}

#[test]
fn what_it_cannot_start_with_is_said_in_one_line() {
    let (status, text) = process::fails(&[
        "run",
        "--manifests",
        "/does/not/exist",
        "--state",
        "/does/not/exist",
    ]);
    assert_eq!(status, 1);
    assert!(text.contains("--manifests /does/not/exist: "), "{text}");
    assert_eq!(text.trim().lines().count(), 1, "{text}");
}

/// `UPDATE_GOLDENS=1` writes the page anew.
#[test]
fn every_metric_of_an_edge_is_in_the_reference() {
    let site = Site::new("a", "a.example.com").responding("hello");
    let running = Running::start(&[("site.yaml", &site)]);
    let text = running.metrics();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut page = String::from(
        "<!-- Made by `make goldens` from /metrics. Don't edit. -->\n# Metrics of an edge\n\n\
         `/metrics` of the admin server, in the OpenMetrics text format; counters end in `_total` there.\n\n\
         | metric | type | what it tells |\n|---|---|---|\n",
    );
    let help = |line: &str| line.strip_prefix("# HELP ").map(str::to_owned);
    let described = text.lines().filter_map(help);
    for (line, kind) in described.zip(text.lines().filter_map(|line| line.strip_prefix("# TYPE "))) {
        let (name, meaning) = line.split_once(' ').unwrap();
        let (of, kind) = kind.split_once(' ').unwrap();
        assert_eq!(name, of);
        let meaning = meaning.trim_end_matches('.');
        writeln!(page, "| `{name}` | {kind} | {meaning} |").unwrap();
    }
    assert!(page.lines().count() > 20, "{page}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/metrics.md");
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/reference/metrics.md is out of date: run `make goldens`"
    );
}

//! Every manifest of `crds/testdata`: refused with the words that its first line expects, or accepted. The
//! same files go to a real API server in the end-to-end tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use breakwater_render::schema::{self, Verdict};

fn files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../crds/testdata")
        .join(directory);
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    paths
}

fn verdict(text: &str) -> Verdict {
    let mut documents = schema::read(text, "default");
    assert_eq!(documents.len(), 1);
    documents.remove(0).verdict
}

#[test]
fn what_the_api_server_refuses_is_refused_with_its_words() {
    let paths = files("refused");
    assert!(paths.len() >= 60, "{}", paths.len());
    let mut differ = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let expected = text
            .lines()
            .find_map(|line| line.strip_prefix("# expect: "))
            .expect("a line # expect");
        let problems = match verdict(&text) {
            Verdict::Refused(refusal) => refusal.problems,
            other => panic!("{}: {other:?}", path.display()),
        };
        if !problems.iter().any(|problem| problem.contains(expected)) {
            differ.push(format!(
                "{}: expected {expected:?}, found {problems:?}",
                path.display()
            ));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn what_the_api_server_accepts_is_accepted() {
    for path in files("accepted") {
        let text = fs::read_to_string(&path).unwrap();
        match verdict(&text) {
            Verdict::Object(_) => {}
            other => panic!("{}: {other:?}", path.display()),
        }
    }
}

/// Three documents: one of them broken in some way.
fn with(broken: &str) -> String {
    let site = |name: &str| {
        format!(
            "apiVersion: edge.breakwater.dev/v1alpha1\nkind: EdgeSite\nmetadata: {{name: {name}}}\nspec:\n  hosts: \
             [{name}.example.com]\n  routes: [{{name: all, respond: {{status: 200}}}}]\n"
        )
    };
    format!("{}---\n{broken}---\n{}", site("first"), site("last"))
}

#[test]
fn a_broken_document_tells_its_line_and_spoils_no_other() {
    for (broken, line) in [
        ("a: [1, 2\nb: 3\n", 8..=10),
        ("a: 1\n b: 2\n", 8..=9),
        ("key: \"no end\n", 8..=9),
        ("a: 1\na: 2\n", 9..=9),
        ("a: \t- b\n", 8..=8),
        ("a: *nowhere\n", 8..=8),
        ("a: !!binary x y\n\tb: c\n", 8..=9),
    ] {
        let documents = schema::read(&with(broken), "default");
        assert_eq!(documents.len(), 3, "{broken}");
        assert!(matches!(documents[0].verdict, Verdict::Object(_)), "{broken}");
        assert!(matches!(documents[2].verdict, Verdict::Object(_)), "{broken}");
        let Verdict::Malformed {
            line: at,
            column,
            problem,
        } = &documents[1].verdict
        else {
            panic!("{broken}: {:?}", documents[1].verdict)
        };
        assert!(line.contains(at) && *column > 0, "{broken}: line {at}: {problem}");
        assert!(!problem.is_empty() && !problem.contains(" at line "), "{problem}");
        assert!(!problem.contains("Options"), "a setting of the parser: {problem}");
    }
}

#[test]
fn a_bomb_of_aliases_is_refused_soon() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let last = format!("*a{}", i - 1);
        let nine = vec![last; 9].join(", ");
        writeln!(text, "a{i}: &a{i} [{nine}]").unwrap();
    }
    let documents = schema::read(&text, "default");
    assert!(matches!(documents[0].verdict, Verdict::Malformed { .. }));
}

#[test]
fn no_message_shows_what_a_secret_holds() {
    const HIDDEN: &str = "c2VjcmV0LXRoYXQtbm9ib2R5LXNlZXM";
    let head = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n";
    for body in [
        format!("data: {{tls.key: {HIDDEN}!}}\n"),
        format!("data: {{tls.key: [{HIDDEN}]}}\n"),
        format!("stringData: {{tls.key: [{HIDDEN}]}}\n"),
        format!("stringData:\n  tls.key: {HIDDEN}\n tls.crt: {HIDDEN}\n"),
        format!("stringData:\n  tls.key: \"{HIDDEN}\n"),
        format!("stringData:\n  tls.key: {HIDDEN}: {HIDDEN}\n"),
        format!("stringData:\n  tls.key: a\n  tls.key: {HIDDEN}\n"),
        format!("data: {HIDDEN}\n"),
    ] {
        let text = format!("{head}{body}");
        let shown = format!("{:?}", schema::read(&text, "default"));
        assert!(!shown.contains(HIDDEN), "{shown}");
    }
}

#[test]
fn defaults_are_those_of_the_schema_and_nulls_are_left_out() {
    let text = "apiVersion: edge.breakwater.dev/v1alpha1\nkind: EdgeSite\nmetadata: {name: a}\nspec:\n  hosts: \
                [a.example.com]\n  tls: null\n  cors: null\n  origins: [{name: app, dns: {name: a.example, port: 80}, \
                timeouts: null}]\nstatus: {observedGeneration: nonsense}\n";
    let Verdict::Object(object) = verdict(text) else {
        panic!("{:?}", verdict(text))
    };
    let breakwater_render::Object::EdgeSite(meta, spec) = *object else {
        panic!()
    };
    assert_eq!(meta.namespace, "default");
    assert!(spec.cors.is_none());
    assert_eq!(spec.tls, breakwater_crds::Tls::default());
}

//! `breakwater render` as a pipeline calls it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    reason = "helpers of tests are outside of what clippy takes for a test"
)]

use std::path::Path;
use std::process::{Command, Output};

fn render(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_breakwater"))
        .arg("render")
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

const SITE: &str = "apiVersion: edge.breakwater.dev/v1alpha1\nkind: EdgeSite\nmetadata: {name: a}\nspec:\n  \
                    hosts: [a.example.com]\n  tls: {certificateRefs: [{name: pair}]}\n  \
                    routes: [{name: all, respond: {status: 200}}]\n";

fn secret() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
    let chain = certificate.self_signed(&key).unwrap().pem();
    let block = |pem: &str| pem.replace('\n', "\n    ");
    let text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: pair}}\ntype: kubernetes.io/tls\nstringData:\n  \
         tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
        block(&chain),
        block(&key.serialize_pem())
    );
    (text, key.serialize_pem())
}

#[test]
fn good_manifests_are_shown_and_exit_with_0() {
    let (secret, key) = secret();
    let directory = directory(&[("site.yaml", SITE), ("secret.yaml", &secret)]);
    let output = render(directory.path(), &["-f", ".", "-o", "json"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    let hosts = shown.pointer("/configurations/1/document/body/hosts").unwrap();
    assert_eq!(hosts, &serde_json::json!(["a.example.com"]));
    let conditions = shown
        .pointer("/statuses/0/conditions")
        .unwrap()
        .as_array()
        .unwrap();
    assert!(
        conditions.iter().all(|condition| condition["status"] == "True"),
        "{text}"
    );
    let middle_of_the_key = key.lines().nth(1).unwrap();
    assert!(
        !text.contains("PRIVATE KEY") && !text.contains(middle_of_the_key),
        "{text}"
    );
}

#[test]
fn yaml_says_the_same_as_json() {
    let (secret, _) = secret();
    let directory = directory(&[("site.yaml", SITE), ("secret.yaml", &secret)]);
    let json: serde_json::Value =
        serde_json::from_slice(&render(directory.path(), &["-f", ".", "-o", "json"]).stdout).unwrap();
    let yaml = render(directory.path(), &["-f", "."]).stdout;
    let yaml: serde_json::Value = serde_saphyr::from_str(std::str::from_utf8(&yaml).unwrap()).unwrap();
    assert_eq!(yaml, json);
}

#[test]
fn what_is_refused_exits_with_1_and_the_rest_is_shown() {
    let broken = SITE
        .replace("name: a}", "name: b}")
        .replace("a.example.com", "no_host!");
    let directory = directory(&[("a.yaml", SITE), ("b.yaml", &broken), ("c.yaml", "kind: [")]);
    let output = render(directory.path(), &["-f", "."]);
    assert_eq!(output.status.code(), Some(1));
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(out.contains("a.example.com"), "{out}");
    assert!(err.contains("EdgeSite default/b (b.yaml:1): "), "{err}");
    assert!(err.contains("unreadable  c.yaml:1"), "{err}");
    assert!(
        err.contains("incomplete  EdgeSite default/a (a.yaml:1): SecretNotFound: "),
        "{err}"
    );
}

#[test]
fn a_secret_that_is_elsewhere_is_no_refusal() {
    let directory = directory(&[("a.yaml", SITE)]);
    assert_eq!(render(directory.path(), &["-f", "a.yaml"]).status.code(), Some(0));
}

#[test]
fn keys_go_to_a_new_file_that_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let (secret, key) = secret();
    let directory = directory(&[("site.yaml", SITE), ("secret.yaml", &secret)]);
    let arguments = ["-f", "site.yaml", "-f", "secret.yaml", "--with-keys", "keys.json"];
    assert!(render(directory.path(), &arguments).status.success());
    let path = directory.path().join("keys.json");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(written.to_string().contains(key.lines().nth(1).unwrap()));
    // It never writes over a file.
    assert_eq!(render(directory.path(), &arguments).status.code(), Some(1));
}

#[test]
fn nothing_to_render_is_an_error_that_says_so() {
    let directory = directory(&[]);
    let output = render(directory.path(), &["-f", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there are no manifests"));
    let output = render(directory.path(), &["-f", "missing.yaml"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("missing.yaml: No such file"));
}

//! The command line, as docs/reference says it. `UPDATE_GOLDENS=1` writes the page anew.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    reason = "helpers of tests are outside of what clippy takes for a test"
)]

use std::fmt::Write as _;
use std::process::Command;

fn help(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_breakwater"));
    command.args(arguments).arg("--help").env_clear();
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn the_committed_page_is_what_help_says() {
    let mut page = String::from("<!-- Made by `make goldens` from --help. Don't edit. -->\n# breakwater\n");
    for command in ["", "run", "render", "operator", "completion"] {
        let text = help(command.split_whitespace().collect::<Vec<_>>().as_slice());
        let name = if command.is_empty() {
            String::new()
        } else {
            format!("\n## {command}\n")
        };
        let _ = write!(page, "{name}\n```text\n{}\n```\n", text.trim_end());
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/breakwater.md");
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/reference/breakwater.md is out of date: run `make goldens`"
    );
}

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_breakwater"));
        let output = command.args(["completion", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("manifests"), "{shell}");
    }
}

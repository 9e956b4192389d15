//! The command line, as docs/reference says it. `UPDATE_GOLDENS=1` writes the page anew.

use std::process::Command;

fn help(command: &str) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_breakwater-edge"));
    program.args(command.split_whitespace()).arg("--help").env_clear();
    String::from_utf8(program.output().unwrap().stdout).unwrap()
}

#[test]
fn the_committed_page_is_what_help_says() {
    let mut page = String::from(
        "<!-- Made by `make goldens` from --help. Don't edit. -->\n# breakwater-edge\n\n\
         The chart starts it, one on each node of a region.\n",
    );
    for command in ["", "run", "probe", "purge"] {
        if !command.is_empty() {
            page += &["\n## ", command, "\n"].concat();
        }
        page += &["\n```text\n", help(command).trim_end(), "\n```\n"].concat();
    }
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/reference/breakwater-edge.md"
    );
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/reference/breakwater-edge.md is out of date: run `make goldens`"
    );
}

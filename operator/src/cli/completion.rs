use std::io::Write as _;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;

/// For which shell.
#[derive(Args, Debug)]
pub(super) struct CompletionOptions {
    /// The shell; `source <(breakwater completion bash)` loads it.
    shell: Shell,
}

pub(super) fn print(options: &CompletionOptions) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "breakwater", &mut script);
    std::io::stdout().write_all(&script).context("standard output")
}

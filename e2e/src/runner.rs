//! Runs scenarios one after another and reports as cargo's own runner does, so that its closing line is
//! understood. A failing scenario hides no other.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::FutureExt;

/// Longest time that one scenario may take.
const LIMIT: Duration = Duration::from_mins(5);

/// Counts and names.
#[derive(Default)]
pub struct Runner {
    wanted: Vec<String>,
    passed: usize,
    ignored: usize,
    failed: Vec<String>,
}

impl Runner {
    /// Runs what contains one of the program's arguments, everything without any.
    pub fn from_arguments() -> Self {
        Self {
            wanted: std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect(),
            ..Self::default()
        }
    }

    /// True when a scenario of this name is asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|part| name.contains(part.as_str()))
    }

    /// Runs one scenario; false when it has failed.
    pub async fn run(&mut self, name: &str, scenario: impl Future<Output = Result<()>>) -> bool {
        if !self.wants(name) {
            return true;
        }
        let started = Instant::now();
        let ended = tokio::time::timeout(LIMIT, AssertUnwindSafe(scenario).catch_unwind()).await;
        let problem = match ended {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(error))) => Some(chain(&error)),
            Ok(Err(_)) => Some("panicked".to_owned()),
            Err(_) => Some(format!("not done within {} s", LIMIT.as_secs())),
        };
        let seconds = started.elapsed().as_secs_f32();
        if let Some(problem) = problem {
            println!("test {name} ... FAILED ({seconds:.1} s)\n{problem}\n");
            self.failed.push(name.to_owned());
            false
        } else {
            println!("test {name} ... ok ({seconds:.1} s)");
            self.passed += 1;
            true
        }
    }

    /// Counts a scenario that this machine can't run, with the reason.
    pub fn skip(&mut self, name: &str, why: &str) {
        if self.wants(name) {
            println!("test {name} ... ignored, {why}");
            self.ignored += 1;
        }
    }

    /// Prints the closing line; false when something failed.
    pub fn finish(self) -> bool {
        let verdict = if self.failed.is_empty() { "ok" } else { "FAILED" };
        if !self.failed.is_empty() {
            println!("\nfailures:\n    {}", self.failed.join("\n    "));
        }
        println!(
            "\ntest result: {verdict}. {} passed; {} failed; {} ignored; 0 measured; 0 filtered out\n",
            self.passed,
            self.failed.len(),
            self.ignored
        );
        self.failed.is_empty()
    }
}

/// An error with its causes, without a backtrace: where it came from is said in words.
fn chain(error: &anyhow::Error) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    causes.join("\n  because: ")
}

//! Visitors who ask without pause while something happens, and what became of their requests.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::{Speaks, Visitor};

/// Between two requests of a visitor. The machine has other things to do as well.
const PACE: Duration = Duration::from_millis(4);

/// Most failures that are remembered.
const MAX_FAILURES: usize = 10;

/// Running visitors.
pub struct Load {
    stop: watch::Sender<bool>,
    visitors: JoinSet<Summary>,
    started: Instant,
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Answers with status 200.
    pub answered: u64,
    /// Everything else.
    pub failed: u64,
    /// The first of them, in words.
    pub failures: Vec<String>,
    /// How often each body came.
    pub bodies: BTreeMap<String, u64>,
    /// Longest time for an answer.
    pub longest: Duration,
}

impl Load {
    /// Two visitors a way of speaking: one on connections of its own for every request, one that stays.
    pub fn start(edge: &[(SocketAddr, Speaks)], host: &str, path: &str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let started = Instant::now();
        let mut visitors = JoinSet::new();
        for (address, speaks) in edge {
            for stays in [false, true] {
                let visitor = Visitor::new(*address, host, speaks.clone());
                visitors.spawn(visit(visitor, path.to_owned(), stays, stopped.clone(), started));
            }
        }
        Self {
            stop,
            visitors,
            started,
        }
    }

    /// Ends it.
    pub async fn finish(mut self) -> Summary {
        self.stop.send_replace(true);
        let mut all = Summary::default();
        while let Some(one) = self.visitors.join_next().await {
            match one {
                Ok(one) => all.add(one),
                Err(error) => all.fail(format!("a visitor ended: {error}")),
            }
        }
        println!(
            "    load for {:.1} s: {all}",
            self.started.elapsed().as_secs_f32()
        );
        all
    }
}

impl Summary {
    /// An error unless there were requests and all were answered.
    pub fn all_answered(&self) -> Result<()> {
        ensure!(
            self.failed == 0 && self.answered > 0,
            "{self}; the first failures: {:#?}",
            self.failures
        );
        Ok(())
    }

    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.failures.truncate(MAX_FAILURES);
        for (body, count) in other.bodies {
            *self.bodies.entry(body).or_default() += count;
        }
        self.longest = self.longest.max(other.longest);
    }

    fn fail(&mut self, why: String) {
        self.failed += 1;
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(why);
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} answered, {} failed, longest {} ms",
            self.answered,
            self.failed,
            self.longest.as_millis()
        )
    }
}

async fn visit(
    mut visitor: Visitor,
    path: String,
    stays: bool,
    stopped: watch::Receiver<bool>,
    started: Instant,
) -> Summary {
    let mut summary = Summary::default();
    while !*stopped.borrow() {
        let asked = Instant::now();
        match visitor.get(&path).await {
            Ok(answer) if answer.status() == 200 => {
                summary.answered += 1;
                let body = String::from_utf8_lossy(answer.body()).into_owned();
                *summary.bodies.entry(body).or_default() += 1;
            }
            other => summary.fail(format!(
                "{:.3} s, {}: {other:?}",
                started.elapsed().as_secs_f32(),
                if stays { "staying" } else { "new connection" }
            )),
        }
        summary.longest = summary.longest.max(asked.elapsed());
        if !stays {
            visitor.hang_up();
        }
        tokio::time::sleep(PACE).await;
    }
    summary
}

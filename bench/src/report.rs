//! What came out: a table in Markdown, and everything in JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cases::Sample;
use crate::stats;

/// Two servers on the same work.
pub(crate) struct Pair {
    pub(crate) case: String,
    pub(crate) peer: String,
    pub(crate) rounds: usize,
    /// Each round: ours, theirs; or why there is nothing.
    pub(crate) result: Result<Vec<(Sample, Sample)>, String>,
}

/// A number of one server.
pub(crate) struct Single {
    pub(crate) case: String,
    pub(crate) server: String,
    pub(crate) result: Result<Value, String>,
}

/// Everything of a run.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) about: Vec<String>,
    pub(crate) versions: Vec<(String, Result<String, String>)>,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) singles: Vec<Single>,
}

struct Summary {
    ours: Sample,
    theirs: Sample,
    rate_ratio: f64,
    rate_spread: f64,
    cpu_ratio: f64,
    cpu_spread: f64,
    void: bool,
}

fn summary(pair: &Pair) -> Option<Summary> {
    let rounds = pair.result.as_ref().ok()?;
    let of = |what: fn(&Sample) -> f64, who: fn(&(Sample, Sample)) -> Sample| {
        let values: Vec<f64> = rounds.iter().map(|round| what(&who(round))).collect();
        stats::median(&values)
    };
    let sample = |who| Sample {
        rate: of(|s| s.rate, who),
        cpu_us: of(|s| s.cpu_us, who),
        busy: of(|s| s.busy, who),
    };
    let rates: Vec<f64> = rounds.iter().map(|(a, b)| a.rate / b.rate).collect();
    let costs: Vec<f64> = rounds.iter().map(|(a, b)| b.cpu_us / a.cpu_us).collect();
    Some(Summary {
        ours: sample(|round| round.0),
        theirs: sample(|round| round.1),
        rate_ratio: stats::median(&rates),
        rate_spread: stats::spread(&rates),
        cpu_ratio: stats::median(&costs),
        cpu_spread: stats::spread(&costs),
        void: stats::void(&rates, pair.rounds) || stats::void(&costs, pair.rounds),
    })
}

impl Report {
    pub(crate) fn json(&self) -> Value {
        let pairs: Vec<Value> = self.pairs.iter().map(pair_json).collect();
        let singles: Vec<Value> = self
            .singles
            .iter()
            .map(|single| match &single.result {
                Ok(value) => json!({"case": single.case, "server": single.server, "result": value}),
                Err(why) => json!({"case": single.case, "server": single.server, "missing": why}),
            })
            .collect();
        let versions: Vec<Value> = self
            .versions
            .iter()
            .map(|(name, version)| match version {
                Ok(version) => json!({"server": name, "version": version}),
                Err(why) => json!({"server": name, "missing": why}),
            })
            .collect();
        json!({"about": self.about, "servers": versions, "pairs": pairs, "singles": singles})
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        for line in &self.about {
            let _ = writeln!(text, "{line}  ");
        }
        text.push_str("\n| server | version |\n|---|---|\n");
        for (name, version) in &self.versions {
            let version = version
                .as_ref()
                .map_or_else(|why| format!("not there: {why}"), Clone::clone);
            let _ = writeln!(text, "| {name} | {version} |");
        }
        text.push_str(
            "\nRatios above 1: breakwater is the better one. `void`: rounds lay too far apart to be quoted.\n\n\
             | case | peer | requests/s: breakwater | peer | ratio | CPU µs a request: breakwater | peer | ratio | core used | |\n\
             |---|---|--:|--:|--:|--:|--:|--:|--:|---|\n",
        );
        for pair in &self.pairs {
            let (case, peer) = (&pair.case, &pair.peer);
            match (summary(pair), &pair.result) {
                (Some(s), _) => {
                    let _ = writeln!(
                        text,
                        "| {case} | {peer} | {:.0} | {:.0} | {:.2} ± {:.0} % | {:.1} | {:.1} | {:.2} ± {:.0} % | {:.0} %, {:.0} % | {} |",
                        s.ours.rate,
                        s.theirs.rate,
                        s.rate_ratio,
                        s.rate_spread * 100.0,
                        s.ours.cpu_us,
                        s.theirs.cpu_us,
                        s.cpu_ratio,
                        s.cpu_spread * 100.0,
                        s.ours.busy * 100.0,
                        s.theirs.busy * 100.0,
                        if s.void { "void" } else { "" }
                    );
                }
                (None, Err(why)) => {
                    let _ = writeln!(text, "| {case} | {peer} | | | | | | | | {why} |");
                }
                (None, Ok(_)) => {}
            }
        }
        text.push_str("\n| case | server | result |\n|---|---|---|\n");
        for single in &self.singles {
            let result = match &single.result {
                Ok(Value::Object(fields)) => {
                    let words: Vec<String> = fields
                        .iter()
                        .map(|(name, value)| format!("{name} {value}"))
                        .collect();
                    words.join(", ")
                }
                Ok(value) => value.to_string(),
                Err(why) => why.clone(),
            };
            let _ = writeln!(text, "| {} | {} | {result} |", single.case, single.server);
        }
        text
    }
}

fn pair_json(pair: &Pair) -> Value {
    let (case, peer) = (&pair.case, &pair.peer);
    let rounds = match &pair.result {
        Ok(rounds) => rounds,
        Err(why) => return json!({"case": case, "peer": peer, "missing": why}),
    };
    let sample = |s: &Sample| json!({"rate": s.rate, "cpu_us": s.cpu_us, "busy": s.busy});
    let each: Vec<Value> = rounds
        .iter()
        .map(|(ours, theirs)| json!({"breakwater": sample(ours), "peer": sample(theirs)}))
        .collect();
    let summary = summary(pair).map(|s| {
        json!({
            "breakwater": sample(&s.ours), "peer": sample(&s.theirs), "void": s.void,
            "rate_ratio": s.rate_ratio, "rate_spread": s.rate_spread,
            "cpu_ratio": s.cpu_ratio, "cpu_spread": s.cpu_spread,
        })
    });
    json!({"case": case, "peer": peer, "summary": summary, "rounds": each})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(result: Result<Vec<(Sample, Sample)>, String>) -> Report {
        Report {
            pairs: vec![Pair {
                case: "h1-1k".into(),
                peer: "nginx".into(),
                rounds: 2,
                result,
            }],
            ..Report::default()
        }
    }

    fn sample(rate: f64, cpu_us: f64) -> Sample {
        Sample {
            rate,
            cpu_us,
            busy: 1.0,
        }
    }

    #[test]
    fn the_ratios_say_how_much_better_breakwater_is() {
        let round = (sample(200.0, 5.0), sample(100.0, 15.0));
        let report = pair(Ok(vec![round; 7]));
        let text = report.markdown();
        assert!(
            text.contains(
                "| h1-1k | nginx | 200 | 100 | 2.00 ± 0 % | 5.0 | 15.0 | 3.00 ± 0 % | 100 %, 100 % |  |"
            ),
            "{text}"
        );
        let summary = &report.json()["pairs"][0]["summary"];
        assert_eq!(
            (&summary["rate_ratio"], &summary["void"]),
            (&json!(2.0), &json!(false))
        );
    }

    #[test]
    fn a_noisy_comparison_is_void_and_a_missing_one_says_why() {
        let noisy = vec![
            (sample(200.0, 5.0), sample(100.0, 15.0)),
            (sample(100.0, 5.0), sample(100.0, 15.0)),
        ];
        assert!(pair(Ok(noisy)).markdown().contains("| void |"));
        assert!(pair(Err("no HTTP/2".into())).markdown().contains("| no HTTP/2 |"));
    }
}

use breakwater_crds::{Acknowledgement, EdgeNodeStatus, FailedSite};
use breakwater_edge_config::envelope::READER;
use jiff::Timestamp;

use crate::{Failure, Status};

/// Most failed objects that are named.
const MAX_FAILED: usize = 64;

/// What the source says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// How far it has come.
    pub(crate) acknowledged: Option<Acknowledgement>,
    /// Why it holds something back.
    pub(crate) held: Option<&'static str>,
    /// How many lists it has begun.
    pub(crate) lists: u64,
}

/// The status to write.
pub(super) fn of(status: &Status, report: &Report) -> EdgeNodeStatus {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let started_at = Timestamp::try_from(status.started_at).unwrap_or_default();
    EdgeNodeStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        reader: READER,
        started_at: started_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        ready: status.ready(),
        acknowledged: report.acknowledged.clone(),
        sites: count(status.sites as u64),
        failed: status.failures.iter().take(MAX_FAILED).map(failed).collect(),
        failed_count: count(status.failures.len() as u64),
        held: report.held.map(str::to_owned),
        cache_max_bytes: count(status.cache_max_bytes),
    }
}

fn failed(failure: &Failure) -> FailedSite {
    FailedSite {
        object: cut(&failure.object, 253),
        site: failure
            .site
            .as_ref()
            .map(|site| cut(&site.to_string(), 600))
            .unwrap_or_default(),
        hash: failure.hash.to_string(),
        reason: cut(&failure.reason, 1024),
    }
}

/// At most `max` characters: the schema counts these, and refuses the whole status for one too many.
fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use breakwater_edge_config::ContentHash;

    use super::*;

    fn status(failures: Vec<Failure>) -> Status {
        Status {
            complete: true,
            listening: true,
            draining: false,
            region: None,
            sites: 3,
            failures,
            generation: 1,
            cache_bytes: 5,
            cache_max_bytes: 1 << 20,
            cache_disk_entries: None,
            started_at: SystemTime::UNIX_EPOCH + Duration::from_millis(86_400_999),
        }
    }

    fn failure(number: usize, reason: &str) -> Failure {
        let (object, hash) = (format!("site-{number}"), ContentHash::of(b"x"));
        Failure {
            object,
            site: None,
            hash,
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn it_says_what_is_loaded_and_names_no_more_failures_than_fit() {
        let failures = (0..100)
            .map(|number| failure(number, &"ü".repeat(2000)))
            .collect();
        let report = Report {
            held: Some("ListShrank"),
            ..Report::default()
        };
        let written = of(&status(failures), &report);
        assert_eq!((written.failed.len(), written.failed_count), (64, 100));
        assert_eq!(written.failed[63].object, "site-63");
        assert_eq!(written.failed[0].reason.chars().count(), 1024);
        assert_eq!(written.started_at, "1970-01-02T00:00:00Z");
        assert_eq!(written.held.as_deref(), Some("ListShrank"));
        assert!(written.ready && written.acknowledged.is_none());
    }

    #[test]
    fn traffic_changes_nothing_in_it() {
        let (before, mut after) = (status(Vec::new()), status(Vec::new()));
        after.cache_bytes += 1000;
        after.generation += 1;
        assert_eq!(of(&before, &Report::default()), of(&after, &Report::default()));
    }
}

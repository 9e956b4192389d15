use std::collections::BTreeSet;

use breakwater_edge_config::ContentHash;

/// As many may vanish unseen at a time, however few there are.
const ALWAYS: usize = 10;

/// Percent of a region's sites that may vanish unseen at a time.
const PERCENT: usize = 30;

/// What to do about sites that are published and no longer listed, without their deletion having been seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Few enough to believe it.
    Withdraw,
    /// Too many at once: they stay until they come back, their deletion is seen, or a person agrees by this
    /// token, which stands for exactly these sites.
    Hold(String),
}

/// Judges the sites in `missing` of a region that has `published` sites. `accepted`: the token that a person
/// has agreed to.
///
/// A watch that lists anew takes what is absent for deleted. When a store was restored from an older copy, or a
/// definition was replaced, that would take down everything; deletions that people make are seen one by one.
pub fn judge(published: usize, missing: &BTreeSet<String>, accepted: Option<&str>) -> Verdict {
    if missing.len() <= ALWAYS.max(published * PERCENT / 100) {
        return Verdict::Withdraw;
    }
    let token = ContentHash::of_parts(missing.iter().map(String::as_bytes))
        .short()
        .to_owned();
    if accepted == Some(token.as_str()) {
        Verdict::Withdraw
    } else {
        Verdict::Hold(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_or_thirty_percent_are_believed_and_more_only_when_a_person_agrees_to_exactly_these() {
        let missing = |n: usize| (0..n).map(|i| format!("site-{i}")).collect::<BTreeSet<_>>();
        for (published, gone, held) in [
            (5, 5, false),
            (10, 10, false),
            (12, 11, true),
            (100, 30, false),
            (100, 31, true),
            (10_000, 3_000, false),
            (10_000, 3_001, true),
        ] {
            let verdict = judge(published, &missing(gone), None);
            assert_eq!(verdict != Verdict::Withdraw, held, "{gone} of {published}");
        }
        let Verdict::Hold(token) = judge(100, &missing(31), Some("other")) else {
            panic!("not held")
        };
        assert_eq!(judge(100, &missing(31), Some(&token)), Verdict::Withdraw);
        assert_ne!(judge(100, &missing(32), Some(&token)), Verdict::Withdraw);
    }
}

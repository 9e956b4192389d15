use std::time::{Duration, Instant};

/// A Lease as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Who holds it; `None`: nobody.
    pub holder: Option<String>,
    /// How long a holder has it after each renewal, as the holder wrote it.
    pub duration: Duration,
    /// Changes with every renewal; compared for equality only.
    pub mark: String,
    /// When this `mark` was first seen, on this machine's monotonic clock.
    pub since: Instant,
}

/// What to do about a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is ours: renew it.
    Renew,
    /// It is free or its holder has been silent too long: take it.
    Take,
    /// Another replica holds it; look again by then.
    Wait(Duration),
}

/// Decides by what was seen; `identity` is this replica's.
pub fn decide(sight: &Sight, identity: &str, now: Instant) -> Step {
    match sight.holder.as_deref() {
        None | Some("") => Step::Take,
        Some(holder) if holder == identity => Step::Renew,
        Some(_) => {
            let left = (sight.since + sight.duration).saturating_duration_since(now);
            if left.is_zero() {
                Step::Take
            } else {
                Step::Wait(left)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_when_free_renewed_when_own_and_waited_for_otherwise() {
        let since = Instant::now();
        let seconds = Duration::from_secs;
        let table = [
            (None, 0, Step::Take),
            (Some(""), 0, Step::Take),
            (Some("me"), 0, Step::Renew),
            (Some("me"), 60, Step::Renew),
            (Some("other"), 0, Step::Wait(seconds(10))),
            (Some("other"), 9, Step::Wait(seconds(1))),
            (Some("other"), 10, Step::Take),
        ];
        for (holder, passed, expected) in table {
            let sight = Sight {
                holder: holder.map(str::to_owned),
                duration: seconds(10),
                mark: "1".to_owned(),
                since,
            };
            assert_eq!(
                decide(&sight, "me", since + seconds(passed)),
                expected,
                "{holder:?} {passed}"
            );
        }
    }
}

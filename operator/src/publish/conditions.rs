use breakwater_crds::Condition;

/// `wanted` with the times of `current` where the status stays the same, else with `now` (RFC 3339).
pub fn with_times(mut wanted: Vec<Condition>, current: &[Condition], now: &str) -> Vec<Condition> {
    for condition in &mut wanted {
        let before = current
            .iter()
            .find(|c| c.kind == condition.kind && c.status == condition.status);
        condition.last_transition_time =
            before.map_or_else(|| now.to_owned(), |before| before.last_transition_time.clone());
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use breakwater_crds::ConditionStatus;

    fn condition(kind: &str, status: ConditionStatus, reason: &str, time: &str) -> Condition {
        Condition {
            kind: kind.to_owned(),
            status,
            observed_generation: Some(1),
            last_transition_time: time.to_owned(),
            reason: reason.to_owned(),
            message: String::new(),
        }
    }

    #[test]
    fn the_time_moves_only_when_the_status_does() {
        use ConditionStatus::{False, True, Unknown};
        let current = [
            condition("Accepted", True, "Accepted", "t1"),
            condition("Ready", Unknown, "Pending", "t1"),
        ];
        let wanted = vec![
            condition("Accepted", True, "OtherReason", ""),
            condition("Ready", False, "NoEdges", ""),
            condition("Programmed", True, "Programmed", ""),
        ];
        let times: Vec<_> = with_times(wanted, &current, "t2")
            .into_iter()
            .map(|c| c.last_transition_time)
            .collect();
        assert_eq!(times, ["t1", "t2", "t2"]);
    }
}

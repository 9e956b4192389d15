use breakwater_edge_config::HealthCheck;

/// Connections that fail in a row until an endpoint is left out.
const EJECT_AFTER: u32 = 3;

/// How long it is left out the first time; doubles each time it fails again.
const EJECT_MS: u64 = 5_000;

/// Longest time out.
const MAX_EJECT_MS: u64 = 60_000;

/// Whether an endpoint answers its checks, and whether it takes connections. Starts healthy: an edge that
/// has just started must serve before the first check is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Health {
    checked_healthy: bool,
    /// Checks in a row that contradict `checked_healthy`.
    contradictions: u32,
    failed_connections: u32,
    ejections: u32,
    ejected_until_ms: u64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            checked_healthy: true,
            contradictions: 0,
            failed_connections: 0,
            ejections: 0,
            ejected_until_ms: 0,
        }
    }
}

impl Health {
    /// May it be used before those that may not?
    pub(super) fn is_good(&self, now_ms: u64) -> bool {
        self.checked_healthy && !self.is_ejected(now_ms)
    }

    /// What the checks say.
    pub(super) fn is_checked_healthy(&self) -> bool {
        self.checked_healthy
    }

    /// Left out because connections to it failed.
    pub(super) fn is_ejected(&self, now_ms: u64) -> bool {
        now_ms < self.ejected_until_ms
    }

    /// The result of one check; true when it turned the state.
    pub(super) fn on_check(&mut self, passed: bool, check: &HealthCheck) -> bool {
        if passed == self.checked_healthy {
            self.contradictions = 0;
            return false;
        }
        self.contradictions += 1;
        let threshold = if passed {
            check.healthy_threshold
        } else {
            check.unhealthy_threshold
        };
        if self.contradictions < u32::from(threshold.max(1)) {
            return false;
        }
        self.checked_healthy = passed;
        self.contradictions = 0;
        true
    }

    /// No check is configured any more.
    pub(super) fn forget_checks(&mut self) {
        self.checked_healthy = true;
        self.contradictions = 0;
    }

    /// A connection for a request couldn't be made; true when that ejects it.
    pub(super) fn on_connection_failed(&mut self, now_ms: u64) -> bool {
        if self.is_ejected(now_ms) {
            // It is used all the same because there is no other; the clock goes on.
            return false;
        }
        self.failed_connections += 1;
        // Once ejected, one more failure is enough until a connection succeeds.
        if self.failed_connections < EJECT_AFTER && self.ejections == 0 {
            return false;
        }
        let out_ms = EJECT_MS
            .saturating_mul(1 << self.ejections.min(6))
            .min(MAX_EJECT_MS);
        self.ejections += 1;
        self.failed_connections = 0;
        self.ejected_until_ms = now_ms.saturating_add(out_ms);
        true
    }

    /// A connection was made.
    pub(super) fn on_connected(&mut self) {
        self.failed_connections = 0;
        self.ejections = 0;
        self.ejected_until_ms = 0;
    }
}

/// True when an answer with `status` passes the check.
pub(super) fn passes(check: &HealthCheck, status: u16) -> bool {
    match check.statuses.as_slice() {
        [] => (200..400).contains(&status),
        listed => listed.contains(&status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> HealthCheck {
        HealthCheck {
            path: "/".to_owned(),
            host: None,
            interval_ms: 1000,
            timeout_ms: 100,
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            statuses: vec![],
        }
    }

    #[test]
    fn only_as_many_results_in_a_row_as_the_threshold_turn_the_state() {
        let mut health = Health::default();
        // (passed, turned, healthy afterwards): one good result among bad ones starts the count again.
        for (n, (passed, turned, healthy)) in [
            (false, false, true),
            (false, false, true),
            (true, false, true),
            (false, false, true),
            (false, false, true),
            (false, true, false),
            (false, false, false),
            (true, false, false),
            (false, false, false),
            (true, false, false),
            (true, true, true),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(health.on_check(passed, &check()), turned, "result {n}");
            assert_eq!(health.is_good(0), healthy, "after result {n}");
        }
    }

    #[test]
    fn three_failed_connections_in_a_row_eject_for_five_seconds() {
        let mut health = Health::default();
        assert!(!health.on_connection_failed(0));
        assert!(!health.on_connection_failed(0));
        health.on_connected();
        assert!(!health.on_connection_failed(0));
        assert!(!health.on_connection_failed(0));
        assert!(health.on_connection_failed(1000));
        assert!(!health.is_good(5_999));
        assert!(health.is_good(6_000));
        assert!(health.is_checked_healthy());
    }

    #[test]
    fn each_further_failure_doubles_the_time_out_up_to_a_minute() {
        let mut health = Health::default();
        let mut now = 0;
        let mut times = vec![];
        for _ in 0..3 {
            health.on_connection_failed(now);
        }
        for _ in 0..6 {
            let start = now;
            while !health.is_good(now) {
                now += 100;
            }
            times.push(now - start);
            assert!(
                health.on_connection_failed(now),
                "one failure after the time out ejects again"
            );
        }
        assert_eq!(times, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
        health.on_connected();
        assert!(health.is_good(now));
        assert!(
            !health.on_connection_failed(now),
            "a connection that succeeds forgives everything"
        );
    }

    #[test]
    fn a_check_passes_by_the_listed_statuses_or_by_success_and_redirection() {
        let listed = HealthCheck {
            statuses: vec![204, 418],
            ..check()
        };
        for (status, by_default, by_list) in [
            (200, true, false),
            (204, true, true),
            (302, true, false),
            (418, false, true),
            (503, false, false),
        ] {
            assert_eq!(
                (passes(&check(), status), passes(&listed, status)),
                (by_default, by_list),
                "{status}"
            );
        }
    }
}

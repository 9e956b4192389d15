use std::sync::{Mutex, PoisonError};

/// Retries that a request earns, in thousandths: 20 %.
const PER_REQUEST: u64 = 200;

/// What a retry costs, in thousandths.
const RETRY: u64 = 1000;

/// Most that is saved up, in thousandths: ten retries. An origin starts with it, so that one that is seldom
/// asked can be retried at all.
const MAX: u64 = 10 * RETRY;

/// What comes back by time alone, in thousandths a second: a retry in ten seconds.
const PER_SECOND: u64 = 100;

/// How many requests to an origin may be sent again: when all of them fail, retries must not double the load.
#[derive(Debug)]
pub(super) struct RetryBudget {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: u64,
    at_ms: u64,
}

impl RetryBudget {
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            state: Mutex::new(State {
                tokens: MAX,
                at_ms: now_ms,
            }),
        }
    }

    /// A request is sent for the first time.
    pub(super) fn deposit(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tokens = (state.tokens + PER_REQUEST).min(MAX);
    }

    /// True when a retry may be made, which is then taken from the budget.
    pub(super) fn withdraw(&self, now_ms: u64) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let earned = now_ms.saturating_sub(state.at_ms).saturating_mul(PER_SECOND) / 1000;
        if earned > 0 {
            // Less than one token earned leaves the clock where it was, or it would never add up.
            state.at_ms = now_ms;
            state.tokens = state.tokens.saturating_add(earned).min(MAX);
        }
        match state.tokens.checked_sub(RETRY) {
            Some(rest) => {
                state.tokens = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_every_request_fails_a_fifth_of_them_is_retried() {
        let budget = RetryBudget::new(0);
        while budget.withdraw(0) {}
        let retried = (0..1000)
            .filter(|_| {
                budget.deposit();
                budget.withdraw(0)
            })
            .count();
        assert_eq!(retried, 200);
    }

    #[test]
    fn a_quiet_origin_has_ten_retries_and_gets_one_back_in_ten_seconds() {
        let budget = RetryBudget::new(0);
        assert_eq!((0..100).filter(|_| budget.withdraw(0)).count(), 10);
        assert!(!budget.withdraw(9_990));
        assert!(budget.withdraw(10_010));
        assert!(!budget.withdraw(19_990));
        assert!(budget.withdraw(20_020));
        assert!(!budget.withdraw(20_021));
        // It saves up no more than it began with.
        assert_eq!((0..100).filter(|_| budget.withdraw(10_000_000)).count(), 10);
    }
}

use breakwater_crds::{ExcessAction, RateKeyType, RateRuleSpec};
use breakwater_edge_config::{PolicyId, RateKey, RateRule};

use super::unsupported;
use crate::problem::Problem;
use crate::site::matches::request_match;

/// Shortest and longest period, milliseconds.
const PERIOD_MS: std::ops::RangeInclusive<u64> = 1_000..=86_400_000;

pub(super) fn compile(id: &PolicyId, spec: &RateRuleSpec) -> Result<RateRule, Vec<Problem>> {
    // Every field is named, so that a new one can't be forgotten here.
    let RateRuleSpec {
        target_refs: _,
        scope: _,
        selector: _,
        mode: _,
        matches,
        countries,
        key,
        rate,
        burst,
        excess,
    } = spec;
    let action = match excess.action {
        ExcessAction::Reject => "",
        ExcessAction::Delay => "excess.action Delay",
        ExcessAction::Challenge => "excess.action Challenge",
        ExcessAction::Ban => "excess.action Ban",
    };
    let mut problems = unsupported(&[
        (!countries.is_empty(), "countries"),
        (key.kind == RateKeyType::Fingerprint, "key.type Fingerprint"),
        (!action.is_empty(), action),
    ]);
    let period_ms = rate.period.as_millis().unwrap_or_default();
    if !PERIOD_MS.contains(&period_ms) {
        let period = &rate.period.0;
        problems.push(Problem::invalid(format!(
            "rate.period: {period} is not between 1s and 1d"
        )));
    }
    let matches: Vec<_> = matches.iter().map(request_match).collect();
    let name = || key.name.clone().unwrap_or_default();
    let compiled = RateRule {
        id: id.clone(),
        matches,
        key: match key.kind {
            RateKeyType::ClientAddress | RateKeyType::Fingerprint => RateKey::ClientAddress,
            RateKeyType::Subnet => RateKey::Subnet {
                ipv4: key.ipv4_prefix_length.unwrap_or(24),
                ipv6: key.ipv6_prefix_length.unwrap_or(56),
            },
            RateKeyType::Header => RateKey::Header(name().to_ascii_lowercase()),
            RateKeyType::Cookie => RateKey::Cookie(name()),
            RateKeyType::Site => RateKey::Site,
        },
        requests: rate.requests,
        period_ms,
        burst: burst.unwrap_or(rate.requests),
        status: excess.status.unwrap_or(429),
    };
    if problems.is_empty() {
        Ok(compiled)
    } else {
        Err(problems)
    }
}

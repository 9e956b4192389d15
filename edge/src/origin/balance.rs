use std::cmp::Ordering;
use std::hash::Hasher;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use siphasher::sip::SipHasher13;

/// What the choice between endpoints knows of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Hash of its address, the same on every edge.
    pub(super) identity: u64,
    /// Share of the traffic; 0: none.
    pub(super) weight: u16,
    /// Requests without a complete answer.
    pub(super) in_flight: usize,
    /// How much it is wanted; only the most wanted are chosen among.
    pub(super) tier: Tier,
}

/// How much an endpoint is wanted, best first. Unhealthy ones are used when there is no other: when all
/// fail their checks, the checks are as likely to be wrong, and an error is certain otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    /// Healthy, and this request hasn't been there.
    Healthy,
    /// Healthy, but this request failed there.
    HealthyTried,
    /// Unhealthy or ejected.
    Unhealthy,
    /// Unhealthy, and this request failed there.
    UnhealthyTried,
    /// Must not be connected to.
    Forbidden,
}

/// How endpoints are chosen.
#[derive(Debug)]
pub(super) enum Balancer {
    /// Smooth weighted round robin: shares are exact, and an endpoint's turns are spread evenly.
    RoundRobin(Mutex<Vec<(u64, i64)>>),
    /// The better of two.
    LeastRequests,
    /// Weighted rendezvous hashing: a change of the list or of one weight moves only the keys that it must.
    /// Requests without a hash go in turn.
    ConsistentHash(Mutex<Vec<(u64, i64)>>),
}

impl Balancer {
    pub(super) fn new(balancing: &breakwater_edge_config::Balancing) -> Self {
        use breakwater_edge_config::Balancing;
        match balancing {
            Balancing::RoundRobin => Self::RoundRobin(Mutex::default()),
            Balancing::LeastRequests => Self::LeastRequests,
            Balancing::ConsistentHash { .. } => Self::ConsistentHash(Mutex::default()),
        }
    }

    /// The position of the endpoint to use; `None` when every weight is 0 or every address forbidden.
    /// `random` gives a number below its argument.
    pub(super) fn pick(
        &self,
        candidates: &[Candidate],
        hash: Option<u64>,
        random: impl FnMut(usize) -> usize,
    ) -> Option<usize> {
        let usable = |c: &&Candidate| c.weight > 0 && c.tier != Tier::Forbidden;
        let tier = candidates.iter().filter(usable).map(|c| c.tier).min()?;
        let chosen: Vec<(usize, Candidate)> = candidates
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, c)| usable(&c) && c.tier == tier)
            .collect();
        match (self, hash) {
            (Self::ConsistentHash(_), Some(hash)) => rendezvous(&chosen, hash),
            (Self::RoundRobin(turns) | Self::ConsistentHash(turns), _) => {
                let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
                next_in_turn(&mut turns, &chosen)
            }
            (Self::LeastRequests, _) => better_of_two(&chosen, random),
        }
    }
}

/// A number for an address that every edge computes alike.
pub(super) fn identity(address: SocketAddr) -> u64 {
    let mut hasher = SipHasher13::new();
    match address.ip() {
        std::net::IpAddr::V4(ip) => hasher.write(&ip.octets()),
        std::net::IpAddr::V6(ip) => hasher.write(&ip.octets()),
    }
    hasher.write_u16(address.port());
    hasher.finish()
}

/// Each gains its weight, the richest is chosen and pays what all gained.
fn next_in_turn(turns: &mut Vec<(u64, i64)>, chosen: &[(usize, Candidate)]) -> Option<usize> {
    turns.retain(|(id, _)| chosen.iter().any(|(_, c)| c.identity == *id));
    let total: i64 = chosen.iter().map(|(_, c)| i64::from(c.weight)).sum();
    let mut best: Option<(usize, usize, i64)> = None;
    for (position, candidate) in chosen {
        let found = turns.iter().position(|(id, _)| *id == candidate.identity);
        let turn = found.unwrap_or_else(|| {
            turns.push((candidate.identity, 0));
            turns.len() - 1
        });
        let Some((_, credit)) = turns.get_mut(turn) else {
            continue;
        };
        *credit += i64::from(candidate.weight);
        if best.is_none_or(|(.., most)| *credit > most) {
            best = Some((*position, turn, *credit));
        }
    }
    let (position, turn, _) = best?;
    if let Some((_, credit)) = turns.get_mut(turn) {
        *credit -= total;
    }
    Some(position)
}

fn better_of_two(chosen: &[(usize, Candidate)], mut random: impl FnMut(usize) -> usize) -> Option<usize> {
    let first = random(chosen.len());
    // The second is another one, where there is another.
    let second = match chosen.len() {
        0 => return None,
        1 => first,
        n => (first + 1 + random(n - 1)) % n,
    };
    let (a, b) = (chosen.get(first)?, chosen.get(second)?);
    // (in flight + 1) / weight, without division: an idle endpoint of more weight is the better one.
    let load = |mine: &Candidate, other: &Candidate| (mine.in_flight as u64 + 1) * u64::from(other.weight);
    Some(if load(&b.1, &a.1) < load(&a.1, &b.1) {
        b.0
    } else {
        a.0
    })
}

/// Each endpoint draws a number for the key, exponentially distributed with its weight as rate; the least
/// wins. So each wins in proportion to its weight, and whether one beats another depends on no third.
fn rendezvous(chosen: &[(usize, Candidate)], hash: u64) -> Option<usize> {
    let draw = |candidate: &Candidate| {
        let mixed = mix(hash ^ mix(candidate.identity));
        // 53 bits fit a double exactly; never 0, whose logarithm is infinite.
        #[allow(clippy::cast_precision_loss)]
        let uniform = ((mixed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -uniform.ln() / f64::from(candidate.weight)
    };
    let least = chosen
        .iter()
        .map(|(position, c)| (*position, draw(c), c.identity))
        .min_by(|a, b| {
            a.1.partial_cmp(&b.1)
                .unwrap_or(Ordering::Equal)
                .then(a.2.cmp(&b.2))
        });
    least.map(|(position, ..)| position)
}

/// The finalizer of `SplitMix64`: every bit of the input reaches every bit of the result.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
#[path = "balance_tests.rs"]
mod tests;

use breakwater_edge_config::{Balancing, HashKey};
use proptest::prelude::*;

use super::*;

fn candidate(n: u8, weight: u16) -> Candidate {
    let identity = identity(SocketAddr::from(([10, 0, 0, n], 80)));
    Candidate {
        identity,
        weight,
        in_flight: 0,
        tier: Tier::Healthy,
    }
}

fn hashing() -> Balancer {
    Balancer::new(&Balancing::ConsistentHash { key: HashKey::Path })
}

fn draw(balancer: &Balancer, list: &[Candidate], times: usize) -> Vec<usize> {
    let mut rng = fastrand::Rng::with_seed(7);
    (0..times)
        .map(|_| balancer.pick(list, None, |n| rng.usize(..n.max(1))).unwrap())
        .collect()
}

#[test]
fn round_robin_gives_each_its_share_spread_evenly() {
    let list = [candidate(1, 5), candidate(2, 1), candidate(3, 1), candidate(4, 0)];
    let picks = draw(&Balancer::new(&Balancing::RoundRobin), &list, 14);
    assert_eq!(picks, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn round_robin_goes_on_smoothly_when_the_list_changes() {
    let balancer = Balancer::new(&Balancing::RoundRobin);
    draw(&balancer, &[candidate(1, 1), candidate(2, 1), candidate(3, 1)], 2);
    let picks = draw(&balancer, &[candidate(2, 1), candidate(3, 1)], 100);
    // What the two had saved up or owed when the third left is worth one turn at most.
    let first = picks.iter().filter(|p| **p == 0).count();
    assert!((49..=51).contains(&first), "{first} of 100");
}

#[test]
fn least_requests_prefers_the_less_loaded_of_two_by_weight() {
    let balancer = Balancer::new(&Balancing::LeastRequests);
    let mut list = [candidate(1, 1), candidate(2, 1)];
    list[0].in_flight = 3;
    assert_eq!(draw(&balancer, &list, 50), [1; 50]);
    // Three in flight at weight 10 are less than one at weight 1.
    list[0].weight = 10;
    list[1].in_flight = 1;
    assert_eq!(draw(&balancer, &list, 50), [0; 50]);
}

#[test]
fn each_tier_is_used_only_when_the_better_ones_are_empty() {
    let tiers = [
        Tier::Forbidden,
        Tier::UnhealthyTried,
        Tier::Unhealthy,
        Tier::HealthyTried,
        Tier::Healthy,
    ];
    for balancing in [
        Balancing::RoundRobin,
        Balancing::LeastRequests,
        Balancing::ConsistentHash {
            key: HashKey::ClientAddress,
        },
    ] {
        let balancer = Balancer::new(&balancing);
        let mut list: Vec<Candidate> = (1..)
            .zip(tiers)
            .map(|(n, tier)| Candidate {
                tier,
                ..candidate(n, 1)
            })
            .collect();
        while list.len() > 1 {
            for hash in 0..20 {
                assert_eq!(balancer.pick(&list, Some(hash), |n| n - 1), Some(list.len() - 1));
            }
            list.pop();
        }
        assert_eq!(
            balancer.pick(&list, Some(1), |n| n - 1),
            None,
            "a forbidden address is never used"
        );
        assert_eq!(balancer.pick(&[], None, |_| 0), None);
        assert_eq!(
            balancer.pick(&[candidate(1, 0)], Some(3), |_| 0),
            None,
            "weight 0 gets nothing"
        );
    }
}

#[test]
fn hashing_shares_keys_by_weight() {
    let list = [candidate(1, 300), candidate(2, 100)];
    let balancer = hashing();
    let first = (0..20_000u64)
        .filter(|key| balancer.pick(&list, Some(mix(*key)), |_| 0) == Some(0))
        .count();
    assert!(
        (14_600..15_400).contains(&first),
        "{first} of 20000 for a weight of 3 to 1"
    );
}

#[test]
fn the_place_of_a_key_never_changes_between_releases() {
    let list: Vec<_> = (1..=8).map(|n| candidate(n, 100)).collect();
    let places: Vec<_> = (0..12)
        .map(|key| hashing().pick(&list, Some(mix(key)), |_| 0).unwrap())
        .collect();
    assert_eq!(
        places, GOLDEN,
        "edges of two versions would send a key to two places"
    );
}

const GOLDEN: [usize; 12] = [2, 7, 2, 2, 2, 3, 1, 2, 1, 4, 2, 7];

proptest! {
    #[test]
    fn when_an_endpoint_goes_only_its_own_keys_move(
        weights in prop::collection::vec(1u16..1000, 2..20),
        gone in any::<prop::sample::Index>(),
        keys in prop::collection::vec(any::<u64>(), 100),
    ) {
        let list: Vec<_> = (1..).zip(&weights).map(|(n, w)| candidate(n, *w)).collect();
        let gone = gone.index(list.len());
        let mut rest = list.clone();
        rest.remove(gone);
        let balancer = hashing();
        for key in keys {
            let before = balancer.pick(&list, Some(key), |_| 0).unwrap();
            let after = balancer.pick(&rest, Some(key), |_| 0).unwrap();
            if before != gone {
                prop_assert_eq!(list[before].identity, rest[after].identity);
            }
        }
    }

    #[test]
    fn when_a_weight_grows_keys_move_only_to_that_endpoint(
        weights in prop::collection::vec(1u16..900, 2..20),
        grown in any::<prop::sample::Index>(),
        keys in prop::collection::vec(any::<u64>(), 100),
    ) {
        let list: Vec<_> = (1..).zip(&weights).map(|(n, w)| candidate(n, *w)).collect();
        let grown = grown.index(list.len());
        let mut heavier = list.clone();
        heavier[grown].weight += 100;
        let balancer = hashing();
        for key in keys {
            let before = balancer.pick(&list, Some(key), |_| 0).unwrap();
            let after = balancer.pick(&heavier, Some(key), |_| 0).unwrap();
            prop_assert!(before == after || after == grown);
        }
    }

    #[test]
    fn every_choice_is_of_the_best_tier_and_has_a_weight(
        list in prop::collection::vec((0u16..5, 0usize..9, 0usize..5), 0..12),
        hash in any::<Option<u64>>(),
        seed in any::<u64>(),
    ) {
        let tiers = [Tier::Healthy, Tier::HealthyTried, Tier::Unhealthy, Tier::UnhealthyTried, Tier::Forbidden];
        let list: Vec<_> = (1..).zip(list)
            .map(|(n, (weight, in_flight, tier))| Candidate { in_flight, tier: tiers[tier], ..candidate(n, weight) })
            .collect();
        let usable = list.iter().filter(|c| c.weight > 0 && c.tier != Tier::Forbidden);
        let best = usable.map(|c| c.tier).min();
        for balancing in [Balancing::RoundRobin, Balancing::LeastRequests, Balancing::ConsistentHash { key: HashKey::Path }] {
            let mut rng = fastrand::Rng::with_seed(seed);
            let pick = Balancer::new(&balancing).pick(&list, hash, |n| rng.usize(..n.max(1)));
            prop_assert_eq!(pick.map(|p| list[p].tier), best);
            prop_assert!(pick.is_none_or(|p| list[p].weight > 0));
        }
    }
}

use super::*;

const V4: &str = "192.0.2.1";
const OTHER_V4: &str = "192.0.2.2";
const V6: &str = "2001:db8::1";

#[expect(clippy::unnecessary_wraps, reason = "as the answers are")]
fn family(addresses: &[&str]) -> Family {
    Ok(addresses.iter().map(|address| address.parse().unwrap()).collect())
}

fn failed() -> Family {
    Err("the server is silent".to_owned())
}

fn known(addresses: &[&str]) -> Resolved {
    Resolved::Addresses(family(addresses).unwrap().into())
}

#[test]
fn the_last_good_addresses_of_a_family_stay_until_there_are_others() {
    let never = Resolved::Failed("the server is silent".to_owned());
    let nothing = Resolved::Failed("the name has no address".to_owned());
    for (before, v4, v6, after) in [
        (
            Resolved::Pending,
            family(&[OTHER_V4, V4]),
            family(&[V6]),
            known(&[V4, OTHER_V4, V6]),
        ),
        (Resolved::Pending, family(&[V4, V4]), family(&[]), known(&[V4])),
        (Resolved::Pending, failed(), failed(), never.clone()),
        (Resolved::Pending, family(&[]), family(&[]), nothing),
        (Resolved::Pending, family(&[V4]), failed(), known(&[V4])),
        (never.clone(), failed(), failed(), never),
        (known(&[V4]), failed(), failed(), known(&[V4])),
        (known(&[V4]), family(&[]), family(&[]), known(&[V4])),
        (
            known(&[V4, V6]),
            family(&[OTHER_V4]),
            failed(),
            known(&[OTHER_V4, V6]),
        ),
        (known(&[V4, V6]), failed(), family(&[]), known(&[V4])),
        (known(&[V4]), family(&[]), family(&[V6]), known(&[V6])),
    ] {
        let answer = Answer {
            v4: v4.clone(),
            v6: v6.clone(),
            ttl: MIN_TTL,
        };
        assert_eq!(
            settle(&before, answer, &mut 0).0,
            after,
            "{before:?}, then {v4:?} and {v6:?}"
        );
    }
}

#[test]
fn a_good_answer_is_used_for_its_ttl_within_bounds_and_a_failure_is_repeated_ever_later() {
    let mut failures = 0;
    let mut next = |v4: Family, ttl: u64| {
        let answer = Answer {
            v4,
            v6: family(&[]),
            ttl: Duration::from_secs(ttl),
        };
        settle(&known(&[V4]), answer, &mut failures).1.as_secs()
    };
    for (ttl, used) in [(0, 5), (60, 60), (86_400, 300)] {
        assert_eq!(next(family(&[V4]), ttl), used);
    }
    let waits: Vec<u64> = (0..9).map(|_| next(failed(), 60)).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 40, 40, 40]);
    assert_eq!(next(family(&[V4]), 60), 60);
    assert_eq!(next(failed(), 60), 1, "counted from the last good answer");
}

#[test]
fn no_more_than_64_addresses_of_a_name_are_used() {
    let many: Vec<IpAddr> = (0..=255).map(|n| IpAddr::from([192, 0, 2, n])).collect();
    let answer = Answer {
        v4: Ok(many),
        v6: family(&[]),
        ttl: MIN_TTL,
    };
    let Resolved::Addresses(used) = settle(&Resolved::Pending, answer, &mut 0).0 else {
        panic!("there are addresses");
    };
    assert_eq!(used.len(), 64);
}

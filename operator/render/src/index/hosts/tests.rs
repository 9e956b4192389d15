use super::*;
use crate::settings::HostGrant;

fn host(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn name(text: &str) -> Name {
    let (namespace, name) = text.split_once('/').unwrap();
    Name::new(namespace, name)
}

fn cluster() -> Settings {
    Settings::cluster("fra", "breakwater-system")
}

#[test]
fn among_new_claimants_the_older_wins_then_namespace_and_name() {
    let mut claims = Claims::default();
    let h = host("a.example.com");
    claims.ask(&h, &name("z/old"), Some(at(1)));
    claims.ask(&h, &name("a/new"), Some(at(2)));
    claims.ask(&h, &name("b/new"), Some(at(2)));
    assert!(claims.verdict(&h, &name("z/old"), &cluster()).is_ok());
    assert!(claims.verdict(&h, &name("a/new"), &cluster()).is_err());
    claims.forget(&h, &name("z/old"));
    assert!(claims.verdict(&h, &name("a/new"), &cluster()).is_ok());
    assert!(claims.verdict(&h, &name("b/new"), &cluster()).is_err());
}

#[test]
fn whoever_serves_a_host_keeps_it_against_older_objects_until_it_lets_go() {
    let mut claims = Claims::default();
    let h = host("a.example.com");
    claims.ask(&h, &name("b/site"), Some(at(9)));
    claims.serve(&h, &name("b/site"));
    claims.ask(&h, &name("a/older"), Some(at(1)));
    assert!(claims.verdict(&h, &name("b/site"), &cluster()).is_ok());
    let problem = claims.verdict(&h, &name("a/older"), &cluster()).unwrap_err();
    assert_eq!(problem.reason, reason::HOST_CONFLICT);
    assert!(!problem.message.contains("b/site"), "{problem}");
    // Its object doesn't ask any more, but the Secret still stands.
    claims.forget(&h, &name("b/site"));
    assert!(claims.verdict(&h, &name("a/older"), &cluster()).is_err());
    // Another site of that namespace takes it over without a gap.
    claims.ask(&h, &name("b/next"), Some(at(10)));
    assert!(claims.verdict(&h, &name("b/next"), &cluster()).is_ok());
    claims.let_go(&h, &name("b/site"));
    assert!(claims.verdict(&h, &name("a/older"), &cluster()).is_ok());
}

#[test]
fn a_host_below_another_namespaces_name_needs_a_grant() {
    for above in ["example.com", "*.example.com"] {
        let mut claims = Claims::default();
        claims.ask(&host(above), &name("a/site"), Some(at(1)));
        claims.serve(&host(above), &name("a/site"));
        for below in ["shop.example.com", "x.shop.example.com", "*.shop.example.com"] {
            claims.ask(&host(below), &name("b/site"), Some(at(2)));
            claims.ask(&host(below), &name("a/other"), Some(at(3)));
            let problem = claims
                .verdict(&host(below), &name("b/site"), &cluster())
                .unwrap_err();
            assert_eq!(problem.reason, reason::HOST_NOT_ALLOWED, "{below}");
            assert!(
                claims.verdict(&host(below), &name("a/other"), &cluster()).is_ok(),
                "{below}"
            );
            let mut granted = cluster();
            granted.host_grants = vec![HostGrant {
                namespaces: vec!["a".into(), "b".into()],
                suffixes: vec!["example.com".into()],
            }];
            assert!(
                claims.verdict(&host(below), &name("b/site"), &granted).is_ok(),
                "{below}"
            );
            claims.forget(&host(below), &name("b/site"));
        }
    }
}

#[test]
fn what_was_served_first_is_not_taken_by_a_name_above_it() {
    let mut claims = Claims::default();
    claims.ask(&host("shop.example.com"), &name("b/site"), Some(at(5)));
    claims.serve(&host("shop.example.com"), &name("b/site"));
    claims.ask(&host("example.com"), &name("a/site"), Some(at(1)));
    assert!(
        claims
            .verdict(&host("shop.example.com"), &name("b/site"), &cluster())
            .is_ok()
    );
    assert!(
        claims
            .verdict(&host("example.com"), &name("a/site"), &cluster())
            .is_ok()
    );
    // Nor once that name is served too, by an older object.
    claims.serve(&host("example.com"), &name("a/site"));
    claims.ask(&host("shop.example.com"), &name("a/site"), Some(at(1)));
    assert!(
        claims
            .verdict(&host("shop.example.com"), &name("b/site"), &cluster())
            .is_ok()
    );
    let problem = claims
        .verdict(&host("shop.example.com"), &name("a/site"), &cluster())
        .unwrap_err();
    assert_eq!(problem.reason, reason::HOST_CONFLICT);
}

#[test]
fn who_lost_its_grant_lets_go_before_another_has_the_host() {
    let mut claims = Claims::default();
    let h = host("a.example.com");
    let mut settings = cluster();
    settings.host_grants = vec![HostGrant {
        namespaces: vec!["a".into()],
        suffixes: vec!["example.com".into()],
    }];
    claims.ask(&h, &name("b/site"), Some(at(1)));
    claims.serve(&h, &name("b/site"));
    claims.ask(&h, &name("a/site"), Some(at(2)));
    let reason_for = |claims: &Claims, site| {
        claims
            .verdict(&h, &name(site), &settings)
            .map_err(|problem| problem.reason)
    };
    assert_eq!(reason_for(&claims, "b/site"), Err(reason::HOST_NOT_ALLOWED));
    assert_eq!(reason_for(&claims, "a/site"), Err(reason::HOST_CONFLICT));
    claims.let_go(&h, &name("b/site"));
    assert_eq!(reason_for(&claims, "a/site"), Ok(()));
}

#[test]
fn with_grants_a_namespace_claims_what_it_was_granted_only() {
    let mut claims = Claims::default();
    let mut settings = cluster();
    settings.host_grants = vec![HostGrant {
        namespaces: vec!["a".into()],
        suffixes: vec!["a.example".into()],
    }];
    for (text, site, good) in [
        ("a.example", "a/site", true),
        ("*.a.example", "a/site", true),
        ("b.example", "a/site", false),
        ("x.a.example", "b/site", false),
    ] {
        claims.ask(&host(text), &name(site), Some(at(1)));
        assert_eq!(
            claims.verdict(&host(text), &name(site), &settings).is_ok(),
            good,
            "{text}"
        );
    }
}

#[test]
fn a_change_concerns_those_who_ask_for_the_host_or_below_it() {
    let mut claims = Claims::default();
    for (text, site) in [
        ("example.com", "a/a"),
        ("x.example.com", "a/b"),
        ("*.example.com", "a/c"),
        ("example.org", "a/d"),
    ] {
        claims.ask(&host(text), &name(site), Some(at(1)));
    }
    let concerned = |text: &str| {
        claims
            .concerned(&host(text))
            .into_iter()
            .map(|n| n.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(concerned("example.com"), ["a", "b", "c"]);
    assert_eq!(concerned("*.example.com"), ["b", "c"]);
    assert_eq!(concerned("x.example.com"), ["b"]);
}

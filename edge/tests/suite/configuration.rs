use breakwater_edge::{Change, Edge};
use breakwater_edge_config::bundle::KeyPair;
use breakwater_edge_config::{Document, Mode, Part, PolicyId, RateKey, RateRule, RegionSettings};

use crate::support::client::Raw;
use crate::support::tls::Authority;
use crate::support::{
    edge_with, fixed_site, id, options, put, region, site_change, unreadable, with_certificate,
};

#[tokio::test]
async fn a_bad_site_keeps_its_last_good_state_and_harms_no_other() {
    let authority = Authority::new();
    let (a, b) = (
        fixed_site("a", "a.example", "first"),
        fixed_site("b", "b.example", "other"),
    );
    let edge = edge_with(options(), vec![a.clone(), b]);
    let address = edge.addresses().http[0];
    let good = authority.issue(&["a.example"]);
    let foreign = KeyPair {
        key_pem: authority.issue(&["a.example"]).key_pem,
        ..good.clone()
    };
    let garbage = KeyPair {
        key_pem: b"not a key".to_vec(),
        ..good
    };
    for (pair, problem) in [
        (foreign, "the private key doesn't belong to the certificate"),
        (garbage, "the private key can't be read"),
    ] {
        let mut bad = with_certificate(fixed_site("a", "a.example", "second"), &["a.example"], pair);
        bad.config.debug_headers = true;
        let failures = edge.apply(vec![site_change(bad)]);
        assert_eq!(failures.len(), 1);
        assert_eq!(
            (failures[0].object.as_str(), &failures[0].site),
            ("site-a", &Some(id("a")))
        );
        assert!(failures[0].reason.contains(problem), "{}", failures[0].reason);
        assert_eq!(edge.status().failures, failures);
        let mut client = Raw::connect(address).await;
        assert_eq!(client.get("a.example", "/").await.body, b"first");
        assert_eq!(client.get("b.example", "/").await.body, b"other");
    }
    let failures = edge.apply(vec![unreadable("site-a")]);
    assert_eq!(failures[0].reason, "needs an edge that reads form 9");
    assert_eq!(failures[0].site, Some(id("a")));
    assert_eq!(
        Raw::connect(address).await.get("a.example", "/").await.body,
        b"first"
    );

    assert_eq!(
        edge.apply(vec![site_change(fixed_site("a", "a.example", "third"))]),
        []
    );
    assert_eq!(edge.status().failures, []);
    assert_eq!(
        Raw::connect(address).await.get("a.example", "/").await.body,
        b"third"
    );
    assert_eq!(edge.status().sites, 2);
}

#[tokio::test]
async fn a_site_that_is_gone_is_not_answered_any_more() {
    let edge = edge_with(
        options(),
        vec![
            fixed_site("a", "a.example", "a"),
            fixed_site("b", "b.example", "b"),
        ],
    );
    assert_eq!(
        edge.apply(vec![Change::Remove {
            name: "site-a".to_owned()
        }]),
        []
    );
    let address = edge.addresses().http[0];
    let mut client = Raw::connect(address).await;
    client.send("GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").await;
    assert!(client.ends().await);
    assert_eq!(Raw::connect(address).await.get("b.example", "/").await.body, b"b");
    assert_eq!(edge.status().sites, 1);
}

fn limit() -> Part {
    let rule = RateRule {
        id: PolicyId("RateRule/platform/all".to_owned()),
        matches: Vec::new(),
        key: RateKey::Site,
        requests: 1,
        period_ms: 3_600_000,
        burst: 0,
        status: 429,
    };
    Part::Rate {
        mode: Mode::Enforced,
        rule,
    }
}

fn settings_with(part: &Part) -> Change {
    let settings = RegionSettings {
        region: "test".to_owned(),
        policies: [(part.id().clone(), part.hash().unwrap())].into(),
        all_sites: vec![part.id().clone()],
        ..RegionSettings::default()
    };
    put("region-settings", Document::Region(settings))
}

#[tokio::test]
async fn settings_come_into_force_only_with_every_part_and_then_for_every_site() {
    let edge = edge_with(options(), vec![fixed_site("a", "a.example", "a")]);
    let part = limit();
    let failures = edge.apply(vec![settings_with(&part)]);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(
        failures[0].reason.contains("is not there"),
        "{}",
        failures[0].reason
    );
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    for _ in 0..3 {
        assert_eq!(client.get("a.example", "/").await.status, 200);
    }
    let document = Document::Part(part.hash().unwrap(), part);
    assert_eq!(edge.apply(vec![put("part-1", document)]), []);
    assert_eq!(edge.status().failures, []);
    assert_eq!(client.get("a.example", "/").await.status, 200);
    assert_eq!(client.get("a.example", "/").await.status, 429);
}

#[test]
fn no_site_is_in_force_before_the_settings_are() {
    let edge = Edge::start(options()).unwrap();
    let failures = edge.apply(vec![site_change(fixed_site("a", "a.example", "a"))]);
    assert_eq!((failures.len(), edge.status().sites), (1, 0));
    assert_eq!(edge.apply(vec![region()]), []);
    assert_eq!((edge.status().failures, edge.status().sites), (vec![], 1));
}

#[test]
fn it_does_not_listen_before_its_configuration_is_complete() {
    let edge = Edge::start(options()).unwrap();
    assert!(edge.listen().is_err());
    edge.set_complete();
    edge.listen().unwrap();
    assert!(edge.status().ready());
}

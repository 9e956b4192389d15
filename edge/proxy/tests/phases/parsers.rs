//! Parsers against simple models of what they accept.

use std::net::IpAddr;

use breakwater_edge_config::{CachePolicy, ClientAddress, QueryKey};
use breakwater_edge_proxy::{BodyHint, FieldBuf, Fields, Protocol, Reason, trailers};
use proptest::prelude::*;

use crate::memory::{Ended, Request, World, connection, site};

/// What the grammar of `uri-host [ ":" port ]` makes of an authority, written the slow way.
fn model_of_authority(text: &str) -> Option<(String, Option<u16>)> {
    let (name, port) = match text.rfind(']') {
        Some(end) => text.split_at(end + 1),
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some("") => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        _ => return None,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let good = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(inner) => inner
            .chars()
            .all(|c| c.is_ascii_hexdigit() || c == ':' || c == '.'),
        None => name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)),
    };
    (good && (1..=253).contains(&name.len())).then(|| (name.to_ascii_lowercase(), port))
}

fn trusting() -> World {
    World::shop(|site| {
        site.client_address = ClientAddress {
            trusted_proxies: vec![
                "198.51.100.0/24".parse().unwrap(),
                "2001:db8::/32".parse().unwrap(),
            ],
            header: None,
        };
    })
}

fn hop() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<IpAddr>().prop_map(|address| address.to_string()),
        prop::sample::select(vec![
            "198.51.100.9",
            "2001:db8::9",
            "[2001:db8::9]:1",
            "198.51.100.9:80",
            "192.0.2.1:4711",
            "[2001:db9::1]",
            "unknown",
            "",
            "_hidden",
            "192.0.2.1.",
            "1.2.3",
            "[::1",
            "::1%eth0",
        ])
        .prop_map(str::to_owned),
        "[0-9a-f:.\\[\\]% ]{0,20}",
    ]
}

/// The address in a hop, the way that its three forms are written.
fn model_of_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim_matches([' ', '\t']);
    let parsed = hop.parse::<IpAddr>().ok();
    let with_port = || {
        hop.rsplit_once(':')
            .filter(|(v4, _)| !v4.contains(':'))?
            .0
            .parse()
            .ok()
    };
    let bracketed = || hop.strip_prefix('[')?.split_once(']')?.0.parse().ok();
    parsed
        .or_else(with_port)
        .or_else(bracketed)
        .map(|address: IpAddr| address.to_canonical())
}

fn is_trusted(address: IpAddr) -> bool {
    ["198.51.100.0/24", "2001:db8::/32"]
        .iter()
        .any(|net| net.parse::<ipnet::IpNet>().unwrap().contains(&address))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_host_is_what_the_grammar_says(
        text in prop_oneof![
            "[a-zA-Z0-9._:\\[\\]@/ -]{0,14}",
            "shop\\.example[.:0-9a]{0,7}",
            "\\[[0-9a-f:.g]{0,6}\\][:0-9x.]{0,6}",
        ],
        http2 in any::<bool>(),
    ) {
        let mut world = World::shop(|_| ());
        world.conn = connection(if http2 { Protocol::Http2 } else { Protocol::Http1 }, "198.51.100.7");
        let client = world.open(Request::new("POST", &text, "/"));
        let (status, reason, ..) = world.record(client);
        match model_of_authority(&text) {
            None => prop_assert_eq!((status, reason), (400, Some(Reason::BadHost))),
            Some((host, port)) if host == "shop.example" => {
                let told = port.filter(|port| *port != 80).map_or(host.clone(), |port| format!("{host}:{port}"));
                prop_assert_eq!(world.asked[0].line(), format!("POST {told} /"));
            }
            Some(_) => {
                let silent = matches!(world.got(client).ended, Some(Ended::Closed(_) | Ended::Reset(_)));
                prop_assert!(silent && reason == Some(Reason::UnknownHost));
            }
        }
    }

    #[test]
    fn the_visitor_is_the_last_address_that_is_no_proxys(
        lines in prop::collection::vec(prop::collection::vec(hop(), 0..5), 0..4),
    ) {
        let mut world = trusting();
        let mut request = Request::get("/");
        for line in &lines {
            request = request.with("x-forwarded-for", &line.join(","));
        }
        let client = world.open(request.clone());
        let (_, reason, found, _) = world.record(client);
        prop_assert_eq!(reason, None, "the list is never why a request is refused");
        let joined: Vec<String> = lines.iter().flat_map(|line| {
            let line = line.join(",");
            line.split(',').map(str::to_owned).collect::<Vec<_>>()
        }).collect();
        let mut expected: IpAddr = "198.51.100.7".parse().unwrap();
        for hop in joined.iter().rev() {
            let Some(address) = model_of_hop(hop) else { break };
            expected = address;
            if !is_trusted(address) {
                break;
            }
        }
        prop_assert_eq!(found, expected.to_string());
    }

    #[test]
    fn nobody_who_is_not_trusted_says_who_they_are(hops in prop::collection::vec(hop(), 0..5)) {
        let mut world = trusting();
        world.conn = connection(Protocol::Http1, "203.0.113.5");
        let client = world.open(Request::get("/").with("x-forwarded-for", &hops.join(", ")));
        prop_assert_eq!(world.record(client).2, "203.0.113.5");
    }

    /// What selects an entry and what the origin is asked come from the same bytes: two targets share an entry
    /// exactly when they ask the same.
    #[test]
    fn two_queries_share_an_entry_exactly_when_they_ask_the_same(
        one in "[abc=&;%1]{0,8}",
        other in "[abc=&;%1]{0,8}",
        rule in prop::sample::select(vec![
            QueryKey::All,
            QueryKey::None,
            QueryKey::Allow(vec!["a".into(), "b".into()]),
            QueryKey::Deny(vec!["c".into()]),
        ]),
        sort_query in any::<bool>(),
    ) {
        let mut world = World::shop(|site| {
            let mut policy = CachePolicy::rfc();
            policy.key.query = rule;
            policy.key.sort_query = sort_query;
            site.cache = Some(policy);
        });
        let fresh = crate::memory::Answer::new(200, &[("cache-control", "max-age=60")], "x");
        world.exchange(Request::get(&format!("/?{one}")), &fresh);
        world.exchange(Request::get(&format!("/?{other}")), &fresh);
        let mut alone = World::new(site("shop", "shop.example"));
        alone.serve((**world.directory.current().find("shop.example").unwrap().config()).clone());
        alone.exchange(Request::get(&format!("/?{other}")), &fresh);
        let shared = world.asked.len() == 1;
        prop_assert_eq!(shared, world.asked[0].line() == alone.asked[0].line());
    }

    #[test]
    fn a_length_is_one_number_that_is_the_framings(
        text in "[0-9+, x-]{0,6}",
        framed in 0_u64..2_000,
    ) {
        let mut world = World::shop(|_| ());
        let request = Request {
            body: BodyHint::Length(framed),
            ..Request::new("POST", "shop.example", "/")
        };
        world.open(request.with("content-length", &text));
        let told = text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
        prop_assert_eq!(world.asked.is_empty(), told != Some(framed), "{:?} {}", text, framed);
    }

    #[test]
    fn trailers_that_pass_are_some_of_those_that_came(
        lines in prop::collection::vec(("[a-zA-Z-]{0,3}|content-type|etag|[\0-~]{1,3}", "[ -~]{0,4}|[\0-\u{7f}]{1,3}"), 0..6),
    ) {
        let fields = Fields::from_lines(lines.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()))).unwrap();
        let mut out = FieldBuf::default();
        let passes = trailers::filter(&fields, &mut out);
        for (name, value) in out.iter().filter(|_| passes) {
            let came = lines.iter().any(|(n, v)| n.as_bytes().eq_ignore_ascii_case(name) && v.as_bytes() == value);
            prop_assert!(came && !name.starts_with(b"content-") && !value.iter().any(|b| *b < b' ' && *b != b'\t'));
        }
    }
}

//! What holds for every request, however it was made.

use breakwater_edge_proxy::{BodyHint, Protocol};
use proptest::prelude::*;

use crate::memory::{Answer, Request, World, connection};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "Connection",
            "host",
            "te",
            "TRANSFER-ENCODING",
            "content-length",
            "upgrade",
            "x-hop",
            "Via",
            "cdn-loop",
            "x-forwarded-for",
            "keep-alive",
            "expect",
            "cookie",
            "range",
            "if-none-match",
            "authorization",
            "trailer",
        ])
        .prop_map(str::to_owned),
        "[a-z \0\u{e9}]{0,4}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "",
            "close, x-hop",
            "chunked",
            "5",
            "upgrade, te, via",
            "trailers",
            "websocket",
            "h2c",
            "shop.example",
            "100-continue",
            "bytes=0-1",
        ])
        .prop_map(str::to_owned),
        "[a-z,;=\" \r\n\0]{0,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn whatever_an_origin_answers_what_visitors_get_is_well_formed_and_of_one_hop(
        fields in prop::collection::vec((name(), value()), 0..6),
        status in prop_oneof![Just(200_u16), Just(304), Just(101), 100_u16..600],
        post in any::<bool>(),
        told in any::<bool>(),
    ) {
        let mut world = World::shop(|_| ());
        let client = world.open(Request::new(if post { "POST" } else { "GET" }, "shop.example", "/"));
        let mut answer = Answer::new(status, &[("cache-control", "max-age=60")], "x");
        answer.fields.extend(fields.clone());
        world.head(0, &answer, if told { BodyHint::Length(1) } else { BodyHint::Streamed });
        let got = world.got(client);
        prop_assert!(got.status >= 200, "{}", got.status);
        let nominated: Vec<String> = fields
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
            .flat_map(|(_, value)| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
            .collect();
        for (name, value) in &got.fields {
            prop_assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name:?}");
            prop_assert!(!value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)));
            let framing = ["connection", "transfer-encoding", "content-length", "upgrade", "keep-alive"];
            prop_assert!(!framing.contains(&name.as_str()), "{name}");
            prop_assert!(got.status == 502 || !nominated.contains(name), "{name} was nominated");
        }
    }

    #[test]
    fn whatever_comes_in_what_goes_to_the_origin_is_well_formed_and_of_one_hop(
        fields in prop::collection::vec((name(), value()), 0..6),
        method in prop::sample::select(vec!["GET", "HEAD", "POST", "CONNECT", "G T", "OPTIONS"]),
        target in "[/*a%0.\\\\#? ]{0,8}",
        http2 in any::<bool>(),
        streamed in any::<bool>(),
    ) {
        let mut world = World::shop(|_| ());
        world.conn = connection(if http2 { Protocol::Http2 } else { Protocol::Http1 }, "198.51.100.7");
        let mut request = Request::new(method, "shop.example", &target);
        request.fields.extend(fields);
        request.body = if streamed { BodyHint::Streamed } else { BodyHint::None };
        let client = world.open(request.clone());
        if world.asked.is_empty() {
            prop_assert!(world.got(client).ended.is_some(), "every request ends: {request:?}");
            return Ok(());
        }
        let nominated: Vec<String> = request
            .fields
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
            .flat_map(|(_, value)| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
            .collect();
        for (name, value) in world.asked[0].plan.fields.iter() {
            let name = String::from_utf8(name.to_vec()).unwrap();
            prop_assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name:?}");
            prop_assert!(!value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
            let framing = ["connection", "host", "transfer-encoding", "content-length", "upgrade", "keep-alive", "expect", "te"];
            prop_assert!(!framing.contains(&name.as_str()), "{name}");
            let ours = ["via", "cdn-loop", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
            prop_assert!(ours.contains(&name.as_str()) || !nominated.contains(&name), "{name} was nominated");
        }
        world.answer(0, &Answer::ok());
        prop_assert!(world.got(client).ended.is_some() || world.asked.len() > 1);
    }
}

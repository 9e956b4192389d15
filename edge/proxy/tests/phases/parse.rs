use breakwater_edge_proxy::{BodyHint, Protocol, Reason};

use crate::memory::{Answer, Ended, Request, World, connection};

/// The reason that a request is refused for; `None` where it reaches the origin.
fn refusal(protocol: Protocol, request: Request) -> Option<(u16, Reason)> {
    let mut world = World::shop(|_| ());
    world.conn = connection(protocol, "198.51.100.7");
    let client = world.open(request);
    if !world.asked.is_empty() {
        world.answer(0, &Answer::ok());
        assert_eq!(world.got(client).status, 200);
        return None;
    }
    let (status, reason, ..) = world.record(client);
    assert_eq!(world.got(client).ended, Some(Ended::WholeThenClose));
    Some((status, reason.unwrap()))
}

fn h1(request: Request) -> Option<(u16, Reason)> {
    refusal(Protocol::Http1, request)
}

fn h2(request: Request) -> Option<(u16, Reason)> {
    refusal(Protocol::Http2, request)
}

fn post() -> Request {
    Request {
        body: BodyHint::Streamed,
        ..Request::new("POST", "shop.example", "/")
    }
}

#[test]
fn heads_that_two_readers_could_frame_differently_are_refused_and_the_connection_closed() {
    let te = Some((400, Reason::BadTransferEncoding));
    let cl = Some((400, Reason::BadContentLength));
    for (label, request, expected) in [
        ("chunked", post().with("Transfer-Encoding", "chunked"), None),
        ("another case", post().with("Transfer-Encoding", "Chunked"), te),
        (
            "TE and CL",
            post()
                .with("transfer-encoding", "chunked")
                .with("content-length", "3"),
            te,
        ),
        (
            "gzip, chunked",
            post().with("transfer-encoding", "gzip, chunked"),
            te,
        ),
        (
            "chunked twice",
            post()
                .with("transfer-encoding", "chunked")
                .with("transfer-encoding", "chunked"),
            te,
        ),
        ("identity", post().with("transfer-encoding", "identity"), te),
        ("xchunked", post().with("transfer-encoding", "xchunked"), te),
        (
            "TE in 1.0",
            Request {
                http10: true,
                ..post().with("transfer-encoding", "chunked")
            },
            te,
        ),
        (
            "one length",
            Request {
                body: BodyHint::Length(3),
                ..post().with("content-length", "3")
            },
            None,
        ),
        (
            "equal lengths",
            post().with("content-length", "3").with("content-length", "3"),
            cl,
        ),
        ("length list", post().with("content-length", "3, 3"), cl),
        ("signed", post().with("content-length", "+3"), cl),
        ("empty", post().with("content-length", ""), cl),
        (
            "too large",
            post().with("content-length", "99999999999999999999999"),
            cl,
        ),
        (
            "not the framing's",
            Request {
                body: BodyHint::Length(4),
                ..post().with("content-length", "3")
            },
            cl,
        ),
    ] {
        assert_eq!(h1(request), expected, "{label}");
    }
}

#[test]
fn host_is_there_once_and_agrees_with_the_authority() {
    let bare = || Request {
        fields: Vec::new(),
        ..Request::get("/")
    };
    let absolute = |authority| Request {
        authority: Some(authority),
        ..Request::get("/")
    };
    let bad = Some((400, Reason::BadHost));
    for (label, request, expected) in [
        ("none", bare(), bad),
        (
            "none in 1.0",
            Request {
                http10: true,
                ..bare()
            },
            bad,
        ),
        ("twice", Request::get("/").with("Host", "shop.example"), bad),
        ("empty", bare().with("host", ""), bad),
        ("user information", bare().with("host", "a@shop.example"), bad),
        (
            "two hosts",
            bare().with("host", "shop.example, evil.example"),
            bad,
        ),
        ("bad port", bare().with("host", "shop.example:0x50"), bad),
        (
            "port out of range",
            bare().with("host", "shop.example:65536"),
            bad,
        ),
        ("path in host", bare().with("host", "shop.example/x"), bad),
        ("bracket in host", bare().with("host", "shop]x.example"), bad),
        ("bracket open", bare().with("host", "[::1"), bad),
        ("name in brackets", bare().with("host", "[shop.example]"), bad),
        ("two ports", bare().with("host", "shop.example:80:81"), bad),
        ("after the bracket", bare().with("host", "[::1]x"), bad),
        ("case and dot", bare().with("host", "SHOP.example.:80"), None),
        ("empty port", bare().with("host", "shop.example:"), None),
        ("same authority", absolute("SHOP.example"), None),
        (
            "other authority",
            absolute("other.example"),
            Some((400, Reason::HostMismatch)),
        ),
        (
            "other port",
            absolute("shop.example:81"),
            Some((400, Reason::HostMismatch)),
        ),
    ] {
        assert_eq!(h1(request), expected, "{label}");
    }
    assert_eq!(
        h2(Request {
            authority: Some("shop.example"),
            ..bare()
        }),
        None
    );
    assert_eq!(h2(absolute("other.example")), Some((400, Reason::HostMismatch)));
    for http10 in [false, true] {
        let without = Request {
            http10,
            authority: Some("shop.example"),
            ..bare()
        };
        assert_eq!(h1(without), bad, "an absolute form stands for no Host");
    }
}

#[test]
fn targets_and_methods_that_are_read_in_more_than_one_way_are_refused() {
    let target = |target: &str| Request::get(target);
    let longest = format!("/{}", "a".repeat(8191));
    let long = format!("{longest}a");
    for (label, request, expected) in [
        ("fragment", target("/a#b?c"), Some((400, Reason::BadTarget))),
        ("space", target("/a b"), Some((400, Reason::BadTarget))),
        ("control", target("/a\x01"), Some((400, Reason::BadTarget))),
        ("delete", target("/a\x7f"), Some((400, Reason::BadTarget))),
        ("no slash", target("a"), Some((400, Reason::BadTarget))),
        ("empty", target(""), Some((400, Reason::BadTarget))),
        ("star", target("*"), Some((400, Reason::BadTarget))),
        (
            "star with OPTIONS",
            Request::new("OPTIONS", "shop.example", "*"),
            None,
        ),
        ("longest", target(&longest), None),
        ("long", target(&long), Some((414, Reason::TargetTooLong))),
        (
            "NUL in path",
            target("/a%00b"),
            Some((400, Reason::EncodedControl)),
        ),
        (
            "line feed in path",
            target("/a%0Ab"),
            Some((400, Reason::EncodedControl)),
        ),
        (
            "carriage return in path",
            target("/a%0db"),
            Some((400, Reason::EncodedControl)),
        ),
        ("tab in path", target("/a%09b"), None),
        ("line end in query", target("/a?b=%0D%0Ac"), None),
        ("NUL in query", target("/a?%00"), None),
        (
            "backslash in path",
            target("/a\\b"),
            Some((400, Reason::Backslash)),
        ),
        ("backslash in query", target("/a?b\\c"), None),
        ("UTF-8", target("/\u{fc}"), Some((400, Reason::BadTarget))),
        (
            "UTF-8 in query",
            target("/?\u{fc}"),
            Some((400, Reason::BadTarget)),
        ),
        (
            "CONNECT",
            Request::new("CONNECT", "shop.example", "/"),
            Some((405, Reason::MethodRefused)),
        ),
        (
            "TRACE",
            Request::new("TRACE", "shop.example", "/"),
            Some((405, Reason::MethodRefused)),
        ),
        (
            "method",
            Request::new("G(T", "shop.example", "/"),
            Some((400, Reason::BadMethod)),
        ),
        ("own method", Request::new("PURGE-IT", "shop.example", "/"), None),
    ] {
        assert_eq!(h1(request), expected, "{label}");
    }
}

#[test]
fn the_scheme_is_one_of_http() {
    for (scheme, expected) in [
        ("http", None),
        ("HTTPS", None),
        ("ftp", Some((400, Reason::BadTarget))),
        ("https://evil.example/?", Some((400, Reason::BadTarget))),
        ("", Some((400, Reason::BadTarget))),
    ] {
        let request = || Request {
            scheme: Some(scheme),
            ..Request::get("/")
        };
        assert_eq!(h1(request()), expected, "{scheme}");
        assert_eq!(h2(request()), expected, "{scheme}");
    }
}

#[test]
fn fields_are_tokens_with_visible_values() {
    let with = |name: &str, value: &str| Request::get("/").with(name, value);
    for (label, request, expected) in [
        (
            "space before colon",
            with("x ", "1"),
            Some((400, Reason::BadFieldName)),
        ),
        ("empty name", with("", "1"), Some((400, Reason::BadFieldName))),
        ("line feed", with("x", "a\nb"), Some((400, Reason::BadFieldValue))),
        (
            "carriage return",
            with("x", "a\rb"),
            Some((400, Reason::BadFieldValue)),
        ),
        ("NUL", with("x", "a\0b"), Some((400, Reason::BadFieldValue))),
        (
            "most names in Connection",
            with("connection", &["x"; 32].join(",")),
            None,
        ),
        (
            "more names in Connection",
            with("connection", &["x"; 33].join(",")),
            Some((400, Reason::BadFieldValue)),
        ),
        ("tab and above ASCII", with("x", "a\t\u{fc}"), None),
        ("uppercase", with("X-Upper", "1"), None),
    ] {
        assert_eq!(h1(request), expected, "{label}");
    }
}

#[test]
fn http2_has_no_fields_of_connections() {
    let with = |name: &str, value: &str| Request::get("/").with(name, value);
    let connection = Some((400, Reason::ConnectionField));
    for (label, request, expected) in [
        (
            "uppercase",
            with("X-Upper", "1"),
            Some((400, Reason::BadFieldName)),
        ),
        ("connection", with("connection", "close"), connection),
        ("keep-alive", with("keep-alive", "5"), connection),
        (
            "transfer-encoding",
            with("transfer-encoding", "chunked"),
            connection,
        ),
        ("upgrade", with("upgrade", "websocket"), connection),
        ("te", with("te", "gzip"), connection),
        ("te: trailers", with("te", "trailers"), None),
        (
            "two lengths",
            with("content-length", "1").with("content-length", "1"),
            Some((400, Reason::BadContentLength)),
        ),
    ] {
        assert_eq!(h2(request), expected, "{label}");
    }
}

#[test]
fn only_100_continue_may_be_expected() {
    let mut world = World::shop(|_| ());
    assert_eq!(world.refused(Request::get("/").with("expect", "tea")).status, 417);
    let got = world.exchange(Request::get("/").with("expect", "100-Continue"), &Answer::ok());
    assert_eq!(got.status, 200);
    assert_eq!(world.asked[0].field("expect"), None);
}

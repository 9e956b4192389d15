//! Heads: what is taken, what is refused and for which reason.

use breakwater_edge_h1::{HeadLimits, HeadParser, Refusal};
use breakwater_edge_proxy::{BodyHint, Name, Reason};

/// The outcome of a head that comes in one piece.
fn parse(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut parser = HeadParser::default();
    let whole = parser.parse(bytes, &HeadLimits::default());
    // The same when it comes byte by byte: no earlier answer, and no other.
    let mut dripped = HeadParser::default();
    for length in 1..=bytes.len() {
        match dripped.parse(&bytes[..length], &HeadLimits::default()) {
            Ok(None) => {}
            early => {
                assert_eq!(
                    early,
                    whole,
                    "after {length} bytes of {:?}",
                    String::from_utf8_lossy(bytes)
                );
                return whole;
            }
        }
    }
    assert_eq!(whole, Ok(None), "{:?}", String::from_utf8_lossy(bytes));
    whole
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    use Reason::*;
    for (head, reason) in [
        // Lines end with CRLF and nothing else.
        (&b"GET / HTTP/1.1\nhost: a\r\n\r\n"[..], MalformedMessage),
        (b"GET / HTTP/1.1\r\nhost: a\n\r\n", MalformedMessage),
        (b"GET / HTTP/1.1\r\nhost: a\r\n\n", MalformedMessage),
        (b"GET / HTTP/1.1\r\nhost: a\rb\r\n\r\n", MalformedMessage),
        (b"GET / HTTP/1.1\r\nhost: a\r\r\n\r\n", MalformedMessage),
        (b"GET / HTTP/1.1\r\r\nhost: a\r\n\r\n", MalformedMessage),
        (b"GET / HTTP/1.1\r\n\rhost: a\r\n\r\n", MalformedMessage),
        (b"\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", MalformedMessage),
        (b"\rGET / HTTP/1.1\r\nhost: a\r\n\r\n", MalformedMessage),
        (b"\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", MalformedMessage),
        // Request lines.
        (b"GET /\r\n\r\n", MalformedMessage),
        (b"GET\r\n\r\n", MalformedMessage),
        (b" GET / HTTP/1.1\r\nhost: a\r\n\r\n", BadMethod),
        (b"G(T / HTTP/1.1\r\nhost: a\r\n\r\n", BadMethod),
        (b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n", BadTarget),
        (b"GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n", BadMethod),
        (b"GET / HTTP/1.1 \r\nhost: a\r\n\r\n", MalformedMessage),
        (b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", MalformedMessage),
        (b"GET /a\tb HTTP/1.1\r\nhost: a\r\n\r\n", BadTarget),
        (b"GET /a\x01b HTTP/1.1\r\nhost: a\r\n\r\n", BadTarget),
        (b"GET /a\x7fb HTTP/1.1\r\nhost: a\r\n\r\n", BadTarget),
        (b"GET /a\0b HTTP/1.1\r\nhost: a\r\n\r\n", BadTarget),
        (b"GET /a#b?c HTTP/1.1\r\nhost: a\r\n\r\n", BadTarget),
        (b"GET /a?b#c HTTP/1.1\r\nhost: a\r\n\r\n", BadTarget),
        (b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n", BadTarget),
        (b"GET /\xc3\xa4 HTTP/1.1\r\nhost: a\r\n\r\n", BadTarget),
        (b"GET /?\xc3\xa4 HTTP/1.1\r\nhost: a\r\n\r\n", BadTarget),
        (b"GET a HTTP/1.1\r\nhost: a\r\n\r\n", BadTarget),
        (b"GET a:/b HTTP/1.1\r\nhost: a\r\n\r\n", BadTarget),
        (b"GET ://b HTTP/1.1\r\nhost: a\r\n\r\n", BadTarget),
        (b"GET http://a?b HTTP/1.1\r\nhost: a\r\n\r\n", BadTarget),
        (b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", UnsupportedVersion),
        (b"GET / HTTP/0.9\r\nhost: a\r\n\r\n", UnsupportedVersion),
        (b"GET / HTTP/1.\r\nhost: a\r\n\r\n", MalformedMessage),
        (b"GET / HTTP/1\r\nhost: a\r\n\r\n", MalformedMessage),
        (b"GET / HTTP/1.10\r\nhost: a\r\n\r\n", MalformedMessage),
        (b"GET / HTTP/11\r\nhost: a\r\n\r\n", MalformedMessage),
        (b"GET / http/1.1\r\nhost: a\r\n\r\n", MalformedMessage),
        (b"GET / HTTP/1.10\r\nhost: a\r\n\r\n", MalformedMessage),
        (b"GET / HTTP/01.1\r\nhost: a\r\n\r\n", MalformedMessage),
        (b"GET / http/1.1\r\nhost: a\r\n\r\n", MalformedMessage),
        (b"GET / HTTP/1,1\r\nhost: a\r\n\r\n", MalformedMessage),
        // Fields.
        (b"GET / HTTP/1.1\r\nhost : a\r\n\r\n", BadFieldName),
        (b"GET / HTTP/1.1\r\nhost\t: a\r\n\r\n", BadFieldName),
        (b"GET / HTTP/1.1\r\nhost\r\n\r\n", BadFieldName),
        (b"GET / HTTP/1.1\r\n: a\r\n\r\n", BadFieldName),
        (b"GET / HTTP/1.1\r\nh/t: a\r\n\r\n", BadFieldName),
        (b"GET / HTTP/1.1\r\nh\0t: a\r\n\r\n", BadFieldName),
        (b"GET / HTTP/1.1\r\nh\xc3\xa4: a\r\n\r\n", BadFieldName),
        (b"GET / HTTP/1.1\r\n host: a\r\n\r\n", MalformedMessage),
        (b"GET / HTTP/1.1\r\nhost: a\r\n b\r\n\r\n", MalformedMessage),
        (b"GET / HTTP/1.1\r\nhost: a\r\n\tb\r\n\r\n", MalformedMessage),
        (b"GET / HTTP/1.1\r\nhost: a\r\n \r\n\r\n", MalformedMessage),
        (b"GET / HTTP/1.1\r\nx: a\0b\r\n\r\n", BadFieldValue),
        (b"GET / HTTP/1.1\r\nx: a\x01b\r\n\r\n", BadFieldValue),
        (b"GET / HTTP/1.1\r\nx: a\x0bb\r\n\r\n", BadFieldValue),
        (b"GET / HTTP/1.1\r\nx: a\x7fb\r\n\r\n", BadFieldValue),
    ] {
        let text = String::from_utf8_lossy(head);
        let mut parser = HeadParser::default();
        let whole = parser.parse(head, &HeadLimits::default());
        assert_eq!(whole, Err(Refusal::Answered(reason)), "{text:?}");
        // However it comes, it is refused.
        let mut dripped = HeadParser::default();
        let mut outcomes = (1..=head.len()).map(|n| dripped.parse(&head[..n], &HeadLimits::default()));
        assert!(outcomes.any(|outcome| outcome.is_err()), "{text:?}");
    }
}

#[test]
fn the_body_is_framed_in_one_way_or_the_request_is_refused() {
    use BodyHint::{Length, None, Streamed};
    let (te, cl) = (Err(Reason::BadTransferEncoding), Err(Reason::BadContentLength));
    for (version, fields, body) in [
        (1, "", Ok(None)),
        (1, "content-length: 0\r\n", Ok(Length(0))),
        (1, "Content-Length: 12\r\n", Ok(Length(12))),
        (1, "content-length:\t 12 \t\r\n", Ok(Length(12))),
        (0, "content-length: 12\r\n", Ok(Length(12))),
        (
            1,
            "content-length: 18446744073709551615\r\n",
            Ok(Length(u64::MAX)),
        ),
        (1, "content-length: 18446744073709551616\r\n", cl),
        (1, "content-length: 12\r\ncontent-length: 12\r\n", cl),
        (1, "content-length: 12\r\ncontent-length: 13\r\n", cl),
        (1, "content-length: 12, 12\r\n", cl),
        (1, "content-length: +12\r\n", cl),
        (1, "content-length: -12\r\n", cl),
        (1, "content-length: 0x12\r\n", cl),
        (1, "content-length: 1 2\r\n", cl),
        (1, "content-length: 12;\r\n", cl),
        (1, "content-length: 012\r\n", cl),
        (1, "content-length: 00\r\n", cl),
        (1, "content-length:\r\n", cl),
        (1, "transfer-encoding: chunked\r\n", Ok(Streamed)),
        (1, "Transfer-Encoding:chunked\r\n", Ok(Streamed)),
        (0, "transfer-encoding: chunked\r\n", te),
        (1, "transfer-encoding: Chunked\r\n", te),
        (1, "transfer-encoding: \"chunked\"\r\n", te),
        (1, "transfer-encoding: chunked;q=1\r\n", te),
        (1, "transfer-encoding: chunked,\r\n", te),
        (1, "transfer-encoding: gzip, chunked\r\n", te),
        (1, "transfer-encoding: chunked, chunked\r\n", te),
        (
            1,
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            te,
        ),
        (
            1,
            "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
            te,
        ),
        (1, "transfer-encoding: identity\r\n", te),
        (1, "transfer-encoding:\r\n", te),
        (1, "transfer-encoding: chunked\r\ncontent-length: 12\r\n", te),
        (1, "content-length: 12\r\ntransfer-encoding: chunked\r\n", te),
        (1, "content-length: 12\r\ntransfer-encoding: identity\r\n", te),
    ] {
        let head = format!("POST / HTTP/1.{version}\r\nhost: a\r\n{fields}\r\n");
        assert_eq!(parse(head.as_bytes()), Ok(Some(head.len())), "{fields:?}");
        let mut parser = HeadParser::default();
        parser.parse(head.as_bytes(), &HeadLimits::default()).unwrap();
        assert_eq!(parser.body(), body, "{fields:?} in 1.{version}");
    }
}

#[test]
fn a_head_says_what_it_said_on_the_wire() {
    let bytes = b"\r\nPATCH https://A.example:1/x/%2e?q=%C3%A4 HTTP/1.2\r\nHost:a.example\r\nX-Mine: \t a b \t \r\nx-empty:\r\nCoNnEcTiOn: close\r\n\r\nGET";
    let mut parser = HeadParser::default();
    let length = parser.parse(bytes, &HeadLimits::default()).unwrap().unwrap();
    assert_eq!(length, bytes.len() - 3);
    let head = parser.head(bytes);
    assert_eq!(head.method, b"PATCH");
    assert_eq!(head.scheme, Some(&b"https"[..]));
    assert_eq!(head.authority, Some(&b"A.example:1"[..]));
    assert_eq!(head.target, b"/x/%2e?q=%C3%A4");
    assert!(!head.http10);
    let lines: Vec<_> = head.fields.iter().map(|f| (f.name, f.value)).collect();
    let wanted: [(&[u8], &[u8]); 4] = [
        (b"Host", b"a.example"),
        (b"X-Mine", b"a b"),
        (b"x-empty", b""),
        (b"CoNnEcTiOn", b"close"),
    ];
    assert_eq!(lines, wanted);
    assert_eq!(head.fields.get(Name::Connection), Some(&b"close"[..]));
}

#[test]
fn every_form_of_a_target_has_its_parts() {
    for (line, scheme, authority, target) in [
        ("GET / HTTP/1.0", None, None, "/"),
        ("GET //b HTTP/1.1", None, None, "//b"),
        ("GET /http://b HTTP/1.1", None, None, "/http://b"),
        ("OPTIONS * HTTP/1.1", None, None, "*"),
        ("GET http://a HTTP/1.1", Some("http"), Some("a"), "/"),
        ("GET ftp://a/b HTTP/1.1", Some("ftp"), Some("a"), "/b"),
        ("GET http:///b HTTP/1.1", Some("http"), Some(""), "/b"),
        ("GET http://me@a/b HTTP/1.1", Some("http"), Some("me@a"), "/b"),
        ("CONNECT a:443 HTTP/1.1", None, None, "a:443"),
    ] {
        let bytes = format!("{line}\r\n\r\n").into_bytes();
        let mut parser = HeadParser::default();
        parser.parse(&bytes, &HeadLimits::default()).unwrap().unwrap();
        let head = parser.head(&bytes);
        assert_eq!(head.scheme, scheme.map(str::as_bytes), "{line}");
        assert_eq!(head.authority, authority.map(str::as_bytes), "{line}");
        assert_eq!(head.target, target.as_bytes(), "{line}");
    }
}

#[test]
fn a_preface_of_http2_gets_no_answer() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_eq!(parse(preface), Err(Refusal::Silent(Reason::MalformedMessage)));
    let other = b"PRI / HTTP/2.0\r\n\r\n";
    let mut parser = HeadParser::default();
    assert_eq!(
        parser.parse(other, &HeadLimits::default()),
        Err(Refusal::Answered(Reason::UnsupportedVersion))
    );
}

/// Gives one byte after the other; where it is refused, and why.
fn refused_at(bytes: &[u8], limits: &HeadLimits) -> Option<(usize, Reason)> {
    let mut parser = HeadParser::default();
    (1..=bytes.len()).find_map(|n| Some((n, parser.parse(&bytes[..n], limits).err()?.reason())))
}

#[test]
fn limits_act_at_the_byte_that_exceeds_them() {
    let limits = HeadLimits::default();
    let head = |target: usize, value: usize| {
        let (target, value) = ("t".repeat(target), "v".repeat(value));
        format!("GET /{target} HTTP/1.1\r\nhost: a\r\nx: {value}\r\n\r\n").into_bytes()
    };
    let besides = head(0, 0).len();
    let most = head(0, (32 << 10) - besides);
    assert_eq!(parse(&most), Ok(Some(32 << 10)));
    let more = head(0, (32 << 10) - besides + 1);
    assert_eq!(refused_at(&more, &limits), Some((32 << 10, Reason::HeadTooLarge)));
    let mut parser = HeadParser::default();
    let whole = parser.parse(&more, &limits);
    assert_eq!(whole, Err(Refusal::Answered(Reason::HeadTooLarge)));

    assert_eq!(refused_at(&head((8 << 10) - 1, 0), &limits), None);
    let line = "GET ".len() + (8 << 10) + 1 + 1;
    assert_eq!(
        refused_at(&head(8 << 10, 0), &limits).unwrap(),
        (line + "HTTP/1.1\r\n".len(), Reason::TargetTooLong)
    );
    let endless = vec![b'/'; 40 << 10];
    let endless = [&b"GET "[..], &endless].concat();
    let (at, reason) = refused_at(&endless, &limits).unwrap();
    assert_eq!(reason, Reason::TargetTooLong);
    assert!((8 << 10..(8 << 10) + 128).contains(&at), "{at}");

    let fields = |count: usize| {
        let lines = "x: y\r\n".repeat(count);
        format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes()
    };
    assert_eq!(refused_at(&fields(100), &limits), None);
    let end_of_101st = fields(101).len() - 2;
    assert_eq!(
        refused_at(&fields(101), &limits),
        Some((end_of_101st, Reason::TooManyFields))
    );
}

#[test]
fn a_parser_is_used_again_for_the_next_head() {
    let mut parser = HeadParser::default();
    let stream = b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.0\r\n\r\n";
    let first = parser.parse(stream, &HeadLimits::default()).unwrap().unwrap();
    parser.reset();
    assert!(parser.is_fresh());
    let rest = &stream[first..];
    assert_eq!(parser.parse(rest, &HeadLimits::default()), Ok(Some(rest.len())));
    let head = parser.head(rest);
    assert_eq!(
        (head.target, head.http10, head.fields.len()),
        (&b"/2"[..], true, 0)
    );
}

//! Answers: framing, persistence and the bytes.

use breakwater_edge_h1::{
    CHUNK_END, Framing, HeadLimits, HeadParser, Persistence, Reasons, frame, persistence, wants_persistence,
    wants_trailers, write_chunk_start, write_end, write_head, write_interim,
};
use breakwater_edge_proxy::{Name, ResponseHead};

#[test]
fn the_end_of_an_answer_is_told_in_the_way_that_its_client_understands() {
    use Framing::*;
    for (method, http10, status, length, wanted) in [
        ("GET", false, 200, Some(5), Length(5)),
        ("GET", false, 200, Some(0), Length(0)),
        ("GET", true, 200, Some(5), Length(5)),
        ("GET", false, 200, None, Chunked),
        ("GET", true, 200, None, UntilClose),
        ("HEAD", false, 200, Some(5), Told(5)),
        ("HEAD", false, 200, None, Bare),
        ("HEAD", true, 200, None, Bare),
        ("GET", false, 204, None, Bare),
        ("GET", false, 204, Some(0), Bare),
        ("GET", false, 304, Some(5), Told(5)),
        ("GET", false, 304, None, Bare),
        ("GET", true, 304, None, Bare),
        ("GET", false, 101, None, Bare),
        ("POST", false, 503, None, Chunked),
    ] {
        let framing = frame(method.as_bytes(), http10, status, length);
        assert_eq!(framing, wanted, "{method} {status} {length:?} in 1.0: {http10}");
    }
    for framing in [Length(5), Chunked, UntilClose] {
        assert!(framing.has_body());
    }
    assert!(!Bare.has_body() && !Told(5).has_body());
}

#[test]
fn a_client_says_whether_its_connection_goes_on() {
    for (version, connection, wanted) in [
        (1, None, true),
        (1, Some("close"), false),
        (1, Some("Close"), false),
        (1, Some("keep-alive"), true),
        (1, Some("keep-alive, close"), false),
        (1, Some("x, close ,y"), false),
        (1, Some("closed"), true),
        (1, Some(""), true),
        (0, None, false),
        (0, Some("keep-alive"), true),
        (0, Some("Keep-Alive"), true),
        (0, Some("close, keep-alive"), false),
        (0, Some("upgrade"), false),
    ] {
        let connection = connection.map_or(String::new(), |value| format!("connection: {value}\r\n"));
        let bytes = format!("GET / HTTP/1.{version}\r\n{connection}\r\n").into_bytes();
        let mut parser = HeadParser::default();
        parser.parse(&bytes, &HeadLimits::default()).unwrap().unwrap();
        assert_eq!(
            wants_persistence(&parser.head(&bytes)),
            wanted,
            "{connection} in 1.{version}"
        );
    }
}

#[test]
fn a_connection_goes_on_where_nothing_stands_in_the_way() {
    let none = Reasons::default();
    let length = Framing::Length(1);
    for (wanted, http10, framing, reasons, is) in [
        (true, false, length, none, Persistence::Keep),
        (true, false, Framing::Chunked, none, Persistence::Keep),
        (true, false, Framing::Bare, none, Persistence::Keep),
        (true, true, length, none, Persistence::KeepTold),
        (true, true, Framing::UntilClose, none, Persistence::Close),
        (false, false, length, none, Persistence::Close),
        (false, true, length, none, Persistence::Close),
        (
            true,
            false,
            length,
            Reasons {
                refused: true,
                ..none
            },
            Persistence::Close,
        ),
        (
            true,
            false,
            length,
            Reasons {
                draining: true,
                ..none
            },
            Persistence::Close,
        ),
        (
            true,
            true,
            length,
            Reasons { unread: true, ..none },
            Persistence::Close,
        ),
    ] {
        assert_eq!(
            persistence(wanted, http10, framing, reasons),
            is,
            "{wanted} {http10} {framing:?} {reasons:?}"
        );
    }
}

#[test]
fn trailers_go_to_those_who_take_them() {
    for (te, wanted) in [
        ("trailers", true),
        ("gzip;q=0.5, Trailers", true),
        ("gzip", false),
        ("trailer", false),
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nte: {te}\r\n\r\n").into_bytes();
        let mut parser = HeadParser::default();
        parser.parse(&bytes, &HeadLimits::default()).unwrap().unwrap();
        assert_eq!(wants_trailers(&parser.head(&bytes).fields), wanted, "{te}");
    }
}

fn head(status: u16) -> ResponseHead {
    let mut head = ResponseHead::default();
    head.reset(status);
    head.fields.push(Name::Etag, b"\"a\"");
    head.fields.push_named(b"X-Mine", b"b c");
    head
}

#[test]
fn heads_are_written_as_they_stand_on_the_wire() {
    use Framing::*;
    use Persistence::{Close, Keep, KeepTold};
    for (status, framing, persistence, wanted) in [
        (200, Length(1024), Keep, "200 OK\r\n*content-length: 1024\r\n\r\n"),
        (
            200,
            Chunked,
            Keep,
            "200 OK\r\n*transfer-encoding: chunked\r\n\r\n",
        ),
        (
            200,
            Length(0),
            KeepTold,
            "200 OK\r\n*content-length: 0\r\nconnection: keep-alive\r\n\r\n",
        ),
        (
            404,
            UntilClose,
            Close,
            "404 Not Found\r\n*connection: close\r\n\r\n",
        ),
        (
            304,
            Told(7),
            Keep,
            "304 Not Modified\r\n*content-length: 7\r\n\r\n",
        ),
        (204, Bare, Keep, "204 No Content\r\n*\r\n"),
        // Whatever words a status has none of, the space stays (RFC 9112 §4).
        (299, Bare, Keep, "299 \r\n*\r\n"),
        (101, Bare, Close, "101 Switching Protocols\r\n*\r\n"),
    ] {
        let mut out = b"before".to_vec();
        write_head(&mut out, &head(status), framing, persistence);
        let wanted = wanted.replace('*', "etag: \"a\"\r\nx-mine: b c\r\n");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!("beforeHTTP/1.1 {wanted}")
        );
    }
    let mut out = Vec::new();
    write_interim(&mut out, &head(103));
    assert_eq!(
        out,
        b"HTTP/1.1 103 Early Hints\r\netag: \"a\"\r\nx-mine: b c\r\n\r\n"
    );
}

#[test]
fn chunks_and_trailers_are_written_as_they_are_read() {
    let mut out = Vec::new();
    for chunk in [&b"hello"[..], &[7; 300]] {
        write_chunk_start(&mut out, chunk.len());
        out.extend_from_slice(chunk);
        out.extend_from_slice(CHUNK_END);
    }
    write_end(&mut out, [(&b"x-sum"[..], &b"1"[..])].into_iter());
    let read = super::bodies::read(breakwater_edge_proxy::BodyHint::Streamed, &out, 16)
        .unwrap()
        .unwrap();
    assert_eq!(read.data, [&b"hello"[..], &[7; 300]].concat());
    assert_eq!(read.trailers, [(b"x-sum".to_vec(), b"1".to_vec())]);
    assert_eq!(read.used, out.len());
}

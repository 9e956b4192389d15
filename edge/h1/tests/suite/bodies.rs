//! Bodies and their trailers.

use breakwater_edge_h1::{BodyDecoder, Decoded};
use breakwater_edge_proxy::{BodyHint, Reason};

/// What a body was read as.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) data: Vec<u8>,
    /// Names and values.
    pub(crate) trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes that it took.
    pub(crate) used: usize,
}

/// Reads a body that comes in pieces of this size; `Ok(None)`: it isn't complete.
pub(crate) fn read(body: BodyHint, bytes: &[u8], piece: usize) -> Result<Option<Read>, Reason> {
    let mut decoder = BodyDecoder::default();
    decoder.reset(body);
    let (mut data, mut used, mut known) = (Vec::new(), 0, 0);
    loop {
        let at_hand = &bytes[used..known];
        match decoder.decode(at_hand)? {
            Decoded::Data { from, to } => {
                data.extend_from_slice(&at_hand[from..to]);
                used += to;
            }
            Decoded::End { from, to } => {
                let section = &at_hand[from..to];
                let fields = decoder.trailers(section);
                assert!(decoder.is_done());
                let trailers = fields
                    .iter()
                    .map(|f| (f.name.to_vec(), f.value.to_vec()))
                    .collect();
                used += to;
                return Ok(Some(Read { data, trailers, used }));
            }
            Decoded::More { used: more } => {
                used += more;
                if known == bytes.len() {
                    return Ok(None);
                }
                known = (known + piece).min(bytes.len());
            }
        }
    }
}

fn chunked(bytes: &[u8]) -> Result<Option<Read>, Reason> {
    let whole = read(BodyHint::Streamed, bytes, usize::MAX);
    for piece in [1, 2, 3, 7] {
        assert_eq!(
            read(BodyHint::Streamed, bytes, piece),
            whole,
            "in pieces of {piece}"
        );
    }
    whole
}

#[test]
fn a_body_of_a_length_ends_there() {
    for (body, wanted) in [
        (BodyHint::None, ""),
        (BodyHint::Length(0), ""),
        (BodyHint::Length(5), "hello"),
    ] {
        for piece in [1, 2, 100] {
            let read = read(body, b"hello, and the next", piece).unwrap().unwrap();
            assert_eq!((read.data, read.used), (wanted.as_bytes().to_vec(), wanted.len()));
        }
    }
    assert_eq!(read(BodyHint::Length(50), b"hello", 9), Ok(None));
}

#[test]
fn chunks_are_joined_and_trailers_told() {
    let bytes =
        b"5\r\nhello\r\n00001;a=b;c=\"d;e\"\r\n,\r\nA\r\n0123456789\r\n0;x\r\nX-Sum: 1 \r\nb:\r\n\r\nnext";
    let read = chunked(bytes).unwrap().unwrap();
    assert_eq!(read.data, b"hello,0123456789");
    assert_eq!(read.used, bytes.len() - 4);
    assert_eq!(
        read.trailers,
        [(b"X-Sum".to_vec(), b"1".to_vec()), (b"b".to_vec(), Vec::new())]
    );
    let blanks = b"1; a\t= b ;c=\"\\\";\"\r\nx\r\n0\r\n\r\n";
    assert_eq!(chunked(blanks).unwrap().unwrap().data, b"x");
    assert_eq!(chunked(b"0\r\n\r\n").unwrap().unwrap().data, b"");
    for incomplete in [
        &b""[..],
        b"5",
        b"5\r",
        b"5\r\nhel",
        b"5\r\nhello\r",
        b"0\r\n",
        b"0\r\nx: y\r\n",
        b"0\r\n\r",
    ] {
        assert_eq!(chunked(incomplete), Ok(None));
    }
}

#[test]
fn chunks_that_could_be_read_in_two_ways_are_refused() {
    for bytes in [
        &b"+3\r\nabc\r\n"[..],
        b"-3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"0_3\r\nabc\r\n",
        b" 3\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"3 ;a\r\nabc\r\n",
        b"3\t\r\nabc\r\n",
        b"\r\nabc\r\n",
        b";a\r\nabc\r\n",
        b"g\r\nabc\r\n",
        b"3\nabc\r\n",
        b"3\r\r\nabc\r\n",
        b"3\rXabc\r\n",
        b"3;a\nb\r\nabc\r\n",
        b"3;a\rb\r\nabc\r\n",
        b"3;a\0b\r\nabc\r\n",
        b"3,a\r\nabc\r\n",
        b"3;\r\nabc\r\n",
        b"3;;a\r\nabc\r\n",
        b"3;a;\r\nabc\r\n",
        b"3;a \r\nabc\r\n",
        b"3;a b\r\nabc\r\n",
        b"3;a@\r\nabc\r\n",
        b"3;a=\r\nabc\r\n",
        b"3;=a\r\nabc\r\n",
        b"3;a=b=c\r\nabc\r\n",
        b"3;a=\"b\r\nabc\r\n",
        b"3;a=\"b\"c\r\nabc\r\n",
        b"3;a=\"b\\\"\r\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\n",
        b"3\r\nabc\r\r\n",
        b"3\r\nabcXX0\r\n\r\n",
        b"ffffffffffffffff0\r\n",
        b"00000000000000003\r\nabc\r\n",
        b"0\r\n\n",
        b"0\r\nx: y\n\r\n",
        b"0\r\n x: y\r\n\r\n",
        b"0\r\nx : y\r\n\r\n",
        b"0\r\nx: a\0b\r\n\r\n",
        b"0\r\nx\r\n\r\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(chunked(bytes), Err(Reason::MalformedMessage), "{text:?}");
    }
}

#[test]
fn sizes_are_bounded_where_they_count() {
    let most = format!("{:x}\r\n", u64::MAX);
    assert_eq!(chunked(most.as_bytes()), Ok(None));
    let line = |bytes: usize| format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(bytes - 4));
    assert_eq!(chunked(line(256).as_bytes()).unwrap().unwrap().data, b"abc");
    assert_eq!(chunked(line(257).as_bytes()), Err(Reason::MalformedMessage));
    let endless = format!("3;{}", "x".repeat(254));
    assert_eq!(
        chunked(endless.as_bytes()),
        Err(Reason::MalformedMessage),
        "without its end"
    );
    let section = |bytes: usize| format!("0\r\nx: {}\r\n\r\n", "y".repeat(bytes - 7));
    assert!(chunked(section(8 << 10).as_bytes()).unwrap().is_some());
    assert_eq!(
        chunked(section((8 << 10) + 1).as_bytes()),
        Err(Reason::MalformedMessage)
    );
    let many = |count: usize| format!("0\r\n{}\r\n", "x: y\r\n".repeat(count));
    assert_eq!(
        chunked(many(100).as_bytes()).unwrap().unwrap().trailers.len(),
        100
    );
    assert_eq!(chunked(many(101).as_bytes()), Err(Reason::MalformedMessage));
}

#[test]
fn what_is_certainly_to_come_is_told() {
    let mut decoder = BodyDecoder::default();
    assert!(decoder.is_done());
    decoder.reset(BodyHint::Length(10));
    assert_eq!((decoder.remaining(), decoder.is_done()), (10, false));
    assert_eq!(decoder.decode(b"abc"), Ok(Decoded::Data { from: 0, to: 3 }));
    assert_eq!(decoder.remaining(), 7);
    decoder.reset(BodyHint::Streamed);
    assert_eq!(decoder.decode(b"A\r\nabc"), Ok(Decoded::Data { from: 3, to: 6 }));
    assert_eq!(decoder.remaining(), 7);
}

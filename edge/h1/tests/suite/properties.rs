//! What holds for any bytes.

use breakwater_edge_h1::{BodyDecoder, Decoded, HeadLimits, HeadParser, Refusal};
use breakwater_edge_proxy::{BodyHint, Reason, RequestHead};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::bodies::{self, Read};
use super::messages::{Message, apply_all, message, mutation};

/// The same cases each time, unless a number of them is asked for.
fn check<S: Strategy>(strategy: &S, cases: u32, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let mut config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    if !asked {
        config.cases = cases;
    }
    let mut runner = if asked {
        TestRunner::new(config)
    } else {
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
    };
    runner.run(&strategy, test).unwrap();
}

/// What a stream of bytes was read as, request by request.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reading {
    requests: Vec<Taken>,
    /// Why it ended there; none: more bytes are needed.
    refused: Option<Refusal>,
}

#[derive(Debug, PartialEq, Eq)]
struct Taken {
    method: Vec<u8>,
    scheme: Option<Vec<u8>>,
    authority: Option<Vec<u8>>,
    target: Vec<u8>,
    http10: bool,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    hint: BodyHint,
    body: Option<Read>,
}

impl Taken {
    fn new(head: &RequestHead<'_>) -> Self {
        Self {
            method: head.method.to_vec(),
            scheme: head.scheme.map(<[u8]>::to_vec),
            authority: head.authority.map(<[u8]>::to_vec),
            target: head.target.to_vec(),
            http10: head.http10,
            fields: head
                .fields
                .iter()
                .map(|f| (f.name.to_vec(), f.value.to_vec()))
                .collect(),
            hint: head.body,
            body: None,
        }
    }
}

/// Reads all requests of a stream whose bytes come in pieces that end at `cuts`.
fn read(bytes: &[u8], cuts: &[usize]) -> Reading {
    let mut reading = Reading::default();
    let (mut parser, mut decoder) = (HeadParser::default(), BodyDecoder::default());
    let mut start = 0;
    let mut cuts = cuts.iter().copied().chain([bytes.len()]);
    let mut known = 0;
    let mut data = None;
    loop {
        let at_hand = &bytes[start..known.max(start)];
        let more = match &mut data {
            None => match parser.parse(at_hand, &HeadLimits::default()) {
                Err(refusal) => {
                    reading.refused = Some(refusal);
                    return reading;
                }
                Ok(None) => true,
                Ok(Some(length)) => {
                    reading
                        .requests
                        .push(Taken::new(&parser.head(&at_hand[..length])));
                    match parser.body() {
                        Err(reason) => {
                            reading.refused = Some(Refusal::Answered(reason));
                            return reading;
                        }
                        Ok(hint) => decoder.reset(hint),
                    }
                    parser.reset();
                    data = Some((Vec::new(), start + length));
                    start += length;
                    false
                }
            },
            Some((body, began)) => match decoder.decode(at_hand) {
                Err(reason) => {
                    reading.refused = Some(Refusal::Answered(reason));
                    return reading;
                }
                Ok(Decoded::Data { from, to }) => {
                    body.extend_from_slice(&at_hand[from..to]);
                    start += to;
                    false
                }
                Ok(Decoded::More { used }) => {
                    start += used;
                    true
                }
                Ok(Decoded::End { from, to }) => {
                    let trailers = decoder.trailers(&at_hand[from..to]);
                    let trailers = trailers
                        .iter()
                        .map(|f| (f.name.to_vec(), f.value.to_vec()))
                        .collect();
                    start += to;
                    reading.requests.last_mut().unwrap().body = Some(Read {
                        data: std::mem::take(body),
                        trailers,
                        used: start - *began,
                    });
                    data = None;
                    false
                }
            },
        };
        if more {
            match cuts.next() {
                Some(cut) => known = known.max(cut),
                None => return reading,
            }
        }
    }
}

fn each_byte(length: usize) -> Vec<usize> {
    (1..length).collect()
}

/// A reason may depend on what of a wrong line has come; whether it is wrong doesn't. A line is looked at when it
/// has ended, or when it came in one piece: streams to compare end with a line feed.
fn alike(one: &Reading, other: &Reading) -> bool {
    one.requests == other.requests && one.refused.is_some() == other.refused.is_some()
}

#[test]
fn well_formed_requests_are_read_as_they_were_meant() {
    check(
        &proptest::collection::vec(message(), 1..4),
        500,
        |messages: Vec<Message>| {
            let stream: Vec<u8> = messages.iter().flat_map(|message| message.bytes().0).collect();
            let reading = read(&stream, &[]);
            prop_assert_eq!(reading.refused, None);
            prop_assert_eq!(reading.requests.len(), messages.len());
            for (taken, message) in reading.requests.iter().zip(&messages) {
                prop_assert_eq!(&taken.method, message.method.as_bytes());
                prop_assert_eq!(taken.http10, message.http10);
                for ((name, value), (wanted_name, wanted_value)) in taken.fields.iter().zip(&message.fields) {
                    prop_assert_eq!(name, wanted_name.as_bytes());
                    prop_assert_eq!(value, wanted_value.as_bytes());
                }
                prop_assert_eq!(&taken.body.as_ref().unwrap().data, &message.body.data());
            }
            Ok(())
        },
    );
}

#[test]
fn however_bytes_are_split_they_are_read_alike() {
    let mutated = (
        proptest::collection::vec(message(), 1..3),
        proptest::collection::vec(mutation(), 0..4),
        proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    );
    check(&mutated, 2000, |(messages, mutations, cuts)| {
        let mut stream: Vec<u8> = messages.iter().flat_map(|message| message.bytes().0).collect();
        apply_all(&mutations, &mut stream);
        stream.push(b'\n');
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let whole = read(&stream, &[]);
        let (split, dripped) = (read(&stream, &cuts), read(&stream, &each_byte(stream.len())));
        prop_assert!(alike(&whole, &split), "{:?} in place of {:?}", split, whole);
        prop_assert!(alike(&whole, &dripped), "{:?} in place of {:?}", dripped, whole);
        Ok(())
    });
}

#[test]
fn what_is_taken_is_what_an_independent_parser_takes_it_for() {
    let mutated = (message(), proptest::collection::vec(mutation(), 0..5));
    check(&mutated, 4000, |(message, mutations)| {
        let (mut bytes, _) = message.bytes();
        apply_all(&mutations, &mut bytes);
        let mut parser = HeadParser::default();
        let Ok(Some(length)) = parser.parse(&bytes, &HeadLimits::default()) else {
            return Ok(());
        };
        let head = parser.head(&bytes[..length]);
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut other = httparse::Request::new(&mut fields);
        let parsed = other.parse(&bytes);
        prop_assert_eq!(
            parsed,
            Ok(httparse::Status::Complete(length)),
            "{:?}",
            String::from_utf8_lossy(&bytes)
        );
        prop_assert_eq!(other.method.unwrap().as_bytes(), head.method);
        prop_assert_eq!(other.version, Some(u8::from(!head.http10)));
        let target = other.path.unwrap().as_bytes();
        prop_assert!(target.ends_with(head.target) || (head.target == b"/" && head.authority.is_some()));
        prop_assert_eq!(target.len() == head.target.len(), head.authority.is_none());
        let fields: Vec<_> = head.fields.iter().map(|f| (f.name, f.value)).collect();
        let others: Vec<_> = other
            .headers
            .iter()
            .map(|f| (f.name.as_bytes(), f.value))
            .collect();
        prop_assert_eq!(fields, others);
        Ok(())
    });
}

/// Written again from what was understood.
fn written(taken: &Taken) -> Vec<u8> {
    let version = u8::from(!taken.http10);
    let mut out = taken.method.clone();
    out.push(b' ');
    if let (Some(scheme), Some(authority)) = (&taken.scheme, &taken.authority) {
        out.extend_from_slice(scheme);
        out.extend_from_slice(b"://");
        out.extend_from_slice(authority);
    }
    out.extend_from_slice(&taken.target);
    out.extend_from_slice(format!(" HTTP/1.{version}\r\n").as_bytes());
    for (name, value) in &taken.fields {
        out.extend_from_slice(name);
        out.push(b':');
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    let body = taken.body.as_ref().unwrap();
    match taken.hint {
        BodyHint::None => {}
        BodyHint::Length(_) => out.extend_from_slice(&body.data),
        BodyHint::Streamed => {
            if !body.data.is_empty() {
                breakwater_edge_h1::write_chunk_start(&mut out, body.data.len());
                out.extend_from_slice(&body.data);
                out.extend_from_slice(breakwater_edge_h1::CHUNK_END);
            }
            let trailers = body
                .trailers
                .iter()
                .map(|(name, value)| (name.as_slice(), value.as_slice()));
            breakwater_edge_h1::write_end(&mut out, trailers);
        }
    }
    out
}

#[test]
fn what_is_taken_and_written_again_is_read_the_same() {
    let mutated = (message(), proptest::collection::vec(mutation(), 0..4));
    check(&mutated, 3000, |(message, mutations)| {
        let (mut bytes, _) = message.bytes();
        apply_all(&mutations, &mut bytes);
        let first = read(&bytes, &[]);
        let complete: Vec<&Taken> = first
            .requests
            .iter()
            .filter(|taken| taken.body.is_some())
            .collect();
        let again: Vec<u8> = complete.iter().flat_map(|taken| written(taken)).collect();
        let second = read(&again, &[]);
        prop_assert_eq!(second.refused, None);
        prop_assert_eq!(second.requests.len(), complete.len());
        for (one, other) in complete.iter().zip(&second.requests) {
            let (a, b) = (one.body.as_ref().unwrap(), other.body.as_ref().unwrap());
            prop_assert_eq!((&a.data, &a.trailers), (&b.data, &b.trailers));
            prop_assert_eq!(
                (&one.method, &one.target, &one.fields),
                (&other.method, &other.target, &other.fields)
            );
            prop_assert_eq!((&one.scheme, &one.authority), (&other.scheme, &other.authority));
        }
        Ok(())
    });
}

#[test]
fn any_bytes_at_all_are_taken_or_refused() {
    check(
        &proptest::collection::vec(any::<u8>(), 0..300),
        1000,
        |mut bytes| {
            bytes.push(b'\n');
            let whole = read(&bytes, &[]);
            prop_assert!(alike(&whole, &read(&bytes, &each_byte(bytes.len()))));
            for body in [BodyHint::Length(20), BodyHint::Streamed] {
                let whole = bodies::read(body, &bytes, usize::MAX);
                prop_assert_eq!(bodies::read(body, &bytes, 1), whole);
            }
            Ok(())
        },
    );
}

#[test]
fn whatever_framing_the_fields_contradict_there_is_no_body_to_read() {
    let head = b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut parser = HeadParser::default();
    parser.parse(head, &HeadLimits::default()).unwrap().unwrap();
    assert_eq!(parser.body(), Err(Reason::BadTransferEncoding));
    assert_eq!(parser.head(head).body, BodyHint::None);
}

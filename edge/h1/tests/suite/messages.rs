//! Requests that tests make: well-formed ones, and mutations of them.

use proptest::prelude::*;

/// A request as bytes and as what it means.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) http10: bool,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    None,
    Length(Vec<u8>),
    /// With an extension each, and trailers.
    Chunks(Vec<(Vec<u8>, String)>, Vec<(String, String)>),
}

impl Body {
    pub(crate) fn data(&self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Length(data) => data.clone(),
            Self::Chunks(chunks, _) => chunks.iter().flat_map(|(data, _)| data.clone()).collect(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::Length(data) => out.extend_from_slice(data),
            Self::Chunks(chunks, trailers) => {
                for (data, extension) in chunks {
                    out.extend_from_slice(format!("{:x}{extension}\r\n", data.len()).as_bytes());
                    out.extend_from_slice(data);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\n");
                for (name, value) in trailers {
                    out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

impl Message {
    /// Its bytes, and how many of them are the head's.
    pub(crate) fn bytes(&self) -> (Vec<u8>, usize) {
        let version = u8::from(!self.http10);
        let mut out = format!("{} {} HTTP/1.{version}\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.fields {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        match &self.body {
            Body::None => {}
            Body::Length(data) => {
                out.extend_from_slice(format!("content-length: {}\r\n", data.len()).as_bytes());
            }
            Body::Chunks(..) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        }
        out.extend_from_slice(b"\r\n");
        let length = out.len();
        self.body.write(&mut out);
        (out, length)
    }
}

fn field() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}",
        Just("Cookie".to_owned()),
        Just("accept-encoding".to_owned()),
        Just("Connection".to_owned()),
    ];
    let value = "([!-~\u{e4}\u{ff}]([ -~\t]{0,40}[!-~])?)?";
    (name, value).prop_filter("framing is added apart", |(name, _)| {
        let framing = ["content-length", "transfer-encoding"];
        !framing.contains(&name.to_ascii_lowercase().as_str())
    })
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        "/[A-Za-z0-9/._~%!$&'()*+,;=:@-]{0,40}(\\?[A-Za-z0-9/._~%!$&'()*+,;=:@?-]{0,40})?",
        "https?://[a-z]{1,9}(:[0-9]{1,4})?(/[a-z]{0,9})?",
        Just("*".to_owned()),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    let data = || proptest::collection::vec(any::<u8>(), 1..60);
    let extension = prop_oneof![
        Just(String::new()),
        "(; ?[a-z]{1,9}( ?= ?[a-z0-9]{1,9})?){1,3}",
        ";a=\"([ !#-\\[\\]-~]|\\\\[ -~]){0,9}\""
    ];
    let trailers = proptest::collection::vec(("x-[a-z]{1,9}", "[a-z0-9]{0,9}"), 0..3);
    prop_oneof![
        3 => Just(Body::None),
        1 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Body::Length),
        1 => (proptest::collection::vec((data(), extension), 0..5), trailers)
            .prop_map(|(chunks, trailers)| Body::Chunks(chunks, trailers)),
    ]
}

/// Well-formed requests of every shape that is served.
pub(crate) fn message() -> impl Strategy<Value = Message> {
    let method = prop_oneof![
        Just("GET".to_owned()),
        Just("POST".to_owned()),
        "[A-Z!#$%&'*+.^_`|~-]{1,20}"
    ];
    let fields = proptest::collection::vec(field(), 0..12);
    (method, target(), any::<bool>(), fields, body()).prop_map(|(method, target, http10, fields, body)| {
        Message {
            http10: http10 && !matches!(body, Body::Chunks(..)),
            method,
            target,
            fields,
            body,
        }
    })
}

/// What is done to the bytes of a request.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Insert(prop::sample::Index, Vec<u8>),
    Replace(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    /// Doubles a stretch.
    Repeat(prop::sample::Index, usize),
    Cut(prop::sample::Index),
}

pub(crate) fn apply_all(mutations: &[Mutation], bytes: &mut Vec<u8>) {
    for mutation in mutations {
        mutation.apply(bytes);
    }
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Insert(at, what) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, what.iter().copied());
            }
            Self::Replace(at, with) => {
                let at = at.index(bytes.len());
                bytes[at] = *with;
            }
            Self::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Self::Repeat(at, length) => {
                let at = at.index(bytes.len());
                let stretch = bytes[at..(at + length).min(bytes.len())].to_vec();
                bytes.splice(at..at, stretch);
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

pub(crate) fn mutation() -> impl Strategy<Value = Mutation> {
    let sharp = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b" ".to_vec()),
        Just(b"\t".to_vec()),
        Just(b"\0".to_vec()),
        Just(b":".to_vec()),
        Just(b";".to_vec()),
        Just(b"\r\n ".to_vec()),
        Just(b"\r\n\r\n".to_vec()),
        Just(b"\r\ncontent-length: 3\r\n".to_vec()),
        Just(b"\r\ntransfer-encoding: chunked\r\n".to_vec()),
        Just(b"\r\nHost: b\r\n".to_vec()),
        Just(b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 1..4),
    ];
    prop_oneof![
        3 => (any::<prop::sample::Index>(), sharp).prop_map(|(at, what)| Mutation::Insert(at, what)),
        2 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, with)| Mutation::Replace(at, with)),
        1 => any::<prop::sample::Index>().prop_map(Mutation::Remove),
        1 => (any::<prop::sample::Index>(), 1..40_usize).prop_map(|(at, length)| Mutation::Repeat(at, length)),
        1 => any::<prop::sample::Index>().prop_map(Mutation::Cut),
    ]
}

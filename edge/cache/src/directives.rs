//! `Cache-Control` of requests and answers (RFC 9111 §5.2), `CDN-Cache-Control` (RFC 9213), `Age` (§5.1).

use crate::fields::{FieldsView, list_members};

/// Seconds. Larger values count as this much (RFC 9111 §1.2.2).
pub const MAX_DELTA_SECS: u64 = 1 << 31;

/// Reads delta-seconds: digits only. What overflows is [`MAX_DELTA_SECS`].
pub fn parse_delta_secs(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut secs = 0_u64;
    for digit in value {
        secs = (secs * 10 + u64::from(digit - b'0')).min(MAX_DELTA_SECS);
    }
    Some(secs)
}

/// Most names that a qualified directive may list. Each is compared with each field of the answer.
const MAX_QUALIFIED: usize = 64;

/// Field names of a qualified `no-cache` or `private`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Qualified {
    /// The directive isn't there.
    #[default]
    Absent,
    /// It holds for the whole answer.
    Whole,
    /// It holds for these fields, lower case.
    Fields(Vec<Box<[u8]>>),
}

impl Qualified {
    /// Merges one occurrence. Without an argument, or with one that names no field or very many, it is about
    /// everything.
    fn add(&mut self, argument: Option<&[u8]>) {
        let mut names = Vec::new();
        if let Some(argument) = argument {
            list_members(argument, |name| {
                names.push(name.to_ascii_lowercase().into_boxed_slice());
            });
        }
        match self {
            Self::Whole => {}
            _ if names.is_empty() => *self = Self::Whole,
            Self::Absent => *self = Self::Fields(names),
            Self::Fields(known) => known.append(&mut names),
        }
        if self.names().len() > MAX_QUALIFIED {
            *self = Self::Whole;
        }
    }

    /// The names, if it is about some fields only.
    pub fn names(&self) -> &[Box<[u8]>] {
        match self {
            Self::Fields(names) => names,
            Self::Absent | Self::Whole => &[],
        }
    }
}

/// What an answer says about being cached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one directive")]
pub struct ResponseDirectives {
    /// Seconds. An invalid value is 0: freshness that can't be read is none (RFC 9111 §4.2.1).
    pub max_age: Option<u64>,
    /// Seconds, as `max_age`.
    pub s_maxage: Option<u64>,
    /// Whole answer or some fields.
    pub no_cache: Qualified,
    /// Whole answer or some fields.
    pub private: Qualified,
    /// `no-store`.
    pub no_store: bool,
    /// `public`.
    pub public: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `must-understand`.
    pub must_understand: bool,
    /// `no-transform`.
    pub no_transform: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// Seconds (RFC 5861 §3). Invalid values are ignored.
    pub stale_while_revalidate: Option<u64>,
    /// Seconds (RFC 5861 §4). Invalid values are ignored.
    pub stale_if_error: Option<u64>,
}

impl ResponseDirectives {
    /// Reads every `Cache-Control` line.
    pub fn of(fields: &dyn FieldsView) -> Self {
        let mut found = Self::default();
        fields.visit(b"cache-control", &mut |line| {
            list_members(line, |member| {
                let (name, argument) = split(member);
                let argument = argument.map(unquote);
                found.add(name, argument.as_deref());
            });
        });
        found
    }

    fn add(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("max-age") {
            lifetime(&mut self.max_age, argument);
        } else if is("s-maxage") {
            lifetime(&mut self.s_maxage, argument);
        } else if is("no-cache") {
            self.no_cache.add(argument);
        } else if is("private") {
            self.private.add(argument);
        } else if is("stale-while-revalidate") {
            window(&mut self.stale_while_revalidate, argument);
        } else if is("stale-if-error") {
            window(&mut self.stale_if_error, argument);
        } else if let Some(flag) = self.flag(name) {
            *flag = true;
        }
    }

    fn flag(&mut self, name: &[u8]) -> Option<&mut bool> {
        let flags = [
            ("no-store", &mut self.no_store),
            ("public", &mut self.public),
            ("must-revalidate", &mut self.must_revalidate),
            ("proxy-revalidate", &mut self.proxy_revalidate),
            ("must-understand", &mut self.must_understand),
            ("no-transform", &mut self.no_transform),
            ("immutable", &mut self.immutable),
        ];
        flags
            .into_iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
            .map(|(_, flag)| flag)
    }

    /// Reads `CDN-Cache-Control`. `None` where it is absent, empty, or no dictionary of structured fields:
    /// then `Cache-Control` and `Expires` hold; otherwise they are ignored (RFC 9213 §2.2).
    pub fn of_cdn(fields: &dyn FieldsView) -> Option<Self> {
        let mut whole = Vec::new();
        fields.visit(b"cdn-cache-control", &mut |line| {
            if !whole.is_empty() {
                whole.push(b',');
            }
            whole.extend_from_slice(line);
        });
        let members = crate::dictionary::parse(&whole)?;
        if members.is_empty() {
            return None;
        }
        let mut found = Self::default();
        for (name, value) in members {
            found.add_targeted(name, &value);
        }
        Some(found)
    }

    /// One member of a targeted field. A value of the wrong type is as if the member weren't there.
    fn add_targeted(&mut self, name: &[u8], value: &crate::dictionary::Value) {
        use crate::dictionary::Value;
        match value {
            Value::Integer(secs) => {
                let Ok(secs) = u64::try_from(*secs) else { return };
                let secs = Some(secs.min(MAX_DELTA_SECS));
                match name {
                    b"max-age" => self.max_age = secs,
                    b"s-maxage" => self.s_maxage = secs,
                    b"stale-while-revalidate" => self.stale_while_revalidate = secs,
                    b"stale-if-error" => self.stale_if_error = secs,
                    _ => {}
                }
            }
            Value::Boolean(true) => self.add(name, None),
            Value::Text(names) if matches!(name, b"no-cache" | b"private") => self.add(name, Some(names)),
            Value::Boolean(false) | Value::Text(_) | Value::Other => {}
        }
    }
}

/// What a request says. All of it is advice (RFC 9111 §5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// Seconds.
    pub max_age: Option<u64>,
    /// Seconds; `Some(None)` accepts any staleness.
    pub max_stale: Option<Option<u64>>,
    /// Seconds.
    pub min_fresh: Option<u64>,
    /// `no-cache`, or `Pragma: no-cache` without any `Cache-Control`.
    pub no_cache: bool,
    /// `no-store`.
    pub no_store: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
    /// Seconds past its freshness that an answer may stand in for an error of the origin (RFC 5861 §4).
    pub stale_if_error: Option<u64>,
}

impl RequestDirectives {
    /// Reads every `Cache-Control` and `Pragma` line.
    pub fn of(fields: &dyn FieldsView) -> Self {
        let mut found = Self::default();
        let mut any = false;
        fields.visit(b"cache-control", &mut |line| {
            any = true;
            list_members(line, |member| {
                let (name, argument) = split(member);
                found.add(name, argument.map(unquote).as_deref());
            });
        });
        if !any {
            fields.visit(b"pragma", &mut |line| {
                list_members(line, |member| {
                    found.no_cache |= member.eq_ignore_ascii_case(b"no-cache");
                });
            });
        }
        found
    }

    fn add(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let secs = argument.and_then(parse_delta_secs);
        if is("max-age") {
            self.max_age = smaller(self.max_age, secs);
        } else if is("min-fresh") {
            self.min_fresh = self.min_fresh.max(secs);
        } else if is("max-stale") && (argument.is_none() || secs.is_some()) {
            self.max_stale = Some(secs);
        } else if is("stale-if-error") {
            self.stale_if_error = smaller(self.stale_if_error, secs);
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("no-store") {
            self.no_store = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        }
    }
}

fn smaller(known: Option<u64>, new: Option<u64>) -> Option<u64> {
    match (known, new) {
        (Some(known), Some(new)) => Some(known.min(new)),
        (known, new) => known.or(new),
    }
}

/// A lifetime that is invalid, or said twice and not the same, makes the answer stale (RFC 9111 §4.2.1).
fn lifetime(known: &mut Option<u64>, argument: Option<&[u8]>) {
    let secs = argument.and_then(parse_delta_secs).unwrap_or(0);
    *known = Some(match *known {
        Some(known) if known != secs => 0,
        _ => secs,
    });
}

/// Permission to serve stale: what can't be read permits nothing; said twice, the smaller holds.
fn window(known: &mut Option<u64>, argument: Option<&[u8]>) {
    *known = smaller(*known, argument.and_then(parse_delta_secs));
}

fn split(member: &[u8]) -> (&[u8], Option<&[u8]>) {
    match member.iter().position(|byte| *byte == b'=') {
        Some(at) => {
            let (name, argument) = member.split_at(at);
            (name, argument.get(1..))
        }
        None => (member, None),
    }
}

/// The content of a quoted string; anything else as it is.
fn unquote(argument: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let Some(inner) = argument
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
    else {
        return argument.into();
    };
    if !inner.contains(&b'\\') {
        return inner.into();
    }
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        plain.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    plain.into()
}

/// `Age` in seconds: the first member of the first line; what isn't digits is ignored (RFC 9111 §5.1).
pub fn parse_age(fields: &dyn FieldsView) -> Option<u64> {
    let mut first = None;
    list_members(fields.first(b"age")?, |member| {
        first.get_or_insert(member);
    });
    parse_delta_secs(first?)
}

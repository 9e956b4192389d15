use std::net::IpAddr;
use std::time::Duration;

use breakwater_edge_config::{ContentHash, RateKey, RateRule};
use breakwater_edge_guard::RateSpec;

use super::Matcher;
use crate::wire::{Name, RequestHead};

/// Longest part of a header or cookie that is counted by; longer values share a count when they begin alike.
const MAX_KEY_BYTES: usize = 256;

/// A compiled rate rule.
#[derive(Debug)]
pub(crate) struct Rate {
    pub(crate) spec: RateSpec,
    pub(crate) status: u16,
    matches: Vec<Matcher>,
    pub(crate) key: Key,
}

/// What a rule counts by.
#[derive(Debug)]
pub(crate) enum Key {
    Subnet { v4: u8, v6: u8 },
    Header(Name, Box<[u8]>),
    Cookie(Box<[u8]>),
    All,
}

impl Rate {
    /// `target` is the site or route that the rule is attached to: each has counts of its own, so that no
    /// tenant's traffic uses up another's.
    pub(crate) fn compile(rule: &RateRule, target: &[&[u8]]) -> Self {
        let id = ContentHash::of_parts(target.iter().copied().chain([rule.id.0.as_bytes()]));
        Self {
            spec: RateSpec {
                id: u64::from_str_radix(id.short(), 16).unwrap_or_default(),
                requests: rule.requests,
                period: Duration::from_millis(rule.period_ms),
                burst: rule.burst,
            },
            status: if rule.status == 503 { 503 } else { 429 },
            matches: rule.matches.iter().map(Matcher::compile).collect(),
            key: match &rule.key {
                RateKey::ClientAddress => Key::Subnet { v4: 32, v6: 64 },
                RateKey::Subnet { ipv4, ipv6 } => Key::Subnet {
                    v4: (*ipv4).min(32),
                    v6: (*ipv6).min(128),
                },
                RateKey::Header(name) => Key::Header(Name::of(name.as_bytes()), name.as_bytes().into()),
                RateKey::Cookie(name) => Key::Cookie(name.as_bytes().into()),
                RateKey::Site => Key::All,
            },
        }
    }

    pub(crate) fn counts(&self, path: &[u8], head: &RequestHead<'_>) -> bool {
        self.matches.is_empty() || self.matches.iter().any(|matcher| matcher.matches(path, head))
    }
}

impl Key {
    /// Writes the key's bytes. The first tells kinds and absence apart.
    pub(crate) fn write(&self, client: IpAddr, head: &RequestHead<'_>, out: &mut Vec<u8>) {
        out.clear();
        match self {
            Self::All => out.push(b's'),
            Self::Subnet { v4, v6 } => match client.to_canonical() {
                IpAddr::V4(address) => {
                    let mask = u32::MAX.checked_shl(32 - u32::from(*v4)).unwrap_or(0);
                    out.push(b'4');
                    out.extend_from_slice(&(address.to_bits() & mask).to_be_bytes());
                }
                IpAddr::V6(address) => {
                    let mask = u128::MAX.checked_shl(128 - u32::from(*v6)).unwrap_or(0);
                    out.push(b'6');
                    out.extend_from_slice(&(address.to_bits() & mask).to_be_bytes());
                }
            },
            Self::Header(id, name) => {
                let value = match id {
                    Name::Other => head.fields.named(name).next(),
                    id => head.fields.get(*id),
                };
                write_value(value, out);
            }
            Self::Cookie(name) => write_value(crate::phases::cookies::values(&head.fields, name).next(), out),
        }
    }
}

fn write_value(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value {
        None => out.push(b'-'),
        Some(value) => {
            out.push(b'+');
            out.extend_from_slice(value.get(..MAX_KEY_BYTES).unwrap_or(value));
        }
    }
}

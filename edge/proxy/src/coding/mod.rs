//! Content codings: which one a visitor gets, what is compressed, and the encoders.
//!
//! Where a policy compresses, a visitor's `Accept-Encoding` is reduced to the one [`Coding`] that the visitor and
//! the policy like best. Variants are told apart by that, and that is what the origin is asked for: what it has
//! compressed itself stays as it is.

mod accept;
mod answer;
mod encoder;
mod media;

use breakwater_edge_cache::{FieldsView, Replaced};
use breakwater_edge_config::{Compression, Encoding};

use crate::compile::CacheRules;
use crate::wire::Name;

pub(crate) use accept::{Accepted, accepts, choose};
pub(crate) use answer::{Prepared, confirmed, is_varied, may_be_changed, vary_passed};
pub(crate) use encoder::{Encoder, STEP_BYTES};

/// A content coding that a policy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878, with windows as RFC 9659 bounds them.
    Zstd,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// As fields name it (RFC 9110 §8.4.1).
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The coding of this name, in any case; `x-gzip` is the old one of gzip (RFC 9110 §8.4.1.3).
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        [
            ("br", Self::Brotli),
            ("zstd", Self::Zstd),
            ("gzip", Self::Gzip),
            ("x-gzip", Self::Gzip),
        ]
        .into_iter()
        .find_map(|(known, coding)| name.eq_ignore_ascii_case(known.as_bytes()).then_some(coding))
    }
}

/// What of its policy says of compression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CodingRules {
    /// In order of preference.
    pub(crate) codings: Vec<Coding>,
    /// Shorter bodies stay as they are.
    pub(crate) min_bytes: u64,
}

impl CodingRules {
    pub(crate) fn compile(policy: &Compression) -> Self {
        let mut codings = Vec::new();
        for encoding in &policy.encodings {
            let coding = match encoding {
                Encoding::Brotli => Coding::Brotli,
                Encoding::Zstd => Coding::Zstd,
                Encoding::Gzip => Coding::Gzip,
            };
            if !codings.contains(&coding) {
                codings.push(coding);
            }
        }
        Self {
            codings,
            min_bytes: policy.min_bytes,
        }
    }
}

/// The one value of `Accept-Encoding` that stands for all visitors of a class.
pub(crate) fn asked_for(class: Option<Coding>) -> &'static [u8] {
    class.map_or("identity", Coding::as_str).as_bytes()
}

/// The field that tells classes apart.
pub(crate) const FIELD: &[u8] = Name::AcceptEncoding.as_str().as_bytes();

/// A request's fields as the cache sees them: of `Accept-Encoding` the class.
pub(crate) struct Classed<'a>(Option<Replaced<'a>>, &'a dyn FieldsView);

impl<'a> Classed<'a> {
    pub(crate) fn new(fields: &'a dyn FieldsView, rules: &CacheRules, class: Option<Coding>) -> Self {
        let replaced = rules.coding.as_ref().map(|_| Replaced {
            fields,
            name: FIELD,
            value: asked_for(class),
        });
        Self(replaced, fields)
    }

    pub(crate) fn view(&self) -> &dyn FieldsView {
        match &self.0 {
            Some(replaced) => replaced,
            None => self.1,
        }
    }
}

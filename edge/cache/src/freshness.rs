//! May an answer be stored (RFC 9111 §3), and for how long is it fresh (§4.2)? Plain values in, a verdict
//! out.

use crate::date::parse_http_date;
use crate::directives::{Qualified, RequestDirectives, ResponseDirectives, parse_age};
use crate::fields::{FieldsView, list_members};
use crate::range::ContentRange;
use crate::rules::{StatusTtl, StorageClass, StoreRules, TtlPolicy};
use crate::status::{is_about_one_request, is_heuristic, is_understood};
use crate::tags::Tags;
use crate::{Now, Reason};

/// What of the request bears on storing its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one fact")]
pub struct RequestFacts {
    /// GET, or a method that the policy caches and whose body is in the key. HEAD is not: its answer has no
    /// body to store.
    pub cacheable_method: bool,
    /// It had `Authorization`.
    pub authorization: bool,
    /// It had a cookie that is not in the key.
    pub unkeyed_cookie: bool,
    /// `Cache-Control: no-store`.
    pub no_store: bool,
    /// Its method is one whose answers are stored only where the origin or the policy gives them a lifetime
    /// (RFC 9110 §9.3.3): neither a heuristic nor a validator is enough.
    pub explicit_only: bool,
}

impl RequestFacts {
    /// A request that has nothing to do with one visitor.
    pub(crate) const ANYBODY: Self = Self {
        cacheable_method: true,
        authorization: false,
        unkeyed_cookie: false,
        no_store: false,
        explicit_only: false,
    };

    /// Reads a request's fields. `cookies_keyed`: every cookie that it may carry is in the key.
    pub fn of(fields: &dyn FieldsView, cacheable_method: bool, cookies_keyed: bool) -> Self {
        Self {
            cacheable_method,
            authorization: fields.has(b"authorization"),
            unkeyed_cookie: !cookies_keyed && fields.has(b"cookie"),
            no_store: RequestDirectives::of(fields).no_store,
            explicit_only: false,
        }
    }
}

/// An origin's answer, as far as it is known when its head has come.
#[derive(Clone, Copy)]
pub struct OriginHead<'a> {
    /// A final status.
    pub status: u16,
    /// As received.
    pub fields: &'a dyn FieldsView,
    /// Length of the body, where the framing says it.
    pub content_length: Option<u64>,
    /// When the request was sent.
    pub sent: Now,
    /// When the head came.
    pub received: Now,
}

/// Whether an answer is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is, with this.
    Store(Lifetime),
    /// It isn't.
    Refuse(Reason),
}

/// What was changed of an answer before it was stored (RFC 9110 §7.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transformed {
    /// Nothing.
    #[default]
    No,
    /// Its body.
    Body,
    /// Its body, and its strong entity tag was made weak: the origin is asked with the strong one.
    BodyAndTag,
}

/// How long an answer may be used, and what must be left out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Age until which it is fresh.
    pub fresh_ms: u64,
    /// Its age when it came (RFC 9111 §4.2.3, `corrected_initial_age`).
    pub initial_age_ms: u64,
    /// The monotonic clock when it came.
    pub received_mono_ms: u64,
    /// The wall clock then, for who reads it in another process.
    pub received_wall_ms: u64,
    /// The origin's date, or when it came; seconds since the epoch. The newest variant wins a tie.
    pub date_secs: u64,
    /// Never used without asking the origin (`no-cache`).
    pub always_validate: bool,
    /// Stale use is not forbidden, so a request's `max-stale` or `stale-if-error` may be honoured.
    pub stale_allowed: bool,
    /// It does not change while it is fresh, so reloads don't question it (RFC 8246).
    pub immutable: bool,
    /// How long past `fresh_ms` it may be served while it is being revalidated.
    pub stale_while_revalidate_ms: u64,
    /// How long past `fresh_ms` it may be served when the origin fails.
    pub stale_if_error_ms: u64,
    /// Names of fields that must not be stored, besides those that never are; lower case.
    pub unstored_fields: Vec<Box<[u8]>>,
    /// Largest body that is stored.
    pub max_object_bytes: u64,
    /// See [`StoreRules::class`].
    pub class: Option<StorageClass>,
    /// See [`StoreRules::unvaried_fields`].
    pub unvaried_fields: &'static [&'static str],
    /// What it may be purged by.
    pub tags: Tags,
    /// Set by whoever changes the answer after it was judged.
    pub transformed: Transformed,
}

impl Lifetime {
    /// Age at `now` (RFC 9111 §4.2.3).
    pub fn age_ms(&self, now: Now) -> u64 {
        self.initial_age_ms
            .saturating_add(now.mono_ms().saturating_sub(self.received_mono_ms))
    }

    /// Freshness left at `now`, negative when stale.
    pub fn ttl_ms(&self, now: Now) -> i64 {
        let cap = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        cap(self.fresh_ms).saturating_sub(cap(self.age_ms(now)))
    }
}

/// Decides whether the answer is stored and for how long.
pub fn judge(request: RequestFacts, head: &OriginHead<'_>, rules: &StoreRules) -> Verdict {
    let targeted = ResponseDirectives::of_cdn(head.fields);
    let statement = Statement {
        targeted: targeted.is_some(),
        directives: targeted.unwrap_or_else(|| ResponseDirectives::of(head.fields)),
        head,
    };
    match statement.lifetime(request, rules) {
        Ok(lifetime) => Verdict::Store(lifetime),
        Err(reason) => Verdict::Refuse(reason),
    }
}

/// A heuristic lifetime is this part of the time since the last change, and no more than a day.
const HEURISTIC_DIVISOR: u64 = 10;
const HEURISTIC_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

struct Statement<'a> {
    /// From `CDN-Cache-Control`, so that `Expires` does not count.
    targeted: bool,
    directives: ResponseDirectives,
    head: &'a OriginHead<'a>,
}

impl Statement<'_> {
    fn lifetime(&self, request: RequestFacts, rules: &StoreRules) -> Result<Lifetime, Reason> {
        self.storable(request, rules)?;
        let status_ttl = rules
            .ttl
            .statuses
            .iter()
            .find(|of| (of.from..=of.to).contains(&self.status()));
        let fresh = self.fresh(&rules.ttl, status_ttl)?;
        if request.explicit_only && (fresh.source == Source::Heuristic || fresh.ms == 0) {
            return Err(Reason::NoFreshness);
        }
        let policy_ttl = matches!(fresh.source, Source::Policy | Source::Forced);
        if request.unkeyed_cookie && !policy_ttl && !self.is_for_everybody() {
            return Err(Reason::Cookie);
        }
        let part = ContentRange::of(self.head.fields).filter(|_| self.head.status == 206);
        let length = part.map(|part| part.complete).or(self.head.content_length);
        if length.is_some_and(|length| length > rules.max_object_bytes) {
            return Err(Reason::TooLarge);
        }
        let lifetime = self.assemble(&fresh, rules);
        // There is no validating it: a condition would be one on what the request does.
        if request.explicit_only && lifetime.always_validate {
            return Err(Reason::NoCache);
        }
        let validator = self.head.fields.has(b"etag") || self.head.fields.has(b"last-modified");
        let never_fresh = lifetime.always_validate || lifetime.fresh_ms <= lifetime.initial_age_ms;
        let usable_stale = lifetime.stale_while_revalidate_ms.max(lifetime.stale_if_error_ms) > 0;
        if never_fresh && !validator && !usable_stale {
            return Err(Reason::NoFreshness);
        }
        Ok(lifetime)
    }

    /// The status that holds for the whole: a part is one of a 200.
    fn status(&self) -> u16 {
        match self.head.status {
            206 => 200,
            status => status,
        }
    }

    /// A 206 that says which bytes of how many it has, and has as many.
    fn is_one_part(&self) -> bool {
        ContentRange::of(self.head.fields).is_some_and(|part| {
            let told = self.head.content_length;
            told.is_none_or(|length| length == part.range.len())
        })
    }

    /// What forbids storing whatever the lifetime.
    fn storable(&self, request: RequestFacts, rules: &StoreRules) -> Result<(), Reason> {
        let (status, fields, said) = (self.status(), self.head.fields, &self.directives);
        if !request.cacheable_method {
            return Err(Reason::Method);
        }
        if self.head.status == 206 && !self.is_one_part() {
            return Err(Reason::Partial);
        }
        if status < 200 || status == 304 || status > 599 || is_about_one_request(status) {
            return Err(Reason::Status);
        }
        if said.must_understand && !is_understood(status) {
            return Err(Reason::Status);
        }
        if said.no_store && !said.must_understand {
            return Err(Reason::NoStore);
        }
        if request.no_store {
            return Err(Reason::RequestNoStore);
        }
        if said.private == Qualified::Whole {
            return Err(Reason::Private);
        }
        if fields.has(b"set-cookie") && !rules.store_set_cookie && !self.is_unstored(b"set-cookie") {
            return Err(Reason::SetCookie);
        }
        let shared = said.public || said.must_revalidate || said.s_maxage.is_some();
        if request.authorization && !shared {
            return Err(Reason::Authorization);
        }
        let mut star = false;
        fields.visit(b"vary", &mut |line| {
            list_members(line, |name| star |= name == b"*");
        });
        if star { Err(Reason::VaryStar) } else { Ok(()) }
    }

    /// `public`, `s-maxage`, or a lifetime that was meant for shared caches; or the cookie selects a variant.
    fn is_for_everybody(&self) -> bool {
        let said = &self.directives;
        let mut varies_by_cookie = false;
        self.head.fields.visit(b"vary", &mut |line| {
            list_members(line, |name| {
                varies_by_cookie |= name.eq_ignore_ascii_case(b"cookie");
            });
        });
        varies_by_cookie
            || said.public
            || said.s_maxage.is_some()
            || (self.targeted && said.max_age.is_some())
    }

    fn fresh(&self, ttl: &TtlPolicy, status_ttl: Option<&StatusTtl>) -> Result<Fresh, Reason> {
        let status = self.status();
        let stated = self.stated_ms();
        if stated.is_none()
            && let Some(rule) = status_ttl
        {
            return match rule.ttl_ms {
                0 => Err(Reason::PolicyZero),
                ms => Ok(Fresh {
                    ms,
                    source: Source::Policy,
                }),
            };
        }
        if matches!(status, 400 | 413) && status_ttl.is_none_or(|rule| rule.ttl_ms == 0) {
            return Err(Reason::Status);
        }
        if stated.is_none() && !is_heuristic(status) && !self.directives.public {
            return Err(Reason::Status);
        }
        let (ms, source) = match (ttl.force_ms, stated, ttl.default_ms) {
            (Some(ms), _, _) => (ms, Source::Forced),
            (None, Some(ms), _) => (ms, Source::Origin),
            (None, None, Some(ms)) => (ms, Source::Policy),
            (None, None, None) => (self.heuristic_ms(), Source::Heuristic),
        };
        let least = ttl.min_ms.unwrap_or(0);
        let most = ttl.max_ms.unwrap_or(u64::MAX);
        Ok(Fresh {
            ms: ms.max(least).min(most),
            source,
        })
    }

    /// The origin's explicit lifetime.
    fn stated_ms(&self) -> Option<u64> {
        let secs = self.directives.s_maxage.or(self.directives.max_age).or_else(|| {
            // RFC 9213 §2.2: a targeted field stands for Expires too.
            if self.targeted { None } else { self.expires_secs() }
        })?;
        Some(secs.saturating_mul(1_000))
    }

    fn expires_secs(&self) -> Option<u64> {
        let (mut first, mut differ) = (None, false);
        self.head.fields.visit(b"expires", &mut |value| {
            differ |= *first.get_or_insert(value) != value;
        });
        let expires = parse_http_date(first?);
        match expires {
            Some(expires) if !differ => Some(expires.saturating_sub(self.date_secs())),
            // Freshness that can't be read, or is said twice, is none.
            _ => Some(0),
        }
    }

    fn date_secs(&self) -> u64 {
        let date = self.head.fields.first(b"date").and_then(parse_http_date);
        date.unwrap_or_else(|| self.head.received.wall_secs())
    }

    fn heuristic_ms(&self) -> u64 {
        let modified = self.head.fields.first(b"last-modified").and_then(parse_http_date);
        let since_secs = modified.map_or(0, |modified| self.date_secs().saturating_sub(modified));
        (since_secs.saturating_mul(1_000) / HEURISTIC_DIVISOR).min(HEURISTIC_MAX_MS)
    }

    fn assemble(&self, fresh: &Fresh, rules: &StoreRules) -> Lifetime {
        let said = &self.directives;
        let always_validate = said.no_cache == Qualified::Whole && fresh.source != Source::Forced;
        let strict = always_validate || said.must_revalidate || said.proxy_revalidate;
        // s-maxage forbids stale use as proxy-revalidate does (RFC 9111 §5.2.2.10), but an origin that says
        // beside it for how long stale is fine means that.
        let stale_allowed = !strict && said.s_maxage.is_none();
        let window = |stated: Option<u64>, policy: Option<u64>| match stated {
            _ if strict => 0,
            Some(secs) => secs.saturating_mul(1_000),
            None if stale_allowed => policy.unwrap_or(0),
            None => 0,
        };
        let mut unstored_fields = said.private.names().to_vec();
        unstored_fields.extend_from_slice(said.no_cache.names());
        let hidden = rules.tags.hidden().iter();
        unstored_fields.extend(hidden.filter(|name| self.head.fields.has(name)).cloned());
        Lifetime {
            fresh_ms: fresh.ms,
            initial_age_ms: self.initial_age_ms(),
            received_mono_ms: self.head.received.mono_ms(),
            received_wall_ms: self.head.received.wall_ms,
            date_secs: self.date_secs(),
            always_validate,
            stale_allowed,
            immutable: said.immutable,
            stale_while_revalidate_ms: window(
                said.stale_while_revalidate,
                rules.ttl.stale_while_revalidate_ms,
            ),
            stale_if_error_ms: window(said.stale_if_error, rules.ttl.stale_if_error_ms),
            unstored_fields,
            max_object_bytes: rules.max_object_bytes,
            class: rules.class,
            unvaried_fields: rules.unvaried_fields,
            tags: Tags::of(self.head.fields, &rules.tags),
            transformed: Transformed::No,
        }
    }

    /// RFC 9111 §4.2.3.
    fn initial_age_ms(&self) -> u64 {
        let head = self.head;
        let apparent_ms = head
            .received
            .wall_secs()
            .saturating_sub(self.date_secs())
            .saturating_mul(1_000);
        let delay_ms = head.received.mono_ms().saturating_sub(head.sent.mono_ms());
        let age_ms = parse_age(head.fields).unwrap_or(0).saturating_mul(1_000);
        apparent_ms.max(age_ms.saturating_add(delay_ms))
    }

    fn is_unstored(&self, name: &[u8]) -> bool {
        let named = |of: &Qualified| of.names().iter().any(|known| known.eq_ignore_ascii_case(name));
        named(&self.directives.private) || named(&self.directives.no_cache)
    }
}

struct Fresh {
    ms: u64,
    source: Source,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Forced,
    Policy,
    Origin,
    Heuristic,
}

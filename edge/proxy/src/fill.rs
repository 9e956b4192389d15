//! A fill: an origin's answer on its way into the cache, as a task of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use std::task::{Context, Poll};

use breakwater_edge_cache::{
    FieldsBuilder, FillWriter, Finished, Hit, NotModified, OriginHead as CacheHead, Reason as CacheReason,
    RequestFacts, Transformed, Verdict, judge, list_members,
};
use bytes::Bytes;

use crate::Now;
use crate::coding::{Coding, Encoder, Prepared, STEP_BYTES, confirmed, is_varied, may_be_changed};
use crate::compile::CacheRules;
use crate::phases::parse::is_well_formed;
use crate::phases::{fetch, trailers};
use crate::plan::{BodyMode, FetchPlan, OriginFailure};
use crate::reason::Reason;
use crate::retry::Retries;
use crate::wire::{BodyHint, FieldBuf, Fields, Name, OriginHead};

/// How long a fill may go on without anybody who reads it.
pub const MAX_ORPHANED_MS: u64 = 30_000;

/// What a fill's task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillStep {
    /// Send [`Fill::plan`]: it was changed or is to be tried again. What came of the last answer is dropped.
    Send,
    /// Pass the body on: [`Fill::poll_ready`], then [`Fill::write`] for each part, at its end
    /// [`Fill::finish`].
    Body,
    /// The fill has ended; a body that is still to come is dropped.
    Done,
}

/// An origin's answer on its way into the cache. Dropping it is an abort: whoever waits begins again.
///
/// The adaptor runs it as a task of its own, which outlives the client that caused it: `on_send`, send
/// [`plan`](Self::plan), then `on_head` or `on_failure`, and as the [`FillStep`] says. A task whose
/// [`poll_orphaned`](Self::poll_orphaned) has been ready for [`MAX_ORPHANED_MS`] calls
/// [`abandon`](Self::abandon).
#[derive(Debug)]
pub struct Fill {
    plan: FetchPlan,
    /// Taken when the fill ends.
    writer: Option<FillWriter>,
    rules: Arc<CacheRules>,
    facts: RequestFacts,
    retries: Retries,
    /// The plan carries the validators of what is stored.
    conditional: bool,
    /// The class of codings that it is for, where the policy compresses.
    class: Option<Coding>,
    /// Set while the body is being compressed.
    compressing: Option<Compressing>,
    /// The plan asks for a part.
    part: bool,
    answered: bool,
    sent: Now,
    report: Arc<Report>,
}

/// A body on its way through an encoder.
#[derive(Debug)]
struct Compressing {
    encoder: Encoder,
    /// How much of what the origin told is still to come.
    left: Option<u64>,
}

impl Compressing {
    /// `Err`: the body is longer than the origin said, or can't be compressed.
    fn write(&mut self, part: &[u8]) -> Result<Bytes, CacheReason> {
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(part.len() as u64)
                .ok_or(CacheReason::Truncated)?;
        }
        self.encoder.write(part).map_err(|_| CacheReason::Dropped)
    }

    /// `Err`: the body isn't as long as the origin said, or can't be compressed.
    fn finish(self) -> Result<Bytes, CacheReason> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(CacheReason::Truncated);
        }
        self.encoder.finish().map_err(|_| CacheReason::Dropped)
    }
}

/// What the request that leads a fill learns of it, for its record.
#[derive(Debug, Default)]
pub(crate) struct Report {
    attempts: AtomicU8,
    /// The origin's status; 0: none came.
    status: AtomicU16,
}

/// How the cache carries a reason to everybody who waits: 0 is none.
fn note_of(reason: Reason) -> u8 {
    (reason as u8).saturating_add(1)
}

/// The reason in a note.
pub(crate) fn noted(note: u8) -> Option<Reason> {
    Reason::ALL.get(usize::from(note).checked_sub(1)?).copied()
}

impl Report {
    pub(crate) fn attempts(&self) -> u8 {
        self.attempts.load(Ordering::Acquire)
    }

    pub(crate) fn status(&self) -> Option<u16> {
        Some(self.status.load(Ordering::Acquire)).filter(|status| *status != 0)
    }
}

impl Fill {
    pub(crate) fn new(
        mut plan: FetchPlan,
        writer: FillWriter,
        rules: Arc<CacheRules>,
        facts: RequestFacts,
        class: Option<Coding>,
        report: Arc<Report>,
    ) -> Self {
        let mut conditional = false;
        // A condition on a request with a body is one on what it does, not on what is sent (RFC 9110 §13.1.2).
        let condition = writer.condition().filter(|_| plan.body == BodyMode::None);
        if let Some(condition) = condition {
            conditional = true;
            if let Some(etag) = condition.if_none_match {
                plan.fields.push(Name::IfNoneMatch, etag);
            }
            if let Some(since) = condition.if_modified_since {
                plan.fields.push(Name::IfModifiedSince, since);
            }
        }
        let origin = plan.site.config().origins.get(plan.origin);
        let retries = Retries::new(origin.map_or(0, |origin| origin.retries.attempts));
        Self {
            part: plan.fields.has(Name::Range),
            plan,
            writer: Some(writer),
            rules,
            facts,
            retries,
            conditional,
            class,
            compressing: None,
            answered: false,
            sent: Now::default(),
            report,
        }
    }

    /// What to send.
    pub fn plan(&self) -> &FetchPlan {
        &self.plan
    }

    /// Called when the request is about to be sent, each time: purges before this moment don't hold for the
    /// answer, later ones do, and its age counts from here.
    pub fn on_send(&mut self, now: Now) {
        self.sent = now;
        self.report.attempts.fetch_add(1, Ordering::AcqRel);
        if let Some(writer) = &self.writer {
            writer.mark_sent();
        }
    }

    /// The final head of the origin's answer. A 1xx before it is dropped.
    pub fn on_head(&mut self, answer: &OriginHead<'_>, now: Now) -> FillStep {
        let unasked = answer.status == 304 && !self.conditional;
        if unasked || !(200..=599).contains(&answer.status) || !is_well_formed(&answer.fields) {
            return self.fail(Reason::OriginProtocol, now);
        }
        self.report.status.store(answer.status, Ordering::Release);
        if answer.status == 304 {
            return self.validated(answer, now);
        }
        let failed = fetch::is_failure(answer.status);
        let says_nothing = self.is_about_the_range(answer);
        let Some(writer) = &mut self.writer else {
            return FillStep::Done;
        };
        if failed && writer.serve_stale(CacheReason::OriginFailed, now) {
            return FillStep::Done;
        }
        let content_length = match answer.body {
            BodyHint::None => Some(0),
            BodyHint::Length(length) => Some(length),
            BodyHint::Streamed => None,
        };
        let head = CacheHead {
            status: answer.status,
            fields: &answer.fields,
            content_length,
            sent: self.sent,
            received: now,
        };
        let mut verdict = if varies_by_what_we_write(&answer.fields) {
            Verdict::Refuse(CacheReason::VaryStar)
        } else if says_nothing {
            Verdict::Refuse(CacheReason::Partial)
        } else {
            judge(self.facts, &head, &self.rules.store)
        };
        self.answered = true;
        // Whether it is stored is told to the readers with the head.
        let Some(rules) = &self.rules.coding else {
            let _ = writer.head(answer.status, &answer.fields, content_length, verdict, now);
            return FillStep::Body;
        };
        // What one visitor alone is given isn't compressed: beside what others know of it, its length would tell
        // of what it holds.
        let class = self.class.filter(|_| matches!(verdict, Verdict::Store(_)));
        let prepared = Prepared::of(answer, rules, class, |bytes| writer.hold(bytes));
        if let Verdict::Store(lifetime) = &mut verdict {
            lifetime.transformed = prepared.transformed;
        }
        let told_length = content_length.filter(|_| prepared.encoder.is_none());
        let _ = writer.head(answer.status, &prepared.fields, told_length, verdict, now);
        self.compressing = prepared.encoder.map(|encoder| Compressing {
            encoder,
            left: content_length,
        });
        FillStep::Body
    }

    /// An answer that says nothing of the whole: a part that wasn't asked for, a 200 that calls itself a part,
    /// or, where one was asked for, an error that may be about that.
    fn is_about_the_range(&self, answer: &OriginHead<'_>) -> bool {
        match (self.part, answer.status) {
            (true, 206) => false,
            (true, 200) => answer.fields.has(Name::ContentRange),
            (true, _) => true,
            (false, status) => status == 206,
        }
    }

    fn validated(&mut self, answer: &OriginHead<'_>, now: Now) -> FillStep {
        let Some(writer) = self.writer.take() else {
            return FillStep::Done;
        };
        let stored = writer.stale();
        let transformed = stored.map_or(Transformed::No, Hit::transformed);
        let varies = self.rules.coding.is_some() && stored.is_some_and(|hit| is_varied(hit.fields()));
        let fields = confirmed(&answer.fields, transformed, varies);
        let not_modified = NotModified {
            fields: &fields,
            sent: self.sent,
            received: now,
        };
        let forbidden = transformed != Transformed::No && !may_be_changed(&answer.fields);
        let confirmed = if forbidden || varies_by_what_we_write(&answer.fields) {
            Err(writer)
        } else {
            writer.not_modified(&not_modified, self.facts, &self.rules.store)
        };
        match confirmed {
            Ok(()) => FillStep::Done,
            Err(writer) => {
                // It confirmed something else, or too late, or for one visitor only: ask for the whole.
                self.writer = Some(writer);
                self.conditional = false;
                self.plan.fields.remove(Name::IfNoneMatch);
                self.plan.fields.remove(Name::IfModifiedSince);
                FillStep::Send
            }
        }
    }

    /// The attempt failed: before a head it may be made again, afterwards the readers are aborted.
    pub fn on_failure(&mut self, failure: OriginFailure, now: Now) -> FillStep {
        if !self.answered && self.retries.take(failure) {
            return FillStep::Send;
        }
        self.fail(failure.kind.reason(), now)
    }

    fn fail(&mut self, reason: Reason, now: Now) -> FillStep {
        if let Some(mut writer) = self.writer.take() {
            let cause = if self.answered {
                CacheReason::Truncated
            } else {
                CacheReason::OriginFailed
            };
            if !writer.serve_stale(cause, now) {
                writer.abort_noting(cause, note_of(reason));
            }
        }
        FillStep::Done
    }

    /// Gives up before anything was sent: the origin can't be asked at all.
    pub(crate) fn never_sent(mut writer: FillWriter, reason: Reason, now: Now) {
        if !writer.serve_stale(CacheReason::OriginFailed, now) {
            writer.abort_noting(CacheReason::OriginFailed, note_of(reason));
        }
    }

    /// Waits until more of the body may be written. `Err`: nobody wants the rest, drop the fill.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CacheReason>> {
        match &mut self.writer {
            Some(writer) => writer.poll_ready(cx),
            None => Poll::Ready(Err(CacheReason::Dropped)),
        }
    }

    /// Ready when nobody reads.
    pub fn poll_orphaned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.writer {
            Some(writer) => writer.poll_orphaned(cx),
            None => Poll::Ready(()),
        }
    }

    /// Most bytes of the body that [`write`](Self::write) is given at once, with other tasks' turn after each;
    /// `None`: as many as came.
    pub fn step_bytes(&self) -> Option<usize> {
        self.compressing.as_ref().map(|_| STEP_BYTES)
    }

    /// Passes on a part of the body. `Err`: the fill has ended, drop it and the connection.
    pub fn write(&mut self, part: Bytes) -> Result<(), CacheReason> {
        let Some(writer) = &mut self.writer else {
            return Err(CacheReason::Dropped);
        };
        let Some(compressing) = &mut self.compressing else {
            return writer.write(part);
        };
        let coded = compressing.write(&part);
        self.pass_on(coded)
    }

    /// Whether a part of the body waits for more, to be compressed with it. Where none comes soon, give the readers
    /// what there is: [`flush`](Self::flush).
    pub fn holds_back(&self) -> bool {
        self.compressing
            .as_ref()
            .is_some_and(|compressing| compressing.encoder.is_pending())
    }

    /// Passes on what waits for more. `Err`: the fill has ended.
    pub fn flush(&mut self) -> Result<(), CacheReason> {
        let Some(compressing) = &mut self.compressing else {
            return Ok(());
        };
        let coded = compressing.encoder.flush().map_err(|_| CacheReason::Dropped);
        self.pass_on(coded)
    }

    fn pass_on(&mut self, coded: Result<Bytes, CacheReason>) -> Result<(), CacheReason> {
        let Some(writer) = &mut self.writer else {
            return Err(CacheReason::Dropped);
        };
        match coded {
            Ok(coded) if coded.is_empty() => Ok(()),
            Ok(coded) => writer.write(coded),
            Err(reason) => {
                self.give_up(reason);
                Err(reason)
            }
        }
    }

    fn give_up(&mut self, reason: CacheReason) {
        if let Some(writer) = self.writer.take() {
            writer.abort(reason);
        }
    }

    /// The body is whole, by its framing. `Err`: it was not as long as the head said.
    pub fn finish(mut self, origin_trailers: Option<&Fields<'_>>) -> Result<Finished, CacheReason> {
        if let Some(compressing) = self.compressing.take() {
            let last = compressing.finish();
            self.pass_on(last)?;
        }
        let Some(writer) = self.writer.take() else {
            return Err(CacheReason::Dropped);
        };
        let mut filtered = FieldBuf::default();
        let trailers = match origin_trailers {
            Some(fields) if !trailers::filter(fields, &mut filtered) => {
                writer.abort(CacheReason::Truncated);
                return Err(CacheReason::Truncated);
            }
            Some(_) if !filtered.is_empty() => {
                let mut builder = FieldsBuilder::default();
                builder.extend(filtered.iter());
                Some(builder.finish())
            }
            _ => None,
        };
        writer.finish(trailers)
    }

    /// Ends a fill that nobody reads.
    pub fn abandon(mut self) {
        if let Some(writer) = self.writer.take() {
            writer.abort(CacheReason::Abandoned);
        }
    }
}

/// True when the origin chose its answer by a field that tells it of one visitor and that this edge writes:
/// the visitors' own fields, by which variants are found, don't show it.
pub(crate) fn varies_by_what_we_write(fields: &Fields<'_>) -> bool {
    let mut found = false;
    for line in fields.all(Name::Vary) {
        list_members(line, |name| {
            found |= matches!(Name::of(name), Name::XForwardedFor | Name::Forwarded);
        });
    }
    found
}

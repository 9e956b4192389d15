//! The origins' side of a world: what they answer, and how they fail.

use breakwater_edge_cache::Finished;
use breakwater_edge_proxy::{BodyHint, Event, FailureKind, Fill, FillStep, OriginFailure, OriginHead};

use super::values::{Answer, Asked, By, Ended, Lines, index, lines};
use super::world::World;

impl World {
    /// The origin answers the request that it was asked as the `asked`th, whole.
    pub(crate) fn answer(&mut self, asked: usize, answer: &Answer) {
        let fields = lines(&[]);
        self.head(asked, answer, BodyHint::Length(answer.body.len() as u64));
        self.body(asked, answer.body);
        self.end(asked, &fields);
    }

    /// The head of the origin's answer.
    pub(crate) fn head(&mut self, asked: usize, answer: &Answer, body: BodyHint) {
        let head = OriginHead {
            status: answer.status,
            fields: index(&answer.fields),
            body,
        };
        match std::mem::replace(&mut self.asked[asked].by, By::Nobody) {
            By::Client(client) => {
                self.asked[asked].by = By::Client(client);
                self.event(client, Event::OriginHead(&head));
            }
            By::Fill(mut fill) => {
                let step = fill.on_head(&head, self.now);
                self.filled(asked, fill, step);
            }
            By::Nobody => panic!("nobody waits for this answer"),
        }
        self.pump();
    }

    /// A part of the body; without effect where the answer has none for anybody.
    pub(crate) fn body(&mut self, asked: usize, part: &'static str) {
        match &mut self.asked[asked].by {
            By::Client(client) => self.exchanges[*client].got.body.push_str(part),
            By::Fill(fill) => fill.write(part.into()).unwrap(),
            By::Nobody => {}
        }
        self.pump();
    }

    /// The end of the answer, with its trailers.
    pub(crate) fn end(&mut self, asked: usize, trailers: &Lines) -> Option<Finished> {
        let finished = match std::mem::replace(&mut self.asked[asked].by, By::Nobody) {
            By::Client(client) => {
                self.exchanges[client].got.ended.get_or_insert(Ended::Whole);
                None
            }
            By::Fill(fill) => {
                let trailers = index(trailers);
                fill.finish((!trailers.is_empty()).then_some(&trailers)).ok()
            }
            By::Nobody => None,
        };
        self.pump();
        finished
    }

    /// The request to the origin fails, before or after its head.
    pub(crate) fn fail(&mut self, asked: usize, kind: FailureKind) {
        let failure = OriginFailure {
            kind,
            answer_began: false,
            body_consumed: false,
            reused_connection: false,
        };
        self.fail_with(asked, failure);
    }

    pub(crate) fn fail_with(&mut self, asked: usize, failure: OriginFailure) {
        match std::mem::replace(&mut self.asked[asked].by, By::Nobody) {
            By::Client(client) => self.event(client, Event::OriginFailed(failure)),
            By::Fill(mut fill) => {
                let step = fill.on_failure(failure, self.now);
                self.filled(asked, fill, step);
            }
            By::Nobody => panic!("nobody waits for this answer"),
        }
        self.pump();
    }

    /// The task of a fill ends without a word.
    pub(crate) fn drop_fill(&mut self, asked: usize) {
        self.asked[asked].by = By::Nobody;
        self.pump();
    }

    fn filled(&mut self, asked: usize, fill: Box<Fill>, step: FillStep) {
        match step {
            FillStep::Send => self.start(fill),
            FillStep::Body => self.asked[asked].by = By::Fill(fill),
            FillStep::Done => {}
        }
    }

    pub(super) fn start(&mut self, mut fill: Box<Fill>) {
        fill.on_send(self.now);
        self.asked.push(Asked {
            plan: fill.plan().clone(),
            by: By::Fill(fill),
        });
    }
}

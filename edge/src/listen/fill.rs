use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use breakwater_edge_proxy::{
    CacheReason, FailureKind, Fill, FillStep, MAX_ORPHANED_MS, OriginFailure, OriginHead,
};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use http_body_util::{BodyExt as _, Empty};
use tokio::time::Sleep;

use super::ask::{Answer, AnswerBody, Asking, InterimSender, VisitorBody};
use super::head::fields;
use super::worker::Local;

/// Starts a fill as a task of its own: it goes on when the visitor that caused it goes away. That visitor alone
/// gets the origin's interim answers.
pub(crate) fn start(local: &Rc<Local>, fill: Box<Fill>, interim: Option<InterimSender>) {
    let local = Rc::clone(local);
    let presence = local.presence();
    tokio::task::spawn_local(async move {
        run(&local, *fill, interim).await;
        drop(presence);
    });
}

async fn run(local: &Rc<Local>, mut fill: Fill, interim: Option<InterimSender>) {
    let mut asking = Asking::default();
    loop {
        fill.on_send(local.now());
        let step = match asking.ask(local, fill.plan(), no_body, interim.clone()).await {
            Err(failure) => fill.on_failure(failure, local.now()),
            Ok(answer) => match take_head(local, &mut fill, &answer) {
                FillStep::Body => return pump(local, fill, answer.body).await,
                step => {
                    // The plan has changed: what is asked now is another request, not the same once more.
                    asking = Asking::default();
                    step
                }
            },
        };
        match step {
            FillStep::Send => {}
            // A body without an answer there can't be.
            FillStep::Body | FillStep::Done => return,
        }
    }
}

/// A fill asks without a body.
fn no_body() -> VisitorBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn take_head(local: &Local, fill: &mut Fill, answer: &Answer) -> FillStep {
    match fields(&answer.head.headers) {
        Ok(fields) => {
            let head = OriginHead {
                status: answer.head.status.as_u16(),
                fields,
                body: answer.hint(),
            };
            fill.on_head(&head, local.now())
        }
        Err(_too_many) => fill.on_failure(broken(FailureKind::Protocol), local.now()),
    }
}

fn broken(kind: FailureKind) -> OriginFailure {
    OriginFailure {
        kind,
        answer_began: true,
        body_consumed: false,
        reused_connection: false,
    }
}

/// What the origin's body gave.
enum Part {
    Data(Bytes),
    /// Nothing for a while.
    Lull,
    End(Option<HeaderMap>),
    Broken,
}

/// Passes the body on, at the pace of the fastest reader.
async fn pump(local: &Local, mut fill: Fill, mut body: AnswerBody) {
    let mut patience = Orphaned::default();
    let mut lull = Lull::default();
    loop {
        let step = poll_fn(|cx| {
            if patience.poll(&mut fill, cx).is_ready() {
                return Poll::Ready(ControlFlow::Break(true));
            }
            match fill.poll_ready(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(_nobody)) => Poll::Ready(ControlFlow::Break(false)),
                Poll::Ready(Ok(())) => lull.poll(&fill, &mut body, cx).map(ControlFlow::Continue),
            }
        })
        .await;
        match step {
            ControlFlow::Break(true) => return fill.abandon(),
            ControlFlow::Break(false) => return,
            ControlFlow::Continue(Part::Data(data)) => {
                if write(&mut fill, data).await.is_err() {
                    return;
                }
            }
            ControlFlow::Continue(Part::Lull) => {
                if fill.flush().is_err() {
                    return;
                }
            }
            ControlFlow::Continue(Part::End(trailers)) => {
                let lines = trailers.as_ref().and_then(|trailers| fields(trailers).ok());
                // Too many trailers are none at all; a body that came short aborts its readers by itself.
                let _ = fill.finish(lines.as_ref());
                return;
            }
            ControlFlow::Continue(Part::Broken) => {
                fill.on_failure(broken(FailureKind::Reset), local.now());
                return;
            }
        }
    }
}

/// Passes on what came, in steps where a step takes long: other requests have their turn between them.
async fn write(fill: &mut Fill, mut data: Bytes) -> Result<(), CacheReason> {
    while let Some(step_bytes) = fill.step_bytes().filter(|step_bytes| data.len() > *step_bytes) {
        fill.write(data.split_to(step_bytes))?;
        tokio::task::yield_now().await;
    }
    let compresses = fill.step_bytes().is_some();
    fill.write(data)?;
    if compresses {
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn poll_part(body: &mut AnswerBody, cx: &mut Context<'_>) -> Poll<Part> {
    Pin::new(body).poll_frame(cx).map(|frame| match frame {
        None => Part::End(None),
        Some(Err(_)) => Part::Broken,
        Some(Ok(frame)) => match frame.into_data() {
            Ok(data) => Part::Data(data),
            Err(frame) => Part::End(frame.into_trailers().ok()),
        },
    })
}

/// For how long what an encoder holds back waits for more of the body.
const MAX_HELD_BACK: Duration = Duration::from_millis(50);

/// The clock of an origin that pauses while an encoder holds back what came.
#[derive(Default)]
struct Lull {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Lull {
    /// The next of the body, or that none came for too long.
    fn poll(&mut self, fill: &Fill, body: &mut AnswerBody, cx: &mut Context<'_>) -> Poll<Part> {
        if let Poll::Ready(part) = poll_part(body, cx) {
            self.sleep = None;
            return Poll::Ready(part);
        }
        if !fill.holds_back() {
            return Poll::Pending;
        }
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(MAX_HELD_BACK)));
        sleep.as_mut().poll(cx).map(|()| {
            self.sleep = None;
            Part::Lull
        })
    }
}

/// The clock of a fill that nobody reads.
#[derive(Default)]
struct Orphaned {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Orphaned {
    /// Ready when nobody has read for too long.
    fn poll(&mut self, fill: &mut Fill, cx: &mut Context<'_>) -> Poll<()> {
        if fill.poll_orphaned(cx).is_pending() {
            self.sleep = None;
            return Poll::Pending;
        }
        let limit = Duration::from_millis(MAX_ORPHANED_MS);
        self.sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)))
            .as_mut()
            .poll(cx)
    }
}

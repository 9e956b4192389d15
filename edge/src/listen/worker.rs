use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use breakwater_edge_proxy::{Now, Scratch, Shared, Worker};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;

use super::bell::Bell;
use super::drain::{Drain, begun, expired};
use super::h1::Desk;
use super::sockets::Listener;
use super::{Certificates, accept, warm};
use crate::handover::Place;
use crate::observe::{Counters, LineBuffer, Recorder};
use crate::options::{Http1, Limits};
use crate::origin::Origins;

/// How often log lines that don't fill a batch are handed over, and what the cache has given up is let go.
const TIDY: Duration = Duration::from_millis(100);

/// Request states kept for use again, by one worker.
const MAX_SPARE: usize = 256;

/// Buffers of HTTP/1.1 connections kept for use again, by one worker: some 40 KiB each at most.
const MAX_SPARE_DESKS: usize = 64;

/// The clock that phases are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            mono_ns: u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX),
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// How many connections are open, in all workers together.
#[derive(Debug)]
pub(crate) struct OpenConnections {
    count: AtomicUsize,
    max: usize,
}

/// The right to one connection.
#[derive(Debug)]
pub(crate) struct Permit(Arc<OpenConnections>);

impl OpenConnections {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            count: AtomicUsize::new(0),
            max,
        })
    }

    pub(crate) fn take(self: &Arc<Self>) -> Option<Permit> {
        let permit = Permit(Arc::clone(self));
        (self.count.fetch_add(1, Ordering::Relaxed) < self.max).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What all workers use.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) proxy: Arc<Shared>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) origins: Arc<Origins>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) open: Arc<OpenConnections>,
    pub(crate) http1: Http1,
    pub(crate) clock: Clock,
    pub(crate) drain: watch::Receiver<Drain>,
    /// The listening sockets that another process serves from.
    pub(crate) given: watch::Receiver<Vec<Place>>,
}

/// What the tasks of one worker use.
pub(crate) struct Local {
    pub(crate) common: Arc<Common>,
    pub(crate) phases: Worker,
    pub(crate) recorder: Recorder,
    pub(crate) http1: http1::Builder,
    pub(crate) http2: http2::Builder<LocalExecutor>,
    index: u64,
    next_connection: Cell<u64>,
    #[allow(
        clippy::vec_box,
        reason = "a request moves its box in and out; the states themselves stay where they are"
    )]
    spare: RefCell<Vec<Box<Scratch>>>,
    #[allow(
        clippy::vec_box,
        reason = "a connection moves its box in and out; a desk is large"
    )]
    desks: RefCell<Vec<Box<Desk>>>,
    pub(crate) bell: Rc<Bell>,
    present: Cell<usize>,
    left: Notify,
}

/// Something that draining waits for: a connection, an upgraded stream, a fill.
pub(crate) struct Presence(Rc<Local>);

impl Drop for Presence {
    fn drop(&mut self) {
        let left = self.0.present.get() - 1;
        self.0.present.set(left);
        if left == 0 {
            self.0.left.notify_one();
        }
    }
}

impl Local {
    fn new(index: usize, common: Arc<Common>, counters: Arc<Counters>, lines: LineBuffer) -> Self {
        let limits = &common.limits;
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // Our own clock of a connection tells idleness from a slow head; hyper's doesn't.
            .header_read_timeout(None)
            .max_buf_size(limits.head_bytes.max(8192))
            .max_header_size(limits.head_bytes)
            .auto_date_header(false)
            .half_close(false);
        let mut http2 = http2::Builder::new(LocalExecutor);
        let window = limits.h2_window_bytes;
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.h2_streams)
            .initial_stream_window_size(window)
            // All streams together may have four windows of bodies on their way.
            .initial_connection_window_size(window.saturating_mul(4))
            .max_send_buf_size(window as usize)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(limits.h2_resets)
            .max_local_error_reset_streams(limits.h2_resets)
            .auto_date_header(false);
        Self {
            phases: Worker::new(Arc::clone(&common.proxy)),
            recorder: Recorder::new(counters, lines),
            http1,
            http2,
            index: index as u64,
            next_connection: Cell::new(0),
            spare: RefCell::default(),
            desks: RefCell::default(),
            bell: Rc::default(),
            present: Cell::new(0),
            left: Notify::new(),
            common,
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.common.clock.now()
    }

    /// Unique within the process: the worker in the upper 16 bits.
    pub(crate) fn connection_id(&self) -> u64 {
        let n = self.next_connection.get() + 1;
        self.next_connection.set(n);
        (self.index << 48) | n
    }

    pub(crate) fn presence(self: &Rc<Self>) -> Presence {
        self.present.set(self.present.get() + 1);
        Presence(Rc::clone(self))
    }

    async fn nothing_present(&self) {
        while self.present.get() > 0 {
            self.left.notified().await;
        }
    }

    pub(crate) fn scratch(&self) -> Box<Scratch> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn give_back(&self, mut scratch: Box<Scratch>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MAX_SPARE {
            // Those at the bottom may wait for long: none keeps a configuration of before.
            scratch.release();
            spare.push(scratch);
        }
    }
}

impl Local {
    /// Buffers for a connection that has something to read.
    pub(crate) fn desk(&self) -> Box<Desk> {
        self.desks.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes buffers back that weren't used.
    pub(crate) fn put_desk_back(&self, desk: Box<Desk>) {
        let mut desks = self.desks.borrow_mut();
        if desks.len() < MAX_SPARE_DESKS {
            desks.push(desk);
        }
    }

    /// Takes buffers back that were used.
    pub(crate) fn give_back_desk(&self, mut desk: Box<Desk>) {
        desk.release();
        self.put_desk_back(desk);
    }
}

/// Runs hyper's tasks on the worker that they belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// The worker threads.
#[derive(Debug)]
pub(crate) struct Workers {
    alive: watch::Receiver<usize>,
}

/// One worker that hasn't started.
pub(crate) struct Seat {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) lines: LineBuffer,
}

impl Workers {
    /// Starts a thread for each seat; `cores` are those to pin them to, none for no pinning.
    pub(crate) fn start(common: &Arc<Common>, seats: Vec<Seat>, cores: &[usize]) -> io::Result<Self> {
        let (alive, watch) = watch::channel(seats.len());
        for (index, seat) in seats.into_iter().enumerate() {
            let common = Arc::clone(common);
            let core = cores.get(index).copied();
            // Made here, so that a failure is the caller's to see.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let alive = Leaving(alive.clone());
            thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    if let Some(core) = core {
                        pin(core);
                    }
                    let Seat {
                        listeners,
                        counters,
                        lines,
                    } = seat;
                    let local = Rc::new(Local::new(index, common, counters, lines));
                    let tasks = LocalSet::new();
                    tasks.block_on(&runtime, run(local, listeners));
                    // Whatever is left has passed the deadline.
                    drop(tasks);
                    drop(runtime);
                    drop(alive);
                })?;
        }
        Ok(Self { alive: watch })
    }

    pub(crate) fn watch(&self) -> Alive {
        Alive(self.alive.clone())
    }
}

/// Sees the workers end.
#[derive(Debug)]
pub(crate) struct Alive(watch::Receiver<usize>);

impl Alive {
    /// Resolves when every worker has ended.
    pub(crate) async fn ended(&mut self) {
        // An error: the last one has gone, and its counter with it.
        let _ = self.0.wait_for(|count| *count == 0).await;
    }
}

/// Counts a worker out, even one that panics.
struct Leaving(watch::Sender<usize>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// The cores that this process may use.
pub(crate) fn cores() -> Vec<usize> {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU)
            .filter(|core| set.is_set(*core))
            .collect(),
        Err(_) => Vec::new(),
    }
}

fn pin(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        tracing::warn!(%error, core, "a worker can't be kept on its core");
    }
}

async fn run(local: Rc<Local>, listeners: Vec<Listener>) {
    let ports = warm::Ports::of(&listeners);
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::task::spawn_local(accept::run(Rc::clone(&local), listener)))
        .collect();
    // One worker warms for all: they share the cache.
    let warming = (local.index == 0 && !ports.is_empty())
        .then(|| tokio::task::spawn_local(warm::run(Rc::clone(&local), ports)));
    let flushing = {
        let local = Rc::clone(&local);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(TIDY).await;
                local.recorder.flush();
                local.phases.sweep();
            }
        })
    };
    let mut drain = local.common.drain.clone();
    begun(&mut drain).await;
    local.bell.ring();
    if let Some(warming) = warming {
        warming.abort();
    }
    for task in accepting {
        // It doesn't panic; a task that did has reported it.
        let _ = task.await;
    }
    tokio::select! {
        () = local.nothing_present() => {}
        () = expired(&mut drain) => {}
    }
    flushing.abort();
    local.recorder.flush();
}

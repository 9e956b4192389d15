use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use breakwater_edge_cache::{Cache, CacheConfig};
use breakwater_edge_config::SiteConfig;
use breakwater_edge_guard::{RateTable, Seed};
use breakwater_edge_proxy::compile::{Directory, Shared as Policies, Site, Warm};
use breakwater_edge_proxy::{
    BodyRead, Chunk, ConnFacts, End, Event, FillReader, Now, Protocol, Reason, Scratch, Shared, Step, Worker,
};

use super::sites::{connection, site};
use super::values::{Answer, Asked, By, Ended, Got, Request, text};

pub(super) struct Exchange {
    conn: ConnFacts,
    request: Request,
    scratch: Scratch,
    pub(super) got: Got,
    reader: Option<FillReader>,
    /// The head of what `reader` reads was sent.
    reading: bool,
}

/// A whole edge: sites, one worker, a clock, clients and origins.
pub(crate) struct World {
    pub(crate) directory: Arc<Directory>,
    pub(crate) worker: Worker,
    pub(crate) now: Now,
    /// Everything that origins were asked, in order.
    pub(crate) asked: Vec<Asked>,
    /// The connection that the next clients use.
    pub(crate) conn: ConnFacts,
    pub(super) exchanges: Vec<Exchange>,
}

impl World {
    /// An edge that serves `site`, with a plain HTTP/1.1 client at 198.51.100.7.
    pub(crate) fn new(site: SiteConfig) -> Self {
        let directory = Arc::new(Directory::default());
        let rates = Arc::new(RateTable::new(1 << 16, Seed([7; 16])).unwrap());
        let cache = Cache::new(&CacheConfig::new(8 << 20, [3; 16])).unwrap();
        let shared = Shared {
            directory: Arc::clone(&directory),
            cache,
            rates,
            loop_id: "breakwater".into(),
            workers: 1,
        };
        let world = Self {
            directory,
            worker: Worker::new(Arc::new(shared)),
            now: Now {
                mono_ns: 1_000_000_000,
                wall_ms: 1_800_000_000_000,
            },
            asked: Vec::new(),
            conn: connection(Protocol::Http1, "198.51.100.7"),
            exchanges: Vec::new(),
        };
        world.serve(site);
        world
    }

    /// The shop with changes.
    pub(crate) fn shop(change: impl FnOnce(&mut SiteConfig)) -> Self {
        let mut config = site("shop", "shop.example");
        change(&mut config);
        Self::new(config)
    }

    /// Adds a site or replaces it.
    pub(crate) fn serve(&self, site: SiteConfig) {
        self.serve_with(site, &Policies::default());
    }

    pub(crate) fn serve_with(&self, site: SiteConfig, policies: &Policies) {
        let site = Arc::new(Site::compile(Arc::new(site), policies).unwrap());
        self.directory.change(|change| change.set(site));
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now.mono_ns += u64::try_from(time.as_nanos()).unwrap();
        self.now.wall_ms += u64::try_from(time.as_millis()).unwrap();
    }

    /// A client's request up to where it waits for an origin, or is done.
    pub(crate) fn open(&mut self, request: Request) -> usize {
        let mut exchange = Exchange {
            conn: self.conn.clone(),
            request,
            scratch: Scratch::default(),
            got: Got::default(),
            reader: None,
            reading: false,
        };
        let head = exchange.request.head();
        let step = self
            .worker
            .on_head(&exchange.conn, &head, self.now, &mut exchange.scratch);
        drop(head);
        self.exchanges.push(exchange);
        let client = self.exchanges.len() - 1;
        self.take(client, step);
        self.pump();
        client
    }

    /// A request of the edge's own for this; from where visitors of another host come.
    pub(crate) fn warm(&mut self, warm: &Warm) -> usize {
        let request = Request::new("GET", &warm.host, &warm.target).with("user-agent", warm.user_agent);
        let mut exchange = Exchange {
            conn: self.conn.clone(),
            request,
            scratch: Scratch::default(),
            got: Got::default(),
            reader: None,
            reading: false,
        };
        let head = exchange.request.head();
        let step = self
            .worker
            .on_warm(&exchange.conn, &head, self.now, &mut exchange.scratch);
        drop(head);
        self.exchanges.push(exchange);
        let client = self.exchanges.len() - 1;
        self.take(client, step);
        self.pump();
        client
    }

    /// What a client has seen so far.
    pub(crate) fn got(&self, client: usize) -> &Got {
        &self.exchanges[client].got
    }

    /// The client's request has ended and was recorded.
    pub(crate) fn release(&mut self, client: usize) {
        self.exchanges[client].scratch.release();
    }

    /// The client goes away.
    pub(crate) fn leave(&mut self, client: usize) {
        self.exchanges[client].reader = None;
        self.exchanges[client].got.ended = Some(Ended::Aborted);
    }

    /// The client waits no longer for another's fill.
    pub(crate) fn time_out(&mut self, client: usize) {
        self.exchanges[client].reader = None;
        self.event(client, Event::WaitTimedOut);
    }

    pub(super) fn event(&mut self, client: usize, event: Event<'_, '_>) {
        let exchange = &mut self.exchanges[client];
        let head = exchange.request.head();
        let step = self
            .worker
            .on_event(&exchange.conn, &head, event, self.now, &mut exchange.scratch);
        drop(head);
        self.take(client, step);
    }

    /// Lets every reader read what there is.
    pub(super) fn pump(&mut self) {
        for client in 0..self.exchanges.len() {
            while self.read(client) {}
        }
    }

    /// One step of a reader; false where it has to wait or there is none.
    fn read(&mut self, client: usize) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let exchange = &mut self.exchanges[client];
        let Some(reader) = &mut exchange.reader else {
            return false;
        };
        if !exchange.reading {
            let head = exchange.request.head();
            let Poll::Ready(event) = reader.poll_head(&head.fields, self.now, &mut cx) else {
                return false;
            };
            drop(head);
            let collapsed = reader.is_collapsed();
            self.event(
                client,
                Event::FillHead {
                    head: event,
                    collapsed,
                },
            );
            return true;
        }
        let Poll::Ready(chunk) = reader.poll_chunk(&mut cx) else {
            return false;
        };
        match chunk {
            Chunk::Data(bytes) => exchange.got.body.push_str(&text(&bytes)),
            Chunk::End(trailers) => {
                let trailers = trailers.iter().flat_map(|trailers| trailers.iter());
                exchange.got.trailers = trailers.map(|(name, value)| (text(name), text(value))).collect();
                exchange.got.ended = Some(Ended::Whole);
                exchange.reader = None;
            }
            Chunk::Abort(_) => {
                exchange.got.ended = Some(Ended::Aborted);
                exchange.reader = None;
            }
        }
        true
    }

    /// A request and, where the origin is asked, this answer.
    pub(crate) fn exchange(&mut self, request: Request, answer: &Answer) -> Got {
        let before = self.asked.len();
        let client = self.open(request);
        if self.asked.len() > before {
            self.answer(before, answer);
        }
        self.got(client).clone()
    }

    /// A request that must not reach the origin.
    pub(crate) fn refused(&mut self, request: Request) -> Got {
        let before = self.asked.len();
        let client = self.open(request);
        assert_eq!(self.asked.len(), before, "the origin was asked");
        self.got(client).clone()
    }

    /// What the origin is asked for a request, answered 200.
    pub(crate) fn forwarded(&mut self, request: Request) -> &Asked {
        let before = self.asked.len();
        self.exchange(request, &Answer::ok());
        &self.asked[before]
    }

    fn take(&mut self, client: usize, step: Step) {
        let exchange = &mut self.exchanges[client];
        match step {
            Step::Serve { mut body, fill } => {
                exchange.head();
                while body.remaining() > 0 {
                    let part = body.peek(3);
                    exchange.got.body.push_str(&text(part));
                    let sent = part.len();
                    body.advance(sent);
                }
                exchange.reader = None;
                exchange.got.ended = Some(Ended::Whole);
                if let Some(fill) = fill {
                    self.start(fill);
                }
            }
            Step::Wait {
                reader,
                fill,
                timeout_ms,
            } => {
                assert_eq!(timeout_ms.is_some(), reader.is_collapsed());
                exchange.reader = Some(reader);
                exchange.reading = false;
                if let Some(fill) = fill {
                    self.start(fill);
                }
            }
            Step::Load(_) => panic!("this cache has no disk"),
            Step::Read => {
                exchange.head();
                exchange.reading = true;
            }
            Step::Reply { body, close } => {
                exchange.head();
                exchange.reader = None;
                exchange.got.body = text(&body);
                exchange.got.ended = Some(if close {
                    Ended::WholeThenClose
                } else {
                    Ended::Whole
                });
            }
            Step::Body { max_bytes } => {
                let content = &exchange.request.content;
                let read = if let Some(kind) = exchange.request.breaks {
                    BodyRead::Failed(kind)
                } else if content.len() as u64 > max_bytes {
                    BodyRead::TooLarge
                } else {
                    BodyRead::Whole(content.clone().into())
                };
                self.event(client, Event::Body(read));
            }
            Step::Fetch(plan) => self.asked.push(Asked {
                plan: *plan,
                by: By::Client(client),
            }),
            Step::Retry => {
                let plan = self.asked.last().unwrap().plan.clone();
                self.asked.push(Asked {
                    plan,
                    by: By::Client(client),
                });
            }
            Step::Stream => exchange.head(),
            Step::Upgrade => {
                exchange.head();
                exchange.got.ended = Some(Ended::Upgraded);
            }
            Step::Close(reason) => exchange.got.ended = Some(Ended::Closed(reason)),
            Step::Reset(reason) => exchange.got.ended = Some(Ended::Reset(reason)),
        }
    }

    /// The record of a client's request as `(status, reason, client, route)`.
    pub(crate) fn record(&self, client: usize) -> (u16, Option<Reason>, String, Option<String>) {
        let Exchange {
            conn,
            request,
            scratch,
            got,
            ..
        } = &self.exchanges[client];
        let end = End {
            body_bytes: got.body.len() as u64,
            ..End::default()
        };
        let head = request.head();
        let record = self.worker.record(conn, &head, &end, self.now, scratch);
        (
            record.status,
            record.reason,
            record.client.to_string(),
            record.route.map(str::to_owned),
        )
    }
}

impl Exchange {
    fn head(&mut self) {
        let response = &self.scratch.response;
        self.got.status = response.status;
        self.got.length = response.length;
        self.got.fields = response
            .fields
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect();
    }
}

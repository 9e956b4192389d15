//! Many visitors at once, an origin that answers in any order, fails or stays silent: nobody gets what was
//! made for another, and nobody waits for ever.

use std::time::Duration;

use breakwater_edge_proxy::{BodyHint, FailureKind};
use proptest::prelude::*;

use crate::memory::{Answer, Asked, Request, World, lines};

/// Who asks: nobody in particular, or somebody by a cookie or a login.
const VISITORS: usize = 5;
/// What an origin makes for each.
const PAGES: [&str; VISITORS] = ["for all", "for one", "for two", "for three", "for four"];
/// With each of these an answer to somebody is theirs alone.
const SAID: [&str; 9] = [
    "",
    "max-age=60",
    "max-age=1",
    "private",
    "private, max-age=60",
    "no-store",
    "no-cache",
    "max-age=0",
    "max-age=5, stale-while-revalidate=60, stale-if-error=60",
];
const ASKED: [&str; 5] = ["", "no-cache", "no-store", "max-age=0", "only-if-cached"];

#[derive(Clone, Debug)]
enum Event {
    Open {
        visitor: usize,
        path: bool,
        method: &'static str,
        asked: &'static str,
    },
    Answer {
        at: usize,
        said: &'static str,
        vary: bool,
        etag: bool,
    },
    Head {
        at: usize,
        said: &'static str,
    },
    Fail {
        at: usize,
    },
    Vanish {
        at: usize,
    },
    Leave {
        at: usize,
    },
    Wait {
        ms: u64,
    },
    Purge,
}

fn event() -> impl Strategy<Value = Event> {
    let said = || prop::sample::select(SAID.as_slice());
    prop_oneof![
        8 => (
            0..VISITORS,
            any::<bool>(),
            prop::sample::select(vec!["GET", "GET", "GET", "GET", "HEAD", "POST"]),
            prop::sample::select([&ASKED[..], &[""; 6]].concat()),
        ).prop_map(|(visitor, path, method, asked)| Event::Open { visitor, path, method, asked }),
        6 => (0_usize..8, said(), any::<bool>(), any::<bool>())
            .prop_map(|(at, said, vary, etag)| Event::Answer { at, said, vary, etag }),
        2 => (0_usize..8, said()).prop_map(|(at, said)| Event::Head { at, said }),
        1 => (0_usize..8).prop_map(|at| Event::Fail { at }),
        1 => (0_usize..8).prop_map(|at| Event::Vanish { at }),
        1 => (0_usize..8).prop_map(|at| Event::Leave { at }),
        3 => prop::sample::select(vec![10_u64, 1_500, 7_000, 70_000]).prop_map(|ms| Event::Wait { ms }),
        1 => Just(Event::Purge),
    ]
}

/// What an origin knows of a request: who asks, by what it was sent.
fn visitor_of(asked: &Asked) -> usize {
    let named = asked.field("cookie").or_else(|| asked.field("authorization"));
    named.map_or(0, |named| named.split('=').nth(1).unwrap().parse().unwrap())
}

struct Crowd {
    world: World,
    /// Who each client is, and whether it asked with HEAD.
    clients: Vec<(usize, bool)>,
    /// Requests to the origin that wait: their position, and whether the head was sent.
    waiting: Vec<(usize, bool)>,
    seen: usize,
}

impl Crowd {
    fn new() -> Self {
        Self {
            world: World::shop(|_| ()),
            clients: Vec::new(),
            waiting: Vec::new(),
            seen: 0,
        }
    }

    fn open(&mut self, visitor: usize, path: bool, method: &'static str, asked: &str) {
        let mut request = Request::new(method, "shop.example", if path { "/a" } else { "/" });
        if !asked.is_empty() {
            request = request.with("cache-control", asked);
        }
        request = match visitor {
            0 => request,
            // A login and a cookie in turn.
            _ if visitor.is_multiple_of(2) => request.with("authorization", &format!("id={visitor}")),
            _ => request.with("cookie", &format!("id={visitor}")),
        };
        let client = self.world.open(request);
        assert_eq!(client, self.clients.len());
        self.clients.push((visitor, method == "HEAD"));
    }

    /// New requests at the origin.
    fn collect(&mut self) {
        let new = self.seen..self.world.asked.len();
        self.waiting.extend(new.map(|at| (at, false)));
        self.seen = self.world.asked.len();
    }

    fn take(&mut self, at: usize) -> Option<(usize, bool)> {
        let waiting = self.waiting.len();
        (waiting > 0).then(|| self.waiting.remove(at % waiting))
    }

    fn fields(said: &'static str, vary: bool, tag: Option<usize>) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        if !said.is_empty() {
            fields.push(("cache-control", said.to_owned()));
        }
        if vary {
            fields.push(("vary", "Cookie, Authorization".to_owned()));
        }
        fields.extend(tag.map(|tag| ("etag", format!("\"{tag}\""))));
        fields
    }

    fn head(&mut self, asked: usize, said: &'static str, vary: bool, etag: bool) -> bool {
        let visitor = visitor_of(&self.world.asked[asked]);
        let tag = format!("\"{visitor}\"");
        let same = self.world.asked[asked].field("if-none-match") == Some(tag);
        let fields = Self::fields(said, vary, (etag || same).then_some(visitor));
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let status = if same { 304 } else { 200 };
        let body = if same { BodyHint::None } else { BodyHint::Streamed };
        self.world.head(asked, &Answer::new(status, &fields, ""), body);
        same
    }

    fn finish(&mut self, asked: usize) {
        let visitor = visitor_of(&self.world.asked[asked]);
        self.world.body(asked, PAGES[visitor]);
        self.world.end(asked, &lines(&[]));
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Open {
                visitor,
                path,
                method,
                asked,
            } => self.open(visitor, path, method, asked),
            Event::Answer { at, said, vary, etag } => {
                if let Some((asked, begun)) = self.take(at)
                    && (begun || !self.head(asked, said, vary, etag))
                {
                    self.finish(asked);
                }
            }
            Event::Head { at, said } => {
                if let Some((asked, begun)) = self.take(at)
                    && (begun || !self.head(asked, said, false, false))
                {
                    self.waiting.push((asked, true));
                }
            }
            // One whose head was sent is taken out too: its body never ends.
            Event::Fail { at } => {
                if let Some((asked, false)) = self.take(at) {
                    self.world.fail(asked, FailureKind::Timeout);
                }
            }
            Event::Vanish { at } => {
                let fill = |(asked, _): &(usize, bool)| self.world.asked[*asked].is_fill();
                if let Some(found) = self
                    .waiting
                    .iter()
                    .skip(at)
                    .find(|waiting| fill(waiting))
                    .copied()
                {
                    self.waiting.retain(|waiting| *waiting != found);
                    self.world.drop_fill(found.0);
                }
            }
            Event::Leave { at } => {
                if !self.clients.is_empty() {
                    let client = at % self.clients.len();
                    if self.world.got(client).ended.is_none() {
                        self.world.leave(client);
                    }
                }
            }
            Event::Wait { ms } => self.world.wait(Duration::from_millis(ms)),
            Event::Purge => {
                let cache = self.world.worker.shared().cache.clone();
                cache.purge_site(&cache.site(b"uid-shop"));
            }
        }
        self.collect();
        self.check();
    }

    fn check(&self) {
        for (client, (visitor, head)) in self.clients.iter().enumerate() {
            let got = self.world.got(client);
            let of = |page: &str| page.starts_with(&got.body);
            // What answers a POST or a HEAD is the origin's for that very request.
            let fits = got.status >= 400 || of(PAGES[*visitor]) || (!head && of(PAGES[0]));
            assert!(fits, "visitor {visitor} got {got:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]
    #[test]
    fn nobody_gets_what_was_made_for_another_and_everybody_is_answered(
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut crowd = Crowd::new();
        for event in &events {
            crowd.apply(event);
        }
        // The origin answers everything that it was asked, and whatever that leads to.
        for _ in 0..1_000 {
            if crowd.waiting.is_empty() {
                break;
            }
            crowd.apply(&Event::Answer { at: 0, said: "private", vary: false, etag: false });
        }
        prop_assert!(crowd.waiting.is_empty(), "the origin is asked for ever");
        let unfinished: Vec<_> = (0..crowd.clients.len())
            .filter(|client| crowd.world.got(*client).status == 0 && crowd.world.got(*client).ended.is_none())
            .collect();
        prop_assert!(unfinished.is_empty(), "still waiting: {unfinished:?}");
    }
}

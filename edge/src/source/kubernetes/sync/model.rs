//! The state machine against a small model of an API server, with everything that goes wrong between them.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

type Objects = BTreeMap<String, (u64, String)>;

#[derive(Clone, Debug)]
struct Server {
    version: u64,
    objects: Objects,
    events: Vec<(u64, String, Option<String>)>,
    forgotten: u64,
    incarnation: u32,
    backup: Option<(u64, Objects)>,
    streams: bool,
}

impl Server {
    fn new(streams: bool) -> Self {
        let mut server = Self {
            version: 10,
            objects: Objects::new(),
            events: Vec::new(),
            forgotten: 0,
            incarnation: 0,
            backup: None,
            streams,
        };
        server.put(REGION_SECRET, "r");
        server
    }

    fn put(&mut self, name: &str, content: &str) {
        self.version += 1;
        self.objects
            .insert(name.to_owned(), (self.version, content.to_owned()));
        self.events
            .push((self.version, name.to_owned(), Some(content.to_owned())));
    }

    fn delete(&mut self, name: &str) {
        if self.objects.remove(name).is_some() {
            self.version += 1;
            self.events.push((self.version, name.to_owned(), None));
        }
    }

    /// As after a restart: no event is remembered.
    fn forget(&mut self) {
        self.forgotten = self.version;
    }

    fn restore(&mut self) {
        if let Some((version, objects)) = self.backup.clone() {
            (self.version, self.objects) = (version, objects);
            self.events.clear();
            self.forgotten = version;
        }
    }

    fn probe(&self) -> Probe {
        let id = format!("i{}", self.incarnation);
        Probe {
            incarnation: Some(Incarnation {
                id,
                ..Incarnation::default()
            }),
            version: self.version,
        }
    }
}

fn files(content: &str) -> Files {
    Files::from([("f".to_owned(), content.as_bytes().to_vec())])
}

fn input(name: &str, version: u64, content: Option<&str>) -> Input {
    let name = name.to_owned();
    match content {
        Some(content) => Input::Put {
            name,
            version,
            files: files(content),
        },
        None => Input::Deleted { name, version },
    }
}

/// What a session leaves on disk, at one moment.
#[derive(Clone, Debug, Default)]
struct Left {
    world: BTreeMap<String, String>,
    position: Option<Position>,
    hold: Hold,
    complete: bool,
}

struct Edge {
    sync: Sync,
    world: BTreeMap<String, String>,
    /// What the request under way will still say, and from which version on it watches after that.
    queue: VecDeque<Input>,
    follows: Option<u64>,
    left: Vec<Left>,
}

impl Edge {
    fn new(left: Left) -> Self {
        let objects = left
            .world
            .iter()
            .map(|(name, content)| (name.clone(), bundle::hash(&files(content))));
        let kept = Kept {
            objects: objects.collect(),
            position: left.position.clone(),
            hold: left.hold.clone(),
            complete: left.complete,
        };
        let sync = Sync::new(kept);
        Self {
            sync,
            world: left.world.clone(),
            queue: VecDeque::new(),
            follows: None,
            left: vec![left],
        }
    }

    fn feed(&mut self, server: &Server, input: Input) {
        let deletes = matches!(input, Input::Deleted { .. });
        let believed = self.sync.believed_sites();
        let mut removed = 0;
        for action in self.sync.step(input) {
            match action {
                Action::Put { name, files, .. } => {
                    self.world
                        .insert(name, String::from_utf8(files["f"].clone()).unwrap());
                }
                Action::Remove { name } => {
                    assert!(self.world.remove(&name).is_some(), "what isn't there can't go");
                    removed += u64::from(hold::is_site(&name));
                }
                Action::Moved => self.left.push(Left {
                    world: self.world.clone(),
                    position: self.sync.position().cloned(),
                    hold: self.sync.hold().clone(),
                    complete: self.sync.complete(),
                }),
                Action::Ask(ask) => self.begin(server, ask),
            }
        }
        assert!(
            deletes || removed * 10 <= believed * 3,
            "{removed} of {believed} dropped by a list"
        );
    }

    fn begin(&mut self, server: &Server, ask: Ask) {
        self.queue.clear();
        self.follows = None;
        let page = 2;
        match ask {
            Ask::Rest { .. } => self.queue.push_back(Input::Rested),
            Ask::Probe => self.queue.push_back(Input::Probed(server.probe())),
            Ask::Stream if !server.streams => self.queue.push_back(Input::StreamRefused),
            Ask::Stream => {
                let objects = server.objects.iter();
                self.queue
                    .extend(objects.map(|(name, (version, content))| input(name, *version, Some(content))));
                self.queue.push_back(Input::Bookmark {
                    version: server.version,
                    list_end: true,
                });
                self.follows = Some(server.version);
            }
            Ask::Page(token) => {
                // The token carries the version, and how far the list has come.
                let (version, skip) = token
                    .as_deref()
                    .and_then(|token| token.split_once(' '))
                    .map_or((server.version, 0), |(version, skip)| {
                        (version.parse().unwrap(), skip.parse::<usize>().unwrap())
                    });
                if version != server.version {
                    self.queue.push_back(Input::Expired);
                    return;
                }
                let some = server.objects.iter().skip(skip).take(page);
                self.queue
                    .extend(some.map(|(name, (version, content))| input(name, *version, Some(content))));
                let next = (skip + page < server.objects.len()).then(|| format!("{version} {}", skip + page));
                self.queue.push_back(Input::Page { version, next });
            }
            Ask::Watch(from) if from < server.forgotten => self.queue.push_back(Input::Expired),
            Ask::Watch(from) => self.follows = Some(from),
        }
    }

    /// The next thing that the request under way says, if any.
    fn pump(&mut self, server: &Server) -> bool {
        let next = self.queue.pop_front().or_else(|| {
            let from = self.follows?;
            let (version, name, content) = server.events.iter().find(|(version, ..)| *version > from)?;
            self.follows = Some(*version);
            Some(input(name, *version, content.as_deref()))
        });
        let some = next.is_some();
        if let Some(next) = next {
            self.feed(server, next);
        }
        some
    }
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    Put(u8, u8),
    Delete(u8),
    Pump(u8),
    Bookmark,
    Check,
    Break,
    ServerRestart,
    Backup,
    Restore,
    Rename,
    EdgeRestart(u8),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        8 => (0..12_u8, 0..3_u8).prop_map(|(name, content)| Happens::Put(name, content)),
        4 => (0..12_u8).prop_map(Happens::Delete),
        8 => (1..30_u8).prop_map(Happens::Pump),
        1 => Just(Happens::Bookmark),
        2 => Just(Happens::Check),
        2 => Just(Happens::Break),
        1 => Just(Happens::ServerRestart),
        1 => Just(Happens::Backup),
        1 => Just(Happens::Restore),
        1 => Just(Happens::Rename),
        1 => (0..4_u8).prop_map(Happens::EdgeRestart),
    ]
}

fn play(server: &mut Server, edge: &mut Edge, happening: Happens) {
    match happening {
        Happens::Put(name, content) => server.put(&format!("site-{name}"), &content.to_string()),
        Happens::Delete(name) => server.delete(&format!("site-{name}")),
        Happens::Pump(times) => {
            for _ in 0..times {
                edge.pump(server);
            }
        }
        Happens::Bookmark => {
            let caught_up =
                edge.queue.is_empty() && edge.follows.is_some_and(|from| from >= server.forgotten);
            while caught_up && edge.pump(server) {}
            if caught_up && edge.follows.is_some() {
                edge.feed(
                    server,
                    Input::Bookmark {
                        version: server.version,
                        list_end: false,
                    },
                );
            }
        }
        Happens::Check => {
            let since = edge.sync.version();
            edge.feed(
                server,
                Input::Checked {
                    probe: server.probe(),
                    since,
                },
            );
        }
        Happens::Break => edge.feed(server, Input::Failed),
        Happens::ServerRestart => {
            server.forget();
            edge.feed(server, Input::Failed);
        }
        Happens::Backup => server.backup = Some((server.version, server.objects.clone())),
        Happens::Restore => {
            server.restore();
            edge.feed(server, Input::Failed);
        }
        Happens::Rename => server.incarnation += 1,
        Happens::EdgeRestart(back) => {
            let last = edge.left.len() - 1;
            *edge = Edge::new(edge.left[last.saturating_sub(back.into())].clone());
            edge.begin(server, Ask::Probe);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_happens_it_ends_at_what_the_server_has_and_never_drops_what_a_short_list_lacks(
        streams in any::<bool>(),
        history in proptest::collection::vec(happens(), 0..60),
    ) {
        let mut server = Server::new(streams);
        let mut edge = Edge::new(Left::default());
        edge.begin(&server, Ask::Probe);
        for happening in history {
            play(&mut server, &mut edge, happening);
        }
        // The operator gives a restored history another name, sooner or later; then nothing goes wrong any more.
        play(&mut server, &mut edge, Happens::Rename);
        for _ in 0..3 {
            while edge.pump(&server) {}
            play(&mut server, &mut edge, Happens::Check);
        }
        let held_back = &edge.sync.hold().names;
        let believed = edge.world.iter().filter(|(name, _)| !held_back.contains(*name));
        let expected = server.objects.iter().map(|(name, (_, content))| (name, content));
        prop_assert_eq!(believed.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        prop_assert!(held_back.iter().all(|name| edge.world.contains_key(name)), "what is held back is there");
        prop_assert!(edge.sync.watching() && edge.sync.complete());
        let acknowledged = edge.sync.acknowledged().unwrap();
        prop_assert_eq!(&acknowledged.incarnation, &format!("i{}", server.incarnation));
        prop_assert_eq!(acknowledged.version, server.version);
        // And a person's word ends every hold.
        let mut probe = server.probe();
        let sites = edge.sync.believed_sites();
        probe.incarnation = probe.incarnation.map(|said| Incarnation { accepted_sites: Some(sites), ..said });
        let since = edge.sync.version();
        let gone = edge.sync.step(Input::Checked { probe, since });
        let gone = gone.iter().filter(|action| matches!(action, Action::Remove { .. })).count();
        prop_assert_eq!(edge.world.len() - gone, server.objects.len());
        prop_assert!(edge.sync.hold().names.is_empty());
    }
}

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use breakwater_edge_config::bundle::Files;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const KEY: [u8; 32] = [7; 32];

fn files(content: &str) -> Files {
    let document = ("breakwater.json".to_owned(), content.as_bytes().to_vec());
    Files::from([
        document,
        ("pair-a.key".to_owned(), format!("secret {content}").into_bytes()),
    ])
}

struct Place {
    dir: TempDir,
    key: bool,
}

impl Place {
    fn new(key: bool) -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            key,
        }
    }

    fn disk(&self) -> Disk {
        let key = self.dir.path().join("key");
        fs::write(&key, KEY).unwrap();
        Disk::open(self.dir.path(), self.key.then_some(key.as_path())).unwrap()
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("config/objects.log")
    }

    /// One session that makes these changes and ends.
    fn write(&self, ops: Vec<Op>) {
        let writer = self.disk().writer(Arc::default()).unwrap();
        writer.send(ops);
        assert!(writer.flush(Duration::from_secs(20)));
    }

    fn load(&self) -> Loaded {
        self.disk().load().unwrap()
    }
}

fn good(name: &str, content: &str) -> Op {
    Op::Good {
        name: name.to_owned(),
        files: files(content),
    }
}

fn next(name: &str, content: &str) -> Op {
    Op::Next {
        name: name.to_owned(),
        files: files(content),
    }
}

fn mark(text: &str) -> Op {
    Op::Mark(text.as_bytes().to_vec())
}

fn kept(good: Option<&str>, next: Option<&str>) -> Kept<Files> {
    Kept {
        good: good.map(files),
        next: next.map(files),
    }
}

#[test]
fn what_was_written_is_there_after_a_restart_in_plain_and_encrypted() {
    for key in [false, true] {
        let place = Place::new(key);
        place.write(vec![
            good("a", "1"),
            good("b", "1"),
            good("c", "1"),
            Op::Complete,
            mark("5"),
        ]);
        place.write(vec![
            next("a", "2"),
            next("b", "2"),
            Op::Promote { name: "b".into() },
            Op::Forget { name: "c".into() },
            mark("9"),
        ]);
        let loaded = place.load();
        assert_eq!(
            (loaded.damage.len(), loaded.complete, loaded.mark_holds),
            (0, true, true)
        );
        assert_eq!(loaded.mark.as_deref(), Some(&b"9"[..]));
        let expected = [("a", kept(Some("1"), Some("2"))), ("b", kept(Some("2"), None))];
        assert_eq!(loaded.objects, expected.map(|(n, k)| (n.to_owned(), k)).into());
    }
}

#[test]
fn nothing_to_read_is_an_empty_state() {
    let loaded = Place::new(false).load();
    assert!(loaded.objects.is_empty() && loaded.mark.is_none() && !loaded.complete);
    assert_eq!(loaded.damaged, 0);
}

#[test]
fn files_and_directory_are_for_their_owner_only() {
    let place = Place::new(false);
    place.write(vec![good("a", "1")]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.dir.path().join("config")), 0o700);
    for entry in fs::read_dir(place.dir.path().join("config")).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn an_encrypted_log_shows_names_but_no_contents_and_needs_its_key() {
    let place = Place::new(true);
    place.write(vec![good("site-a", "hush"), mark("5")]);
    let bytes = fs::read(place.log()).unwrap();
    let has = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    assert!(has(b"site-a") && !has(b"hush") && !has(b"breakwater.json"));
    let without = Disk::open(place.dir.path(), None).unwrap().load().unwrap();
    assert!(without.objects.is_empty() && !without.mark_holds && without.damaged == 2);
    let other = place.dir.path().join("other");
    fs::write(&other, [8; 32]).unwrap();
    assert!(
        Disk::open(place.dir.path(), Some(&other))
            .unwrap()
            .load()
            .unwrap()
            .objects
            .is_empty()
    );
    fs::write(&other, [8; 31]).unwrap();
    let error = Disk::open(place.dir.path(), Some(&other))
        .unwrap_err()
        .to_string();
    assert!(error.contains("32 bytes") && error.contains("other"), "{error}");
}

#[test]
fn a_plain_state_is_encrypted_as_soon_as_there_is_a_key() {
    let mut place = Place::new(false);
    place.write(vec![good("a", "hush"), Op::Complete, mark("5")]);
    place.key = true;
    assert_eq!(place.load().objects.len(), 1);
    place.write(vec![mark("6")]);
    let bytes = fs::read(place.log()).unwrap();
    assert!(!bytes.windows(4).any(|window| window == b"hush"));
    let loaded = place.load();
    assert_eq!(loaded.objects["a"], kept(Some("hush"), None));
    assert!(loaded.complete && loaded.mark_holds);
}

#[test]
fn the_log_is_rewritten_before_the_dead_outgrow_the_living() {
    let place = Place::new(false);
    let writer = place.disk().writer(Arc::default()).unwrap();
    let large = "x".repeat(100_000);
    for round in 0..200 {
        writer.send(vec![
            good("a", &format!("{round}{large}")),
            mark(&round.to_string()),
        ]);
        assert!(writer.flush(Duration::from_secs(20)));
    }
    let len = fs::metadata(place.log()).unwrap().len();
    assert!(len < 6 << 20, "{len}");
    drop(writer);
    let loaded = place.load();
    assert_eq!(loaded.objects["a"], kept(Some(&format!("199{large}")), None));
    assert_eq!(
        (loaded.mark.as_deref(), loaded.mark_holds),
        (Some(&b"199"[..]), true)
    );
}

#[test]
fn damage_costs_its_object_and_the_mark_and_is_gone_after_the_next_write() {
    let place = Place::new(false);
    place.write(vec![
        good("a", "1"),
        good("b", "hit"),
        good("c", "1"),
        Op::Complete,
        mark("5"),
    ]);
    let mut bytes = fs::read(place.log()).unwrap();
    let at = bytes
        .windows(10)
        .position(|window| window == b"secret hit")
        .unwrap();
    bytes[at] ^= 1;
    fs::write(place.log(), &bytes).unwrap();
    let loaded = place.load();
    assert_eq!(loaded.damage, ["b"]);
    assert!(loaded.complete && !loaded.mark_holds);
    assert_eq!(loaded.objects.keys().collect::<Vec<_>>(), ["a", "c"]);
    place.write(vec![good("b", "2"), mark("6")]);
    let loaded = place.load();
    assert_eq!(
        (loaded.damaged, loaded.mark_holds, loaded.objects.len()),
        (0, true, 3)
    );
}

#[test]
fn a_frame_that_was_moved_to_another_name_or_meaning_does_not_open() {
    for key in [false, true] {
        let place = Place::new(key);
        place.write(vec![good("site-a", "1"), good("site-b", "2")]);
        let mut bytes = fs::read(place.log()).unwrap();
        let at = bytes.windows(6).position(|window| window == b"site-a").unwrap();
        bytes[at + 5] = b'c';
        fs::write(place.log(), &bytes).unwrap();
        let loaded = place.load();
        assert_eq!(loaded.objects.keys().collect::<Vec<_>>(), ["site-b"]);
    }
}

#[test]
fn a_second_process_reads_at_once_and_writes_when_the_first_has_ended() {
    let place = Place::new(false);
    let old = place.disk().writer(Arc::default()).unwrap();
    old.send(vec![good("a", "1"), good("b", "1"), mark("1")]);
    assert!(old.flush(Duration::from_secs(20)));
    assert_eq!(place.load().objects.len(), 2);
    let new = place.disk().writer(Arc::default()).unwrap();
    new.send(vec![good("a", "2"), Op::Forget { name: "b".into() }, mark("3")]);
    assert!(
        !new.flush(Duration::from_millis(300)),
        "the old process has the log"
    );
    old.send(vec![good("c", "1"), mark("2")]);
    assert!(old.flush(Duration::from_secs(20)));
    drop(old);
    assert!(new.flush(Duration::from_secs(20)));
    let loaded = place.load();
    assert_eq!(loaded.objects.keys().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(loaded.objects["a"], kept(Some("2"), None));
    assert_eq!(loaded.mark.as_deref(), Some(&b"3"[..]));
}

#[test]
fn a_disk_that_refuses_is_told_and_tried_again() {
    let place = Place::new(false);
    let gauges: Arc<Gauges> = Arc::default();
    let disk = place.disk();
    // A directory in the log's place can't be opened as a file, whoever asks.
    fs::create_dir(place.log()).unwrap();
    let writer = disk.writer(Arc::clone(&gauges)).unwrap();
    writer.send(vec![good("a", "1")]);
    assert!(!writer.flush(Duration::from_millis(500)));
    assert!(gauges.disk_failing.get());
    fs::remove_dir(place.log()).unwrap();
    assert!(writer.flush(Duration::from_secs(20)));
    assert!(!gauges.disk_failing.get());
    assert_eq!(place.load().objects.len(), 1);
}

fn an_op() -> impl Strategy<Value = Op> {
    let name = (0..6_u8).prop_map(|n| format!("site-{n}"));
    let content = "[a-z]{0,40}";
    prop_oneof![
        4 => (name.clone(), content).prop_map(|(n, c)| good(&n, &c)),
        2 => (name.clone(), content).prop_map(|(n, c)| next(&n, &c)),
        1 => name.clone().prop_map(|name| Op::Promote { name }),
        1 => name.prop_map(|name| Op::Forget { name }),
        1 => "[0-9]{1,4}".prop_map(|text| mark(&text)),
    ]
}

fn model(ops: &[Op]) -> (BTreeMap<String, Kept<Files>>, Option<Vec<u8>>) {
    let (mut objects, mut last) = (BTreeMap::<String, Kept<Files>>::new(), None);
    for op in ops.iter().cloned() {
        match op {
            Op::Good { name, files } => {
                objects.insert(
                    name,
                    Kept {
                        good: Some(files),
                        next: None,
                    },
                );
            }
            Op::Next { name, files } => objects.entry(name).or_default().next = Some(files),
            Op::Promote { name } => {
                if let Some(kept) = objects.get_mut(&name)
                    && let Some(files) = kept.next.take()
                {
                    kept.good = Some(files);
                }
            }
            Op::Forget { name } => {
                objects.remove(&name);
            }
            Op::Mark(mark) => last = Some(mark),
            Op::Complete => {}
        }
    }
    (objects, last)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_changes_in_any_sessions_are_there_afterwards(
        sessions in proptest::collection::vec(proptest::collection::vec(an_op(), 1..12), 1..4),
        key in any::<bool>(),
    ) {
        let place = Place::new(key);
        for ops in &sessions {
            place.write(ops.clone());
        }
        let loaded = place.load();
        let (objects, mark) = model(&sessions.concat());
        prop_assert_eq!(loaded.objects, objects);
        prop_assert_eq!(loaded.mark, mark);
        prop_assert_eq!(loaded.damaged, 0);
    }

    #[test]
    fn a_torn_log_is_what_was_written_up_to_some_moment(
        ops in proptest::collection::vec(an_op(), 1..20),
        cut in any::<prop::sample::Index>(),
        key in any::<bool>(),
    ) {
        let place = Place::new(key);
        // One batch each, so that the file has the order of `ops`.
        let writer = place.disk().writer(Arc::default()).unwrap();
        let mut ends = vec![0];
        for op in &ops {
            writer.send(vec![op.clone()]);
            assert!(writer.flush(Duration::from_secs(20)));
            ends.push(fs::metadata(place.log()).unwrap().len());
        }
        drop(writer);
        let bytes = fs::read(place.log()).unwrap();
        let cut = cut.index(bytes.len() + 1);
        fs::write(place.log(), &bytes[..cut]).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut as u64).count() - 1;
        let (objects, mark) = model(&ops[..whole]);
        let loaded = place.load();
        prop_assert_eq!(loaded.objects, objects);
        prop_assert_eq!(loaded.mark_holds, mark.is_some());
        prop_assert_eq!(loaded.mark, mark);
        prop_assert_eq!(loaded.damaged > 0, ends[whole] != cut as u64);
    }

    #[test]
    fn flipped_bits_never_invent_anything_and_void_the_marks_behind_them(
        ops in proptest::collection::vec(an_op(), 1..20),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 1..4),
        key in any::<bool>(),
    ) {
        let place = Place::new(key);
        place.write(ops.clone());
        let mut bytes = fs::read(place.log()).unwrap();
        let before = bytes.clone();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        fs::write(place.log(), &bytes).unwrap();
        let loaded = place.load();
        let told: Vec<Files> = ops.iter().filter_map(|op| match op {
            Op::Good { files, .. } | Op::Next { files, .. } => Some(files.clone()),
            _ => None,
        }).collect();
        for kept in loaded.objects.values() {
            for files in kept.good.iter().chain(&kept.next) {
                prop_assert!(told.contains(files));
            }
        }
        if bytes != before {
            prop_assert!(loaded.damaged > 0);
            // The writer puts the mark last, so any damage comes before it or hits it.
            prop_assert!(!loaded.mark_holds);
        }
        // The next session sets everything right.
        place.write(vec![mark("after")]);
        let again = place.load();
        prop_assert_eq!(again.damaged, 0);
        prop_assert_eq!(again.objects, loaded.objects);
        prop_assert!(again.mark_holds);
    }
}

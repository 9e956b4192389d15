use super::*;

fn files(content: &str) -> Files {
    Files::from([("breakwater.json".to_owned(), content.as_bytes().to_vec())])
}

fn put(name: &str, version: u64) -> Input {
    let content = format!("{name}@{version}");
    Input::Put {
        name: name.to_owned(),
        version,
        files: files(&content),
    }
}

/// The same content at another version, as when only metadata changed.
fn touched(name: &str, of: u64, version: u64) -> Input {
    Input::Put {
        name: name.to_owned(),
        version,
        files: files(&format!("{name}@{of}")),
    }
}

fn deleted(name: &str, version: u64) -> Input {
    Input::Deleted {
        name: name.to_owned(),
        version,
    }
}

fn bookmark(version: u64) -> Input {
    Input::Bookmark {
        version,
        list_end: false,
    }
}

fn list_end(version: u64) -> Input {
    Input::Bookmark {
        version,
        list_end: true,
    }
}

fn probe(id: &str, version: u64) -> Probe {
    let incarnation = Incarnation {
        id: id.to_owned(),
        ..Incarnation::default()
    };
    Probe {
        incarnation: (!id.is_empty()).then_some(incarnation),
        version,
    }
}

fn probed(id: &str, version: u64) -> Input {
    Input::Probed(probe(id, version))
}

fn checked(id: &str, version: u64, since: u64) -> Input {
    Input::Checked {
        probe: probe(id, version),
        since,
    }
}

fn said(id: &str, version: u64, sites: Option<u64>, accepted_sites: Option<u64>) -> Input {
    let incarnation = Incarnation {
        id: id.to_owned(),
        sites,
        accepted_sites,
    };
    Input::Checked {
        probe: Probe {
            incarnation: Some(incarnation),
            version,
        },
        since: version,
    }
}

fn kept(names: &[(&str, u64)], incarnation: &str, version: u64) -> Kept {
    let objects = names
        .iter()
        .map(|(name, of)| ((*name).to_owned(), bundle::hash(&files(&format!("{name}@{of}")))));
    Kept {
        objects: objects.collect(),
        position: Some(Position {
            incarnation: incarnation.to_owned(),
            version,
        }),
        complete: true,
        ..Kept::default()
    }
}

/// Actions in short: `+name`, `-name`, `moved`, `probe`, `stream`, `page`, `watch 7`, `rest`.
fn short(actions: &[Action]) -> Vec<String> {
    let text = |action: &Action| match action {
        Action::Put { name, .. } => format!("+{name}"),
        Action::Remove { name } => format!("-{name}"),
        Action::Moved => "moved".to_owned(),
        Action::Ask(Ask::Probe) => "probe".to_owned(),
        Action::Ask(Ask::Stream) => "stream".to_owned(),
        Action::Ask(Ask::Page(token)) => token.as_ref().map_or("page".to_owned(), |t| format!("page {t}")),
        Action::Ask(Ask::Watch(from)) => format!("watch {from}"),
        Action::Ask(Ask::Rest { .. }) => "rest".to_owned(),
    };
    actions.iter().map(text).collect()
}

#[track_caller]
fn run(sync: &mut Sync, script: Vec<(Input, &str)>) {
    for (input, expected) in script {
        let shown = format!("{input:?}");
        assert_eq!(short(&sync.step(input)).join(" "), expected, "after {shown}");
    }
}

fn at(sync: &Sync) -> (String, u64) {
    let position = sync.position().cloned().unwrap_or_default();
    (position.incarnation, position.version)
}

fn acknowledged(sync: &Sync) -> (String, u64) {
    let position = sync.acknowledged().cloned().unwrap_or_default();
    (position.incarnation, position.version)
}

const TEN: [(&str, u64); 11] = [
    ("region-settings", 1),
    ("site-0", 1),
    ("site-1", 1),
    ("site-2", 1),
    ("site-3", 1),
    ("site-4", 1),
    ("site-5", 1),
    ("site-6", 1),
    ("site-7", 1),
    ("site-8", 1),
    ("site-9", 1),
];

/// Ends a streamed list that has the settings and these of the ten sites.
#[track_caller]
fn list(sync: &mut Sync, sites: std::ops::Range<u64>, end: u64) -> String {
    assert!(sync.step(touched("region-settings", 1, 1)).is_empty());
    for site in sites {
        assert!(sync.step(touched(&format!("site-{site}"), 1, 1)).is_empty());
    }
    short(&sync.step(list_end(end))).join(" ")
}

#[test]
fn a_new_edge_lists_by_stream_and_acknowledges_at_the_lists_end_only() {
    let mut sync = Sync::new(Kept::default());
    run(
        &mut sync,
        vec![
            (probed("a", 50), "stream"),
            (put("region-settings", 20), "+region-settings"),
            (bookmark(30), ""),
            (put("site-1", 40), "+site-1"),
        ],
    );
    assert_eq!((sync.acknowledged(), sync.complete()), (None, false));
    run(&mut sync, vec![(list_end(51), "moved")]);
    assert_eq!((acknowledged(&sync), sync.complete()), (("a".into(), 51), true));
    run(
        &mut sync,
        vec![
            (put("site-2", 53), "+site-2 moved"),
            (touched("site-2", 53, 54), "moved"),
            (bookmark(60), "moved"),
            (bookmark(60), ""),
            (deleted("site-1", 61), "-site-1 moved"),
        ],
    );
    assert_eq!(at(&sync), ("a".into(), 61));
}

#[test]
fn an_empty_namespace_is_not_complete_before_it_has_the_regions_settings() {
    let mut sync = Sync::new(Kept::default());
    run(&mut sync, vec![(probed("", 5), "stream"), (list_end(5), "moved")]);
    assert!(!sync.complete());
    run(
        &mut sync,
        vec![(put("region-settings", 6), "+region-settings moved")],
    );
    assert!(sync.complete());
}

#[test]
fn a_server_that_does_not_stream_lists_is_asked_for_pages() {
    let mut sync = Sync::new(Kept::default());
    run(
        &mut sync,
        vec![
            (probed("a", 50), "stream"),
            (Input::StreamRefused, "page"),
            (put("region-settings", 20), "+region-settings"),
            (put("site-1", 40), "+site-1"),
            (
                Input::Page {
                    version: 50,
                    next: Some("t".into()),
                },
                "page t",
            ),
            (put("site-2", 41), "+site-2"),
        ],
    );
    assert_eq!(sync.acknowledged(), None);
    run(
        &mut sync,
        vec![(
            Input::Page {
                version: 50,
                next: None,
            },
            "moved watch 50",
        )],
    );
    assert_eq!(at(&sync), ("a".into(), 50));
}

#[test]
fn a_restarted_edge_resumes_only_where_history_is_what_it_was() {
    // (incarnation and version that the probe sees, what follows)
    for (id, version, expected) in [
        ("a", 100, "watch 100"),
        ("a", 170, "watch 100"),
        ("a", 99, "moved stream"),
        ("b", 170, "moved stream"),
        ("", 170, "moved stream"),
    ] {
        let mut sync = Sync::new(kept(&TEN, "a", 100));
        assert!(sync.complete());
        run(&mut sync, vec![(probed(id, version), expected)]);
    }
}

#[test]
fn an_expired_version_leads_to_a_list_that_is_compared_with_what_is_held() {
    let mut sync = Sync::new(kept(&TEN, "a", 100));
    run(
        &mut sync,
        vec![
            (probed("a", 200), "watch 100"),
            (Input::Expired, "rest"),
            (Input::Rested, "probe"),
            (probed("a", 210), "stream"),
            (put("site-3", 190), "+site-3"),
            (deleted("site-4", 211), "-site-4"),
        ],
    );
    assert_eq!(
        acknowledged(&sync),
        ("a".into(), 100),
        "an unfinished list moves nothing"
    );
    let expected = "-site-0 -site-1 moved";
    assert!(sync.step(touched("region-settings", 1, 1)).is_empty());
    for site in [2, 5, 6, 7, 8, 9] {
        assert!(sync.step(touched(&format!("site-{site}"), 1, 1)).is_empty());
    }
    run(&mut sync, vec![(list_end(212), expected)]);
    assert_eq!(at(&sync), ("a".into(), 212));
    assert!(sync.hold().names.is_empty());
}

#[test]
fn a_list_that_breaks_off_drops_nothing_and_begins_anew() {
    let mut sync = Sync::new(kept(&TEN, "a", 100));
    run(
        &mut sync,
        vec![
            (probed("a", 200), "watch 100"),
            (Input::Expired, "rest"),
            (Input::Rested, "probe"),
            (probed("a", 210), "stream"),
            (touched("site-3", 1, 1), ""),
            (Input::Ended { at_once: false }, "rest"),
            (Input::Rested, "probe"),
            (probed("a", 210), "stream"),
        ],
    );
    assert_eq!(
        list(&mut sync, 0..9, 211),
        "-site-9 moved",
        "the old list's objects don't count"
    );
}

#[test]
fn history_that_went_backwards_is_noticed_by_events_bookmarks_and_checks() {
    for input in [
        put("site-1", 99),
        deleted("site-1", 99),
        bookmark(99),
        checked("a", 99, 100),
    ] {
        let mut sync = Sync::new(kept(&TEN, "a", 100));
        run(
            &mut sync,
            vec![(probed("a", 100), "watch 100"), (input, "moved rest")],
        );
        assert_eq!(sync.position(), None, "nothing resumes from a lost history");
        assert_eq!(sync.lists().1, Some(ListReason::Rewound));
    }
}

#[test]
fn a_check_that_was_asked_for_before_an_event_does_not_look_like_the_past() {
    let mut sync = Sync::new(kept(&TEN, "a", 100));
    run(
        &mut sync,
        vec![
            (probed("a", 100), "watch 100"),
            (bookmark(120), "moved"),
            (checked("a", 110, 100), ""),
        ],
    );
    assert!(sync.watching());
}

#[test]
fn a_restore_stays_visible_in_the_acknowledgement_until_it_has_a_name_or_is_overtaken() {
    let rewound = || {
        let mut sync = Sync::new(kept(&TEN, "a", 100));
        run(&mut sync, vec![(probed("a", 60), "moved stream")]);
        assert_eq!(list(&mut sync, 0..10, 61), "moved");
        assert_eq!(at(&sync), ("a".into(), 61));
        assert_eq!(acknowledged(&sync), ("a".into(), 100));
        sync
    };
    let mut named = rewound();
    run(
        &mut named,
        vec![
            (checked("b", 62, 61), "moved rest"),
            (Input::Rested, "probe"),
            (probed("b", 63), "stream"),
        ],
    );
    assert_eq!(list(&mut named, 0..10, 64), "moved");
    assert_eq!(acknowledged(&named), ("b".into(), 64));
    let mut overtaken = rewound();
    run(&mut overtaken, vec![(bookmark(99), "moved")]);
    assert_eq!(acknowledged(&overtaken), ("a".into(), 100));
    run(&mut overtaken, vec![(bookmark(101), "moved")]);
    assert_eq!(acknowledged(&overtaken), ("a".into(), 101));
}

/// An edge with ten sites whose list after a 410 has `sites` of them.
fn shrunken(sites: std::ops::Range<u64>) -> Sync {
    let mut sync = Sync::new(kept(&TEN, "a", 100));
    run(
        &mut sync,
        vec![
            (probed("a", 200), "watch 100"),
            (Input::Expired, "rest"),
            (Input::Rested, "probe"),
            (probed("a", 210), "stream"),
        ],
    );
    assert_eq!(list(&mut sync, sites, 211), "moved");
    sync
}

#[test]
fn a_list_that_shrank_too_much_is_held_and_everything_else_goes_on() {
    let mut sync = shrunken(0..6);
    assert_eq!(sync.hold().names.len(), 4);
    assert_eq!(at(&sync), ("a".into(), 211));
    run(
        &mut sync,
        vec![
            (deleted("site-0", 212), "-site-0 moved"),
            (put("site-1", 213), "+site-1 moved"),
            (touched("site-9", 1, 214), "moved"),
        ],
    );
    assert_eq!(sync.hold().names.len(), 3, "what comes back isn't held any more");
    assert_eq!(sync.believed_sites(), 6);
}

#[test]
fn a_held_list_is_let_go_by_the_operators_number_or_a_persons() {
    // (the operator's number, a person's, what follows)
    let gone = "-site-6 -site-7 -site-8 -site-9 moved";
    for (operator, person, expected) in [
        (None, None, ""),
        (Some(10), None, ""),
        (Some(6), None, gone),
        (Some(10), Some(6), gone),
        (Some(10), Some(5), ""),
    ] {
        let mut sync = shrunken(0..6);
        run(&mut sync, vec![(said("a", 211, operator, person), expected)]);
        assert_eq!(sync.hold().names.is_empty(), !expected.is_empty());
    }
}

#[test]
fn after_a_restore_the_operators_number_is_not_enough() {
    let mut sync = Sync::new(kept(&TEN, "a", 100));
    run(&mut sync, vec![(probed("a", 60), "moved stream")]);
    assert_eq!(list(&mut sync, 0..2, 61), "moved");
    run(
        &mut sync,
        vec![
            (said("a", 61, Some(2), None), ""),
            (said("b", 61, Some(2), None), "moved rest"),
            (Input::Rested, "probe"),
            (probed("b", 61), "stream"),
        ],
    );
    assert_eq!(
        list(&mut sync, 0..2, 62),
        "moved",
        "what is held stays held by the next list"
    );
    run(
        &mut sync,
        vec![
            (said("b", 62, Some(2), None), ""),
            (
                said("b", 62, Some(2), Some(2)),
                "-site-2 -site-3 -site-4 -site-5 -site-6 -site-7 -site-8 -site-9 moved",
            ),
        ],
    );
}

#[test]
fn an_empty_list_is_held_whole_and_a_hold_outlives_a_restart() {
    let mut sync = Sync::new(kept(&TEN, "a", 100));
    run(
        &mut sync,
        vec![
            (probed("a", 200), "watch 100"),
            (Input::Expired, "rest"),
            (Input::Rested, "probe"),
            (probed("a", 210), "stream"),
            (list_end(211), "moved"),
        ],
    );
    assert_eq!(sync.hold().names.len(), 11);
    let mut again = kept(&TEN, "a", 211);
    again.hold = sync.hold().clone();
    let mut sync = Sync::new(again);
    run(
        &mut sync,
        vec![
            (probed("a", 220), "watch 211"),
            (put("site-20", 221), "+site-20 moved"),
        ],
    );
    assert_eq!(sync.hold().names.len(), 11);
    let removed = short(&sync.step(said("a", 221, Some(1), None)));
    assert_eq!(removed.len(), 11, "ten sites and one move: {removed:?}");
    assert_eq!(
        sync.hold().names.len(),
        1,
        "the settings go by a person's word only"
    );
}

#[test]
fn failures_back_off_up_to_half_a_minute_and_success_starts_over() {
    let mut sync = Sync::new(kept(&TEN, "a", 100));
    let mut rests = Vec::new();
    for _ in 0..12 {
        for action in sync.step(Input::Failed) {
            if let Action::Ask(Ask::Rest { min_ms, max_ms }) = action {
                rests.push((min_ms, max_ms));
            }
        }
        sync.step(Input::Rested);
    }
    assert_eq!(rests[..3], [(100, 200), (200, 400), (400, 800)]);
    assert_eq!(rests[11], (15_000, 30_000));
    sync.step(probed("a", 100));
    sync.step(bookmark(101));
    assert_eq!(
        sync.step(Input::Failed),
        vec![Action::Ask(Ask::Rest {
            min_ms: 100,
            max_ms: 200
        })]
    );
}

#[test]
fn what_arrives_late_from_an_abandoned_request_changes_nothing() {
    let mut sync = Sync::new(kept(&TEN, "a", 100));
    run(
        &mut sync,
        vec![
            (put("site-1", 300), ""),
            (deleted("site-1", 300), ""),
            (list_end(300), ""),
            (
                Input::Page {
                    version: 300,
                    next: None,
                },
                "",
            ),
            (Input::StreamRefused, ""),
            (checked("b", 1, 300), ""),
            (Input::Rested, ""),
        ],
    );
    assert_eq!(at(&sync), ("a".into(), 100));
}

//! Whatever came in which order, an index that followed it says what one says that has just been started.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use breakwater_render::object::{Invalid, Labels};
use breakwater_render::{HostGrant, Key, Object, PolicyKey, PolicyKind, Publish, Settings, StatusUpdate};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use support::case::{Action, Case};
use support::world::World;

/// Versions of a few objects that have much to do with each other.
static DENSE: LazyLock<Vec<Object>> = LazyLock::new(|| {
    let path = support::testdata().join("world.yaml");
    applied(&Case::read(&path))
});

/// Every object of every golden, in one world.
static GOLDENS: LazyLock<Vec<Object>> = LazyLock::new(|| {
    let cases = support::inputs().into_iter().map(|path| Case::read(&path));
    cases.flat_map(|case| applied(&case)).collect()
});

fn applied(case: &Case) -> Vec<Object> {
    let actions = case.steps.iter().flat_map(|step| &step.actions);
    let objects = actions.filter_map(|action| match action {
        Action::Apply(object) => Some(object.as_ref().clone()),
        Action::Remove(_) => None,
    });
    objects
        .filter(|object| !matches!(object, Object::NamespaceListed(_) | Object::SecretAbsent(_)))
        .collect()
}

#[derive(Clone, Debug)]
enum Event {
    /// An object of the catalogue comes in, or takes the place of another version.
    Apply(prop::sample::Index),
    Remove(prop::sample::Index),
    /// A version comes that this build can't read.
    Unreadable(prop::sample::Index),
    /// One rendering, which leaves what follows from it to the next.
    Render,
    Settle,
    DaysLater(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => any::<prop::sample::Index>().prop_map(Event::Apply),
        4 => any::<prop::sample::Index>().prop_map(Event::Remove),
        1 => any::<prop::sample::Index>().prop_map(Event::Unreadable),
        2 => Just(Event::Render),
        1 => Just(Event::Settle),
        1 => (1..60_u8).prop_map(Event::DaysLater),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    (any::<bool>(), prop::option::weighted(0.2, Just(()))).prop_map(|(files, grants)| {
        let mut settings = if files {
            Settings::files("fra", "breakwater-system")
        } else {
            Settings::cluster("fra", "breakwater-system")
        };
        settings.allow_origin_cidrs = vec!["192.0.2.0/24".parse().unwrap()];
        if grants.is_some() {
            settings.host_grants = vec![HostGrant {
                namespaces: vec!["a".to_owned(), "default".to_owned()],
                suffixes: vec!["example.com".to_owned()],
            }];
        }
        settings
    })
}

fn unreadable(object: &Object) -> Option<Object> {
    let targets = match object {
        Object::CachePolicy(_, spec) => spec.target_refs.clone(),
        Object::RateRule(_, spec) => spec.target_refs.clone(),
        Object::EdgeSite(..) | Object::EdgeRegion(..) => Vec::new(),
        _ => return None,
    };
    let labels = match object {
        Object::EdgeSite(meta, _) => meta.labels.clone(),
        _ => Labels::new(),
    };
    Some(Object::Invalid(Invalid {
        key: object.key(),
        generation: 99,
        labels,
        problem: "spec.new: this build can't read it".to_owned(),
        targets,
    }))
}

fn start() -> Timestamp {
    "2026-11-01T00:00:00Z".parse().unwrap()
}

fn happens(world: &mut World, event: &Event, catalogue: &[Object]) {
    match event {
        Event::Apply(at) => world.apply(at.get(catalogue).clone()),
        Event::Remove(at) => world.remove(&at.get(catalogue).key()),
        Event::Unreadable(at) => {
            if let Some(object) = unreadable(at.get(catalogue)) {
                world.apply(object);
            }
        }
        Event::Render => drop(world.render()),
        Event::Settle => drop(world.settle()),
        Event::DaysLater(days) => world.now += SignedDuration::from_hours(24 * i64::from(*days)),
    }
}

/// Everything that a first rendering says.
fn said(world: &mut World) -> (Vec<Publish>, BTreeMap<Key, StatusUpdate>) {
    let all = world.settle();
    let publish = all.into_iter().flat_map(|changes| changes.publish).collect();
    (publish, world.told.clone())
}

fn follows(settings: Settings, events: &[Event], catalogue: &[Object]) {
    let mut world = World::new(settings, start());
    for event in events {
        happens(&mut world, event, catalogue);
    }
    world.settle();
    for (host, sites) in world.hosts() {
        assert!(sites.len() == 1, "{host:?} is served by {sites:?}");
    }
    let mut fresh = world.restarted();
    for changes in fresh.settle() {
        assert!(changes.publish.is_empty(), "{:#?}", changes.publish);
        assert!(changes.withdraw.is_empty(), "{:#?}", changes.withdraw);
        assert!(changes.retire.is_empty(), "{:#?}", changes.retire);
    }
    for key in world.told.keys().chain(fresh.told.keys()) {
        assert_eq!(world.told.get(key), fresh.told.get(key), "{key}");
    }
}

/// `PROPTEST_CASES` asks for more.
fn cases(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig {
        cases: if asked { default.cases } else { cases },
        failure_persistence: None,
        // The same cases each time: a rare one is looked for with PROPTEST_CASES, not met in somebody's CI.
        rng_seed: if asked {
            default.rng_seed
        } else {
            RngSeed::Fixed(1)
        },
        ..default
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn whoever_followed_every_event_says_what_one_says_that_just_started(
        settings in settings(),
        events in prop::collection::vec(event(), 1..60),
    ) {
        follows(settings, &events, &DENSE);
    }

    #[test]
    fn the_first_rendering_is_the_same_in_whatever_order_objects_came_and_how_often(
        settings in settings(),
        (one, other) in prop::collection::vec(any::<prop::sample::Index>(), 1..30).prop_flat_map(|list| {
            // The last version of each object is the same in both.
            let mut last: BTreeMap<Key, Object> = BTreeMap::new();
            for at in list {
                let object = at.get(&DENSE);
                last.insert(object.key(), object.clone());
            }
            let objects: Vec<Object> = last.into_values().collect();
            let twice: Vec<Object> = objects.iter().chain(&objects).cloned().collect();
            (Just(objects).prop_shuffle(), Just(twice).prop_shuffle())
        }),
    ) {
        let mut worlds = [one, other].map(|objects| {
            let mut world = World::new(settings.clone(), start());
            for object in objects {
                world.apply(object);
            }
            world
        });
        let [one, other] = worlds.each_mut().map(said);
        assert_eq!(one, other);
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn so_it_is_with_the_objects_of_all_goldens_in_one_cluster(
        settings in settings(),
        events in prop::collection::vec(event(), 1..150),
    ) {
        follows(settings, &events, &GOLDENS);
    }
}

#[test]
fn the_catalogues_hold_every_kind() {
    for (what, catalogue) in [("dense", &DENSE), ("goldens", &GOLDENS)] {
        let kinds: [fn(&Object) -> bool; 11] = [
            |o| matches!(o, Object::EdgeSite(..)),
            |o| matches!(o, Object::CachePolicy(..)),
            |o| matches!(o, Object::RateRule(..)),
            |o| matches!(o, Object::EdgeRegion(..)),
            |o| matches!(o, Object::Namespace(..)),
            |o| matches!(o, Object::Node(..)),
            |o| matches!(o, Object::ServiceCidr(..)),
            |o| matches!(o, Object::Service(..)),
            |o| matches!(o, Object::EndpointSlice(..)),
            |o| matches!(o, Object::Pod(..)),
            |o| matches!(o, Object::Secret(..)),
        ];
        for (n, kind) in kinds.iter().enumerate() {
            assert!(catalogue.iter().any(kind), "{what}: kind {n}");
        }
        let platform = catalogue.iter().any(|object| {
            object.key()
                == Key::Policy(PolicyKey {
                    kind: PolicyKind::RateRule,
                    name: breakwater_render::Name::new("breakwater-system", "limit"),
                })
        });
        assert!(platform, "{what}");
    }
}

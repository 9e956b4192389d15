//! Purges through the admin server and with configuration, on a running edge.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use breakwater_edge::{AdminPlace, CacheDisk, Edge, EdgeOptions, ask_purge};
use breakwater_edge_config::{PurgeTarget, Purges, RecentPurge, SiteBundle};
use http::Response;
use tokio::net::UnixStream;

use crate::support::client::{Raw, RawAnswer};
use crate::support::metrics::{Metrics, measured};
use crate::support::origin::{caching_site, origin_at};
use crate::support::server::{Body, Server, Speaks, text};
use crate::support::{edge_with, options, site_change, until};

/// An origin whose every answer is of the newest generation, cacheable, and tagged by its path.
fn generations() -> (Server, Arc<AtomicU64>) {
    let generation = Arc::new(AtomicU64::new(1));
    let current = Arc::clone(&generation);
    let server = Server::start(Speaks::Http1, move |request| {
        let mut answer: Response<Body> = text(current.load(Ordering::SeqCst).to_string());
        let tag = request.uri().path().trim_start_matches('/').to_owned();
        let fields = answer.headers_mut();
        fields.insert(
            "cache-control",
            "max-age=600, stale-while-revalidate=600".parse().unwrap(),
        );
        fields.insert("cache-tag", format!("all,{tag}").parse().unwrap());
        async move { answer }
    });
    (server, generation)
}

fn site(server: &Server) -> SiteBundle {
    caching_site("shop", "shop.example", origin_at(&[server.address]))
}

async fn get(client: &mut Raw, target: &str) -> String {
    String::from_utf8(client.get("shop.example", target).await.body).unwrap()
}

async fn post(edge: &Edge, host: &str, media: &str, body: &str) -> RawAnswer {
    let mut admin = Raw::connect(edge.addresses().admin.unwrap()).await;
    let length = body.len();
    let request = format!(
        "POST /purge HTTP/1.1\r\nhost: {host}\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    admin.send(&request).await;
    admin.answer().await.unwrap()
}

async fn purge(edge: &Edge, body: &str) -> RawAnswer {
    post(edge, "localhost", "application/json", body).await
}

#[tokio::test]
async fn what_is_purged_is_fetched_anew_at_once_and_nothing_else_is() {
    let (server, generation) = generations();
    let edge = edge_with(measured(options()), vec![site(&server)]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    let mut metrics = Metrics::of(&edge).await;
    for (body, purged) in [
        (
            r#"{"site": "shop.example", "kind": "url", "values": ["https://shop.example/a?x"]}"#,
            vec!["/a?x"],
        ),
        (
            r#"{"site": "eu/team/shop", "kind": "prefix", "values": ["https://shop.example/a"]}"#,
            vec!["/a", "/a?x"],
        ),
        (
            r#"{"site": "Shop.Example.", "kind": "mask", "values": ["*://*/b"]}"#,
            vec!["/b"],
        ),
        (
            r#"{"site": "shop.example", "kind": "tag", "values": ["b", "unknown"]}"#,
            vec!["/b"],
        ),
        (
            r#"{"site": "shop.example", "kind": "everything"}"#,
            vec!["/a", "/a?x", "/b"],
        ),
    ] {
        let all = ["/a", "/a?x", "/b"];
        assert_eq!(
            purge(&edge, r#"{"site": "shop.example", "kind": "everything"}"#)
                .await
                .status,
            200
        );
        for target in all {
            get(&mut client, target).await;
        }
        let old = generation.fetch_add(1, Ordering::SeqCst).to_string();
        let answer = purge(
            &edge,
            &body.replace("eu/team/shop", &site(&server).config.id.to_string()),
        )
        .await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        for target in all {
            let found = get(&mut client, target).await;
            assert_eq!(found != old, purged.contains(&target), "{body}: {target}");
        }
    }
    metrics
        .until("breakwater_purge_targets_total", &["kind=\"tag\""], 2)
        .await;
    metrics
        .until("breakwater_purge_duration_seconds_count", &[], 10)
        .await;
    // Their memory is given back, too.
    assert_eq!(
        purge(&edge, r#"{"site": "shop.example", "kind": "everything"}"#)
            .await
            .status,
        200
    );
    metrics.until("breakwater_cache_entries", &[], 0).await;
    assert!(metrics.value("breakwater_purge_entries_dropped_total", &[]).await > 0);
}

#[tokio::test]
async fn a_soft_purge_serves_what_is_stored_once_more_and_fetches_behind_it() {
    let (server, generation) = generations();
    let edge = edge_with(measured(options()), vec![site(&server)]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    assert_eq!(get(&mut client, "/a").await, "1");
    generation.store(2, Ordering::SeqCst);
    let soft = r#"{"site": "shop.example", "kind": "tag", "values": ["all"], "soft": true}"#;
    assert_eq!(purge(&edge, soft).await.status, 200);
    let answer = client.get("shop.example", "/a").await;
    let status = answer.field("cache-status").unwrap_or_default().to_owned();
    assert!(answer.body == b"1" && status.contains("soft-purged"), "{status}");
    let start = Instant::now();
    while get(&mut client, "/a").await != "2" {
        assert!(start.elapsed() < Duration::from_secs(10), "it wasn't fetched");
    }
}

#[tokio::test]
async fn what_is_no_purge_is_refused_with_what_to_do() {
    let (server, _) = generations();
    let edge = edge_with(measured(options()), vec![site(&server)]);
    let many = format!(
        r#"{{"site": "shop.example", "kind": "tag", "values": [{}"x"]}}"#,
        r#""x","#.repeat(1_000)
    );
    for (body, status, says) in [
        ("{", 400, "not a purge"),
        (
            r#"{"site": "shop.example", "kind": "all"}"#,
            400,
            "unknown variant",
        ),
        (
            r#"{"site": "shop.example", "kind": "url", "value": "x"}"#,
            400,
            "unknown field",
        ),
        (r#"{"site": "shop.example", "kind": "url"}"#, 400, "at least one"),
        (
            r#"{"site": "shop.example", "kind": "everything", "values": ["x"]}"#,
            400,
            "no values",
        ),
        (many.as_str(), 400, "1000 at most"),
        (
            r#"{"site": "other.example", "kind": "everything"}"#,
            404,
            "other.example",
        ),
        (
            r#"{"site": "shop.example", "kind": "url", "values": ["https://other.example/"]}"#,
            422,
            "doesn't serve other.example",
        ),
        (
            r#"{"site": "shop.example", "kind": "tag", "values": ["a,b"]}"#,
            422,
            "no comma",
        ),
    ] {
        let answer = purge(&edge, body).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{text}");
        assert!(text.contains(says), "{text}");
    }
    let good = r#"{"site": "shop.example", "kind": "everything"}"#;
    assert_eq!(post(&edge, "localhost", "text/plain", good).await.status, 415);
    assert_eq!(
        post(&edge, "rebound.example", "application/json", good)
            .await
            .status,
        403
    );
    assert_eq!(
        post(&edge, "127.0.0.1:9180", "application/json; charset=utf-8", good)
            .await
            .status,
        200
    );
    let large = " ".repeat((1 << 20) + 1);
    assert_eq!(purge(&edge, &large).await.status, 413);
    let mut admin = Raw::connect(edge.addresses().admin.unwrap()).await;
    assert_eq!(admin.get("localhost", "/purge").await.status, 405);
}

#[tokio::test]
async fn people_purge_over_the_socket_with_the_command() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("admin.sock");
    let (server, generation) = generations();
    let options = EdgeOptions {
        admin_socket: Some(socket.clone()),
        state_dir: Some(directory.path().to_owned()),
        ..measured(options())
    };
    let edge = edge_with(options, vec![site(&server)]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    assert_eq!(get(&mut client, "/a").await, "1");
    generation.store(2, Ordering::SeqCst);
    let run = |what: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_breakwater-edge"));
        command
            .args(["purge", "--site", "shop.example", "--socket"])
            .arg(&socket)
            .args(what);
        async move { command.output().await.unwrap() }
    };
    let refused = run(&["--url", "nonsense"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("write https://HOST/PATH"),
        "{said}"
    );
    assert!(!run(&[]).await.status.success());
    let done = run(&["--url", "https://shop.example/a", "https://shop.example/b"]).await;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.contains("\"sequence\":"), "{said}");
    assert_eq!(get(&mut client, "/a").await, "2");
    // The socket needs no name.
    let mut raw = Raw::new(UnixStream::connect(&socket).await.unwrap());
    raw.send(
        "POST /purge HTTP/1.1\r\nhost: edge\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
    )
    .await;
    assert_eq!(raw.answer().await.unwrap().status, 400);
    // How long an acknowledgement takes, the disk included.
    let body = br#"{"site": "shop.example", "kind": "tag", "values": ["x"]}"#;
    let place = AdminPlace::Socket(socket);
    let took = tokio::task::spawn_blocking(move || {
        let mut took: Vec<Duration> = (0..200)
            .map(|_| {
                let start = Instant::now();
                ask_purge(&place, body, Duration::from_secs(10)).unwrap();
                start.elapsed()
            })
            .collect();
        took.sort_unstable();
        took
    })
    .await
    .unwrap();
    println!(
        "acknowledged after {:?} (median), {:?} (p99)",
        took[100], took[198]
    );
}

fn published(server: &Server, history: &str, horizon: u64, recent: &[(u64, &str)]) -> SiteBundle {
    let mut bundle = site(server);
    let recent = recent.iter().map(|(revision, url)| RecentPurge {
        revision: *revision,
        soft: false,
        targets: vec![PurgeTarget::Url((*url).to_owned())],
    });
    bundle.config.purges = Some(Purges {
        history: history.to_owned(),
        horizon,
        recent: recent.collect(),
    });
    bundle
}

#[tokio::test]
async fn purges_of_a_configuration_hold_once_each_and_a_gap_purges_everything() {
    let (server, generation) = generations();
    let (a, b) = ("https://shop.example/a", "https://shop.example/b");
    let edge = edge_with(options(), vec![published(&server, "h1", 0, &[])]);
    let mut client = Raw::connect(edge.addresses().http[0]).await;
    for (what, history, horizon, recent, anew) in [
        ("the first", "h1", 0, vec![(1, a)], vec!["/a"]),
        ("nothing new", "h1", 0, vec![(1, a)], vec![]),
        ("the rest", "h1", 1, vec![(2, b), (3, b)], vec!["/b"]),
        ("rolled back", "h1", 0, vec![(1, a)], vec![]),
        ("a gap", "h1", 5, vec![(6, a)], vec!["/a", "/b", "/c"]),
        ("another count", "h2", 0, vec![(1, b)], vec!["/a", "/b", "/c"]),
        (
            "a host that isn't the site's any more",
            "h2",
            0,
            vec![(1, b), (2, "https://other.example/")],
            vec!["/a", "/b", "/c"],
        ),
    ] {
        for target in ["/a", "/b", "/c"] {
            get(&mut client, target).await;
        }
        let newest = generation.fetch_add(1, Ordering::SeqCst) + 1;
        assert_eq!(
            edge.apply(vec![site_change(published(&server, history, horizon, &recent))]),
            []
        );
        for target in ["/a", "/b", "/c"] {
            let found = get(&mut client, target).await == newest.to_string();
            assert_eq!(found, anew.contains(&target), "{what}: {target}");
        }
    }
}

#[tokio::test]
async fn no_visitor_gets_what_is_older_than_an_acknowledged_purge() {
    let directory = tempfile::tempdir().unwrap();
    let (server, generation) = generations();
    let options = EdgeOptions {
        state_dir: Some(directory.path().to_owned()),
        ..measured(options())
    };
    let edge = edge_with(options, vec![site(&server)]);
    let acknowledged = Arc::new(AtomicU64::new(0));
    let visitors: Vec<_> = (0..6)
        .map(|visitor| {
            let (acknowledged, address) = (Arc::clone(&acknowledged), edge.addresses().http[0]);
            tokio::spawn(async move {
                let mut client = Raw::connect(address).await;
                let (mut answers, mut hits) = (0, 0);
                while acknowledged.load(Ordering::SeqCst) < 100 {
                    let oldest = acknowledged.load(Ordering::SeqCst);
                    let target = format!("/{}", (answers + visitor) % 3);
                    let answer = client.get("shop.example", &target).await;
                    let found: u64 = String::from_utf8_lossy(&answer.body).parse().unwrap();
                    assert!(found >= oldest, "{found} after {oldest} was acknowledged");
                    let status = answer.field("cache-status").unwrap_or_default();
                    hits += usize::from(status.contains("hit"));
                    answers += 1;
                }
                (answers, hits)
            })
        })
        .collect();
    let kinds = [
        r#"{"site": "shop.example", "kind": "everything"}"#,
        r#"{"site": "shop.example", "kind": "tag", "values": ["all"]}"#,
        r#"{"site": "shop.example", "kind": "mask", "values": ["*://shop.example/*"]}"#,
        r#"{"site": "shop.example", "kind": "url", "values": ["https://shop.example/0", "https://shop.example/1", "https://shop.example/2"]}"#,
    ];
    for turn in 2..=100_u64 {
        generation.store(turn, Ordering::SeqCst);
        let kind = kinds[usize::try_from(turn).unwrap() % kinds.len()];
        assert_eq!(purge(&edge, kind).await.status, 200);
        acknowledged.store(turn, Ordering::SeqCst);
    }
    let mut all = (0, 0);
    for visitor in visitors {
        let (answers, hits) = visitor.await.unwrap();
        all = (all.0 + answers, all.1 + hits);
    }
    assert!(all.1 > 0 && all.0 > all.1, "hits and fetches: {all:?}");
    until("memory is given back", || edge.status().cache_bytes < 8 << 20).await;
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What the files hold at the moment of the acknowledgement is what a process that is killed then leaves.
#[tokio::test]
async fn what_was_purged_before_the_process_was_killed_is_not_read_from_the_disk() {
    let (server, generation) = generations();
    let disk = |dir: &std::path::Path, state: bool| EdgeOptions {
        state_dir: state.then(|| dir.join("state")),
        cache_disk: Some(CacheDisk {
            dir: dir.join("cache"),
            max_bytes: 64 << 20,
        }),
        ..measured(options())
    };
    for with_state in [true, false] {
        let (first, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(first.path().join("state")).unwrap();
        let edge = edge_with(disk(first.path(), with_state), vec![site(&server)]);
        let mut metrics = Metrics::of(&edge).await;
        let mut client = Raw::connect(edge.addresses().http[0]).await;
        let old = generation.fetch_add(1, Ordering::SeqCst) + 1;
        // Until the directory is open, answers are kept in memory only.
        let mut path = 0;
        let start = Instant::now();
        while metrics.value("breakwater_cache_disk_entries", &[]).await < 8 {
            assert!(start.elapsed() < Duration::from_secs(20), "nothing is written");
            assert_eq!(get(&mut client, &format!("/{path}")).await, old.to_string());
            path += 1;
        }
        let last = path - 1;
        let (kept, gone) = (format!("/{}", last - 1), format!("/{}", last - 2));
        generation.fetch_add(1, Ordering::SeqCst);
        let body =
            format!(r#"{{"site": "shop.example", "kind": "url", "values": ["https://shop.example{gone}"]}}"#);
        assert_eq!(purge(&edge, &body).await.status, 200);
        copy(first.path(), crashed.path());
        drop(edge);
        let next = edge_with(disk(crashed.path(), with_state), vec![site(&server)]);
        let mut metrics = Metrics::of(&next).await;
        let mut client = Raw::connect(next.addresses().http[0]).await;
        metrics.until_more("breakwater_cache_disk_entries", 1).await;
        assert_ne!(
            get(&mut client, &gone).await,
            old.to_string(),
            "state: {with_state}"
        );
        // What it doesn't hold for is still there, if it had been written.
        let found = get(&mut client, &kept).await;
        println!(
            "state {with_state}: {kept} is {}",
            if found == old.to_string() { "warm" } else { "cold" }
        );
    }
}

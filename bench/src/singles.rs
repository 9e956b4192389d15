//! What isn't a rate at saturation: latency at a fixed rate, memory of idle connections, hits under eviction.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};

use crate::client::Client;
use crate::origin::Origin;
use crate::peer::Running;
use crate::{cpu, open_loop, tls, zipf};

const PATH: &str = "/b/1024/k0";

/// Percentiles of HTTP/1.1 hits of 1 KiB at 70 % of what the server makes at saturation, from the moment each
/// request should have been sent.
pub(crate) fn latency(server: &Running, saturation: f64, duration: Duration) -> anyhow::Result<Value> {
    let rate = saturation * 0.7;
    let histogram = open_loop::run(server.http, PATH, rate, 64, duration)?;
    let mut fields = BTreeMap::from([("per_second".to_owned(), json!(rate.round()))]);
    for (name, q) in [
        ("p50_us", 0.5),
        ("p90_us", 0.9),
        ("p99_us", 0.99),
        ("p99_9_us", 0.999),
    ] {
        fields.insert(name.to_owned(), json!(histogram.quantile(q) / 1_000));
    }
    Ok(json!(fields))
}

/// Memory of the server for each of many TLS connections that have had one answer and wait.
pub(crate) fn idle(server: &Running, connections: u32) -> anyhow::Result<Value> {
    let config = tls::config(false)?;
    // What is made once, for the first connections, is no connection's.
    let first: Vec<_> = (0..64)
        .map(|number| tls::open(&config, server.https, number, PATH))
        .collect::<anyhow::Result<_>>()?;
    let before = cpu::memory_kib(server.pid());
    let open: Vec<_> = (64..64 + connections)
        .map(|number| tls::open(&config, server.https, number, PATH))
        .collect::<anyhow::Result<_>>()?;
    let after = cpu::memory_kib(server.pid());
    drop((first, open));
    let bytes = (after.saturating_sub(before) << 10) / u64::from(connections);
    Ok(json!({"bytes_a_connection": bytes, "mib_before": before >> 10, "mib_after": after >> 10}))
}

const OBJECT_BYTES: u64 = 16 << 10;
const CHURN_KEYS: u32 = 50_000;
const CHURN_REQUESTS: usize = 300_000;

/// Share of hits on a Zipf trace whose keys need three times the cache, against the best that any cache of as
/// many bytes could have. Hits are what the origin wasn't asked.
pub(crate) fn churn(server: &Running, origin: &Origin, cache_bytes: u64) -> anyhow::Result<Value> {
    let trace = zipf::trace(CHURN_KEYS, 0.9, CHURN_REQUESTS, 42);
    let before = origin.requests();
    let mut client = Client::connect(server.http, 0)?;
    for (at, key) in trace.iter().enumerate() {
        client.get(&format!("/b/{OBJECT_BYTES}/z{key}"))?;
        if at % 20_000 == 0 {
            server.empty_logs();
        }
    }
    let asked = origin.requests() - before;
    if asked == 0 {
        bail!("the origin was never asked");
    }
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let hits = 1.0 - asked as f64 / trace.len() as f64;
    let ideal = zipf::ideal(&trace, usize::try_from(cache_bytes / OBJECT_BYTES)?);
    let round = |share: f64| (share * 1_000.0).round() / 1_000.0;
    Ok(json!({"hits": round(hits), "ideal": round(ideal), "of_ideal": round(hits / ideal)}))
}

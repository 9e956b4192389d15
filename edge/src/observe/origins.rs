use std::fmt;

use breakwater_edge_config::SiteId;

use super::exposition::Out;
use crate::origin::OriginSnapshot;

/// An origin of a site at the moment of a scrape.
#[derive(Clone, Debug)]
pub(crate) struct OriginMetrics {
    /// The site.
    pub(crate) site: SiteId,
    /// The origin.
    pub(crate) snapshot: OriginSnapshot,
}

/// Writes what there is to tell of origins that were asked. The others have nothing to tell, and a region may
/// have tens of thousands.
pub(super) fn encode(out: &mut Out<'_>, origins: &[OriginMetrics]) -> fmt::Result {
    let asked: Vec<(String, &OriginSnapshot)> = origins
        .iter()
        .filter(|origin| origin.snapshot.requests > 0)
        .map(|origin| (origin.site.to_string(), &origin.snapshot))
        .collect();
    let plain = |of: fn(&OriginSnapshot) -> u64| {
        let lines = asked
            .iter()
            .map(|(site, o)| ([("site", site.as_str()), ("origin", &*o.origin)], of(o)));
        lines.collect::<Vec<_>>()
    };
    out.counters(
        "breakwater_origin_exchanges",
        "Requests to an origin, repetitions not counted",
        &plain(|o| o.requests),
    )?;
    out.counters(
        "breakwater_origin_retries",
        "Repetitions of requests to an origin",
        &plain(|o| o.retries),
    )?;
    out.counters(
        "breakwater_origin_retries_refused",
        "Repetitions that the origin's retry budget refused",
        &plain(|o| o.refused_retries),
    )?;
    out.counters(
        "breakwater_origin_stale_connections",
        "Kept-alive connections to an origin that turned out to be closed",
        &plain(|o| o.stale_connections),
    )?;
    let mut failures = Vec::new();
    let mut endpoints = Vec::new();
    let mut connections = Vec::new();
    for (site, origin) in &asked {
        let labels = |name: &'static str, value: &'static str| {
            [
                ("site", site.as_str()),
                ("origin", &*origin.origin),
                (name, value),
            ]
        };
        let happened = origin.errors.iter().filter(|(_, count)| *count > 0);
        failures.extend(happened.map(|(kind, count)| (labels("kind", kind.as_str()), *count)));
        endpoints.extend(states(origin).map(|(state, count)| (labels("state", state), count)));
        let open: usize = origin.endpoints.iter().map(|e| e.open).sum();
        let idle: usize = origin.endpoints.iter().map(|e| e.idle).sum();
        connections.push((labels("state", "idle"), idle));
        connections.push((labels("state", "used"), open.saturating_sub(idle)));
    }
    out.counters(
        "breakwater_origin_failures",
        "Failed attempts at an origin, by what happened",
        &failures,
    )?;
    out.gauges(
        "breakwater_origin_endpoints",
        "Endpoints of an origin, by state",
        &endpoints,
    )?;
    out.gauges(
        "breakwater_origin_connections",
        "Connections to an origin, by state",
        &connections,
    )
}

fn states(origin: &OriginSnapshot) -> impl Iterator<Item = (&'static str, usize)> {
    let (mut healthy, mut unhealthy, mut ejected, mut forbidden) = (0, 0, 0, 0);
    for endpoint in &origin.endpoints {
        let state = match endpoint {
            e if !e.is_permitted => &mut forbidden,
            e if !e.is_healthy => &mut unhealthy,
            e if e.is_ejected => &mut ejected,
            _ => &mut healthy,
        };
        *state += 1;
    }
    [
        ("healthy", healthy),
        ("unhealthy", unhealthy),
        ("ejected", ejected),
        ("forbidden", forbidden),
    ]
    .into_iter()
}

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use breakwater_edge_config::SiteId;
use breakwater_edge_proxy::Reason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::counters::{
    BUCKETS_US, CACHES, CLASSES, ConnectionEnd, Counters, Handshake, SiteCounters, Warmed,
};
use super::origins::{self, OriginMetrics};

/// What is measured at the moment of a scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// Name, help, value.
    pub(crate) gauges: Vec<(&'static str, &'static str, i64)>,
    /// Name, help, value.
    pub(crate) counters: Vec<(&'static str, &'static str, u64)>,
    /// Sites that are configured.
    pub(crate) sites: HashSet<SiteId>,
    /// Their origins.
    pub(crate) origins: Vec<OriginMetrics>,
    /// What was purged.
    pub(crate) purges: PurgeMetrics,
    /// It has its configuration and listens.
    pub(crate) ready: bool,
}

/// Turns the workers' counters into Prometheus text.
pub(crate) struct Exposition {
    workers: Vec<Arc<Counters>>,
    measure: Box<dyn Fn() -> Measured + Send + Sync>,
}

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exposition")
            .field("workers", &self.workers.len())
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct SiteSums {
    classes: [u64; CLASSES.len()],
    caches: [u64; CACHES.len()],
    origin_requests: u64,
    origin_errors: u64,
    body_bytes: u64,
}

impl SiteSums {
    fn add(&mut self, counters: &SiteCounters) {
        let pairs = self.classes.iter_mut().zip(&counters.classes);
        for (sum, counter) in pairs.chain(self.caches.iter_mut().zip(&counters.caches)) {
            *sum += counter.load(Relaxed);
        }
        self.origin_requests += counters.origin_requests.load(Relaxed);
        self.origin_errors += counters.origin_errors.load(Relaxed);
        self.body_bytes += counters.body_bytes.load(Relaxed);
    }
}

impl Exposition {
    pub(crate) fn new(
        workers: Vec<Arc<Counters>>,
        measure: impl Fn() -> Measured + Send + Sync + 'static,
    ) -> Self {
        Self {
            workers,
            measure: Box::new(measure),
        }
    }

    fn sum(&self, of: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        self.workers.iter().map(|worker| of(worker).load(Relaxed)).sum()
    }

    fn sums<const N: usize>(&self, of: impl Fn(&Counters) -> &[AtomicU64; N]) -> [u64; N] {
        let mut sums = [0; N];
        for worker in &self.workers {
            for (sum, counter) in sums.iter_mut().zip(of(worker)) {
                *sum += counter.load(Relaxed);
            }
        }
        sums
    }

    fn by_site(&self, configured: &HashSet<SiteId>) -> BTreeMap<String, SiteSums> {
        let mut sites: BTreeMap<String, SiteSums> = BTreeMap::new();
        for worker in &self.workers {
            worker.retain_sites(|id| configured.contains(id));
            worker.for_each_site(|id, counters| sites.entry(id.to_string()).or_default().add(counters));
            // Requests of no site: an unknown host, or a head that names none.
            sites.entry(String::new()).or_default().add(&worker.unknown_site);
        }
        sites
    }

    fn encode_sites(&self, out: &mut Out<'_>, configured: &HashSet<SiteId>) -> fmt::Result {
        let sites = self.by_site(configured);
        let by = |label: &'static str, values: &'static [&'static str], of: fn(&SiteSums) -> &[u64]| {
            let mut lines = Vec::new();
            for (site, sums) in &sites {
                for (value, sum) in values.iter().zip(of(sums)).filter(|(_, sum)| **sum > 0) {
                    lines.push(([("site", site.as_str()), (label, *value)], *sum));
                }
            }
            lines
        };
        let plain = |of: fn(&SiteSums) -> u64| {
            sites
                .iter()
                .map(|(site, sums)| ([("site", site.as_str())], of(sums)))
                .collect::<Vec<_>>()
        };
        let classes = by("class", &CLASSES, |sums| &sums.classes);
        let caches = by("cache", &CACHES, |sums| &sums.caches);
        out.counters(
            "breakwater_requests",
            "Requests by site and class of status; none: not answered",
            &classes,
        )?;
        out.counters(
            "breakwater_cache_requests",
            "Requests by site and what the cache did (RFC 9211)",
            &caches,
        )?;
        out.counters(
            "breakwater_body_bytes",
            "Bytes of bodies sent to visitors",
            &plain(|s| s.body_bytes),
        )?;
        out.counters(
            "breakwater_origin_requests",
            "Requests to origins",
            &plain(|s| s.origin_requests),
        )?;
        let errors = plain(|s| s.origin_errors);
        out.counters(
            "breakwater_origin_errors",
            "Requests that ended because of the origin",
            &errors,
        )
    }

    fn encode_durations(&self, out: &mut Out<'_>) -> fmt::Result {
        let counts = self.sums(|worker| &worker.durations);
        #[allow(clippy::cast_precision_loss)] // microseconds: exact for 285 years
        let secs = |us: u64| us as f64 / 1e6;
        let bounds = BUCKETS_US.iter().map(|us| secs(*us)).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let mut encoder = out.0.encode_descriptor(
            "breakwater_request_duration_seconds",
            "From the complete head to the end of the answer",
            None,
            MetricType::Histogram,
        )?;
        let sum = secs(self.sum(|worker| &worker.duration_us));
        encoder.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
    }
}

/// What was purged since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct PurgeMetrics {
    /// By kind.
    pub(crate) targets: Vec<(&'static str, u64)>,
    pub(crate) failed: u64,
    pub(crate) entries_dropped: u64,
    pub(crate) count: u64,
    pub(crate) sum_us: u64,
    /// Upper bound and count; the last has none.
    pub(crate) latencies: Vec<(Option<u64>, u64)>,
}

fn encode_purges(out: &mut Out<'_>, purges: &PurgeMetrics) -> fmt::Result {
    let targets: Vec<_> = purges
        .targets
        .iter()
        .map(|(kind, n)| ([("kind", *kind)], *n))
        .collect();
    out.counters("breakwater_purge_targets", "What purges named, by kind", &targets)?;
    out.counter(
        "breakwater_purges_failed",
        "Purges that were not acknowledged, because they couldn't be written to the node's disk",
        purges.failed,
    )?;
    out.counter(
        "breakwater_purge_entries_dropped",
        "Stored answers that were purged and whose memory was freed",
        purges.entries_dropped,
    )?;
    #[allow(clippy::cast_precision_loss)] // microseconds: exact for 285 years
    let secs = |us: u64| us as f64 / 1e6;
    let buckets: Vec<(f64, u64)> = purges
        .latencies
        .iter()
        .map(|(bound, n)| (bound.map_or(f64::INFINITY, secs), *n))
        .collect();
    let mut encoder = out.0.encode_descriptor(
        "breakwater_purge_duration_seconds",
        "From a purge's request to its acknowledgement",
        None,
        MetricType::Histogram,
    )?;
    encoder.encode_histogram::<NoLabelSet>(secs(purges.sum_us), purges.count, &buckets, None)
}

/// Writes families of constants.
pub(super) struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    pub(super) fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        lines: &[(L, u64)],
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in lines {
            ConstCounter::new(*value).encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    pub(super) fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        lines: &[(L, usize)],
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in lines {
            let value = i64::try_from(*value).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }
}

impl Collector for Exposition {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        let Measured {
            gauges,
            counters,
            sites,
            origins,
            purges,
            ready,
        } = (self.measure)();
        self.encode_sites(&mut out, &sites)?;
        self.encode_durations(&mut out)?;
        self.encode_requests(&mut out)?;
        origins::encode(&mut out, &origins)?;
        encode_purges(&mut out, &purges)?;
        self.encode_connections(&mut out)?;
        out.gauge(
            "breakwater_ready",
            "1 when configuration is complete and it listens",
            i64::from(ready),
        )?;
        for (name, help, value) in gauges {
            out.gauge(name, help, value)?;
        }
        for (name, help, value) in counters {
            out.counter(name, help, value)?;
        }
        Ok(())
    }
}

impl Exposition {
    fn encode_requests(&self, out: &mut Out<'_>) -> fmt::Result {
        let mut reasons = vec![0; Reason::ALL.len()];
        for worker in &self.workers {
            for (sum, counter) in reasons.iter_mut().zip(&worker.reasons) {
                *sum += counter.load(Relaxed);
            }
        }
        let reasons: Vec<_> = Reason::ALL
            .iter()
            .zip(reasons)
            .map(|(reason, n)| ([("reason", reason.as_str())], n))
            .collect();
        out.counters(
            "breakwater_requests_by_reason",
            "Requests that ended early, by reason",
            &reasons,
        )?;
        let protocols = self.sums(|worker| &worker.protocols);
        let protocols: Vec<_> = ["h1", "h2"]
            .into_iter()
            .zip(protocols)
            .map(|(p, n)| ([("protocol", p)], n))
            .collect();
        out.counters(
            "breakwater_requests_by_protocol",
            "Requests by protocol",
            &protocols,
        )
    }

    fn encode_connections(&self, out: &mut Out<'_>) -> fmt::Result {
        let ends = self.sums(|worker| &worker.ends);
        let accepted = self.sum(|worker| &worker.accepted);
        let open = accepted.saturating_sub(ends.iter().sum());
        let ends: Vec<_> = ConnectionEnd::ALL
            .iter()
            .zip(ends)
            .map(|((_, how), n)| ([("how", *how)], n))
            .collect();
        out.counter(
            "breakwater_connections_accepted",
            "Connections accepted",
            accepted,
        )?;
        out.counters("breakwater_connections_ended", "Connections ended, by how", &ends)?;
        out.gauge(
            "breakwater_connections",
            "Open connections",
            i64::try_from(open).unwrap_or(i64::MAX),
        )?;
        let errors = self.sum(|worker| &worker.accept_errors);
        out.counter(
            "breakwater_accept_errors",
            "Failures to accept, for want of descriptors above all",
            errors,
        )?;
        let handshakes = self.sums(|worker| &worker.handshakes);
        let handshakes: Vec<_> = Handshake::ALL
            .iter()
            .zip(handshakes)
            .map(|((_, how), n)| ([("how", *how)], n))
            .collect();
        out.counters(
            "breakwater_tls_handshakes",
            "TLS handshakes, by how they ended",
            &handshakes,
        )?;
        let (bytes_in, bytes_out) = (self.sum(|w| &w.bytes_in), self.sum(|w| &w.bytes_out));
        out.counter(
            "breakwater_received_bytes",
            "Bytes received on ended connections",
            bytes_in,
        )?;
        out.counter(
            "breakwater_sent_bytes",
            "Bytes sent on ended connections",
            bytes_out,
        )?;
        let warmed: Vec<_> = Warmed::ALL
            .iter()
            .zip(self.sums(|worker| &worker.warmed))
            .map(|((_, what), n)| ([("result", *what)], n))
            .collect();
        out.counters(
            "breakwater_prewarm_requests",
            "Requests that fetch what policies list before a visitor asks, by what came of them",
            &warmed,
        )?;
        let dropped = self.sum(|worker| &worker.log_dropped);
        out.counter(
            "breakwater_log_lines_dropped",
            "Access log lines that nobody took in time",
            dropped,
        )
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn workers_are_summed_and_sites_that_are_gone_are_forgotten() {
        let site = |name: &str| SiteId {
            home: "eu".to_owned(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        };
        let workers = vec![Arc::new(Counters::default()), Arc::new(Counters::default())];
        for worker in &workers {
            worker.site(&site("a")).request(200, None, 10);
            worker.site(&site("gone")).request(200, None, 10);
            worker.accepted();
        }
        workers[0].ended(ConnectionEnd::Idle, (3, 4));
        let measure = move || Measured {
            sites: HashSet::from([site("a")]),
            ready: true,
            ..Measured::default()
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Exposition::new(workers, measure)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(
            text.contains("breakwater_requests_total{site=\"eu/shop/a\",class=\"2xx\"} 2\n"),
            "{text}"
        );
        assert!(!text.contains("eu/shop/gone"), "{text}");
        assert!(text.contains("breakwater_connections 1\n"), "{text}");
        assert!(
            text.contains("breakwater_connections_ended_total{how=\"idle\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("breakwater_ready 1\n"), "{text}");
        assert!(
            text.contains("breakwater_request_duration_seconds_bucket{le=\"+Inf\"} 0\n"),
            "{text}"
        );
    }
}

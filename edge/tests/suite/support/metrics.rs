//! What an edge tells of itself.

use std::time::{Duration, Instant};

use breakwater_edge::{Edge, EdgeOptions};

use super::PATIENCE;
use super::client::Raw;

/// Options for an edge whose metrics are asked.
pub(crate) fn measured(options: EdgeOptions) -> EdgeOptions {
    EdgeOptions {
        admin: Some("127.0.0.1:0".parse().unwrap()),
        ..options
    }
}

/// The metrics of an edge.
pub(crate) struct Metrics(Raw);

impl Metrics {
    /// The edge must be [`measured`].
    pub(crate) async fn of(edge: &Edge) -> Self {
        Self(Raw::connect(edge.addresses().admin.unwrap()).await)
    }

    /// The sum of the samples whose line begins with `name` and holds each of `labels`.
    pub(crate) async fn value(&mut self, name: &str, labels: &[&str]) -> u64 {
        let text = String::from_utf8(self.0.get("admin", "/metrics").await.body).unwrap();
        let fits = |line: &&str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
        let values = text.lines().filter(fits).map(|line| {
            let value = line.rsplit(' ').next().unwrap();
            value.parse::<f64>().unwrap()
        });
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "tests count to a few thousand"
        )]
        let sum = values.sum::<f64>() as u64;
        sum
    }

    /// Waits until the sum is no less.
    pub(crate) async fn until_more(&mut self, name: &str, least: u64) {
        let start = Instant::now();
        while self.value(name, &[]).await < least {
            assert!(start.elapsed() < PATIENCE, "{name} stays below {least}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until the sum is `wanted`.
    pub(crate) async fn until(&mut self, name: &str, labels: &[&str], wanted: u64) {
        let start = Instant::now();
        loop {
            let value = self.value(name, labels).await;
            if value == wanted {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{name} {labels:?} is {value}, not {wanted}"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until as many connections to origins are idle.
    pub(crate) async fn until_idle(&mut self, connections: u64) {
        self.until("breakwater_origin_connections", &["state=\"idle\""], connections)
            .await;
    }
}

use std::time::Duration;

use breakwater_crds::EdgeRegion;
use kube::api::{ListParams, PartialObjectMeta};
use kube::{Api, Client};
use tokio::sync::mpsc;

/// How often the store's version is asked for.
const EVERY: Duration = Duration::from_secs(3);

/// Asks for the store's version again and again and tells `out` each one.
///
/// Versions only grow, until a store is restored from an older copy. A watch that resumes from a version of
/// the lost future is accepted, and silently leaves out what happens until that version comes again; so
/// somebody has to compare.
pub(super) async fn versions(client: Client, out: mpsc::Sender<u64>) {
    let api = Api::<PartialObjectMeta<EdgeRegion>>::all(client);
    let one = ListParams::default().limit(1);
    loop {
        // A list that names no version is answered from the newest state of the store.
        let answer = tokio::time::timeout(EVERY, api.list(&one)).await;
        if let Ok(Ok(list)) = answer
            && let Some(version) = list.metadata.resource_version.and_then(|v| v.parse().ok())
            && out.send(version).await.is_err()
        {
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Notices that versions went backwards.
#[derive(Debug, Default)]
pub(super) struct Highest(u64);

impl Highest {
    /// Takes a version in; true when it is lower than one before, which is then forgotten.
    pub(super) fn went_back(&mut self, version: u64) -> bool {
        let back = version < self.0;
        self.0 = version;
        back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_version_is_told_once() {
        let mut highest = Highest::default();
        let told: Vec<bool> = [5, 5, 9, 3, 3, 4]
            .into_iter()
            .map(|v| highest.went_back(v))
            .collect();
        assert_eq!(told, [false, false, false, true, false, false]);
    }
}

//! A site as the cache sees it: whose an entry is, and the last purge that its entries must have outlived.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// A site, by its UID. Got from [`Cache::site`](crate::Cache::site) once when a configuration is compiled,
/// and kept with it.
///
/// Every holder of the same UID has the same object, as long as anything of the site is alive: a
/// configuration, an entry, a fill. So a purge is never forgotten while something older than it exists.
pub struct Site {
    uid: Box<[u8]>,
    purge: AtomicU64,
}

impl Site {
    /// The UID of the object that the site was made from.
    pub fn uid(&self) -> &[u8] {
        &self.uid
    }

    /// The site's last purge. What was asked of an origin when it was lower must not be used.
    pub fn purge_seq(&self) -> u64 {
        self.purge.load(Ordering::Acquire)
    }

    /// Raises the sequence: everything asked of the origin before this call is out.
    pub(crate) fn next_purge(&self) -> u64 {
        self.purge.fetch_add(1, Ordering::AcqRel) + 1
    }

    #[cfg(test)]
    pub(crate) fn detached(uid: &[u8]) -> Self {
        Self {
            uid: uid.into(),
            purge: AtomicU64::new(0),
        }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Site({})", String::from_utf8_lossy(&self.uid))
    }
}

/// Sites by UID. Holds none alive.
#[derive(Default)]
pub(crate) struct Sites {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_uid: HashMap<Box<[u8]>, Weak<Site>>,
    /// The dead are cleared when there are this many, so that clearing costs a constant for each new site.
    clear_at: usize,
}

impl Sites {
    pub(crate) fn get(&self, uid: &[u8]) -> Arc<Site> {
        let mut known = self.known.lock();
        if let Some(site) = known.by_uid.get(uid).and_then(Weak::upgrade) {
            return site;
        }
        if known.by_uid.len() >= known.clear_at {
            known.by_uid.retain(|_, site| site.strong_count() > 0);
            known.clear_at = known.by_uid.len() * 2;
        }
        let site = Arc::new(Site {
            uid: uid.into(),
            purge: AtomicU64::new(0),
        });
        known.by_uid.insert(uid.into(), Arc::downgrade(&site));
        site
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_is_remembered_while_anything_of_the_site_lives() {
        let sites = Sites::default();
        let configured = sites.get(b"a");
        configured.next_purge();
        let of_an_entry = Arc::clone(&configured);
        drop(configured);
        assert_eq!(sites.get(b"a").purge_seq(), 1);
        drop(of_an_entry);
        assert_eq!(sites.get(b"b").purge_seq(), 0);
        assert_eq!(sites.known.lock().by_uid.len(), 1);
    }
}

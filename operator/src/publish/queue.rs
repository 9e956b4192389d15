use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::backoff;

/// What is written first when not everything can be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// What traffic depends on.
    Traffic,
    /// What can wait: rewriting in another form what means the same.
    Paced,
    /// What people are told.
    Status,
}

/// How much of a lane may happen.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// At a time.
    pub in_flight: usize,
    /// A second, on average.
    pub per_second: f64,
    /// At once, after a quiet time.
    pub burst: f64,
}

/// What is to be written, each thing once: it says what may be begun now and when to ask again. What is
/// written is decided when it is begun, so that only the newest is.
#[derive(Debug)]
pub struct Queue<K> {
    waiting: BTreeMap<Lane, BTreeMap<u64, K>>,
    /// Position in `waiting`.
    places: HashMap<K, (Lane, u64)>,
    delayed: BTreeMap<(Instant, u64), (Lane, K)>,
    delays: HashMap<K, (Instant, u64)>,
    in_flight: HashMap<K, Lane>,
    /// Marked while in flight: to be done again.
    again: HashMap<K, Lane>,
    failures: HashMap<K, u32>,
    lanes: HashMap<Lane, Bucket>,
    next: u64,
}

#[derive(Debug)]
struct Bucket {
    limit: Limit,
    tokens: f64,
    filled: Instant,
    in_flight: usize,
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.limit.per_second).min(self.limit.burst);
        self.filled = now;
    }

    fn has_room(&self) -> bool {
        self.in_flight < self.limit.in_flight && self.tokens >= 1.0
    }

    /// When a token is there again; `None`: it is, or something in flight must end first.
    fn refill_at(&self) -> Option<Instant> {
        let missing = 1.0 - self.tokens;
        (self.in_flight < self.limit.in_flight && missing > 0.0)
            .then(|| self.filled + Duration::from_secs_f64(missing / self.limit.per_second))
    }
}

impl<K: Clone + Ord + Hash> Queue<K> {
    /// An empty queue; lanes that aren't named have no limit of their own.
    pub fn new(limits: impl IntoIterator<Item = (Lane, Limit)>, now: Instant) -> Self {
        let bucket = |limit: Limit| Bucket {
            limit,
            tokens: limit.burst,
            filled: now,
            in_flight: 0,
        };
        Self {
            waiting: BTreeMap::new(),
            places: HashMap::new(),
            delayed: BTreeMap::new(),
            delays: HashMap::new(),
            in_flight: HashMap::new(),
            again: HashMap::new(),
            failures: HashMap::new(),
            lanes: limits
                .into_iter()
                .map(|(lane, limit)| (lane, bucket(limit)))
                .collect(),
            next: 0,
        }
    }

    /// Something is to be written. If it waits already, it keeps its place; a pause after a failure stays, a
    /// postponement ends.
    pub fn mark(&mut self, key: K, lane: Lane) {
        if self.in_flight.contains_key(&key) {
            let again = self.again.entry(key).or_insert(lane);
            *again = lane.min(*again);
            return;
        }
        let Some(at) = self.delays.get(&key).copied() else {
            self.enqueue(key, lane);
            return;
        };
        if self.failures.contains_key(&key) {
            if let Some((delayed, _)) = self.delayed.get_mut(&at) {
                *delayed = lane.min(*delayed);
            }
        } else {
            self.delays.remove(&key);
            let before = self.delayed.remove(&at).map_or(lane, |(before, _)| before);
            self.enqueue(key, lane.min(before));
        }
    }

    fn enqueue(&mut self, key: K, lane: Lane) {
        if let Some(place) = self.places.get(&key).copied() {
            if place.0 <= lane {
                return;
            }
            self.unqueue(place);
        }
        self.next += 1;
        self.places.insert(key.clone(), (lane, self.next));
        self.waiting.entry(lane).or_default().insert(self.next, key);
    }

    /// What may be begun now; it counts as in flight until [`Queue::done`].
    pub fn take(&mut self, now: Instant) -> Option<K> {
        while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
            let (lane, key) = entry.remove();
            self.delays.remove(&key);
            self.enqueue(key, lane);
        }
        for bucket in self.lanes.values_mut() {
            bucket.fill(now);
        }
        let place = self.first_with_room()?;
        let key = self.unqueue(place)?;
        let (lane, _) = place;
        self.places.remove(&key);
        if let Some(bucket) = self.lanes.get_mut(&lane) {
            bucket.tokens -= 1.0;
            bucket.in_flight += 1;
        }
        self.in_flight.insert(key.clone(), lane);
        Some(key)
    }

    fn first_with_room(&self) -> Option<(Lane, u64)> {
        let has_room = |lane: &Lane| self.lanes.get(lane).is_none_or(Bucket::has_room);
        let (lane, keys) = self
            .waiting
            .iter()
            .find(|(lane, keys)| !keys.is_empty() && has_room(lane))?;
        keys.keys().next().map(|place| (*lane, *place))
    }

    fn unqueue(&mut self, (lane, place): (Lane, u64)) -> Option<K> {
        self.waiting.get_mut(&lane)?.remove(&place)
    }

    /// What was begun has ended; `failed`: it is tried again after a pause that `random` (0..1) spreads.
    pub fn done(&mut self, key: &K, failed: bool, now: Instant, random: f64) {
        let Some(lane) = self.in_flight.remove(key) else {
            return;
        };
        if let Some(bucket) = self.lanes.get_mut(&lane) {
            bucket.in_flight = bucket.in_flight.saturating_sub(1);
        }
        let again = self.again.remove(key);
        if failed {
            let failures = self.failures.entry(key.clone()).or_insert(0);
            *failures += 1;
            let at = now + backoff::pause(*failures, random);
            self.delay(key, again.unwrap_or(lane).min(lane), at);
        } else {
            self.failures.remove(key);
            if let Some(lane) = again {
                self.enqueue(key.clone(), lane);
            }
        }
    }

    /// What was begun turned out to be too early: it is given again at `at`.
    pub fn postpone(&mut self, key: &K, at: Instant) {
        let Some(lane) = self.in_flight.remove(key) else {
            return;
        };
        if let Some(bucket) = self.lanes.get_mut(&lane) {
            bucket.in_flight = bucket.in_flight.saturating_sub(1);
            bucket.tokens += 1.0;
        }
        let lane = self.again.remove(key).map_or(lane, |again| again.min(lane));
        self.delay(key, lane, at);
    }

    fn delay(&mut self, key: &K, lane: Lane, at: Instant) {
        let at = (at, self.next);
        self.next += 1;
        self.delayed.insert(at, (lane, key.clone()));
        self.delays.insert(key.clone(), at);
    }

    /// When [`Queue::take`] may give something that it doesn't give now, if nothing else happens.
    pub fn wake_at(&self) -> Option<Instant> {
        let delayed = self.delayed.first_key_value().map(|((at, _), _)| *at);
        let refills = self
            .lanes
            .iter()
            .filter(|(lane, _)| self.waiting.get(lane).is_some_and(|keys| !keys.is_empty()))
            .filter_map(|(_, bucket)| bucket.refill_at());
        delayed.into_iter().chain(refills).min()
    }

    /// How many are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// How many wait, those that wait for another try included.
    pub fn len(&self) -> usize {
        self.waiting.values().map(BTreeMap::len).sum::<usize>() + self.delayed.len()
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(now: Instant, status_per_second: f64) -> Queue<&'static str> {
        let limit = |in_flight, per_second, burst| Limit {
            in_flight,
            per_second,
            burst,
        };
        Queue::new(
            [
                (Lane::Traffic, limit(2, 1e6, 1e6)),
                (Lane::Status, limit(1, status_per_second, 1.0)),
            ],
            now,
        )
    }

    #[test]
    fn traffic_goes_before_statuses_and_each_lane_keeps_its_limit() {
        let now = Instant::now();
        let mut queue = queue(now, 10.0);
        queue.mark("status-1", Lane::Status);
        queue.mark("status-2", Lane::Status);
        for key in ["a", "b", "c"] {
            queue.mark(key, Lane::Traffic);
        }
        let taken: Vec<_> = std::iter::from_fn(|| queue.take(now)).collect();
        assert_eq!(taken, ["a", "b", "status-1"]);
        queue.done(&"a", false, now, 0.5);
        queue.done(&"status-1", false, now, 0.5);
        assert_eq!(queue.take(now), Some("c"));
        assert_eq!(queue.take(now), None, "one status in 100 ms");
        let wake = queue.wake_at().unwrap();
        assert_eq!(queue.take(wake + Duration::from_millis(1)), Some("status-2"));
    }

    #[test]
    fn what_changes_while_it_is_written_is_written_once_more() {
        let now = Instant::now();
        let mut queue = queue(now, 10.0);
        queue.mark("a", Lane::Traffic);
        assert_eq!(queue.take(now), Some("a"));
        queue.mark("a", Lane::Traffic);
        queue.mark("a", Lane::Traffic);
        assert_eq!(queue.take(now), None);
        queue.done(&"a", false, now, 0.5);
        assert_eq!(queue.take(now), Some("a"));
        queue.done(&"a", false, now, 0.5);
        assert!(queue.take(now).is_none() && queue.is_empty() && queue.in_flight() == 0);
    }

    #[test]
    fn what_was_postponed_comes_at_its_time_or_when_something_changes() {
        let now = Instant::now();
        let mut queue = queue(now, 10.0);
        queue.mark("a", Lane::Status);
        assert_eq!(queue.take(now), Some("a"));
        queue.postpone(&"a", now + Duration::from_secs(1));
        assert_eq!(queue.take(now), None);
        queue.mark("a", Lane::Status);
        assert_eq!(queue.take(now), Some("a"));
        queue.postpone(&"a", now + Duration::from_secs(1));
        assert_eq!(queue.take(now + Duration::from_secs(1)), Some("a"));
    }

    #[test]
    fn a_failure_is_tried_again_after_a_growing_pause_whoever_asks_meanwhile() {
        let now = Instant::now();
        let mut queue = queue(now, 10.0);
        queue.mark("a", Lane::Traffic);
        queue.take(now);
        queue.done(&"a", true, now, 0.5);
        queue.mark("a", Lane::Traffic);
        assert_eq!(queue.take(now + Duration::from_millis(199)), None);
        let second = now + Duration::from_millis(200);
        assert_eq!(queue.take(second), Some("a"));
        queue.done(&"a", true, second, 0.5);
        assert_eq!(queue.wake_at(), Some(second + Duration::from_millis(400)));
        assert_eq!(queue.take(second + Duration::from_millis(400)), Some("a"));
        queue.done(&"a", false, second, 0.5);
        assert!(queue.is_empty());
    }
}

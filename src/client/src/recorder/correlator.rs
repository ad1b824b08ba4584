//! What becomes of a new event: create it, count up an earlier one, or drop it as spam (client-go's EventCorrelator).
//!
//! Takes events with their time from the recorder, hands back what to write. Pure; forgets the least recently used
//! beyond [`REMEMBERED`] entries.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Event, apimachinery::pkg::apis::meta::v1::Time};

/// Entries kept of each kind of memory, as upstream. A component that reports on more objects within minutes than this
/// merely counts up less.
const REMEMBERED: usize = 4096;
/// So many events that differ only in their message within the interval are combined.
const MAX_SIMILAR: usize = 10;
const SIMILAR_INTERVAL_SECONDS: i64 = 600;
/// Events about one object that pass at once, and seconds until one more may.
const SPAM_BURST: f64 = 25.0;
const SPAM_REFILL_SECONDS: f64 = 300.0;

/// What is to be written.
#[derive(Debug)]
pub(super) enum Write {
    /// A new event.
    Create(Event),
    /// The event of that name again: its count, time and message are new.
    Update(Event),
}

#[derive(Debug, Default)]
pub(super) struct Correlator {
    similar: Recent<Vec<String>, Similar>,
    written: Recent<Vec<String>, Written>,
    buckets: Recent<Vec<String>, Bucket>,
}

#[derive(Debug, Default)]
struct Similar {
    messages: HashSet<String>,
    last: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Written {
    name: Option<String>,
    count: i32,
    first: Option<Time>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    refilled: Timestamp,
}

impl Correlator {
    /// Decides about `event`, which happened at `now`; `None` if it is one too many.
    pub(super) fn correlate(&mut self, event: Event, now: Timestamp) -> Option<Write> {
        let spam_key = spam_key(&event);
        let (event, key) = self.aggregate(event, now);
        let write = self.observe(event, key);
        self.admit(spam_key, now).then_some(write)
    }

    /// Replaces the message where too many different ones came; the key then no longer holds the message.
    fn aggregate(&mut self, mut event: Event, now: Timestamp) -> (Event, Vec<String>) {
        let mut key = spam_key(&event);
        key.push(event.reason.clone().unwrap_or_default());
        let message = event.message.clone().unwrap_or_default();
        let similar = self.similar.entry(key.clone());
        let fresh =
            similar.last.is_some_and(|last| now.as_second() - last.as_second() <= SIMILAR_INTERVAL_SECONDS);
        if !fresh {
            similar.messages.clear();
        }
        similar.last = Some(now);
        if similar.messages.len() + 1 >= MAX_SIMILAR && !similar.messages.contains(&message) {
            event.message = Some(format!("(combined from similar events): {message}"));
            return (event, key);
        }
        similar.messages.insert(message.clone());
        key.push(event.involved_object.field_path.clone().unwrap_or_default());
        key.push(message);
        (event, key)
    }

    /// Counts up what was written before under the same key.
    fn observe(&mut self, mut event: Event, key: Vec<String>) -> Write {
        let earlier = self.written.get(&key).cloned();
        if let Some(earlier) = &earlier {
            event.metadata.name = earlier.name.clone();
            event.first_timestamp = earlier.first.clone();
            event.count = Some(earlier.count + 1);
        }
        let written = Written {
            name: event.metadata.name.clone(),
            count: event.count.unwrap_or(1),
            first: event.first_timestamp.clone(),
        };
        self.written.put(key, written);
        match earlier {
            Some(_) => Write::Update(event),
            None => Write::Create(event),
        }
    }

    fn admit(&mut self, key: Vec<String>, now: Timestamp) -> bool {
        let new = Bucket { tokens: SPAM_BURST, refilled: now };
        let bucket = self.buckets.entry_or(key, new);
        let elapsed = (now.as_second() - bucket.refilled.as_second()).max(0) as f64;
        bucket.tokens = (bucket.tokens + elapsed / SPAM_REFILL_SECONDS).min(SPAM_BURST);
        bucket.refilled = now;
        let admitted = bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        admitted
    }
}

/// What two events have in common that one source reports about one object.
fn spam_key(event: &Event) -> Vec<String> {
    let about = &event.involved_object;
    let source = event.source.as_ref();
    [
        source.and_then(|source| source.component.clone()),
        source.and_then(|source| source.host.clone()),
        about.kind.clone(),
        about.namespace.clone(),
        about.name.clone(),
        about.uid.clone(),
        about.api_version.clone(),
        event.type_.clone(),
    ]
    .into_iter()
    .map(Option::unwrap_or_default)
    .collect()
}

/// A map that forgets what was not used for longest once it holds too much.
#[derive(Debug)]
struct Recent<K, V> {
    entries: HashMap<K, (u64, V)>,
    clock: u64,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), clock: 0 }
    }
}

impl<K: Eq + Hash + Clone, V> Recent<K, V> {
    fn get(&mut self, key: &K) -> Option<&V> {
        self.clock += 1;
        let (used, value) = self.entries.get_mut(key)?;
        *used = self.clock;
        Some(value)
    }

    fn put(&mut self, key: K, value: V) {
        self.clock += 1;
        self.make_room(&key);
        self.entries.insert(key, (self.clock, value));
    }

    fn entry_or(&mut self, key: K, new: V) -> &mut V {
        self.clock += 1;
        self.make_room(&key);
        let (used, value) = self.entries.entry(key).or_insert((self.clock, new));
        *used = self.clock;
        value
    }

    fn entry(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.entry_or(key, V::default())
    }

    /// Forgets the older half at once, so that the search for it costs little per entry.
    fn make_room(&mut self, key: &K) {
        if self.entries.len() < REMEMBERED || self.entries.contains_key(key) {
            return;
        }
        let mut used: Vec<u64> = self.entries.values().map(|(used, _)| *used).collect();
        used.sort_unstable();
        let median = used[used.len() / 2];
        self.entries.retain(|_, (used, _)| *used >= median);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{EventSource, ObjectReference};

    use super::*;
    use crate::recorder::{EventType, new_event};

    /// Reports `messages` one second apart and compares what is written: `new`, `count n` or `dropped`, and the message.
    fn check(messages: &[&str], expected: &[&str]) {
        let mut correlator = Correlator::default();
        let about = ObjectReference { name: Some("pod".into()), ..ObjectReference::default() };
        let written: Vec<String> = messages
            .iter()
            .enumerate()
            .map(|(second, message)| {
                let now = Timestamp::from_second(1_000_000 + second as i64).unwrap();
                let source = EventSource::default();
                let event = new_event(&source, &about, EventType::Normal, "Reason", (*message).into(), now);
                match correlator.correlate(event, now) {
                    Some(Write::Create(event)) => format!("new {}", event.message.unwrap()),
                    Some(Write::Update(event)) => {
                        format!("count {} {}", event.count.unwrap(), event.message.unwrap())
                    }
                    None => "dropped".into(),
                }
            })
            .collect();
        assert_eq!(written, expected);
    }

    #[test]
    fn the_same_report_counts_up_one_event() {
        check(&["a", "b", "a", "a"], &["new a", "new b", "count 2 a", "count 3 a"]);
    }

    #[test]
    fn from_the_tenth_different_message_on_they_are_combined() {
        let messages = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];
        let mut expected: Vec<String> = (0..9).map(|n| format!("new {n}")).collect();
        expected.push("new (combined from similar events): 9".into());
        expected.push("count 2 (combined from similar events): 10".into());
        check(&messages, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn the_twenty_sixth_report_about_an_object_is_dropped() {
        let mut expected: Vec<String> = (2..=25).map(|n| format!("count {n} a")).collect();
        expected.insert(0, "new a".into());
        expected.push("dropped".into());
        check(&["a"; 26], &expected.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

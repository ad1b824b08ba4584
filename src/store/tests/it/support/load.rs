//! The load of processes that are going to be killed, and what is known of it afterwards.
//!
//! In the process, [`Load::run`] writes a few keys that all share, and watches; it prints, line by line, what it asks, is
//! told and sees. In the test that kills it, those lines become a transcript, and what the store holds in the end becomes
//! the log that `testing::history` holds the transcripts against.

use rand::Rng;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use store::*;
use testing::history::{Call, Change, Kind, Log, Recorder, Requires, Said, Told, Transcript};

use super::{all, bytes, key, value};

/// Few enough for writers to meet each other.
const KEYS: usize = 12;
const VARIABLE: &str = "COXSWAIN_STORE_LOAD";

/// What one process does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// The number of its first call; no two processes of a test have numbers in common.
    pub(crate) first: u64,
    pub(crate) writers: usize,
    /// The least and the largest size of a value.
    pub(crate) bytes: (usize, usize),
    /// Between two writes of one writer.
    pub(crate) pause: Duration,
}

impl Load {
    /// Of the process of that number, counted from 0.
    pub(crate) fn of(process: usize, writers: usize) -> Self {
        Self { first: (process as u64 + 1) << 32, writers, bytes: (8, 100), pause: Duration::ZERO }
    }

    /// Tells it to a process that is to be started.
    pub(crate) fn tell(&self, command: &mut Command) {
        let (least, most) = self.bytes;
        let pause_ms = self.pause.as_millis();
        command.env(VARIABLE, format!("{} {} {least} {most} {pause_ms}", self.first, self.writers));
    }

    /// What this process was told.
    pub(crate) fn told() -> Self {
        let told = std::env::var(VARIABLE).unwrap();
        let numbers: Vec<u64> = told.split(' ').map(|number| number.parse().unwrap()).collect();
        let [first, writers, least, most, pause_ms] = numbers[..] else { panic!("{told}") };
        let size = |number| usize::try_from(number).unwrap();
        Self {
            first,
            writers: size(writers),
            bytes: (size(least), size(most)),
            pause: Duration::from_millis(pause_ms),
        }
    }

    /// Writes and watches until the process is killed.
    pub(crate) async fn run(self, store: Store) {
        let after = store.revision();
        let recorder = Arc::new(Recorder::new(self.first, after));
        for _ in 0..self.writers {
            tokio::spawn(self.write(store.clone(), recorder.clone()));
        }
        watch(&store, after).await;
    }

    async fn write(self, store: Store, recorder: Arc<Recorder>) {
        loop {
            let (name, number) = (any_name(), rand::rng().random_range(0..10));
            let known = store.get(&key(&name)).map_or(7, |entry| entry.revision);
            let (precondition, requires) = match number {
                0..4 => (Precondition::Any, Requires::Nothing),
                4 => (Precondition::Absent, Requires::Absent),
                5..7 => (Precondition::Present, Requires::Present),
                _ => (Precondition::Revision(known), Requires::At(known)),
            };
            let deletes = number == 5 || number == 9;
            let call = recorder.ask(&name, requires, deletes);
            println!("{}", Transcript::call(&call));
            let size = rand::rng().random_range(self.bytes.0..=self.bytes.1);
            let content = content(call.write, size);
            let order = if deletes { Write::Delete(content) } else { Write::Put(content) };
            let outcome = store.commit(key(&name), precondition, order).await;
            let call = recorder.answer(call, said(&outcome));
            println!("{}", Transcript::call(&call));
            if outcome.is_ok() {
                println!("ack {}", if store.orders_writes() { "owner" } else { "follower" });
            }
            tokio::time::sleep(self.pause).await;
        }
    }
}

fn any_name() -> String {
    format!("k{}", rand::rng().random_range(0..KEYS))
}

/// Tells which write it is of, and is as large as wanted.
pub(crate) fn content(write: u64, size: usize) -> Value {
    value(&text(write, size))
}

fn text(write: u64, size: usize) -> String {
    format!("{write}:{size}:{}", "x".repeat(size))
}

/// The write that a version tells, which is all there, with its revision.
fn write_of(entry: &Entry) -> u64 {
    let (write, size) = identity(&entry.bytes).expect("it begins with the write that it is of and its size");
    let expected = bytes(&text(write, size), entry.revision);
    assert!(entry.bytes == expected, "write {write} is not what was written, at revision {}", entry.revision);
    write
}

fn identity(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut parts = std::str::from_utf8(bytes).ok()?.strip_prefix("{\"v\":\"")?.split(':');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

pub(crate) fn said(outcome: &Result<Committed, CommitError>) -> Said {
    match outcome {
        Ok(committed) => Said::Done(committed.entry.revision),
        Err(CommitError::Exists(met) | CommitError::Conflict(met)) => Said::Refused(Some(met.revision)),
        Err(CommitError::Missing) => Said::Refused(None),
        Err(CommitError::Unknown(_)) => Said::Unknown,
        Err(_) => Said::NotDone,
    }
}

/// The events between two revisions; where an engine took too long to tell of them, the watch is resumed.
pub(crate) async fn take_until(store: &Store, after: Revision, until: Revision) -> Vec<Arc<Event>> {
    let mut watch = store.watch(all(), after).unwrap();
    let mut taken = Vec::new();
    while watch.position() < until {
        match watch.next().await {
            Ok(Item::Events(events)) => taken.extend(events),
            Ok(Item::Progress(_)) => {}
            Err(WatchError::Engine(cause)) => {
                println!("the watch is resumed at {}: {cause}", watch.position());
                watch = store.watch(all(), watch.position()).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    taken
}

/// Prints everything behind a revision; where an engine took too long to tell of it, the watch is resumed.
async fn watch(store: &Store, after: Revision) {
    let mut watch = store.watch(all(), after).unwrap();
    println!("{}", Transcript::watch(after));
    loop {
        match watch.next().await {
            Ok(Item::Events(events)) => {
                events.iter().for_each(|event| println!("{}", Transcript::told(&told(event))));
            }
            Ok(Item::Progress(revision)) => println!("{}", Transcript::told(&Told::Bookmark(revision))),
            Err(WatchError::Lagged | WatchError::Engine(_)) => {
                watch = store.watch(all(), watch.position()).unwrap();
            }
            Err(WatchError::Compacted { horizon }) => {
                watch = store.watch(all(), horizon).unwrap();
                println!("{}", Transcript::watch(horizon));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// An event as its watcher sees it: of what is gone, what it was.
pub(crate) fn told(event: &Event) -> Told {
    let entry = match event.kind {
        EventKind::Deleted => event.previous.as_ref().expect("it was there"),
        _ => &event.entry,
    };
    let kind = match event.kind {
        EventKind::Created => Kind::Added,
        EventKind::Updated => Kind::Modified,
        EventKind::Deleted => Kind::Deleted,
    };
    let (key, write) = (event.entry.key.name().to_owned(), write_of(entry));
    Told::Event { kind, revision: event.entry.revision, key, write }
}

/// An event as the log has it.
pub(crate) fn change(event: &Event) -> Change {
    let deletes = event.kind == EventKind::Deleted;
    Change { deletes, ..version(&event.entry) }
}

fn version(entry: &Entry) -> Change {
    let (revision, write) = (entry.revision, write_of(entry));
    Change { revision, key: entry.key.name().to_owned(), write, deletes: false }
}

/// The log of a store, as far as it remembers; and its lists of the past are true.
pub(crate) async fn log_of(store: &Store) -> Log {
    let (horizon, tip) = (store.horizon(), store.revision());
    let mut log = match horizon {
        1 => Log::new(1),
        _ => {
            let page = store.list_at(&all(), horizon, None, 0).await.unwrap();
            Log::from_state(horizon, page.entries.iter().map(|entry| version(entry)).collect())
        }
    };
    for event in take_until(store, horizon, tip).await {
        log.push(change(&event));
    }
    for _ in 0..10 {
        let revision = rand::rng().random_range(horizon..=tip);
        let page = store.list_at(&all(), revision, None, 0).await.unwrap();
        log.check_list(|_| true, revision, &listed(page.entries.iter()));
    }
    log.check_list(|_| true, tip, &listed(store.snapshot(&all()).iter()));
    log
}

fn listed<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>) -> Vec<(String, u64)> {
    entries.map(|entry| (entry.key.name().to_owned(), entry.revision)).collect()
}

/// Everything that processes said and saw is true, as far as the log goes back.
pub(crate) fn judge(log: &Log, horizon: Revision, transcripts: &[Transcript]) {
    let calls: Vec<Call> = transcripts.iter().flat_map(|transcript| transcript.calls.clone()).collect();
    log.check_calls(&calls);
    let streams = transcripts.iter().flat_map(|transcript| &transcript.streams);
    streams.for_each(|stream| log.check_stream(|_| true, &stream.behind(horizon)));
}

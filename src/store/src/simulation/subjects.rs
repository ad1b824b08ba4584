//! What the simulation of the embedded store is about: keys, ranges and values, few enough to meet each other, and how they
//! and what was said of them look to the judge.

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use std::task::{Context, Poll, Waker};
use testing::history::{Call, Change, Requires, Said, Window};
use tokio::runtime::Runtime;

use super::VALUE_LIMIT;
use super::writing::Answer;
use crate::{
    CommitError, Committed, Event, EventKind, Key, Precondition, Range, ReadError, Revision, Store, Value,
};

pub(crate) fn covers(range: &Range) -> impl Fn(&str) -> bool {
    |key| range.contains(&Key::parse(key).unwrap())
}

pub(super) fn everything() -> [Range; 2] {
    [Range::resource("", "things"), Range::resource("g", "others")]
}

pub(super) fn key(random: &mut StdRng) -> Key {
    let (group, resource) = [("", "things"), ("g", "others")][random.random_range(0..2)];
    let namespace = ["", "n"][random.random_range(0..2)];
    Key::new(group, resource, namespace, &format!("k{}", random.random_range(0..3)))
}

pub(super) fn range(random: &mut StdRng) -> Range {
    let key = key(random);
    match random.random_range(0..3) {
        0 => Range::key(&key),
        1 => Range::namespace(key.group(), key.resource(), key.namespace()),
        _ => Range::resource(key.group(), key.resource()),
    }
}

/// Tells which write it is of; of any size, too large ones included; with a hole for the revision or without.
pub(super) fn value(write: u64, random: &mut StdRng) -> Value {
    let longest = if random.random_bool(0.1) { VALUE_LIMIT + 50 } else { 900 };
    let mut bytes = write.to_be_bytes().to_vec();
    bytes.resize(random.random_range(8..longest), 0x55);
    if random.random_bool(0.5) {
        Value::whole(bytes.into())
    } else {
        Value::new(bytes.into(), Bytes::from_static(b"}"))
    }
}

/// What a write asks for of a key that is at `known`, for the store and for the judge.
pub(crate) fn precondition(random: &mut StdRng, known: Revision) -> (Precondition, Requires) {
    [
        (Precondition::Any, Requires::Nothing),
        (Precondition::Absent, Requires::Absent),
        (Precondition::Present, Requires::Present),
        (Precondition::Revision(known), Requires::At(known)),
    ][random.random_range(0..4)]
}

/// A write of which nothing is known yet.
pub(crate) fn call(write: u64, key: &Key, requires: Requires, deletes: bool) -> Call {
    let (window, said) = (Window { since: 0, until: 0 }, Said::Unknown);
    Call { write, key: key.as_str().to_owned(), requires, deletes, window, said }
}

/// A list at a revision, page by page; `at_each` is called for each page that there is.
pub(crate) fn paged(
    runtime: &Runtime,
    store: &Store,
    range: &Range,
    (revision, limit): (Revision, usize),
    at_each: impl Fn(),
) -> Result<Vec<(String, Revision)>, ReadError> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = runtime.block_on(store.list_at(range, revision, after.as_ref(), limit))?;
        at_each();
        found.extend(page.entries.iter().map(|entry| (entry.key.as_str().to_owned(), entry.revision)));
        after = page.entries.last().map(|entry| entry.key.clone());
        if !page.more {
            return Ok(found);
        }
    }
}

pub(super) fn identity(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(*bytes.first_chunk().unwrap())
}

pub(crate) fn change(event: &Event) -> Change {
    Change {
        revision: event.entry.revision,
        key: event.entry.key.as_str().to_owned(),
        write: identity(&event.entry.bytes),
        deletes: event.kind == EventKind::Deleted,
    }
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

pub(super) fn poll(answer: &mut Answer) -> Option<Result<Committed, CommitError>> {
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

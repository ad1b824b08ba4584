//! What the store holds and tells: values on their way in, entries, events, and the outcome of a write.
//!
//! Values come from the caller of a commit; entries and events are made by the sequencer (or read back from the
//! engine) and handed to readers and watchers. Nothing here is ever changed after it was made.

use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;

use crate::{Key, Sealing};

/// A point in the store's history. Every write gets the next one; a fresh store is at 1.
pub type Revision = u64;

/// The bytes of one version, with an optional hole into which the store writes the version's own revision in decimal.
///
/// That is how an object carries its revision although the revision is only known when the write is ordered.
#[derive(Clone, Debug)]
pub struct Value {
    head: Bytes,
    tail: Option<Bytes>,
}

impl Value {
    /// `head`, then the revision, then `tail`.
    #[must_use]
    pub fn new(head: Bytes, tail: Bytes) -> Self {
        Self { head, tail: Some(tail) }
    }

    /// Stored as it is.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        Self { head: bytes, tail: None }
    }

    /// What stands before the hole and behind it; `None` without a hole.
    pub(crate) fn parts(&self) -> (&Bytes, Option<&Bytes>) {
        (&self.head, self.tail.as_ref())
    }

    /// The most bytes it can take once its hole is filled.
    pub(crate) fn size(&self) -> usize {
        const LONGEST_REVISION: usize = 20;
        self.head.len() + self.tail.as_ref().map_or(0, |tail| tail.len() + LONGEST_REVISION)
    }

    /// The bytes as they might be, for whoever looks at anything but the revision: that is 0.
    pub(crate) fn preview(&self) -> Bytes {
        if self.tail.is_none() {
            return self.head.clone();
        }
        let mut bytes = BytesMut::with_capacity(self.size());
        self.write(0, &mut bytes);
        bytes.freeze()
    }

    /// Appends the bytes with the hole filled.
    pub(crate) fn write(&self, revision: Revision, into: &mut BytesMut) {
        into.put_slice(&self.head);
        if let Some(tail) = &self.tail {
            into.put_slice(decimal(revision, &mut [0; 20]));
            into.put_slice(tail);
        }
    }
}

/// The decimal digits of a revision, written into the end of `buffer`; without the formatting machinery.
fn decimal(mut revision: Revision, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (revision % 10) as u8;
        revision /= 10;
        if revision == 0 {
            return &buffer[start..];
        }
    }
}

/// What readers select by, extracted once when a version enters the store (see [`crate::Options::extract`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Labels, sorted by key.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// Selectable fields, sorted by key.
    pub fields: Box<[(Box<str>, Box<str>)]>,
    /// The object's identity over its life; empty where it has none.
    pub uid: Box<str>,
}

/// One version of one key.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: Key,
    /// The write that made this version.
    pub revision: Revision,
    /// The write that created the key; a key deleted and created again counts anew.
    pub created: Revision,
    /// The object.
    pub bytes: Bytes,
    /// What was extracted from the object.
    pub attributes: Attributes,
    /// How it is stored.
    pub sealing: Sealing,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It had not existed.
    Created,
    /// It got a new version.
    Updated,
    /// It exists no longer.
    Deleted,
}

/// One write, as watchers see it.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The version written; of a deletion the final state, whose revision is the deletion's.
    pub entry: Arc<Entry>,
    /// The version that was current before; `None` for [`EventKind::Created`].
    pub previous: Option<Arc<Entry>>,
}

/// What must be true of the key's current version for a write to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// It does not exist.
    Absent,
    /// Its current version was written at this revision.
    Revision(Revision),
    /// It exists.
    Present,
    /// Nothing; a deletion still needs something to delete.
    Any,
}

/// What to do with a key.
#[derive(Clone, Debug)]
pub enum Write {
    /// Write a new version.
    Put(Value),
    /// Delete it; the value is the final state that watchers see.
    Delete(Value),
}

impl Write {
    pub(crate) fn value(&self) -> &Value {
        let (Self::Put(value) | Self::Delete(value)) = self;
        value
    }

    pub(crate) fn is_delete(&self) -> bool {
        matches!(self, Self::Delete(_))
    }
}

/// A write that is durable and published.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The version written; of a deletion the final state.
    pub entry: Arc<Entry>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(value: &Value, revision: Revision) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        value.write(revision, &mut bytes);
        assert!(bytes.len() <= value.size());
        bytes.to_vec()
    }

    #[test]
    fn the_hole_of_a_value_is_filled_with_the_revision() {
        let value = Value::new(Bytes::from_static(b"{\"v\":\""), Bytes::from_static(b"\"}"));
        assert_eq!(filled(&value, 0), b"{\"v\":\"0\"}");
        assert_eq!(filled(&value, 907), b"{\"v\":\"907\"}");
        assert_eq!(filled(&value, u64::MAX), b"{\"v\":\"18446744073709551615\"}");
    }

    #[test]
    fn a_whole_value_stays_as_it_is() {
        assert_eq!(filled(&Value::whole(Bytes::from_static(b"x")), 7), b"x");
    }
}

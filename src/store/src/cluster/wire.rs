//! What servers of one cluster say to each other, as bytes in frames: four bytes of length, one of kind, the rest.
//!
//! A follower says hello, forwards writes and pings; the owner answers, and tells of news. A write's outcome carries no
//! object that the follower has itself. Nothing here does I/O.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::sync::Arc;

mod fields;

use crate::sequencer::Outcome;
use fields::{put, put_sealing, take, take_sealing};

use crate::{
    Attributes, CommitError, Committed, Entry, Key, Options, Precondition, Revision, Sealing, Value, Write,
};

/// The longest frame: the largest value there can be, its key, and what is around them.
pub(crate) const MAX_FRAME: usize = 16 << 20;

/// What a follower says.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// The secret of the owner's record.
    Hello([u8; 32]),
    Commit(u64, Forward),
    Ping,
}

/// A write on its way to the owner.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    pub(crate) key: Key,
    pub(crate) precondition: Precondition,
    pub(crate) write: Write,
}

/// What the owner says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// To a ping.
    Pong,
    /// There is something new in the log.
    News,
    Answer(u64, Answer),
}

/// The outcome of a forwarded write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done {
        revision: Revision,
        created: Revision,
        sealing: Sealing,
    },
    Exists(Version),
    Conflict(Version),
    Missing,
    Unknown(String),
    Poisoned(String),
    /// It was not done and may be tried again.
    Unavailable(String),
    /// It was not done, and trying it again would change nothing.
    Refused(Refusal),
}

/// Why a write is not done, however often it is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Sealing(String),
    BadKey(String),
    TooLarge { size: usize, limit: usize },
}

/// The version that a refused write met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    revision: Revision,
    created: Revision,
    bytes: Bytes,
    sealing: Sealing,
}

impl Call {
    pub(crate) fn encode(&self) -> Bytes {
        let mut frame = BytesMut::new();
        match self {
            Self::Hello(secret) => {
                frame.put_u8(0);
                frame.put_slice(secret);
            }
            Self::Commit(id, forward) => {
                frame.put_u8(1);
                frame.put_u64(*id);
                forward.encode(&mut frame);
            }
            Self::Ping => frame.put_u8(2),
        }
        frame.freeze()
    }

    pub(crate) fn decode(mut frame: Bytes) -> Option<Self> {
        match frame.try_get_u8().ok()? {
            0 => Some(Self::Hello(frame.as_ref().try_into().ok()?)),
            1 => Some(Self::Commit(frame.try_get_u64().ok()?, Forward::decode(&mut frame)?)),
            2 => Some(Self::Ping),
            _ => None,
        }
    }
}

impl Forward {
    fn encode(&self, frame: &mut BytesMut) {
        let (kind, revision) = match self.precondition {
            Precondition::Absent => (0, 0),
            Precondition::Revision(revision) => (1, revision),
            Precondition::Present => (2, 0),
            Precondition::Any => (3, 0),
        };
        frame.put_u8(kind);
        frame.put_u64(revision);
        frame.put_u8(u8::from(self.write.is_delete()));
        put(frame, self.key.as_str().as_bytes());
        let (head, tail) = self.write.value().parts();
        put(frame, head);
        frame.put_u8(u8::from(tail.is_some()));
        put(frame, tail.map_or(&[], |tail| tail));
    }

    fn decode(frame: &mut Bytes) -> Option<Self> {
        let (kind, revision) = (frame.try_get_u8().ok()?, frame.try_get_u64().ok()?);
        let precondition = match kind {
            0 => Precondition::Absent,
            1 => Precondition::Revision(revision),
            2 => Precondition::Present,
            3 => Precondition::Any,
            _ => return None,
        };
        let deletes = frame.try_get_u8().ok()? == 1;
        let key = Key::parse(std::str::from_utf8(&take(frame)?).ok()?)?;
        let head = take(frame)?;
        let has_tail = frame.try_get_u8().ok()? == 1;
        let tail = take(frame)?;
        let value = if has_tail { Value::new(head, tail) } else { Value::whole(head) };
        let write = if deletes { Write::Delete(value) } else { Write::Put(value) };
        Some(Self { key, precondition, write })
    }
}

impl Reply {
    pub(crate) fn encode(&self) -> Bytes {
        let mut frame = BytesMut::new();
        match self {
            Self::Pong => frame.put_u8(0),
            Self::News => frame.put_u8(1),
            Self::Answer(id, answer) => {
                frame.put_u8(2);
                frame.put_u64(*id);
                answer.encode(&mut frame);
            }
        }
        frame.freeze()
    }

    pub(crate) fn decode(mut frame: Bytes) -> Option<Self> {
        match frame.try_get_u8().ok()? {
            0 => Some(Self::Pong),
            1 => Some(Self::News),
            2 => Some(Self::Answer(frame.try_get_u64().ok()?, Answer::decode(&mut frame)?)),
            _ => None,
        }
    }
}

impl Answer {
    /// What the owner found.
    pub(crate) fn of(outcome: Outcome) -> Self {
        match outcome {
            Ok(Committed { entry }) => Self::Done {
                revision: entry.revision,
                created: entry.created,
                sealing: entry.sealing.clone(),
            },
            Err(CommitError::Exists(current)) => Self::Exists(Version::of(&current)),
            Err(CommitError::Conflict(current)) => Self::Conflict(Version::of(&current)),
            Err(CommitError::Missing) => Self::Missing,
            Err(CommitError::Unknown(cause)) => Self::Unknown(cause),
            Err(CommitError::Poisoned(cause)) => Self::Poisoned(cause),
            Err(CommitError::Sealing(cause)) => Self::Refused(Refusal::Sealing(cause)),
            Err(CommitError::BadKey(key)) => Self::Refused(Refusal::BadKey(key)),
            Err(CommitError::TooLarge { size, limit }) => Self::Refused(Refusal::TooLarge { size, limit }),
            // Whoever owns the order of writes next may do it, or knows where the state has gone.
            Err(CommitError::Unavailable(cause)) => Self::Unavailable(cause),
            Err(error @ (CommitError::Moved(_) | CommitError::Closed)) => {
                Self::Unavailable(error.to_string())
            }
        }
    }

    /// The outcome as the one who asked is told, and the newest revision it tells of.
    pub(crate) fn outcome(self, forward: &Forward, options: &Options) -> (Outcome, Revision) {
        match self {
            Self::Done { revision, created, sealing } => {
                let entry = Entry { sealing, ..forward.entry(revision, created, options) };
                (Ok(Committed { entry: Arc::new(entry) }), revision)
            }
            Self::Exists(met) => {
                let revision = met.revision;
                (Err(CommitError::Exists(met.entry(&forward.key, options))), revision)
            }
            Self::Conflict(met) => {
                let revision = met.revision;
                (Err(CommitError::Conflict(met.entry(&forward.key, options))), revision)
            }
            Self::Missing => (Err(CommitError::Missing), 0),
            Self::Unknown(cause) => (Err(CommitError::Unknown(cause)), 0),
            Self::Poisoned(cause) => (Err(CommitError::Poisoned(cause)), 0),
            Self::Unavailable(cause) => (Err(CommitError::Unavailable(cause)), 0),
            Self::Refused(refusal) => (Err(refusal.into()), 0),
        }
    }

    fn encode(&self, frame: &mut BytesMut) {
        let (code, text) = match self {
            Self::Done { revision, created, sealing } => {
                frame.put_u8(0);
                frame.put_u64(*revision);
                frame.put_u64(*created);
                return put_sealing(frame, sealing);
            }
            Self::Exists(version) => return version.encode(1, frame),
            Self::Conflict(version) => return version.encode(2, frame),
            Self::Missing => (3, ""),
            Self::Unknown(cause) => (4, cause.as_str()),
            Self::Poisoned(cause) => (5, cause.as_str()),
            Self::Unavailable(cause) => (6, cause.as_str()),
            Self::Refused(Refusal::Sealing(cause)) => (7, cause.as_str()),
            Self::Refused(Refusal::BadKey(key)) => (8, key.as_str()),
            Self::Refused(Refusal::TooLarge { size, limit }) => {
                frame.put_u8(9);
                frame.put_u64(*size as u64);
                return frame.put_u64(*limit as u64);
            }
        };
        frame.put_u8(code);
        put(frame, text.as_bytes());
    }

    fn decode(frame: &mut Bytes) -> Option<Self> {
        let code = frame.try_get_u8().ok()?;
        match code {
            0 => {
                return Some(Self::Done {
                    revision: frame.try_get_u64().ok()?,
                    created: frame.try_get_u64().ok()?,
                    sealing: take_sealing(frame)?,
                });
            }
            1 => return Version::decode(frame).map(Self::Exists),
            2 => return Version::decode(frame).map(Self::Conflict),
            9 => {
                let size = usize::try_from(frame.try_get_u64().ok()?).ok()?;
                let limit = usize::try_from(frame.try_get_u64().ok()?).ok()?;
                return Some(Self::Refused(Refusal::TooLarge { size, limit }));
            }
            _ => {}
        }
        let text = String::from_utf8(take(frame)?.into()).ok()?;
        match code {
            3 => Some(Self::Missing),
            4 => Some(Self::Unknown(text)),
            5 => Some(Self::Poisoned(text)),
            6 => Some(Self::Unavailable(text)),
            7 => Some(Self::Refused(Refusal::Sealing(text))),
            8 => Some(Self::Refused(Refusal::BadKey(text))),
            _ => None,
        }
    }
}

impl From<Refusal> for CommitError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Sealing(cause) => Self::Sealing(cause),
            Refusal::BadKey(key) => Self::BadKey(key),
            Refusal::TooLarge { size, limit } => Self::TooLarge { size, limit },
        }
    }
}

impl Forward {
    /// The version that the write made, as if it were not sealed.
    fn entry(&self, revision: Revision, created: Revision, options: &Options) -> Entry {
        let mut bytes = BytesMut::with_capacity(self.write.value().size());
        self.write.value().write(revision, &mut bytes);
        let bytes = bytes.freeze();
        let attributes = (options.extract)(&self.key, &bytes);
        Entry { key: self.key.clone(), revision, created, bytes, attributes, sealing: Sealing::Plain }
    }
}

impl Version {
    fn of(entry: &Entry) -> Self {
        let sealing = entry.sealing.clone();
        Self { revision: entry.revision, created: entry.created, bytes: entry.bytes.clone(), sealing }
    }

    fn entry(self, key: &Key, options: &Options) -> Arc<Entry> {
        let Self { revision, created, bytes, sealing } = self;
        let attributes = match sealing {
            Sealing::Unreadable(_) => Attributes::default(),
            Sealing::Plain | Sealing::By(_) => (options.extract)(key, &bytes),
        };
        Arc::new(Entry { key: key.clone(), revision, created, bytes, attributes, sealing })
    }

    fn encode(&self, code: u8, frame: &mut BytesMut) {
        frame.put_u8(code);
        frame.put_u64(self.revision);
        frame.put_u64(self.created);
        put(frame, &self.bytes);
        put_sealing(frame, &self.sealing);
    }

    fn decode(frame: &mut Bytes) -> Option<Self> {
        Some(Self {
            revision: frame.try_get_u64().ok()?,
            created: frame.try_get_u64().ok()?,
            bytes: take(frame)?,
            sealing: take_sealing(frame)?,
        })
    }
}

#[cfg(test)]
mod tests;

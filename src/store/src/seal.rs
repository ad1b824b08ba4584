//! What is stored of an object where that is not the object itself: encryption at rest, as the store sees it.
//!
//! The opener gives a [`Seal`]. The sequencer seals each version on its way to the engine, and whoever reads a version
//! from the engine opens it; in memory and between servers objects are as they were given. Checksums are about the stored
//! form, so a store can be copied and checked without the keys. Nothing here knows a cipher.

use bytes::Bytes;
use std::sync::Arc;

use crate::Key;

/// Turns objects into what is stored of them, and back.
pub trait Seal: Send + Sync + 'static {
    /// The stored form of a version of `key`; `None` where that is the object itself. Called by the one thread that orders
    /// the writes, so it must not wait for anything.
    ///
    /// # Errors
    /// Why it cannot be sealed, for the one who writes.
    fn seal(&self, key: &Key, object: &[u8]) -> Result<Option<Sealed>, String>;

    /// What [`Seal::seal`] would name for a version of `key` now; the same for all keys of a resource.
    fn current(&self, key: &Key) -> Option<Arc<str>>;

    /// The object of a stored form. Called where blocking is allowed.
    ///
    /// # Errors
    /// Why it cannot be opened, for the one who reads.
    fn open(&self, key: &Key, stored: Bytes) -> Result<Opened, String>;
}

/// A stored form.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// What is stored.
    pub bytes: Bytes,
    /// What it was sealed with, as [`Seal::open`] will say.
    pub by: Arc<str>,
}

/// An object that was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The object.
    pub object: Bytes,
    /// What it was sealed with; `None` where it was stored as it is.
    pub by: Option<Arc<str>>,
}

/// How a version is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sealing {
    /// As it is.
    #[default]
    Plain,
    /// Sealed, with what is named.
    By(Arc<str>),
    /// In a form that could not be opened, and why: the version's bytes are empty and nothing was extracted from them.
    Unreadable(Arc<str>),
}

impl Sealing {
    pub(crate) fn of(by: Option<Arc<str>>) -> Self {
        by.map_or(Self::Plain, Self::By)
    }
}

/// Stores every object as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsealed;

impl Seal for Unsealed {
    fn seal(&self, _: &Key, _: &[u8]) -> Result<Option<Sealed>, String> {
        Ok(None)
    }

    fn current(&self, _: &Key) -> Option<Arc<str>> {
        None
    }

    fn open(&self, _: &Key, stored: Bytes) -> Result<Opened, String> {
        Ok(Opened { object: stored, by: None })
    }
}

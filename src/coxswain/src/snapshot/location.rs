//! Where snapshots are kept: files, or objects of an S3-compatible store. What is there already is never overwritten.

mod file;
mod object;

use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use jiff::Timestamp;
use store::Revision;
use store::snapshot::Header;

use object::Bucket;

pub(crate) use file::unfinished;

/// What the names of snapshots end with that were given a name.
const SUFFIX: &str = ".snapshot";
const S3: &str = "s3://";

/// A place that is, or holds, snapshots.
#[derive(Clone)]
pub(crate) enum Location {
    File(PathBuf),
    Object(Bucket),
}

/// A snapshot that was found.
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// What it is of, or why that cannot be said.
    pub(crate) header: Result<Header, String>,
}

impl Location {
    /// A path or `s3://bucket/key`; how S3 is reached says the environment, in the variables that all its tools read.
    ///
    /// # Errors
    /// Another scheme, no bucket, settings that do not go together.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        Self::parse_with(
            text,
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    pub(super) fn parse_with(
        text: &str,
        settings: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        match text.strip_prefix(S3) {
            Some(rest) => {
                Ok(Self::Object(Bucket::new(rest, settings).with_context(|| format!("cannot use {text}"))?))
            }
            None if text.contains("://") => bail!("{text:?} is neither a path nor {S3}bucket/name"),
            None => Ok(Self::File(text.into())),
        }
    }

    /// Whether it holds snapshots and is none: a directory, or a prefix that ends with `/`.
    pub(crate) fn is_folder(&self) -> bool {
        match self {
            Self::File(path) => path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/'),
            Self::Object(bucket) => bucket.is_folder(),
        }
    }

    /// Something in this folder.
    pub(crate) fn child(&self, name: &str) -> Self {
        match self {
            Self::File(path) => Self::File(path.join(name)),
            Self::Object(bucket) => Self::Object(bucket.child(name)),
        }
    }

    /// Begins to write a snapshot here; it is there once [`Sink::commit`] was called and not before.
    ///
    /// # Errors
    /// Something is there, or it cannot be written to.
    pub(crate) async fn create(&self) -> anyhow::Result<Sink> {
        let sink = match self {
            Self::File(path) => file::Sink::create(path).map(Sink::File),
            Self::Object(bucket) => bucket.create().await.map(Sink::Object),
        };
        sink.with_context(|| format!("cannot save to {self}"))
    }

    /// Reads what is here, front to back.
    ///
    /// # Errors
    /// Nothing is here, or it cannot be read.
    pub(crate) async fn open(&self) -> anyhow::Result<Box<dyn Read + Send>> {
        let input: anyhow::Result<Box<dyn Read + Send>> = match self {
            Self::File(path) => file::open(path),
            Self::Object(bucket) => bucket.open().await,
        };
        input.with_context(|| format!("cannot read {self}"))
    }

    /// The snapshots in this folder, by name; or the one that this is.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) async fn list(&self) -> anyhow::Result<Vec<Found>> {
        let found = match self {
            Self::File(path) => file::list(path),
            Self::Object(bucket) => bucket.list().await,
        };
        let mut found = found.with_context(|| format!("cannot list {self}"))?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Removes a snapshot.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        let removed = match self {
            Self::File(path) => std::fs::remove_file(path).map_err(Into::into),
            Self::Object(bucket) => bucket.remove().await,
        };
        removed.with_context(|| format!("cannot remove {self}"))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => fmt::Display::fmt(&path.display(), formatter),
            Self::Object(bucket) => write!(formatter, "{S3}{bucket}"),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A snapshot that is being written, by blocking calls. Dropped without [`Sink::commit`] it leaves nothing behind.
pub(crate) enum Sink {
    File(file::Sink),
    Object(object::Sink),
}

impl Sink {
    /// Makes it durable, and visible under its name.
    ///
    /// # Errors
    /// Something has come under that name meanwhile, or it cannot be written.
    pub(crate) fn commit(self) -> io::Result<()> {
        match self {
            Self::File(sink) => sink.commit(),
            Self::Object(sink) => sink.commit(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(sink) => sink.write(bytes),
            Self::Object(sink) => sink.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The name of a snapshot that was given none: names sort by time.
pub(crate) fn name(prefix: &str, now: Timestamp, revision: Option<Revision>) -> String {
    let revision = revision.map(|revision| format!("-r{revision}")).unwrap_or_default();
    format!("{prefix}{}{revision}{SUFFIX}", now.strftime("%Y%m%dT%H%M%SZ"))
}

/// What `snapshot ls` takes for one.
fn is_named_so(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

//! Where snapshots are kept: files, or objects of an S3-compatible store. What is there already is never overwritten.

mod file;
mod object;
mod upload;

use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail};
use jiff::Timestamp;
use store::Revision;
use store::snapshot::Header;
use tokio_util::sync::CancellationToken;

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

    /// Makes a snapshot here of what `work` writes. It is there once this has succeeded; where this fails nothing of it
    /// stays, or the error or a warning says what may. Once it is cancelled, nothing more is written, and whoever writes is
    /// told; only the request by which it appears in S3 is not let go of at once.
    ///
    /// # Errors
    /// Something is there, it cannot be written, `work` fails, or it was cancelled.
    pub(crate) async fn fill<T, Work>(
        &self,
        cancel: &CancellationToken,
        work: impl FnOnce(Sink) -> Work,
    ) -> anyhow::Result<T>
    where
        Work: Future<Output = anyhow::Result<T>>,
    {
        let context = || format!("cannot save to {self}");
        let sink = unless(cancel, self.create(cancel)).await.with_context(context)?;
        let filled = match work(sink.clone()).await {
            Ok(value) => sink.blocking(Sink::commit).await.map(|()| value),
            Err(error) => Err(error),
        };
        if filled.is_err() {
            sink.blocking(Sink::abandon).await.with_context(context)?;
        }
        filled.with_context(context)
    }

    /// Begins to write; to be ended by [`Sink::commit`] or [`Sink::abandon`].
    async fn create(&self, cancel: &CancellationToken) -> anyhow::Result<Sink> {
        let to = match self {
            Self::File(path) => file::Sink::create(path).map(To::File),
            Self::Object(bucket) => bucket.create().await.map(To::Object),
        };
        Ok(Sink { to: Arc::new(Mutex::new(to?)), cancel: cancel.clone() })
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

/// A snapshot that is being written, by blocking calls.
#[derive(Clone)]
pub(crate) struct Sink {
    to: Arc<Mutex<To>>,
    cancel: CancellationToken,
}

enum To {
    File(file::Sink),
    Object(upload::Sink),
}

impl Sink {
    /// Makes it durable, and visible under its name.
    fn commit(&self) -> io::Result<()> {
        self.check()?;
        match &mut *self.to() {
            To::File(sink) => sink.commit(),
            To::Object(sink) => sink.commit(&self.cancel),
        }
    }

    /// Takes back what was written; a file goes when it is dropped.
    fn abandon(&self) -> io::Result<()> {
        if let To::Object(sink) = &mut *self.to() {
            sink.abandon();
        }
        Ok(())
    }

    async fn blocking(&self, work: fn(&Self) -> io::Result<()>) -> anyhow::Result<()> {
        let sink = self.clone();
        Ok(tokio::task::spawn_blocking(move || work(&sink)).await??)
    }

    fn check(&self) -> io::Result<()> {
        if self.cancel.is_cancelled() { Err(broken_off()) } else { Ok(()) }
    }

    fn to(&self) -> MutexGuard<'_, To> {
        // Whoever panicked while writing has left something that can be taken back.
        self.to.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        match &mut *self.to() {
            To::File(sink) => sink.write(bytes),
            To::Object(sink) => sink.write(bytes, &self.cancel),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What whoever cancelled is told.
pub(super) fn broken_off() -> io::Error {
    io::Error::other("it was broken off")
}

/// Does what may be let go of at any moment, unless it is cancelled first.
pub(super) async fn unless<T, E: From<io::Error>>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    cancel.run_until_cancelled(work).await.ok_or_else(broken_off)?
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

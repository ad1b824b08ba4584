//! A snapshot on its way into an S3-compatible store. One that fits into a part is sent at once, and nothing of it stays if that
//! fails. Of a larger one parts are sent while it is made; they become an object at the end only, and are taken back where
//! that is not reached. Parts of a process that was killed stay: S3 lists them, the client library does not.
//!
//! A request whose effect would be there for others to see, or to pay for, is not let go of half-way: once the work is
//! cancelled it has a while left. What became of one that failed all the same is looked at in the store.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures::TryFutureExt;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{broken_off, unless};

/// What is sent at once: S3 takes 10,000 parts, so a snapshot may have 80 GB.
const PART: usize = 8 << 20;
/// Parts under way; with the one that is being filled, all that is held in memory.
const PARTS: usize = 2;
/// By what a snapshot is known again, beside its size: its end holds the SHA-256 of all that comes before.
const END: usize = 64;
/// How long a request may take that is not let go of, once the work was cancelled; how long it may take to look what became
/// of it; and how long to take parts back.
const GRACE: Duration = Duration::from_secs(5);

/// An upload, driven from a thread that may block. To be ended by [`Sink::commit`] or [`Sink::abandon`].
pub(super) struct Sink {
    handle: Handle,
    store: Arc<dyn ObjectStore>,
    path: Path,
    /// What comes next, until it is a part.
    part: Vec<u8>,
    /// There once the first part was full, until it is complete or taken back.
    upload: Option<Upload>,
    /// Bytes that were written.
    size: u64,
    /// The last of them.
    end: Vec<u8>,
    grace: Duration,
}

impl Sink {
    /// Begins one, unless something has the name.
    pub(super) async fn create(store: Arc<dyn ObjectStore>, path: Path) -> io::Result<Self> {
        check_absent(&*store, &path).await.map_err(told)?;
        let (handle, grace) = (Handle::current(), GRACE);
        Ok(Self { handle, store, path, part: Vec::new(), upload: None, size: 0, end: Vec::new(), grace })
    }

    pub(super) fn write(&mut self, bytes: &[u8], cancel: &CancellationToken) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(PART - self.part.len())];
        self.part.extend_from_slice(bytes);
        self.size += bytes.len() as u64;
        self.end.extend_from_slice(&bytes[bytes.len().saturating_sub(END)..]);
        self.end.drain(..self.end.len().saturating_sub(END));
        if self.part.len() == PART {
            self.handle.clone().block_on(self.send(cancel))?;
        }
        Ok(bytes.len())
    }

    /// Makes it an object.
    pub(super) fn commit(&mut self, cancel: &CancellationToken) -> io::Result<()> {
        self.handle.clone().block_on(async {
            if self.upload.is_some() && !self.part.is_empty() {
                self.send(cancel).await?;
            }
            if let Some(upload) = &mut self.upload {
                unless(cancel, upload.settle(0).map_err(told)).await?;
            }
            unless(cancel, check_absent(&*self.store, &self.path).map_err(told)).await?;
            let appeared = to_its_end(cancel, self.grace, self.appear()).await;
            self.conclude(appeared).await?;
            self.upload = None;
            Ok(())
        })
    }

    /// Takes back what was sent. Without this the store keeps, and charges for, the parts.
    pub(super) fn abandon(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        let taken_back = self.handle.block_on(upload.take_back(self.grace));
        if !matches!(taken_back, Ok(Ok(()))) {
            tracing::warn!(
                path = %self.path,
                "cannot take back an upload that was not finished: remove its parts, or let them expire"
            );
        }
    }

    /// Begins to send what was collected.
    async fn send(&mut self, cancel: &CancellationToken) -> io::Result<()> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => {
                let begun = to_its_end(cancel, self.grace, self.store.put_multipart(&self.path)).await;
                let parts = begun.ok_or_else(broken_off)?.map_err(told)?;
                self.upload.insert(Upload { parts, under_way: JoinSet::new() })
            }
        };
        unless(cancel, upload.settle(PARTS - 1).map_err(told)).await?;
        let part = upload.parts.put_part(mem::take(&mut self.part).into());
        upload.under_way.spawn(part);
        Ok(())
    }

    /// The request by which it becomes an object.
    async fn appear(&mut self) -> object_store::Result<()> {
        match &mut self.upload {
            // The client library completes without a condition: what has come since it was looked at is overwritten.
            Some(upload) => upload.parts.complete().await.map(drop),
            None => self.put().await,
        }
    }

    /// Sends what fits into a part, unless something has come under the name meanwhile: S3 looks and writes in one
    /// (`If-None-Match`). Where a server says that it cannot, it is looked at just before.
    async fn put(&mut self) -> object_store::Result<()> {
        let part = PutPayload::from(mem::take(&mut self.part));
        match self.store.put_opts(&self.path, part.clone(), PutMode::Create.into()).await {
            Err(error) if knows_no_conditions(&error) => {
                check_absent(&*self.store, &self.path).await?;
                self.store.put(&self.path, part).await.map(drop)
            }
            put => put.map(drop),
        }
    }

    /// What became of it, given how that request ended, if it did. One that was done may have failed all the same: the
    /// client library repeats it when its answer was lost, and is told then that there is something.
    async fn conclude(&self, appeared: Option<object_store::Result<()>>) -> io::Result<()> {
        let has_ended = appeared.is_some();
        let error = match appeared {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => told(error),
            None => broken_off(),
        };
        match tokio::time::timeout(self.grace, self.is_there()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) if has_ended => Err(error),
            _ => Err(io::Error::other(format!(
                "{error}; whether the snapshot is or will be there is not known: look (`coxswain snapshot ls`)"
            ))),
        }
    }

    /// Whether what has the name is this.
    async fn is_there(&self) -> object_store::Result<bool> {
        let found = match self.store.head(&self.path).await {
            Err(Error::NotFound { .. }) => return Ok(false),
            found => found?,
        };
        if found.size != self.size {
            return Ok(false);
        }
        let end = self.size - self.end.len() as u64..self.size;
        Ok(self.store.get_range(&self.path, end).await? == self.end)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if self.upload.is_some() {
            tracing::warn!(path = %self.path, "an upload was let go of: remove its parts, or let them expire");
        }
    }
}

/// # Errors
/// [`Error::AlreadyExists`] where something has the name.
async fn check_absent(store: &dyn ObjectStore, path: &Path) -> object_store::Result<()> {
    match store.head(path).await {
        Ok(_) => Err(Error::AlreadyExists { path: path.to_string(), source: "it is there".into() }),
        Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a server refuses a write only since it is conditional.
fn knows_no_conditions(error: &Error) -> bool {
    // The library has no kind for the answer 501; its body has S3's code.
    matches!(error, Error::NotImplemented { .. }) || error.to_string().contains("<Code>NotImplemented</Code>")
}

fn told(error: Error) -> io::Error {
    match error {
        Error::AlreadyExists { .. } => {
            io::Error::other("it exists already: give another name, or remove it first")
        }
        error => io::Error::other(error),
    }
}

/// Does what is not to be let go of; `None` where it takes longer than that after it was cancelled.
async fn to_its_end<T>(
    cancel: &CancellationToken,
    grace: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let late = async {
        cancel.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        done = work => Some(done),
        () = late => None,
    }
}

/// Parts that are no object yet.
struct Upload {
    parts: Box<dyn MultipartUpload>,
    under_way: JoinSet<object_store::Result<()>>,
}

impl Upload {
    /// Waits until so few parts are under way.
    async fn settle(&mut self, count: usize) -> object_store::Result<()> {
        while self.under_way.len() > count {
            match self.under_way.join_next().await {
                Some(sent) => sent??,
                None => break,
            }
        }
        Ok(())
    }

    async fn take_back(
        mut self,
        grace: Duration,
    ) -> Result<object_store::Result<()>, tokio::time::error::Elapsed> {
        tokio::time::timeout(grace, async {
            // One that arrived behind it would stay.
            self.under_way.shutdown().await;
            self.parts.abort().await
        })
        .await
    }
}

#[cfg(test)]
mod tests;

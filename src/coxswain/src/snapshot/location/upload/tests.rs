//! Uploads into a store in memory whose last request fails as real ones do: done or not, answered or not.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, ObjectMeta, PutMultipartOptions, PutOptions, PutResult,
    Result, UploadPart,
};
use tokio::sync::Notify;

use super::*;

/// What becomes of the request by which an object appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Done, whatever its condition.
    DoneRegardless,
    /// Done, answered with a 500, and repeated by the library.
    DoneAndRefused,
    DoneAndNotAnswered,
    NotAnswered,
    /// Somebody else's of the same size comes first.
    SecondToTheirs,
}

#[derive(Clone, Debug)]
struct Fateful {
    store: Arc<InMemory>,
    fate: Fate,
    /// Told when that request has come.
    came: Arc<Notify>,
}

impl Fateful {
    async fn meet(&self, work: impl Future<Output = Result<PutResult>>) -> Result<PutResult> {
        if self.fate != Fate::NotAnswered {
            let done = work.await;
            if self.fate == Fate::DoneAndRefused {
                done?;
                return Err(Error::AlreadyExists { path: String::new(), source: "412".into() });
            }
            if self.fate != Fate::DoneAndNotAnswered {
                return done;
            }
        }
        self.came.notify_one();
        std::future::pending().await
    }
}

impl fmt::Display for Fateful {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

#[async_trait]
impl ObjectStore for Fateful {
    async fn put_opts(&self, path: &Path, payload: PutPayload, mut how: PutOptions) -> Result<PutResult> {
        match self.fate {
            Fate::DoneRegardless => how.mode = PutMode::Overwrite,
            Fate::SecondToTheirs => {
                let theirs = vec![b't'; payload.content_length()];
                self.store.put(path, theirs.into()).await?;
            }
            _ => {}
        }
        self.meet(self.store.put_opts(path, payload, how)).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let parts = self.store.put_multipart_opts(path, how).await?;
        Ok(Box::new(FatefulUpload { parts, store: self.clone() }))
    }

    async fn get_opts(&self, path: &Path, how: GetOptions) -> Result<GetResult> {
        self.store.get_opts(path, how).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, how).await
    }
}

#[derive(Debug)]
struct FatefulUpload {
    parts: Box<dyn MultipartUpload>,
    store: Fateful,
}

#[async_trait]
impl MultipartUpload for FatefulUpload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        self.parts.put_part(part)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.store.meet(self.parts.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.abort().await
    }
}

const NAME: &str = "a.snapshot";
const SMALL: usize = 100;
const LARGE: usize = PART + 100;

fn fill(sink: &mut Sink, size: usize, cancel: &CancellationToken) {
    let (mut written, bytes) = (0, vec![b'o'; size]);
    while written < size {
        written += sink.write(&bytes[written..], cancel).unwrap();
    }
}

/// Uploads, broken off while the request by which it appears is under way if that is not answered; before that somebody else's
/// may come. What the user reads, and what is in the store then.
async fn upload(
    fate: Fate,
    size: usize,
    theirs: Option<&'static str>,
) -> (Result<(), String>, Option<Bytes>) {
    let store = Arc::new(InMemory::new());
    let came = Arc::new(Notify::new());
    let fateful = Fateful { store: store.clone(), fate, came: came.clone() };
    let cancel = CancellationToken::new();
    let mut sink = Sink::create(Arc::new(fateful), NAME.into()).await.unwrap();
    sink.grace = Duration::from_millis(1);
    if let Some(theirs) = theirs {
        store.put(&NAME.into(), theirs.into()).await.unwrap();
    }
    let token = cancel.clone();
    let uploading = tokio::task::spawn_blocking(move || {
        fill(&mut sink, size, &token);
        let committed = sink.commit(&token).map_err(|error| error.to_string());
        sink.abandon();
        committed
    });
    if [Fate::DoneAndNotAnswered, Fate::NotAnswered].contains(&fate) {
        came.notified().await;
        cancel.cancel();
    }
    let committed = uploading.await.unwrap();
    let found = match store.get(&NAME.into()).await {
        Ok(found) => Some(found.bytes().await.unwrap()),
        Err(_) => None,
    };
    (committed, found)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_told_as_done_though_it_was_refused_or_broken_off() {
    for fate in [Fate::DoneAndRefused, Fate::DoneAndNotAnswered] {
        for size in [SMALL, LARGE] {
            let (committed, found) = upload(fate, size, None).await;
            assert_eq!(committed, Ok(()), "{fate:?}, {size}");
            assert_eq!(found.unwrap().len(), size);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_still_be_done_when_it_is_broken_off_is_told_as_not_known() {
    for size in [SMALL, LARGE] {
        let (committed, found) = upload(Fate::NotAnswered, size, None).await;
        let refusal = committed.unwrap_err();
        assert!(
            refusal.starts_with("it was broken off; whether") && refusal.contains("not known"),
            "{refusal}"
        );
        assert!(found.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_of_the_same_size_is_not_taken_for_this_one() {
    let (committed, found) = upload(Fate::SecondToTheirs, SMALL, None).await;
    assert!(committed.unwrap_err().starts_with("it exists already"));
    assert_eq!(found.unwrap(), vec![b't'; SMALL]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_conditions_overwrites_nothing_that_was_there_before() {
    for size in [SMALL, LARGE] {
        let (committed, found) = upload(Fate::DoneRegardless, size, Some("theirs")).await;
        assert!(committed.unwrap_err().starts_with("it exists already"));
        assert_eq!(found.unwrap(), "theirs");
    }
}

/// Of a runtime whose only worker this is.
#[tokio::test]
async fn one_that_is_let_go_of_does_not_hold_whoever_drops_it() {
    let (store, cancel) = (Arc::new(InMemory::new()), CancellationToken::new());
    let mut sink = Sink::create(store, NAME.into()).await.unwrap();
    let filled = tokio::task::spawn_blocking(move || {
        fill(&mut sink, LARGE, &cancel);
        sink
    });
    drop(filled.await.unwrap());
}

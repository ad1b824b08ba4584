//! Snapshots as objects of an S3-compatible store: found, read, removed; they are written by [`super::upload`].

use std::fmt;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::ClientConfigKey;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use store::snapshot::Header;
use tokio::runtime::Handle;

use super::upload::Sink;
use super::{Found, is_named_so};

/// A key of a bucket, or what keys begin with.
#[derive(Clone)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    bucket: String,
    key: String,
}

impl Bucket {
    /// `bucket/key`, reached as the settings say (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, `AWS_REGION`, …).
    pub(super) fn new(text: &str, settings: impl Iterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let (bucket, key) = text.split_once('/').unwrap_or((text, ""));
        ensure!(!bucket.is_empty(), "it names no bucket");
        let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
        let (mut is_plain, mut may_be_plain) = (false, false);
        // An empty variable is none, as for other tools.
        for (name, value) in settings.filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty()) {
            // What it does not know is for other tools.
            if let Ok(name) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                is_plain |= name == AmazonS3ConfigKey::Endpoint && value.starts_with("http://");
                may_be_plain |= name == AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
                builder = builder.with_config(name, value);
            }
        }
        ensure!(
            may_be_plain || !is_plain,
            "its endpoint is http://, without TLS: set AWS_ALLOW_HTTP=true if that is meant"
        );
        let store: Arc<dyn ObjectStore> = Arc::new(builder.build()?);
        Ok(Self { store, bucket: bucket.to_owned(), key: key.to_owned() })
    }

    pub(super) fn is_folder(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }

    pub(super) fn child(&self, name: &str) -> Self {
        let folder = self.key.trim_end_matches('/');
        let key = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        Self { key, ..self.clone() }
    }

    fn path(&self) -> anyhow::Result<Path> {
        Path::parse(&self.key).context("it is no name of an object")
    }

    pub(super) async fn create(&self) -> anyhow::Result<Sink> {
        Ok(Sink::create(self.store.clone(), self.path()?).await?)
    }

    pub(super) async fn open(&self) -> anyhow::Result<Box<dyn Read + Send>> {
        let body = self.store.get(&self.path()?).await?.into_stream();
        Ok(Box::new(Source { handle: Handle::current(), body: body.boxed(), chunk: Bytes::new() }))
    }

    pub(super) async fn list(&self) -> anyhow::Result<Vec<Found>> {
        if !self.is_folder()
            && let Ok(object) = self.store.head(&self.path()?).await
        {
            return Ok(vec![self.found(object).await?]);
        }
        let folder = Path::parse(&self.key)?;
        let objects: Vec<_> = self.store.list(Some(&folder)).try_collect().await?;
        let mut all = Vec::new();
        for object in objects {
            let is_direct = object.location.prefix_match(&folder).is_some_and(|rest| rest.count() == 1);
            if is_direct && object.location.filename().is_some_and(is_named_so) {
                all.push(self.found(object).await?);
            }
        }
        Ok(all)
    }

    async fn found(&self, object: ObjectMeta) -> anyhow::Result<Found> {
        let beginning = 0..object.size.min(Header::SIZE as u64);
        let bytes = match beginning.end {
            0 => Bytes::new(),
            _ => self.store.get_range(&object.location, beginning).await?,
        };
        Ok(Found {
            name: object.location.filename().unwrap_or_default().to_owned(),
            bytes: object.size,
            header: Header::read(&mut &*bytes).map_err(|error| error.to_string()),
        })
    }

    pub(super) async fn remove(&self) -> anyhow::Result<()> {
        Ok(self.store.delete(&self.path()?).await?)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.bucket, self.key)
    }
}

/// An object that is being read, from a thread that may block.
struct Source {
    handle: Handle,
    body: Pin<Box<dyn Stream<Item = object_store::Result<Bytes>> + Send>>,
    chunk: Bytes,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.handle.block_on(self.body.next()) {
                None => return Ok(0),
                Some(chunk) => self.chunk = chunk.map_err(io::Error::other)?,
            }
        }
        let count = self.chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}

//! The keys under our prefix as they were at one timestamp.

use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use tikv_client::{CheckLevel, Timestamp, TransactionOptions};

use super::client::{Client, Prefix};
use crate::EngineError;
use crate::engine::{Pair, Snapshot};

/// Pairs that a scan fetches at once.
const PAGE: u32 = 128;

pub(super) struct View {
    client: Client,
    prefix: Prefix,
    /// The moment, or why it could not be had; told by every use.
    at: Result<Timestamp, String>,
}

impl View {
    pub(super) fn new(client: Client, prefix: Prefix, at: Result<Timestamp, EngineError>) -> Self {
        Self { client, prefix, at: at.map_err(|error| error.to_string()) }
    }

    /// The keys under another prefix at the same moment.
    pub(super) fn under(&self, prefix: &str) -> Self {
        Self { client: self.client.clone(), prefix: Prefix::new(prefix), at: self.at.clone() }
    }

    fn at(&self) -> Result<Timestamp, EngineError> {
        self.at.clone().map_err(EngineError::new)
    }

    /// The first key there is from one on.
    pub(super) fn first_key(&self, from: Vec<u8>) -> Result<Option<Vec<u8>>, EngineError> {
        let (at, from) = (self.at()?, self.prefix.add(&from));
        self.client.call(move |client| async move {
            let mut keys = client.snapshot(at, options()).scan_keys(from.., 1).await?;
            Ok(keys.next().map(Vec::from))
        })
    }

    fn page(&self, from: Vec<u8>, to: Vec<u8>) -> Result<VecDeque<(Bytes, Bytes)>, EngineError> {
        let (at, prefix) = (self.at()?, self.prefix.clone());
        // A transaction of its own for each page: it remembers everything that it ever read.
        self.client.call(move |client| async move {
            let mut snapshot = client.snapshot(at, options());
            let pairs = snapshot.scan(from..to, PAGE).await?;
            Ok(pairs.map(|pair| (prefix.strip((&pair.0).into()), Bytes::from(pair.1))).collect())
        })
    }
}

impl Snapshot for View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let (at, key) = (self.at()?, self.prefix.add(key));
        self.client.call(move |client| async move {
            Ok(client.snapshot(at, options()).get(key).await?.map(Bytes::from))
        })
    }

    fn get_all(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let at = self.at()?;
        let keys: Vec<_> = keys.iter().map(|key| self.prefix.add(key)).collect();
        self.client.call(move |client| async move {
            let mut snapshot = client.snapshot(at, options());
            let pairs = snapshot.batch_get(keys.clone()).await?;
            let mut found: HashMap<Vec<u8>, Bytes> =
                pairs.map(|pair| (pair.0.into(), Bytes::from(pair.1))).collect();
            Ok(keys.iter().map(|key| found.remove(key)).collect())
        })
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Box<dyn Iterator<Item = Pair> + 'a> {
        let next = Some(self.prefix.add(from));
        Box::new(Scan { view: self, next, to: self.prefix.add(to), page: VecDeque::new() })
    }
}

struct Scan<'a> {
    view: &'a View,
    /// Where the next page begins; `None` when there is none.
    next: Option<Vec<u8>>,
    to: Vec<u8>,
    page: VecDeque<(Bytes, Bytes)>,
}

impl Iterator for Scan<'_> {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        if self.page.is_empty() {
            let from = self.next.take()?;
            match self.view.page(from, self.to.clone()) {
                Ok(page) => self.page = page,
                Err(error) => return Some(Err(error)),
            }
            if let Some((last, _)) = self.page.back().filter(|_| self.page.len() == PAGE as usize) {
                // The first key behind it.
                self.next = Some([&self.view.prefix.add(last)[..], &[0]].concat());
            }
        }
        self.page.pop_front().map(Ok)
    }
}

fn options() -> TransactionOptions {
    TransactionOptions::new_optimistic().drop_check(CheckLevel::None)
}

//! GET of a collection: a snapshot streamed as it is stored, or a page of the past.
//!
//! Nothing is parsed unless the client wants tables or metadata, and nothing is copied but into chunks just below one
//! HTTP/2 frame.

mod body;
mod items;
mod token;

use std::sync::Arc;

use bytes::BytesMut;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use machinery::Status;
use machinery::table::ListMeta;
use store::{Entry, Key, Range, ReadError, Snapshot};

use super::Target;
use super::get::reach;
use super::options::{Freshness, ListOptions};
use super::selection::Selection;
use crate::body::Body;
use crate::encryption;
use crate::negotiate::{self, Encoding, Shaper};
use body::ListBody;
use token::Token;

/// Answers with a list.
pub(crate) async fn list(target: Target) -> Result<Response<Body>, Status> {
    let accept = negotiate::list(&target.call, &target.kind)?;
    let options = ListOptions::read(&target.call.query, false)?;
    let selection = Selection::read(&target.call.query, &target.kind)?;
    let found = find(&target, &options, &selection).await?;
    let shaper = Shaper::new(target.kind.clone(), &accept, target.call.now);
    if !shaper.is_streamable() {
        let objects = found.entries(&selection);
        let json = shaper.list(&found.meta, objects.iter().map(|entry| &*entry.bytes))?;
        return Ok(negotiate::document(&target.call, &accept, StatusCode::OK, json.into()));
    }
    let size = if target.call.accepts_gzip() { found.size(&selection) } else { 0 };
    let mut stream = ListBody::new(shaper, found, selection).await?;
    let first = stream.chunk()?;
    let is_pretty = accept.encoding == Encoding::Json && (target.call.is_pretty() || accept.pretty);
    if !stream.is_done() && accept.encoding != Encoding::Yaml && !is_pretty {
        stream.first = Some(first);
        let content_type = accept.encoding.media_type();
        return Ok(negotiate::stream(&target.call, stream.boxed_unsync(), size, content_type));
    }
    let mut whole = BytesMut::from(first);
    while !stream.is_done() {
        whole.extend_from_slice(&stream.chunk()?);
    }
    Ok(negotiate::shaped(&target.call, &accept, StatusCode::OK, whole.freeze()))
}

/// What a list shows.
pub(crate) struct Found {
    pub(crate) meta: ListMeta,
    source: Source,
}

enum Source {
    /// All of the present; the selection is still to be applied.
    Present(Snapshot),
    /// These.
    Page(Vec<Arc<Entry>>),
}

impl Found {
    fn present(snapshot: Snapshot) -> Found {
        let meta = ListMeta { resource_version: snapshot.revision.to_string(), ..ListMeta::default() };
        Found { meta, source: Source::Present(snapshot) }
    }

    /// The entries selected.
    pub(crate) fn entries(&self, selection: &Selection) -> Vec<Arc<Entry>> {
        match &self.source {
            Source::Page(entries) => entries.clone(),
            Source::Present(snapshot) => {
                snapshot.iter().filter(|entry| selection.matches(entry)).cloned().collect()
            }
        }
    }

    fn size(&self, selection: &Selection) -> usize {
        let size = |entry: &Arc<Entry>| entry.bytes.len();
        match &self.source {
            Source::Page(entries) => entries.iter().map(size).sum(),
            Source::Present(snapshot) => {
                snapshot.iter().filter(|entry| selection.matches(entry)).map(size).sum()
            }
        }
    }
}

/// Finds what a list with these options shows.
pub(crate) async fn find(
    target: &Target,
    options: &ListOptions,
    selection: &Selection,
) -> Result<Found, Status> {
    let store = &target.call.server.store;
    let range = narrowed(target, selection);
    if !options.continue_token.is_empty() {
        let token = Token::read(target, &options.continue_token)?;
        return page(target, &range, token, options.limit, selection).await;
    }
    match options.freshness() {
        Freshness::NotOlderThan(version) => reach(store, version).await?,
        Freshness::Exact(version) => {
            reach(store, version).await?;
            let token = Token { revision: Some(version), after: None };
            return page(target, &range, token, options.limit, selection).await;
        }
        Freshness::Any => {}
    }
    let snapshot = store.snapshot(&range);
    encryption::all_readable(&snapshot)?;
    if options.limit == 0 || (selection.is_everything() && snapshot.len() <= options.limit) {
        return Ok(Found::present(snapshot));
    }
    Ok(first_page(target, &snapshot, options.limit, selection))
}

/// A list that can only find one name looks only there.
pub(crate) fn narrowed(target: &Target, selection: &Selection) -> Range {
    match selection.name() {
        Some(name) if !name.is_empty() && (!target.kind.namespaced || !target.namespace().is_empty()) => {
            let key = target.key(name);
            if key.is_valid() { Range::key(&key) } else { target.range() }
        }
        _ => target.range(),
    }
}

fn first_page(target: &Target, snapshot: &Snapshot, limit: usize, selection: &Selection) -> Found {
    let mut entries: Vec<Arc<Entry>> =
        snapshot.iter().filter(|entry| selection.matches(entry)).take(limit + 1).cloned().collect();
    let more = entries.len() > limit;
    entries.truncate(limit);
    let mut meta = ListMeta { resource_version: snapshot.revision.to_string(), ..ListMeta::default() };
    if more && let Some(last) = entries.last() {
        meta.continue_token =
            Token { revision: Some(snapshot.revision), after: Some(last.key.clone()) }.write(target);
        let remaining = snapshot.len() - entries.len();
        meta.remaining_item_count =
            selection.is_everything().then(|| i64::try_from(remaining).unwrap_or(i64::MAX));
    }
    Found { meta, source: Source::Page(entries) }
}

/// Objects that are read at once where a selector passes over some: reading only as many as are still wanted would come to
/// a read for each object near a page's end.
const STRETCH: usize = 512;

/// A page of the past, or of the present where the token is of an inconsistent list.
async fn page(
    target: &Target,
    range: &Range,
    token: Token,
    limit: usize,
    selection: &Selection,
) -> Result<Found, Status> {
    let store = &target.call.server.store;
    let revision = token.revision.unwrap_or_else(|| store.revision());
    let mut after = token.after;
    let mut entries = Vec::new();
    let (more, remaining) = loop {
        let wanted = if limit == 0 { usize::MAX } else { limit - entries.len() };
        let stretch = if selection.is_everything() { wanted } else { wanted.max(STRETCH) };
        let page = store.list_at(range, revision, after.as_ref(), stretch).await;
        let page = page.map_err(|error| refused(target, &error, after.as_ref(), revision))?;
        encryption::each_readable(&page.entries)?;
        after = page.entries.last().map(|entry| entry.key.clone()).or(after);
        let mut selected = page.entries.into_iter().filter(|entry| selection.matches(entry));
        entries.extend(selected.by_ref().take(wanted));
        if selected.next().is_some() {
            // More was read than is shown: the next page begins behind what is.
            after = entries.last().map(|entry| entry.key.clone());
            break (true, page.remaining);
        }
        if !page.more || (limit > 0 && entries.len() >= limit) {
            break (page.more, page.remaining);
        }
    };
    let mut meta = ListMeta { resource_version: revision.to_string(), ..ListMeta::default() };
    if more {
        meta.continue_token = Token { revision: Some(revision), after }.write(target);
        let remaining = remaining.filter(|_| selection.is_everything());
        meta.remaining_item_count = remaining.and_then(|count| i64::try_from(count).ok());
    }
    Ok(Found { meta, source: Source::Page(entries) })
}

const CONTINUE_EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. You \
    can start a new list without the continue parameter, or use the continue token in this response to retrieve the \
    remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were \
    created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

fn refused(target: &Target, error: &ReadError, after: Option<&Key>, revision: u64) -> Status {
    match error {
        ReadError::Compacted { .. } => match after {
            Some(after) => {
                let token = Token { revision: None, after: Some(after.clone()) };
                Status::expired(CONTINUE_EXPIRED).with_continue(token.write(target))
            }
            None => {
                Status::expired(format!("The resourceVersion for the provided list is too old: {revision}"))
            }
        },
        ReadError::Future { tip } => Status::too_large_resource_version(revision, *tip, 1),
        error => {
            tracing::error!(%error, "the store cannot list");
            Status::internal("the store cannot list")
        }
    }
}

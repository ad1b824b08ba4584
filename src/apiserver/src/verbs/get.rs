//! GET of one object, of its status (the same object) or of its scale.

use std::sync::Arc;
use std::time::Duration;

use api::Subresource;
use bytes::Bytes;
use http::{Response, StatusCode};
use machinery::{Status, json};
use store::{Entry, Store};

use super::{Target, options, respond, scale};
use crate::body::Body;
use crate::encryption;
use crate::negotiate;
use crate::write::Written;

/// Answers with the object as it is stored.
pub(crate) async fn get(target: Target) -> Result<Response<Body>, Status> {
    let accept = negotiate::resource(&target.call, &target.kind)?;
    let revision = options::revision(target.call.query.text("resourceVersion"))
        .map_err(|why| Status::failure(500, "", why))?;
    if let Some(version) = revision {
        reach(&target.call.server.store, version).await?;
    }
    let entry = current(&target)?;
    let written = Written::stored_as(&entry);
    if target.subresource == Some(Subresource::Scale) {
        return scale::get(&target, &written);
    }
    respond(&target, &accept, StatusCode::OK, &written)
}

/// The entry that the request names.
pub(crate) fn current(target: &Target) -> Result<Arc<Entry>, Status> {
    let found = target.call.server.store.get(&target.key(target.name()));
    let entry = found.ok_or_else(|| Status::not_found(&target.group_resource(), target.name()))?;
    encryption::readable(&entry)?;
    Ok(entry)
}

/// How long a read waits for a revision that has not been reached.
const PATIENCE: Duration = Duration::from_secs(3);

/// Waits until a revision is reached; upstream's 504 where it is not.
pub(crate) async fn reach(store: &Store, revision: u64) -> Result<(), Status> {
    if revision <= store.revision() || tokio::time::timeout(PATIENCE, store.wait_for(revision)).await.is_ok()
    {
        return Ok(());
    }
    Err(Status::too_large_resource_version(revision, store.revision(), 1))
}

/// A typed object as an answer's bytes.
pub(crate) fn encoded<T: serde::Serialize>(object: &T) -> Result<Bytes, Status> {
    json::to_tree(object).map(|tree| Bytes::from(tree.to_vec())).map_err(Status::internal)
}

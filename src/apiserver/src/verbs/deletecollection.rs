//! DELETE of a collection: every object that the selectors mean, one after the other.
//!
//! Not atomic, as upstream's: the first error ends it. Objects that vanish meanwhile do not matter.

use http::{Response, StatusCode};
use machinery::Status;

use super::Target;
use super::delete::options::DeleteOptions;
use super::delete::remove;
use super::list::find;
use super::options::ListOptions;
use super::selection::Selection;
use crate::body::{self, Body};
use crate::negotiate::{self, Shaper};

/// Deletes what the request selects and answers with the list of it.
pub(crate) async fn delete_collection(target: Target, body: Body) -> Result<Response<Body>, Status> {
    let accept = negotiate::list(&target.call, &target.kind)?;
    let list = ListOptions::read(&target.call.query, false)?;
    let selection = Selection::read(&target.call.query, &target.kind)?;
    let options = DeleteOptions::read(&target.call, body::read(body).await?)?;
    let found = find(&target, &list, &selection).await?;
    let entries = found.entries(&selection);
    for entry in &entries {
        let (namespace, name) = (entry.key.namespace(), entry.key.name());
        match remove(&target.call, &target.kind, namespace, name, &options).await {
            Err(status) if status.code() != 404 => return Err(status),
            Ok(_) | Err(_) => {}
        }
    }
    let shaper = Shaper::new(target.kind.clone(), &accept, target.call.now);
    let bytes = shaper.list(&found.meta, entries.iter().map(|entry| &*entry.bytes))?;
    Ok(negotiate::shaped(&target.call, &accept, StatusCode::OK, bytes.into()))
}

//! DELETE of one object: at once, gracefully, or once its finalizers are gone.
//!
//! `plan` decides from the object and the options alone; this file reads, asks admission, commits what was planned and
//! starts over where somebody else wrote in between.

pub(crate) mod options;
mod plan;

use std::sync::Arc;

use api::Descriptor;
use bytes::Bytes;
use http::{Response, StatusCode};
use machinery::Status;
use machinery::status::Details;
use store::{CommitError, Entry, Precondition, Store, Value, Write};

use super::{Target, respond};
use crate::admission;
use crate::body::{self, Body};
use crate::call::Call;
use crate::encryption;
use crate::negotiate;
use crate::write::{Written, refused, with_revision};
use options::DeleteOptions;
use plan::Plan;

pub(crate) use plan::plan;

/// Deletes the object that the request names.
pub(crate) async fn delete(target: Target, body: Body) -> Result<Response<Body>, Status> {
    let accept = negotiate::resource(&target.call, &target.kind)?;
    let options = DeleteOptions::read(&target.call, body::read(body).await?)?;
    let outcome = remove(&target.call, &target.kind, target.namespace(), target.name(), &options).await?;
    let code = if !outcome.gone && options.orphan_dependents == Some(false) {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    if outcome.gone && !target.kind.returns_deleted {
        let details = Details {
            name: target.name().to_owned(),
            group: target.kind.resource.group.clone(),
            kind: target.kind.resource.resource.clone(),
            uid: outcome.uid,
            ..Details::default()
        };
        // Upstream's is never given a code.
        let mut status = Status::success(Some(details)).to_tree();
        status.remove(&["code"]);
        return Ok(negotiate::document(&target.call, &accept, code, status.to_vec().into()));
    }
    respond(&target, &accept, code, &Written { bytes: outcome.bytes, created: false })
}

/// What came of a deletion.
pub(crate) struct Outcome {
    /// Whether the object is gone, not only marked.
    pub(crate) gone: bool,
    /// The object's last (or marked) state as stored.
    pub(crate) bytes: Bytes,
    uid: String,
}

/// Deletes an object as `options` say.
pub(crate) async fn remove(
    call: &Call,
    kind: &Arc<Descriptor>,
    namespace: &str,
    name: &str,
    options: &DeleteOptions,
) -> Result<Outcome, Status> {
    let resource = kind.resource.group_resource();
    let key = super::key(kind, namespace, name);
    loop {
        let entry = call.server.store.get(&key).ok_or_else(|| Status::not_found(&resource, name))?;
        encryption::readable(&entry)?;
        let object = Written::stored_as(&entry).object(kind)?;
        options.check_preconditions(kind, &object, entry.revision)?;
        admission::delete(call, kind, namespace, name, &object, options.dry_run).await?;
        let plan = plan(kind, object, options, call.now);
        let reservation = call.server.addresses.before(&key);
        match commit(&call.server.store, kind, &entry, plan, options.dry_run).await {
            Ok(outcome) => {
                call.server.addresses.settle(reservation).await;
                return Ok(outcome);
            }
            Err(CommitError::Conflict(_) | CommitError::Missing) => {}
            Err(error) => return Err(refused(&error, &resource, name)),
        }
    }
}

/// Does what was planned, unless the object is no longer the entry's.
///
/// # Errors
/// Where the object has changed, or the store takes no writes.
pub(crate) async fn commit(
    store: &Store,
    kind: &Descriptor,
    entry: &Arc<Entry>,
    plan: Plan,
    dry_run: bool,
) -> Result<Outcome, CommitError> {
    let uid = entry.attributes.uid.to_string();
    let (object, gone) = match plan {
        Plan::Nothing => return Ok(Outcome { gone: false, bytes: entry.bytes.clone(), uid }),
        Plan::Mark(object) => (object, false),
        Plan::Remove(object) => (object, true),
    };
    let (head, tail) = kind.encode(&object);
    let unchanged = with_revision(&head, entry.revision, &tail);
    if dry_run || (!gone && unchanged == entry.bytes) {
        return Ok(Outcome { gone, bytes: unchanged, uid });
    }
    let value = Value::new(head.into(), tail.into());
    let write = if gone { Write::Delete(value) } else { Write::Put(value) };
    let precondition = Precondition::Revision(entry.revision);
    let committed = store.commit(entry.key.clone(), precondition, write).await?;
    Ok(Outcome { gone, bytes: committed.entry.bytes.clone(), uid })
}

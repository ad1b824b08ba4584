//! Last stage: canonical bytes into the store, with the current revision as precondition.

use api::Object;
use bytes::{BufMut, Bytes, BytesMut};
use machinery::Status;
use machinery::gvk::GroupResource;
use store::{CommitError, Entry, Precondition, Value, Write};

use super::{Draft, Intent, Source, Written};
use crate::special;

/// How often upstream tries another generated name.
const NAMES_TRIED: u32 = 8;
/// When to try again where no generated name was free.
const RETRY_AFTER_S: u32 = 1;

/// Commits the draft; `None` where somebody else was faster and the write starts over.
pub(super) async fn commit(intent: &mut Intent<'_>, draft: Draft) -> Result<Option<Written>, Status> {
    if draft.old.is_some() { update(intent, draft).await } else { create(intent, draft).await }
}

async fn create(intent: &mut Intent<'_>, draft: Draft) -> Result<Option<Written>, Status> {
    let asked_for = std::mem::replace(&mut intent.name, draft.new.meta().name.clone().unwrap_or_default());
    let key = intent.key();
    let given = draft.new.meta().resource_version.clone().unwrap_or_default();
    if !given.is_empty() && !intent.options.dry_run && matches!(intent.source, Source::New(_)) {
        return Err(Status::failure(500, "", "resourceVersion should not be set on objects to be created"));
    }
    let (head, tail) = intent.kind.encode(&draft.new);
    if intent.options.dry_run {
        if let Some(other) = intent.call.server.store.get(&key) {
            return Err(in_the_way(intent, Some(&other)));
        }
        return Ok(Some(Written { bytes: never_stored(head, &given, &tail), created: true }));
    }
    let write = Write::Put(Value::new(head.into(), tail.into()));
    match intent.call.server.store.commit(key.clone(), Precondition::Absent, write).await {
        Ok(committed) => Ok(Some(Written { bytes: committed.entry.bytes.clone(), created: true })),
        Err(CommitError::Exists(_)) if asked_for.is_empty() => {
            intent.generated += 1;
            if intent.generated >= NAMES_TRIED {
                return Err(Status::generate_name_conflict(
                    &intent.group_resource(),
                    &intent.name,
                    RETRY_AFTER_S,
                ));
            }
            Ok(None)
        }
        Err(CommitError::Exists(_)) => Err(in_the_way(intent, intent.call.server.store.get(&key).as_deref())),
        Err(error) => Err(refused(&error, &intent.group_resource(), &intent.name)),
    }
}

/// 409: the name is taken, perhaps by an object that will be gone soon.
fn in_the_way(intent: &Intent<'_>, other: Option<&Entry>) -> Status {
    let exists = Status::already_exists(&intent.group_resource(), &intent.name);
    let other = other.and_then(|entry| Written::stored_as(entry).object(intent.kind).ok());
    if other.is_some_and(|other| other.meta().deletion_timestamp.is_some()) {
        let message = format!("object is being deleted: {}", exists.message());
        return exists.with_message(message);
    }
    exists
}

async fn update(intent: &Intent<'_>, draft: Draft) -> Result<Option<Written>, Status> {
    let old = draft.old.as_ref().expect("an update has an old object");
    let (head, tail) = intent.kind.encode(&draft.new);
    let deletes = is_finalized(&draft.new, &old.object);
    let unchanged = with_revision(&head, old.entry.revision, &tail);
    // What would be encrypted otherwise now is written although it is the same: so keys are rotated.
    let changes = deletes || unchanged != old.entry.bytes || intent.call.server.store.is_stale(&old.entry);
    if intent.options.dry_run || !changes {
        return Ok(Some(Written { bytes: unchanged, created: false }));
    }
    let value = Value::new(head.into(), tail.into());
    let write = if deletes { Write::Delete(value) } else { Write::Put(value) };
    let store = &intent.call.server.store;
    match store.commit(old.entry.key.clone(), Precondition::Revision(old.entry.revision), write).await {
        // What is gone is answered as it was, at the revision that it had.
        Ok(_) if deletes => Ok(Some(Written { bytes: unchanged, created: false })),
        Ok(committed) => Ok(Some(Written { bytes: committed.entry.bytes.clone(), created: false })),
        Err(CommitError::Conflict(_) | CommitError::Missing) => Ok(None),
        Err(error) => Err(refused(&error, &intent.group_resource(), &intent.name)),
    }
}

/// Upstream's `ShouldDeleteDuringUpdate`: the last finalizer has gone from an object that waited for nothing else.
fn is_finalized(new: &Object, old: &Object) -> bool {
    new.meta().finalizers.as_ref().is_none_or(Vec::is_empty)
        && old.meta().deletion_timestamp.is_some()
        && old.meta().deletion_grace_period_seconds.unwrap_or(0) == 0
        && special::is_finalized(new)
}

/// An object's bytes at a revision.
pub(crate) fn with_revision(head: &[u8], revision: u64, tail: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(head.len() + 20 + tail.len());
    bytes.put_slice(head);
    bytes.put_slice(revision.to_string().as_bytes());
    bytes.put_slice(tail);
    bytes.freeze()
}

/// An object that was never stored has no `resourceVersion`, but the one that it came with.
fn never_stored(head: Vec<u8>, given: &str, tail: &[u8]) -> Bytes {
    if !given.is_empty() {
        let quoted = machinery::json::Tree::from(given).to_vec();
        return [&head, &quoted[1..quoted.len() - 1], tail].concat().into();
    }
    let field = b"\"resourceVersion\":\"";
    let head = head.strip_suffix(field.as_slice()).unwrap_or(&head);
    let head = head.strip_suffix(b",").unwrap_or(head);
    [head, tail.strip_prefix(b"\"").unwrap_or(tail)].concat().into()
}

/// The store's refusal as the API's.
pub(crate) fn refused(error: &CommitError, resource: &GroupResource, name: &str) -> Status {
    match error {
        CommitError::Exists(_) => Status::already_exists(resource, name),
        CommitError::Missing => Status::not_found(resource, name),
        CommitError::Conflict(_) => Status::conflict(resource, name, "object was modified"),
        CommitError::TooLarge { size, limit } => {
            Status::request_entity_too_large(format!("the object takes {size} bytes, limit is {limit}"))
        }
        CommitError::Closed => Status::service_unavailable("the server is shutting down"),
        CommitError::Unavailable(_) | CommitError::Moved(_) => Status::service_unavailable(error.to_string()),
        error => {
            tracing::error!(%error, %resource, name, "a write failed");
            Status::internal(error)
        }
    }
}

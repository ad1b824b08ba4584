//! A change that the server makes to a stored object without the kind's update rules, which would put back what only a
//! special endpoint may change (a pod's node, a namespace's finalizers).

use api::{Descriptor, Object};
use bytes::Bytes;
use machinery::Status;
use store::{CommitError, Precondition, Value, Write};

use crate::call::Call;
use crate::verbs;
use crate::write::{Written, refused, with_revision};

/// What becomes of the object.
pub(super) enum Fate {
    Stays,
    Goes,
}

/// Changes the object under a name until nobody writes in between; its new state in the stored form.
pub(super) async fn change(
    call: &Call,
    kind: &Descriptor,
    name: &str,
    dry_run: bool,
    change: impl Fn(&mut Object) -> Result<Fate, Status>,
) -> Result<Bytes, Status> {
    let resource = kind.resource.group_resource();
    let key = verbs::key(kind, &call.info.namespace, name);
    loop {
        let entry = call.server.store.get(&key).ok_or_else(|| Status::not_found(&resource, name))?;
        let mut object = Written::stored_as(&entry).object(kind)?;
        let fate = change(&mut object)?;
        let (head, tail) = kind.encode(&object);
        if dry_run {
            return Ok(with_revision(&head, entry.revision, &tail));
        }
        let value = Value::new(head.into(), tail.into());
        let write = match fate {
            Fate::Stays => Write::Put(value),
            Fate::Goes => Write::Delete(value),
        };
        match call.server.store.commit(key.clone(), Precondition::Revision(entry.revision), write).await {
            Ok(committed) => return Ok(committed.entry.bytes.clone()),
            Err(CommitError::Conflict(_) | CommitError::Missing) => {}
            Err(error) => return Err(refused(&error, &resource, name)),
        }
    }
}

//! A change that the server makes to a stored object without the kind's update rules, which would put back what only a
//! special endpoint may change (a pod's node).

use api::{Descriptor, Object};
use machinery::Status;
use store::{CommitError, Precondition, Value, Write};

use crate::call::Call;
use crate::verbs;
use crate::write::{Written, refused, with_revision};

/// Changes the object under a name until nobody writes in between; the answer is the revision that it has then.
pub(super) async fn change(
    call: &Call,
    kind: &Descriptor,
    name: &str,
    dry_run: bool,
    change: impl Fn(&mut Object) -> Result<(), Status>,
) -> Result<u64, Status> {
    let resource = kind.resource.group_resource();
    let key = verbs::key(kind, &call.info.namespace, name);
    loop {
        let entry = call.server.store.get(&key).ok_or_else(|| Status::not_found(&resource, name))?;
        let mut object = Written::stored_as(&entry).object(kind)?;
        change(&mut object)?;
        let (head, tail) = kind.encode(&object);
        if dry_run || with_revision(&head, entry.revision, &tail) == entry.bytes {
            return Ok(entry.revision);
        }
        let write = Write::Put(Value::new(head.into(), tail.into()));
        match call.server.store.commit(key.clone(), Precondition::Revision(entry.revision), write).await {
            Ok(committed) => return Ok(committed.entry.revision),
            Err(CommitError::Conflict(_) | CommitError::Missing) => {}
            Err(error) => return Err(refused(&error, &resource, name)),
        }
    }
}

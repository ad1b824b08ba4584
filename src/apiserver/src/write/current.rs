//! First stage: what is there now.

use machinery::Status;

use super::{Intent, Old, Source};
use crate::encryption;

/// The object that the write starts from; `None` where there is none, or where a new one is to be made.
pub(super) fn read(intent: &Intent<'_>) -> Result<Option<Old>, Status> {
    if matches!(intent.source, Source::New(_) | Source::Own(_)) {
        return Ok(None);
    }
    let Some(entry) = intent.call.server.store.get(&intent.key()) else {
        let may_create =
            matches!(intent.source, Source::Replacement(_)) && intent.kind.allow_create_on_update;
        if !may_create || !intent.subresource.is_empty() {
            return Err(Status::not_found(&intent.group_resource(), &intent.name));
        }
        // The request was authorized as an update, but it creates.
        intent.call.authorize("create", intent.call.resource())?;
        return Ok(None);
    };
    encryption::readable(&entry)?;
    let object = intent.kind.decode_stored(&entry.bytes).map_err(|error| {
        tracing::error!(key = entry.key.as_str(), %error, "a stored object cannot be read");
        Status::internal("a stored object cannot be read")
    })?;
    Ok(Some(Old { entry, object }))
}

//! Second stage: the object that the client wants, decoded from the body or patched from the current one.

use api::Object;
use machinery::Status;

use super::{Draft, Intent, Old, Source, document, patch};

/// The draft: what is wanted, and what it replaces.
pub(super) fn decode(intent: &mut Intent<'_>, current: Option<Old>) -> Result<Draft, Status> {
    let mut new = match (&intent.source, &current) {
        (Source::New(body) | Source::Replacement(body), _) => {
            let tree = document::read(intent.call, intent.kind, intent.options.field_validation, body)?;
            intent.kind.decode(&tree)?
        }
        (Source::Own(object), _) => object.clone(),
        (Source::Patch(kind, body), Some(old)) => patch::apply(intent, *kind, body, old)?,
        (Source::Change(change), Some(old)) => {
            let mut new = old.object.clone();
            change(&mut new)?;
            new
        }
        (Source::Patch(..) | Source::Change(_), None) => {
            return Err(Status::not_found(&intent.group_resource(), &intent.name));
        }
    };
    // Field ownership is not tracked, so nobody's claims are kept.
    new.meta_mut().managed_fields = None;
    let wanted = if intent.kind.namespaced { intent.namespace.as_str() } else { "" };
    document::check_namespace(new.meta_mut(), wanted)?;
    match &intent.source {
        Source::New(_) | Source::Own(_) => intent.name = new.meta().name.clone().unwrap_or_default(),
        _ => check_name(intent, &new)?,
    }
    Ok(Draft { new, old: current, held: Vec::new() })
}

fn check_name(intent: &Intent<'_>, new: &Object) -> Result<(), Status> {
    let given = new.meta().name.as_deref().unwrap_or_default();
    if given.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            intent.name
        )));
    }
    if given != intent.name {
        let name = &intent.name;
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    Ok(())
}

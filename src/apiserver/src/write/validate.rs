//! Fifth stage: the kind's own judgement.

use machinery::Status;

use super::{Draft, Intent, View};
use crate::special;

/// 422 with everything that is wrong; warnings go with the answer.
pub(super) fn validate(intent: &Intent<'_>, draft: &mut Draft) -> Result<(), Status> {
    let kind = intent.kind;
    let errors = match (draft.old_object(), intent.view) {
        (None, _) => kind.validate_create(&draft.new),
        (Some(old), View::Main) => kind.validate_update(&draft.new, old),
        (Some(old), View::Status) => kind.validate_status_update(&draft.new, old),
        (Some(old), View::Approval) => kind.validate_approval_update(&draft.new, old),
        (Some(old), View::EphemeralContainers) => kind.validate_ephemeral_containers_update(&draft.new, old),
        (Some(old), View::Finalize) => special::validate_finalized(kind, &draft.new, old),
    };
    let name = draft.new.meta().name.as_deref().unwrap_or_default();
    Status::check(&kind.refused_as, name, &errors)?;
    let warnings = match intent.view {
        View::Main => kind.warnings(&draft.new, draft.old_object()),
        View::Status => kind.status_warnings(&draft.new),
        View::Approval | View::EphemeralContainers | View::Finalize => vec![],
    };
    warnings.into_iter().for_each(|warning| intent.call.warn(warning));
    kind.canonicalize(&mut draft.new);
    special::as_shown(&mut draft.new);
    Ok(())
}

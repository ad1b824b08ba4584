//! A patch applied to the current object.

use api::Object;
use machinery::field::{Error, Path};
use machinery::gvk::GroupKind;
use machinery::json::{self, Tree};
use machinery::patch::{self, json as json_patch, merge, strategic};
use machinery::status::Details;
use machinery::{Status, schema};

use super::document::{report, unknown};
use super::{Intent, Old};
use crate::verbs::options::FieldValidation;

/// The patch languages served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    Strategic,
}

impl PatchKind {
    /// Their media types.
    pub(crate) const MEDIA_TYPES: [&'static str; 3] = [
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    ];

    /// By the request's `Content-Type`.
    pub(crate) fn read(content_type: &str) -> Result<PatchKind, Status> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        match Self::MEDIA_TYPES.iter().position(|own| *own == media) {
            Some(0) => Ok(PatchKind::Json),
            Some(1) => Ok(PatchKind::Merge),
            Some(_) => Ok(PatchKind::Strategic),
            None => Err(Status::failure(415, "UnsupportedMediaType", "415: Unsupported Media Type")
                .with_details(Details::default())),
        }
    }
}

/// The current object, patched.
pub(super) fn apply(intent: &Intent<'_>, kind: PatchKind, body: &[u8], old: &Old) -> Result<Object, Status> {
    let validation = intent.options.field_validation;
    let current = served(intent, old)?;
    let (patched, mut strict) = applied(intent, kind, body, current)?;
    schema::check_types(&patched, intent.kind.schema)
        .map_err(|error| invalid(&patched, &error.to_string()))?;
    match validation {
        FieldValidation::Ignore => strict.clear(),
        _ => strict.extend(unknown(&patched, intent.kind)),
    }
    report(intent.call, validation, &strict, |error| invalid(&patched, &error))?;
    intent.kind.decode(&patched)
}

/// The current object as this version of the API has it.
fn served<'a>(intent: &Intent<'_>, old: &'a Old) -> Result<Tree<'a>, Status> {
    if !intent.kind.is_stored_as_served() {
        return Ok(old.object.to_tree());
    }
    let parsed = json::parse(&old.entry.bytes);
    Ok(parsed.map_err(|error| Status::internal(format!("a stored object cannot be read: {error}")))?.tree)
}

/// The patched tree, and what is wrong with the patch's own form.
fn applied<'a>(
    intent: &Intent<'_>,
    kind: PatchKind,
    body: &'a [u8],
    current: Tree<'a>,
) -> Result<(Tree<'a>, Vec<String>), Status> {
    if kind == PatchKind::Json {
        let strict = match intent.options.field_validation {
            FieldValidation::Ignore => Vec::new(),
            _ => json_patch::strict_errors(body).map_err(undecodable)?,
        };
        return Ok((json_patch::apply(&current, body).map_err(unappliable)?, strict));
    }
    let bad = |why: String| match kind {
        PatchKind::Strategic => Status::bad_request(why),
        _ => Status::bad_request(format!("error decoding patch: {why}")),
    };
    let patch = json::parse(body).map_err(|error| bad(error.to_string()))?;
    if patch.tree.is_null() && kind == PatchKind::Merge {
        return Err(Status::bad_request("Invalid JSON Patch"));
    }
    if !matches!(patch.tree, Tree::Object(_)) {
        let found = patch.tree.go_kind();
        return Err(bad(format!(
            "json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        )));
    }
    let duplicates = patch.duplicates.iter().map(|path| format!("duplicate field \"{path}\"")).collect();
    let patched = match kind {
        PatchKind::Merge => merge::apply(current, patch.tree),
        _ => strategic::apply(&current, &patch.tree, intent.kind.schema).map_err(|error| match error {
            // Upstream has no reason for these, either.
            patch::Error::Malformed(why) => Status::failure(500, "", why),
            error => unappliable(error),
        })?,
    };
    Ok((patched, duplicates))
}

/// A JSON patch that is none, as upstream's strict reader sees it.
fn undecodable(error: patch::Error) -> Status {
    match error {
        patch::Error::Malformed(why) => {
            let why = why.replace("type jsonpatch.Patch", "type []handlers.jsonPatchOp");
            Status::bad_request(format!("error decoding patch: {why}"))
        }
        error => unappliable(error),
    }
}

fn unappliable(error: patch::Error) -> Status {
    match error {
        patch::Error::Malformed(why) => Status::bad_request(why),
        patch::Error::TooLarge(why) => Status::request_entity_too_large(why),
        // Upstream answers generically; the cause helps nevertheless.
        patch::Error::Inapplicable(why) => {
            tracing::debug!(why, "a patch does not apply");
            let message = "the server rejected our request due to an error in our request";
            Status::failure(422, "Invalid", message).with_details(Details::default())
        }
    }
}

fn invalid(patched: &Tree<'_>, error: &str) -> Status {
    let shown = String::from_utf8_lossy(&patched.to_vec()).into_owned();
    let errors = [Error::invalid(&Path::new("patch"), shown, error)];
    Status::invalid(&GroupKind::default(), "", &errors)
}

//! A patch applied to the current object.

use std::borrow::Cow;

use api::{Descriptor, Object};
use machinery::field::{Error, Path};
use machinery::gvk::GroupKind;
use machinery::json::{self, Tree};
use machinery::patch::{self, json as json_patch, merge, strategic};
use machinery::status::Details;
use machinery::{Status, schema};

use super::document::{report, unknown, wrong_kind};
use super::{Intent, Old};
use crate::call::Call;
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

/// A patch as a client sent it.
pub(crate) struct Patch<'a> {
    pub(crate) kind: PatchKind,
    pub(crate) body: &'a [u8],
    pub(crate) validation: FieldValidation,
}

/// The current object, patched.
pub(super) fn apply(intent: &Intent<'_>, kind: PatchKind, body: &[u8], old: &Old) -> Result<Object, Status> {
    let patch = Patch { kind, body, validation: intent.options.field_validation };
    patch.apply(intent.call, intent.kind, served(intent, old)?)
}

impl Patch<'_> {
    /// What the patch makes of an object of a kind.
    pub(crate) fn apply(&self, call: &Call, kind: &Descriptor, current: Tree<'_>) -> Result<Object, Status> {
        let (patched, mut strict) = self.applied(kind, current)?;
        if let Some(error) = wrong_kind(&kind.gvk, &patched) {
            return Err(self.invalid(&patched, &error));
        }
        schema::check_types(&patched, kind.schema)
            .map_err(|error| self.invalid(&patched, &error.to_string()))?;
        match self.validation {
            FieldValidation::Ignore => strict.clear(),
            _ => strict.extend(unknown(&patched, kind.schema)),
        }
        report(call, self.validation, &strict, |error| self.invalid(&patched, &error))?;
        kind.decode(&patched)
    }

    /// The patched tree, and what is wrong with the patch's own form.
    fn applied<'a>(
        &'a self,
        kind: &Descriptor,
        current: Tree<'a>,
    ) -> Result<(Tree<'a>, Vec<String>), Status> {
        if self.kind == PatchKind::Json {
            let strict = match self.validation {
                FieldValidation::Ignore => Vec::new(),
                _ => json_patch::strict_errors(self.body).map_err(undecodable)?,
            };
            return Ok((json_patch::apply(&current, self.body).map_err(unappliable)?, strict));
        }
        let patch = self.parsed()?;
        let strict = patch.duplicates.iter().map(|path| format!("duplicate field \"{path}\"")).collect();
        let patched = match self.kind {
            PatchKind::Merge => merge::apply(current, patch.tree),
            _ => strategic::apply(&current, &patch.tree, kind.schema).map_err(|error| match error {
                // Upstream has no reason for these, either.
                patch::Error::Malformed(why) => Status::failure(500, "", why),
                error => unappliable(error),
            })?,
        };
        Ok((patched, strict))
    }

    /// A patch that has an object's form.
    fn parsed(&self) -> Result<json::Parsed<'_>, Status> {
        let bad = |why: String| match self.kind {
            PatchKind::Strategic => Status::bad_request(why),
            _ => Status::bad_request(format!("error decoding patch: {why}")),
        };
        let patch = json::parse(self.body).map_err(|error| bad(error.to_string()))?;
        if patch.tree.is_null() && self.kind == PatchKind::Merge {
            return Err(Status::bad_request("Invalid JSON Patch"));
        }
        if !matches!(patch.tree, Tree::Object(_)) {
            let found = patch.tree.go_kind();
            return Err(bad(format!(
                "json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            )));
        }
        Ok(patch)
    }

    /// 422. Upstream shows what came of the patch, or the patch itself where it merges strategically.
    fn invalid(&self, patched: &Tree<'_>, error: &str) -> Status {
        let text = |tree: &Tree<'_>| String::from_utf8_lossy(&tree.to_vec()).into_owned();
        let shown = match (self.kind, json::parse(self.body)) {
            (PatchKind::Merge, Ok(patch)) => text(&sorted_where(patched, &patch.tree)),
            (PatchKind::Strategic, Ok(patch)) => patch::in_go(&patch.tree),
            _ => text(patched),
        };
        let errors = [Error::invalid(&Path::new("patch"), shown, error)];
        Status::invalid(&GroupKind::default(), "", &errors)
    }
}

/// Objects that a merge patch looks into have their keys in order then, upstream.
fn sorted_where(patched: &Tree<'_>, patch: &Tree<'_>) -> Tree<'static> {
    let (Tree::Object(members), Tree::Object(_)) = (patched, patch) else {
        return patched.clone().into_owned();
    };
    let member = |(key, value): (&str, &Tree<'_>)| {
        let value =
            patch.get(key).map_or_else(|| value.clone().into_owned(), |inner| sorted_where(value, inner));
        (Cow::Owned(key.to_owned()), value)
    };
    Tree::Object(members.sorted().into_iter().map(member).collect())
}

/// The current object as this version of the API has it.
fn served<'a>(intent: &Intent<'_>, old: &'a Old) -> Result<Tree<'a>, Status> {
    if !intent.kind.is_stored_as_served() {
        return Ok(old.object.to_tree());
    }
    let parsed = json::parse(&old.entry.bytes);
    Ok(parsed.map_err(|error| Status::internal(format!("a stored object cannot be read: {error}")))?.tree)
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

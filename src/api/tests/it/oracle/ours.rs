//! Our judge: the stages of the API server's write path, called one after the other, with fixed values for what the
//! server would choose by chance or by its clock (the same as in `hack/schema/policy/judge.go`).

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use coxswain_api::{Context, Descriptor, Object, Subresource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use machinery::field::ErrorList;
use machinery::{Status, meta};
use serde_json::Value;

use super::upstream::{Answer, Ask, Column, Question};

const UID: &str = "3b1c2b3e-0000-4000-8000-000000000000";
const SUFFIX: &str = "xxxxx";

/// What our kind makes of the object.
pub(super) fn answer(kind: &Descriptor, question: &Question) -> Answer {
    let new = match decoded(kind, &question.object) {
        Ok(new) => new,
        Err(status) => return Answer { undecodable: status.message().to_owned(), ..Answer::default() },
    };
    if kind.verbs == ["create"] || is_body(kind) {
        return review(kind, &new);
    }
    match question.ask {
        Ask::Create => create(kind, new),
        Ask::Update => update(kind, new, &question.old),
        Ask::Status => update_part(kind, new, &question.old, &STATUS),
        Ask::Approval => update_part(kind, new, &question.old, &APPROVAL),
        Ask::Label | Ask::Fuzz => unreachable!("these are not about an object of ours"),
    }
}

/// Under which name objects keep a field that a request selects by, or why it may not.
pub(super) fn label(kind: &Descriptor, label: &str) -> Result<String, String> {
    kind.field_label(label).map(str::to_owned)
}

/// Whether our kind takes what the question is about.
pub(super) fn accepts(kind: &Descriptor, question: &Question) -> bool {
    let answer = answer(kind, question);
    answer.undecodable.is_empty() && answer.status.is_null()
}

/// Kinds that are only the body of a subresource are judged like reviews: without metadata.
fn is_body(kind: &Descriptor) -> bool {
    coxswain_api::bodies().iter().any(|body| body.gvk == kind.gvk)
}

/// Whether the kind has a status of its own to update.
pub(super) fn has_status(kind: &Descriptor) -> bool {
    kind.subresources.contains(&Subresource::Status)
}

/// Whether the kind has approvals.
pub(super) fn has_approval(kind: &Descriptor) -> bool {
    kind.subresources.contains(&Subresource::Approval)
}

/// What was sent to create an object, as it is once it is stored, valid or not, with the status that was sent along.
pub(super) fn stored(kind: &Descriptor, sent: &Value) -> Option<Value> {
    let mut object = decoded(kind, sent).ok()?;
    let before = shown(kind, &object);
    initialise(kind, object.meta_mut());
    let cx = context(&object);
    kind.prepare_for_create(&mut object, &cx);
    object.meta_mut().resource_version = Some("1".to_owned());
    let mut after = shown(kind, &object);
    match before.get("status") {
        Some(status) => after["status"] = status.clone(),
        None => drop(after.as_object_mut()?.remove("status")),
    }
    Some(after)
}

fn decoded(kind: &Descriptor, value: &Value) -> Result<Object, Status> {
    let bytes = value.to_string();
    let parsed = machinery::json::parse(bytes.as_bytes()).expect("a value prints as JSON");
    let mut object = kind.decode(&parsed.tree)?;
    object.meta_mut().managed_fields = None;
    kind.set_defaults(&mut object);
    Ok(object)
}

/// What was encoded by us; `None` where it was encoded although it is refused, and cannot be read back.
fn undefaulted(kind: &Descriptor, value: &Value) -> Option<Object> {
    let bytes = value.to_string();
    let parsed = machinery::json::parse(bytes.as_bytes()).expect("a value prints as JSON");
    kind.decode(&parsed.tree).ok()
}

/// `write/prepare.rs`, for a new object.
fn initialise(kind: &Descriptor, new: &mut ObjectMeta) {
    meta::wipe_system_fields(new);
    new.uid = Some(UID.to_owned());
    new.resource_version = None;
    new.creation_timestamp = Some(Time("2010-01-01T00:00:00Z".parse().expect("a time")));
    if let (None | Some(""), Some(base)) = (new.name.as_deref(), new.generate_name.as_deref())
        && !base.is_empty()
    {
        new.name = Some(generated(kind, base));
    }
}

fn generated(kind: &Descriptor, base: &str) -> String {
    if kind.generate_name(base) == base {
        return base.to_owned();
    }
    let mut end = base.len().min(meta::MAX_GENERATED_BASE);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{SUFFIX}", &base[..end])
}

fn context(object: &Object) -> Context {
    Context {
        user: "oracle".to_owned(),
        uid: String::new(),
        groups: vec![],
        extra: Default::default(),
        namespace: object.meta().namespace.clone().unwrap_or_default(),
        now: Timestamp::now(),
        dry_run: false,
    }
}

fn review(kind: &Descriptor, new: &Object) -> Answer {
    let errors = kind.validate_create(new);
    Answer { object: shown(kind, new), status: refusal(kind, "", &errors), ..Answer::default() }
}

fn create(kind: &Descriptor, mut new: Object) -> Answer {
    initialise(kind, new.meta_mut());
    let warnings = kind.preparation_warnings(&new);
    let cx = context(&new);
    kind.prepare_for_create(&mut new, &cx);
    let errors = kind.validate_create(&new);
    let mut answer = outcome(kind, new, None, &errors);
    answer.warnings.splice(0..0, warnings);
    answer
}

fn update(kind: &Descriptor, mut new: Object, sent: &Value) -> Answer {
    let stored = stored(kind, sent);
    let Some(old) = stored.and_then(|stored| undefaulted(kind, &stored)) else { return old_undecodable() };
    identify(&mut new);
    let cx = context(&new);
    kind.prepare_for_update(&mut new, &old, &cx);
    restore(new.meta_mut(), old.meta());
    let errors = kind.validate_update(&new, &old);
    outcome(kind, new, Some(&old), &errors)
}

/// How a subresource is updated.
struct Part {
    prepare: fn(&Descriptor, &mut Object, &Object, &Context),
    validate: fn(&Descriptor, &Object, &Object) -> ErrorList,
    warnings: fn(&Descriptor, &Object) -> Vec<String>,
}

const STATUS: Part = Part {
    prepare: Descriptor::prepare_for_status_update,
    validate: Descriptor::validate_status_update,
    warnings: Descriptor::status_warnings,
};

const APPROVAL: Part = Part {
    prepare: Descriptor::prepare_for_approval_update,
    validate: Descriptor::validate_approval_update,
    warnings: |_, _| vec![],
};

fn update_part(kind: &Descriptor, mut new: Object, sent: &Value, part: &Part) -> Answer {
    let stored = stored(kind, sent);
    let Some(old) = stored.and_then(|stored| undefaulted(kind, &stored)) else { return old_undecodable() };
    identify(&mut new);
    let cx = context(&new);
    (part.prepare)(kind, &mut new, &old, &cx);
    restore(new.meta_mut(), old.meta());
    let errors = (part.validate)(kind, &new, &old);
    let warnings = if errors.is_empty() { (part.warnings)(kind, &new) } else { vec![] };
    Answer { warnings, ..outcome(kind, new, Some(&old), &errors) }
}

fn old_undecodable() -> Answer {
    Answer { undecodable: "old".to_owned(), ..Answer::default() }
}

/// The preconditions hold.
fn identify(new: &mut Object) {
    new.meta_mut().uid = Some(UID.to_owned());
    new.meta_mut().resource_version = Some("1".to_owned());
}

/// `write/prepare.rs`, for an update.
fn restore(new: &mut ObjectMeta, old: &ObjectMeta) {
    new.creation_timestamp.clone_from(&old.creation_timestamp);
    if old.deletion_timestamp.is_some() {
        new.deletion_timestamp.clone_from(&old.deletion_timestamp);
    }
    if new.deletion_grace_period_seconds.is_none() {
        new.deletion_grace_period_seconds = old.deletion_grace_period_seconds;
    }
}

fn outcome(kind: &Descriptor, mut new: Object, old: Option<&Object>, errors: &ErrorList) -> Answer {
    let mut warnings = vec![];
    if errors.is_empty() {
        warnings = kind.warnings(&new, old);
        kind.canonicalize(&mut new);
    }
    let column = |column: machinery::table::Column| Column {
        name: column.name,
        type_: column.type_,
        format: column.format,
        priority: column.priority,
    };
    let object = kept(kind, &new);
    let tree = machinery::json::parse(object.to_string().as_bytes()).map(|parsed| parsed.tree.into_owned());
    let message = machinery::protobuf::message(&tree.expect("a value prints as JSON"), kind.schema);
    Answer {
        fields: attributes(kind, &new),
        protobuf: BASE64_STANDARD.encode(message),
        object,
        status: refusal(kind, new.meta().name.as_deref().unwrap_or_default(), errors),
        warnings,
        columns: kind.columns().into_iter().map(column).collect(),
        cells: kind.row_of(&new, Timestamp::now()),
        ..Answer::default()
    }
}

/// The object as it comes back from the store.
fn kept(kind: &Descriptor, object: &Object) -> Value {
    let bytes = machinery::schema::stored(&object.to_tree(), kind.schema);
    serde_json::from_slice(&bytes).expect("canonical JSON is JSON")
}

fn attributes(kind: &Descriptor, object: &Object) -> BTreeMap<String, String> {
    let (head, tail) = kind.encode(object);
    let stored = [head, tail].concat();
    kind.attributes(&stored).expect("canonical JSON is JSON").fields.into_iter().collect()
}

fn shown(kind: &Descriptor, object: &Object) -> Value {
    serde_json::from_slice(&kind.encode_whole(object)).expect("canonical JSON is JSON")
}

fn refusal(kind: &Descriptor, name: &str, errors: &ErrorList) -> Value {
    if errors.is_empty() {
        return Value::Null;
    }
    let status = Status::invalid(&kind.refused_as, name, errors);
    serde_json::from_slice(&status.to_json()).expect("a status is JSON")
}

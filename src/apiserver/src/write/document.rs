//! A request's body as a tree of its kind: media type, syntax, kind and version, unknown fields.
//!
//! Errors read as upstream's decoders' (`endpoints/handlers/rest.go`, `runtime/serializer/json`).

use api::Descriptor;
use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::Status;
use machinery::gvk::{GroupVersion, GroupVersionKind};
use machinery::json::{self, Tree};
use machinery::schema::Type;
use machinery::{protobuf, schema};

use super::yaml;
use crate::call::Call;
use crate::negotiate::{JSON, PROTOBUF, YAML};
use crate::verbs::options::FieldValidation;

/// Upstream's name of what knows the kinds.
const SCHEME: &str = "pkg/api/legacyscheme/scheme.go:30";

/// The body, which should be an `expected`, as JSON, whatever the client sent it as.
pub(crate) fn to_json(call: &Call, expected: &GroupVersionKind, body: Bytes) -> Result<Bytes, Status> {
    match call.content_type().split(';').next().unwrap_or_default().trim() {
        "" | JSON => Ok(body),
        YAML => yaml::to_json(&body).map_err(|error| unrecognized(expected, &error, &body)),
        PROTOBUF => protobuf_to_json(expected, &body),
        _ => Err(Status::unsupported_media_type(&[JSON, YAML, PROTOBUF])),
    }
}

/// Protobuf as JSON. Whether the kind is the expected one is for the reader of the JSON to judge.
fn protobuf_to_json(expected: &GroupVersionKind, body: &[u8]) -> Result<Bytes, Status> {
    let (_, tree) = protobuf::decode(body, expected).map_err(|error| match &error {
        protobuf::Error::Envelope(why) => unrecognized(expected, &why.to_string(), body),
        protobuf::Error::Message(given, why) => unfit(given, expected, &why.to_string()),
        protobuf::Error::UnknownKind(given) => unfit(given, expected, &unknown_kind(given)),
    })?;
    Ok(tree.to_vec().into())
}

/// Reads a body that must be an object of `kind`.
pub(crate) fn read<'a>(
    call: &Call,
    kind: &Descriptor,
    validation: FieldValidation,
    body: &'a [u8],
) -> Result<Tree<'a>, Status> {
    read_as(call, &kind.gvk, kind.schema, validation, body)
}

/// Reads a body that must be an object of a kind and has this type, for what is no kind of ours beside: a binding, an
/// eviction.
pub(crate) fn read_as<'a>(
    call: &Call,
    kind: &GroupVersionKind,
    of: &'static Type,
    validation: FieldValidation,
    body: &'a [u8],
) -> Result<Tree<'a>, Status> {
    let no_kind = |error: &dyn std::fmt::Display| {
        let error = format!("couldn't get version/kind; json parse error: {error}");
        unrecognized(kind, &error, body)
    };
    let mut parsed = json::parse(body).map_err(|error| no_kind(&error))?;
    if !parsed.duplicates.is_empty() {
        parsed = json::parse_struct(body).map_err(|error| no_kind(&error))?;
    }
    if parsed.tree.is_null() {
        parsed.tree = Tree::empty_object();
    }
    check_head(&parsed.tree).map_err(|error| no_kind(&error))?;
    check_kind(kind, &parsed.tree, body)?;
    // Types before names: what cannot be decoded at all is not told about its unknown fields, as upstream.
    schema::check_types(&parsed.tree, of).map_err(|error| unfit(kind, kind, &error.to_string()))?;
    let strict = match validation {
        FieldValidation::Ignore => Vec::new(),
        _ if parsed.duplicates.is_empty() => unknown(&parsed.tree, of),
        _ => schema::strict_errors(body, of),
    };
    report(call, validation, &strict, |error| unfit(kind, kind, &error))?;
    Ok(parsed.tree)
}

/// Whether kind and version can be told: an object in which they are texts.
fn check_head(tree: &Tree<'_>) -> Result<(), String> {
    if !matches!(tree, Tree::Object(_)) {
        return Err(format!(
            "json: cannot unmarshal {} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}",
            tree.go_kind()
        ));
    }
    let is_text = |value: &Tree<'_>| matches!(value, Tree::String(_) | Tree::Null);
    for name in ["apiVersion", "kind"] {
        if let Some(value) = tree.get(name).filter(|value| !is_text(value)) {
            let found = value.go_kind();
            return Err(format!(
                "json: cannot unmarshal {found} into Go struct field .{name} of type string"
            ));
        }
    }
    Ok(())
}

/// The object's namespace must be the request's, which is its own where it says none (upstream
/// `EnsureObjectNamespaceMatchesRequestNamespace`). `wanted` is empty for what is in no namespace.
pub(crate) fn check_namespace(new: &mut ObjectMeta, wanted: &str) -> Result<(), Status> {
    let given = new.namespace.as_deref().unwrap_or_default();
    if given == wanted {
        return Ok(());
    }
    if !given.is_empty() && !wanted.is_empty() {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    new.namespace = (!wanted.is_empty()).then(|| wanted.to_owned());
    Ok(())
}

/// The fields that the type does not have, as strict decoding tells them.
pub(super) fn unknown(tree: &Tree<'_>, of: &'static Type) -> Vec<String> {
    let paths = schema::unknown_fields(tree, of);
    paths.into_iter().map(|path| format!("unknown field {}", json::quoted(&path))).collect()
}

/// Warns of or refuses what strict decoding objects to.
pub(super) fn report(
    call: &Call,
    validation: FieldValidation,
    errors: &[String],
    refuse: impl FnOnce(String) -> Status,
) -> Result<(), Status> {
    match validation {
        _ if errors.is_empty() => Ok(()),
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Warn => {
            errors.iter().for_each(|error| call.warn(error.clone()));
            Ok(())
        }
        FieldValidation::Strict => Err(refuse(format!("strict decoding error: {}", errors.join(", ")))),
    }
}

fn check_kind(expected: &GroupVersionKind, tree: &Tree<'_>, body: &[u8]) -> Result<(), Status> {
    let given = given_kind(expected, tree).map_err(|error| unrecognized(expected, &error, body))?;
    if given == *expected {
        return Ok(());
    }
    if is_known(&given) && given.kind == expected.kind {
        return Err(Status::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({})",
            given.api_version(),
            expected.api_version()
        )));
    }
    Err(unfit(&given, expected, &not_convertible(&given, expected)))
}

/// The kind that an object says it is, which is the expected one where it says nothing.
fn given_kind(expected: &GroupVersionKind, tree: &Tree<'_>) -> Result<GroupVersionKind, String> {
    let text = |name: &str| tree.get(name).and_then(Tree::as_str).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let given = GroupVersion::parse(version).map_err(|error| error.to_string())?;
    let given = if version.is_empty() { expected.group_version() } else { given };
    Ok(given.with_kind(if kind.is_empty() { expected.kind.as_str() } else { kind }))
}

/// Why an object of one kind cannot be read as another.
fn not_convertible(given: &GroupVersionKind, expected: &GroupVersionKind) -> String {
    if !is_known(given) {
        return unknown_kind(given);
    }
    let package = match expected.group.split('.').next() {
        Some("") | None => "core",
        Some(package) => package,
    };
    format!(
        "converting ({}.{}) to ({package}.{}): unknown conversion",
        given.version, given.kind, expected.kind
    )
}

/// What is wrong with the kind of an object that a patch has made, which must be an `expected`.
pub(super) fn wrong_kind(expected: &GroupVersionKind, tree: &Tree<'_>) -> Option<String> {
    match given_kind(expected, tree) {
        Ok(given) if given == *expected => None,
        Ok(given) => Some(not_convertible(&given, expected)),
        Err(error) => Some(error),
    }
}

/// Where the scheme of that name does not have the kind.
pub(crate) fn not_registered(kind: &str, version: &str, scheme: &str) -> String {
    format!("no kind \"{kind}\" is registered for version \"{version}\" in scheme \"{scheme}\"")
}

fn unknown_kind(given: &GroupVersionKind) -> String {
    not_registered(&given.kind, &given.api_version(), SCHEME)
}

/// Whether upstream has such a kind, served here or not. The list of anything has no schema.
fn is_known(kind: &GroupVersionKind) -> bool {
    schema::of(kind).is_some() || *kind == GroupVersionKind::new("", "v1", "List")
}

fn unfit(given: &GroupVersionKind, expected: &GroupVersionKind, error: &str) -> Status {
    let (GroupVersionKind { version, kind, .. }, wanted) = (given, &expected.kind);
    Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {wanted}: {error}"))
}

/// How much of a body that is no object an error shows.
const SHOWN: usize = 30;

fn unrecognized(expected: &GroupVersionKind, error: &str, body: &[u8]) -> Status {
    let shown = &body[..body.len().min(SHOWN)];
    let dots = if body.len() > SHOWN { " ..." } else { "" };
    let shown = match (body.is_empty(), shown.first()) {
        (true, _) => "<empty>".to_owned(),
        (_, Some(b'{')) => String::from_utf8_lossy(shown).into_owned(),
        _ => shown.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let kind = &expected.kind;
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {error} ({shown}{dots})"
    ))
}

//! A request's body as a tree of its kind: media type, syntax, kind and version, unknown fields.
//!
//! Errors read as upstream's decoders' (`endpoints/handlers/rest.go`, `runtime/serializer/json`).

use std::borrow::Cow;

use api::{Descriptor, Object};
use bytes::Bytes;
use machinery::Status;
use machinery::gvk::{GroupVersion, GroupVersionKind};
use machinery::json::{self, Tree};
use machinery::{protobuf, schema};

use crate::call::Call;
use crate::negotiate::{JSON, PROTOBUF, YAML};
use crate::registry::Registry;
use crate::verbs::options::FieldValidation;

/// Upstream's name of what knows the kinds.
const SCHEME: &str = "pkg/api/legacyscheme/scheme.go:30";

/// The body, which should be an `expected`, as JSON, whatever the client sent it as.
pub(crate) fn to_json(call: &Call, expected: &GroupVersionKind, body: Bytes) -> Result<Bytes, Status> {
    match call.content_type().split(';').next().unwrap_or_default().trim() {
        "" | JSON => Ok(body),
        YAML => yaml_to_json(&body),
        PROTOBUF => protobuf_to_json(expected, &body),
        _ => Err(Status::unsupported_media_type(&[JSON, YAML, PROTOBUF])),
    }
}

/// YAML as JSON.
pub(crate) fn yaml_to_json(yaml: &[u8]) -> Result<Bytes, Status> {
    let value: serde_json::Value = serde_saphyr::from_slice(yaml)
        .map_err(|error| Status::bad_request(format!("error converting YAML to JSON: {error}")))?;
    Ok(Bytes::from(value.to_string()))
}

/// Protobuf as JSON. Whether the kind is the expected one is for the reader of the JSON to judge.
fn protobuf_to_json(expected: &GroupVersionKind, body: &[u8]) -> Result<Bytes, Status> {
    let (_, tree) = protobuf::decode(body, expected).map_err(|error| match &error {
        protobuf::Error::Envelope(why) => unrecognized(expected, &why.to_string(), body),
        protobuf::Error::Message(given, why) => unfit(given, expected, &why.to_string()),
        protobuf::Error::UnknownKind(given) => unfit(given, expected, &not_registered(given)),
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
    let no_kind = |error: &dyn std::fmt::Display| {
        let error = format!("couldn't get version/kind; json parse error: {error}");
        unrecognized(&kind.gvk, &error, body)
    };
    let mut parsed = json::parse(body).map_err(|error| no_kind(&error))?;
    if !parsed.duplicates.is_empty() {
        parsed = json::parse_struct(body).map_err(|error| no_kind(&error))?;
    }
    if parsed.tree.is_null() {
        parsed.tree = Tree::empty_object();
    }
    check_head(&parsed.tree).map_err(|error| no_kind(&error))?;
    check_kind(&call.server.registry, kind, &parsed.tree, body)?;
    // Types before names: what cannot be decoded at all is not told about its unknown fields, as upstream.
    schema::check_types(&parsed.tree, kind.schema)
        .map_err(|error| unfit(&kind.gvk, &kind.gvk, &error.to_string()))?;
    let strict = match validation {
        FieldValidation::Ignore => Vec::new(),
        _ if parsed.duplicates.is_empty() => unknown(&parsed.tree, kind),
        _ => schema::strict_errors(body, kind.schema),
    };
    report(call, validation, &strict, |error| unfit(&kind.gvk, &kind.gvk, &error))?;
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
pub(crate) fn check_namespace(new: &mut Object, wanted: &str) -> Result<(), Status> {
    let given = new.meta().namespace.as_deref().unwrap_or_default();
    if given == wanted {
        return Ok(());
    }
    if !given.is_empty() && !wanted.is_empty() {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    new.meta_mut().namespace = (!wanted.is_empty()).then(|| wanted.to_owned());
    Ok(())
}

/// The fields that the kind does not have, as strict decoding tells them.
pub(super) fn unknown(tree: &Tree<'_>, kind: &Descriptor) -> Vec<String> {
    let paths = schema::unknown_fields(tree, kind.schema);
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

fn check_kind(
    registry: &Registry,
    expected: &Descriptor,
    tree: &Tree<'_>,
    body: &[u8],
) -> Result<(), Status> {
    let text = |name: &str| tree.get(name).and_then(Tree::as_str).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let given = GroupVersion::parse(version)
        .map_err(|error| unrecognized(&expected.gvk, &error.to_string(), body))?;
    let given = if version.is_empty() { expected.gvk.group_version() } else { given };
    let given = given.with_kind(if kind.is_empty() { expected.gvk.kind.as_str() } else { kind });
    if given == expected.gvk {
        return Ok(());
    }
    if !registry.has_kind(&given) {
        return Err(unfit(&given, &expected.gvk, &not_registered(&given)));
    }
    if given.kind == expected.gvk.kind {
        return Err(Status::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({})",
            given.api_version(),
            expected.gvk.api_version()
        )));
    }
    let package = |group: &str| {
        if group.is_empty() {
            Cow::Borrowed("core")
        } else {
            Cow::Owned(group.split('.').next().unwrap_or(group).to_owned())
        }
    };
    let error = format!(
        "converting ({}.{}) to ({}.{}): unknown conversion",
        given.version,
        given.kind,
        package(&expected.gvk.group),
        expected.gvk.kind
    );
    Err(unfit(&given, &expected.gvk, &error))
}

fn not_registered(given: &GroupVersionKind) -> String {
    let (kind, version) = (&given.kind, given.api_version());
    format!("no kind \"{kind}\" is registered for version \"{version}\" in scheme \"{SCHEME}\"")
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

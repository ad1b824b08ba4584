//! Reading an `Accept` header (upstream `endpoints/handlers/negotiation` and the library that it parses with).

mod clauses;

use machinery::Status;
use machinery::table::{IncludeObject, MetaVersion};

use super::{JSON, PROTOBUF, YAML};

pub(crate) use clauses::{Clause, clauses};

/// How an answer is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

impl Encoding {
    /// All of them, the server's favourite first: what a wildcard stands for is tried in this order.
    const ALL: [Encoding; 3] = [Encoding::Json, Encoding::Yaml, Encoding::Protobuf];

    /// Its media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Encoding::Json => JSON,
            Encoding::Yaml => YAML,
            Encoding::Protobuf => PROTOBUF,
        }
    }

    /// The media type of a stream of watch events in it; `None` where there is none.
    pub(crate) const fn stream_type(self) -> Option<&'static str> {
        match self {
            Encoding::Json => Some(JSON),
            Encoding::Yaml => None,
            Encoding::Protobuf => Some("application/vnd.kubernetes.protobuf;stream=watch"),
        }
    }
}

/// What streams of events are accepted as.
pub(super) const STREAMS: [&str; 2] =
    ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/// What is made of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Themselves.
    Object,
    /// `meta.k8s.io` Table.
    Table(MetaVersion, IncludeObject),
    /// `meta.k8s.io` PartialObjectMetadata(List).
    Metadata(MetaVersion),
}

/// What the client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accept {
    pub(crate) encoding: Encoding,
    pub(crate) shape: Shape,
    pub(crate) pretty: bool,
}

/// Whether an answer is about one object or about a list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Object,
    List,
}

/// For answers that may be tables or metadata; `go_name` is what upstream calls the type of the subject.
pub(super) fn resource(
    header: &str,
    include: &str,
    subject: Subject,
    go_name: impl FnOnce() -> String,
) -> Result<Accept, Status> {
    let Some((clause, encoding)) = first(header, transformable) else { return nothing(header) };
    let shape = match (clause.parameter("as"), subject) {
        ("", _) => Shape::Object,
        ("Table", _) => Shape::Table(version(&clause), include_object(include)?),
        ("PartialObjectMetadata", Subject::List) => {
            let why = "you requested PartialObjectMetadata, but the requested object is a list";
            return Err(Status::not_acceptable_because(format!("{why} ({})", go_name())));
        }
        ("PartialObjectMetadataList", Subject::Object) => {
            let why = "you requested PartialObjectMetadataList, but the requested object is not a list";
            return Err(Status::not_acceptable_because(format!("{why} ({})", go_name())));
        }
        _ => Shape::Metadata(version(&clause)),
    };
    Ok(Accept { encoding, shape, pretty: clause.parameter("pretty") == "1" })
}

/// For answers that may not.
pub(super) fn plain(header: &str) -> Result<Accept, Status> {
    let Some((clause, encoding)) = first(header, |clause, _| !clause.asks_for_another_form()) else {
        return nothing(header);
    };
    Ok(Accept { encoding, shape: Shape::Object, pretty: clause.parameter("pretty") == "1" })
}

/// The first range that one of our encodings meets, with that encoding.
fn first<'a>(
    header: &'a str,
    allowed: impl Fn(&Clause<'_>, Encoding) -> bool,
) -> Option<(Clause<'a>, Encoding)> {
    clauses(header).into_iter().find_map(|clause| {
        let allowed = |encoding: &Encoding| {
            clause.meets(encoding.media_type())
                && is_streamable(&clause, *encoding)
                && allowed(&clause, *encoding)
        };
        let encoding = Encoding::ALL.into_iter().find(allowed)?;
        Some((clause, encoding))
    })
}

/// The answer to a header that nothing meets; without one it is JSON.
fn nothing(header: &str) -> Result<Accept, Status> {
    if header.is_empty() {
        return Ok(Accept { encoding: Encoding::Json, shape: Shape::Object, pretty: false });
    }
    Err(Status::not_acceptable(&Encoding::ALL.map(Encoding::media_type)))
}

/// `stream` is not about this answer, and yet a range with one that the encoding does not have is not met.
fn is_streamable(clause: &Clause<'_>, encoding: Encoding) -> bool {
    match clause.parameter("stream") {
        "" => true,
        "watch" => encoding.stream_type().is_some(),
        _ => false,
    }
}

/// Whether the transformation that a range asks for, if any, is served in this encoding: tables have no protobuf form.
fn transformable(clause: &Clause<'_>, encoding: Encoding) -> bool {
    if !matches!(clause.parameter("sv"), "" | "v1") {
        return false;
    }
    if !clause.asks_for_another_form() {
        return true;
    }
    let (kind, group, version) = (clause.parameter("as"), clause.parameter("g"), clause.parameter("v"));
    group == "meta.k8s.io"
        && matches!(version, "v1" | "v1beta1")
        && match kind {
            "Table" => encoding != Encoding::Protobuf,
            "PartialObjectMetadata" | "PartialObjectMetadataList" => true,
            _ => false,
        }
}

fn version(clause: &Clause<'_>) -> MetaVersion {
    if clause.parameter("v") == "v1beta1" { MetaVersion::V1Beta1 } else { MetaVersion::V1 }
}

fn include_object(text: &str) -> Result<IncludeObject, Status> {
    IncludeObject::parse(text)
        .ok_or_else(|| Status::bad_request(format!("Unable to convert to Table as requested: includeObject: Invalid value: {text:?}: must be 'Metadata', 'Object', 'None', or empty")))
}

#[cfg(test)]
mod tests;

//! Reading an `Accept` header (upstream `endpoints/handlers/negotiation`).

use machinery::Status;
use machinery::table::IncludeObject;

use super::{JSON, PROTOBUF, YAML};

/// How an answer is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

/// What is made of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Themselves.
    Object,
    /// `meta.k8s.io/v1` Table.
    Table(IncludeObject),
    /// `meta.k8s.io/v1` PartialObjectMetadata(List).
    Metadata,
}

/// What the client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accept {
    pub(crate) encoding: Encoding,
    pub(crate) shape: Shape,
    pub(crate) pretty: bool,
}

/// One media range with its parameters.
#[derive(Debug, Clone)]
pub(crate) struct Clause<'a> {
    pub(crate) media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    /// A parameter's value; empty where it is not given.
    pub(crate) fn parameter(&self, name: &str) -> &'a str {
        self.parameters.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
    }

    fn encoding(&self) -> Option<Encoding> {
        match self.media {
            JSON | "*/*" | "application/*" => Some(Encoding::Json),
            YAML => Some(Encoding::Yaml),
            PROTOBUF => Some(Encoding::Protobuf),
            _ => None,
        }
    }
}

/// The ranges of a header, the client's favourite first.
pub(crate) fn clauses(header: &str) -> Vec<Clause<'_>> {
    let mut ranked: Vec<(f32, Clause<'_>)> = header
        .split(',')
        .filter_map(|range| {
            let mut pieces = range.split(';').map(str::trim);
            let media = pieces.next().filter(|media| !media.is_empty())?;
            let parameters: Vec<(&str, &str)> = pieces.filter_map(|piece| piece.split_once('=')).collect();
            let clause = Clause { media, parameters };
            let quality = clause.parameter("q").parse().unwrap_or(1.0);
            Some((quality, clause))
        })
        .collect();
    // Stable: equally good ranges stay in the client's order.
    ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    ranked.into_iter().map(|(_, clause)| clause).collect()
}

/// For answers that may be tables or metadata.
pub(super) fn resource(header: &str, include: &str) -> Result<Accept, Status> {
    let include = include_object(include)?;
    first(header, |clause, encoding| shape(clause, encoding, include))
}

/// For lists and watches: not in protobuf where anything else will do.
pub(super) fn list(header: &str, include: &str) -> Result<Accept, Status> {
    let include = include_object(include)?;
    let preferred = first(header, |clause, encoding| {
        shape(clause, encoding, include).filter(|_| encoding != Encoding::Protobuf)
    });
    preferred.or_else(|_| first(header, |clause, encoding| shape(clause, encoding, include)))
}

fn include_object(text: &str) -> Result<IncludeObject, Status> {
    IncludeObject::parse(text)
        .ok_or_else(|| Status::bad_request(format!("unrecognized includeObject value: {text:?}")))
}

/// For answers that may not.
pub(super) fn plain(header: &str) -> Result<Accept, Status> {
    first(header, |clause, _| clause.parameter("as").is_empty().then_some(Shape::Object))
}

fn first(header: &str, shape: impl Fn(&Clause<'_>, Encoding) -> Option<Shape>) -> Result<Accept, Status> {
    if header.trim().is_empty() {
        return Ok(Accept { encoding: Encoding::Json, shape: Shape::Object, pretty: false });
    }
    clauses(header)
        .iter()
        .find_map(|clause| {
            let encoding = clause.encoding()?;
            let shape = shape(clause, encoding)?;
            Some(Accept { encoding, shape, pretty: clause.parameter("pretty") == "1" })
        })
        .ok_or_else(|| Status::not_acceptable(&[JSON, YAML, PROTOBUF]))
}

/// `None`: this range asks for a transformation that is not served.
fn shape(clause: &Clause<'_>, encoding: Encoding, include: IncludeObject) -> Option<Shape> {
    let target = (clause.parameter("as"), clause.parameter("g"), clause.parameter("v"));
    match target {
        ("", "", "") => Some(Shape::Object),
        // Tables have no protobuf form.
        ("Table", "meta.k8s.io", "v1" | "v1beta1") if encoding != Encoding::Protobuf => {
            Some(Shape::Table(include))
        }
        ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1" | "v1beta1") => {
            Some(Shape::Metadata)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, expected: Option<(Encoding, Shape)>) {
        let got = resource(header, "").ok().map(|accept| (accept.encoding, accept.shape));
        assert_eq!(got, expected, "{header}");
    }

    #[test]
    fn accept_headers_are_read_as_upstream_reads_them() {
        let table = Shape::Table(IncludeObject::Metadata);
        check("", Some((Encoding::Json, Shape::Object)));
        check("*/*", Some((Encoding::Json, Shape::Object)));
        check("application/yaml", Some((Encoding::Yaml, Shape::Object)));
        let protobuf = (Encoding::Protobuf, Shape::Object);
        check("application/vnd.kubernetes.protobuf,application/json", Some(protobuf));
        check("application/vnd.kubernetes.protobuf", Some(protobuf));
        check("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", None);
        check("application/json;q=0.5,application/yaml", Some((Encoding::Yaml, Shape::Object)));
        check("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Some((Encoding::Json, table)));
        check(
            "application/json;as=Table;v=v2;g=meta.k8s.io,application/json",
            Some((Encoding::Json, Shape::Object)),
        );
        check(
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Some((Encoding::Json, Shape::Metadata)),
        );
        check("application/json;stream=watch", Some((Encoding::Json, Shape::Object)));
        check("text/html", None);
    }

    #[test]
    fn lists_are_in_protobuf_only_where_nothing_else_will_do() {
        let check =
            |header: &str, expected| assert_eq!(list(header, "").unwrap().encoding, expected, "{header}");
        check("application/vnd.kubernetes.protobuf,application/json", Encoding::Json);
        check("application/vnd.kubernetes.protobuf, */*", Encoding::Json);
        check("application/vnd.kubernetes.protobuf", Encoding::Protobuf);
    }
}

//! Kubernetes' protobuf form of objects, as JSON trees and back.
//!
//! Input is a request's body, or an object to be answered; output is the tree that a JSON body would have given, or the
//! bytes. Field numbers come from the schema facts, so there are no generated messages. Upstream's form is an envelope
//! (`k8s\0` and a `runtime.Unknown`) around one message. Fields that the facts do not have are skipped, as upstream does.

mod decode;
mod encode;
mod special;
mod stream;
mod wire;
mod writer;

use crate::gvk::{GroupVersion, GroupVersionKind};
use crate::json::{MAX_DEPTH, Tree};
use crate::schema::{self, Shape, Type};
use wire::Message;
use writer::Writer;

pub use stream::{envelope, event, item, list_meta};

/// The media type of an object in its envelope.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every envelope begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Bytes that are no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The envelope itself cannot be read.
    #[error("{0}")]
    Envelope(Malformed),
    /// The envelope names a kind that is not built in.
    #[error("no kind \"{}\" is registered for version \"{}\"", .0.kind, .0.api_version())]
    UnknownKind(GroupVersionKind),
    /// The message in it is none of its kind.
    #[error("{1}")]
    Message(GroupVersionKind, Malformed),
}

/// What is wrong with the bytes, in the words of upstream's decoders.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// There are none.
    #[error("empty data")]
    Empty,
    /// They do not begin as an envelope does.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    /// Nothing follows the prefix.
    #[error("empty body")]
    NoBody,
    /// They end in the middle of a field.
    #[error("unexpected EOF")]
    Truncated,
    /// A number has more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// A length is larger than any length can be.
    #[error("proto: negative length found during unmarshaling")]
    Length,
    /// A field has a number that no field can have.
    #[error("proto: illegal tag {0}")]
    Tag(i32),
    /// A field has an unknown wire type.
    #[error("proto: illegal wireType {0}")]
    WireType(u8),
    /// A group ends that has not begun.
    #[error("proto: unexpected end of group")]
    EndOfGroup,
    /// A field has another wire type than its own.
    #[error("proto: wrong wireType = {found} for field {field}")]
    WrongWireType {
        /// The wire type that it has.
        found: u8,
        /// The field's name in JSON.
        field: &'static str,
    },
    /// Messages are nested too deeply.
    #[error("exceeded max depth")]
    Depth,
    /// A value means nothing.
    #[error("{0}")]
    Value(String),
}

/// Reads an envelope and the object in it. What the envelope does not say of the kind is as `expected`. Fields that Go
/// would leave out of JSON are not in the tree.
pub fn decode<'a>(
    bytes: &'a [u8],
    expected: &GroupVersionKind,
) -> Result<(GroupVersionKind, Tree<'a>), Error> {
    decode_at(bytes, expected, 0)
}

/// Writes an object in its envelope. The tree's types have been checked; what has another type than its field counts as
/// absent, and what the type does not have is dropped.
pub fn encode(tree: &Tree<'_>, of: &Type, kind: &GroupVersionKind) -> Vec<u8> {
    let message = message(tree, of);
    let (head, tail) = envelope(of, kind, message.len());
    [&head, &*message, tail].concat()
}

/// Writes an object's message alone, as it stands in a list.
pub fn message(tree: &Tree<'_>, of: &Type) -> Vec<u8> {
    let mut writer = Writer::default();
    encode::members(Some(tree), of, &mut writer);
    writer.into_bytes()
}

/// Whether upstream has a protobuf form of the type: `Table` and its parts have none.
pub fn has_form(of: &Type) -> bool {
    of.fields.iter().all(|field| field.number != 0)
}

/// Reads an envelope that lies `depth` levels below the outermost object.
fn decode_at<'a>(
    bytes: &'a [u8],
    expected: &GroupVersionKind,
    depth: usize,
) -> Result<(GroupVersionKind, Tree<'a>), Error> {
    let envelope = match bytes.strip_prefix(MAGIC) {
        _ if bytes.is_empty() => return Err(Error::Envelope(Malformed::Empty)),
        None => return Err(Error::Envelope(Malformed::Prefix)),
        Some([]) => return Err(Error::Envelope(Malformed::NoBody)),
        Some(envelope) => Message::parse(envelope).map_err(Error::Envelope)?,
    };
    let kind = kind_of(&envelope, expected).map_err(Error::Envelope)?;
    let Some(of) = schema::of(&kind).filter(|of| has_form(of)) else { return Err(Error::UnknownKind(kind)) };
    // Content encoding and type (3 and 4) say nothing to upstream either.
    let tree = envelope
        .last_bytes(2, "raw")
        .and_then(|raw| decode::object(raw.unwrap_or_default(), of, &kind, depth))
        .map_err(|malformed| Error::Message(kind.clone(), malformed))?;
    Ok((kind, tree))
}

fn kind_of(envelope: &Message<'_>, expected: &GroupVersionKind) -> Result<GroupVersionKind, Malformed> {
    let type_meta = envelope.message(1, "typeMeta")?;
    let api_version = type_meta.last_string(1, "apiVersion")?.unwrap_or_default();
    let kind = type_meta.last_string(2, "kind")?.filter(|kind| !kind.is_empty()).unwrap_or(&expected.kind);
    if api_version.is_empty() {
        return Ok(expected.group_version().with_kind(kind));
    }
    let group_version =
        GroupVersion::parse(api_version).map_err(|error| Malformed::Value(error.to_string()))?;
    Ok(group_version.with_kind(kind))
}

/// Whether a list is a message of its own, with the elements in its field 1: Go's named lists of strings are
/// (`ExtraValue`, `Verbs`), so that they can be map values and nil.
fn is_message(element: &Shape, go_name: &str) -> bool {
    !go_name.is_empty() && matches!(element, Shape::String(_))
}

#[cfg(test)]
mod tests;

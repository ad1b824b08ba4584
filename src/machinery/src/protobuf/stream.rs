//! The pieces of answers that are made while they are sent: envelopes around messages of a known length, the items of a
//! list, the frames of a watch.

use super::writer::Writer;
use super::{MAGIC, encode};
use crate::gvk::GroupVersionKind;
use crate::schema::{self, Type};
use crate::table::ListMeta;

/// Neither content encoding nor content type: what ends every envelope.
const END: &[u8] = b"\x1a\x00\x22\x00";

/// What stands before and after a message of `len` bytes in its envelope.
pub fn envelope(of: &Type, kind: &GroupVersionKind, len: usize) -> (Vec<u8>, &'static [u8]) {
    let api_version = kind.api_version();
    // What does not say its kind in JSON (a WatchEvent) does not say it here.
    let says_kind = of.field("kind").is_some();
    let mut writer = Writer::default();
    writer.append(MAGIC);
    writer.message(1, |writer| {
        writer.string(1, if says_kind { &api_version } else { "" });
        writer.string(2, if says_kind { &kind.kind } else { "" });
    });
    writer.head(2, len);
    (writer.into_bytes(), END)
}

/// The metadata of a list as the field that begins its message.
pub fn list_meta(meta: &ListMeta) -> Vec<u8> {
    let of = schema::named("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta").expect("every list's metadata");
    let mut writer = Writer::default();
    writer.message(1, |writer| encode::members(Some(&meta.tree()), of, writer));
    writer.into_bytes()
}

/// Adds an object's message to those of a list.
pub fn item(message: &[u8], out: &mut Vec<u8>) {
    let mut writer = Writer::default();
    writer.head(2, message.len());
    out.extend_from_slice(&writer.into_bytes());
    out.extend_from_slice(message);
}

/// Adds a frame of a watch: a WatchEvent, without an envelope, behind its length in four bytes. `object` is in its envelope.
pub fn event(kind: &str, object: &[u8], out: &mut Vec<u8>) {
    let mut extension = Writer::default();
    extension.head(1, object.len());
    let extension = extension.into_bytes();
    let mut event = Writer::default();
    event.string(1, kind);
    event.head(2, extension.len() + object.len());
    let event = event.into_bytes();
    let len = event.len() + extension.len() + object.len();
    let len = u32::try_from(len).expect("no object is as large as 4 GiB");
    for piece in [&len.to_be_bytes(), &*event, &*extension, object] {
        out.extend_from_slice(piece);
    }
}

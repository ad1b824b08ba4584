//! The events of a watch as bytes: lines of JSON, or protobuf messages behind their length.
//!
//! What is stored is framed as it is. Another form of an object is made once for all watchers that want it.

use std::sync::Arc;

use bytes::Bytes;
use machinery::{Status, protobuf};
use store::{Entry, Revision};

use crate::negotiate::{self, Accept, Encoding, FormKey, Moment, Shaper};
use crate::server::Server;
use crate::verbs::Target;

/// Writes the frames of one watch.
pub(super) struct Frames {
    server: Arc<Server>,
    shaper: Shaper,
    encoding: Encoding,
    /// A table says its columns in the first event only.
    columns: bool,
}

impl Frames {
    pub(super) fn new(target: &Target, accept: &Accept) -> Frames {
        Frames {
            server: target.call.server.clone(),
            shaper: Shaper::new(target.kind.clone(), accept, target.call.now),
            encoding: accept.encoding,
            columns: true,
        }
    }

    /// Adds an event about what was written.
    pub(super) fn event(&mut self, kind: &str, entry: &Entry, out: &mut Vec<u8>) {
        if self.shaper.is_plain() || !self.shaper.is_streamable() {
            return self.object(kind, &entry.bytes, out);
        }
        let form = self.form(entry.revision, Moment::After, entry.bytes.len(), || entry.bytes.clone());
        self.write(kind, form, out);
    }

    /// Adds that an object has left the selection at a revision, with its state before.
    pub(super) fn departure(&mut self, previous: &Entry, left_at: Revision, out: &mut Vec<u8>) {
        let before = || Bytes::from(at_revision(&previous.bytes, previous.revision, left_at));
        if self.shaper.is_plain() || !self.shaper.is_streamable() {
            return self.object("DELETED", &before(), out);
        }
        let form = self.form(left_at, Moment::Before, previous.bytes.len(), before);
        self.write("DELETED", form, out);
    }

    /// Adds an event about an object of which no other watcher hears at the same time.
    pub(super) fn object(&mut self, kind: &str, stored: &[u8], out: &mut Vec<u8>) {
        let columns = std::mem::replace(&mut self.columns, false);
        match self.shaper.object(stored, columns) {
            Ok(object) => self.frame(kind, &object, out),
            Err(status) => self.error(&status, out),
        }
    }

    pub(super) fn bookmark(&mut self, revision: Revision, initial_events_end: bool, out: &mut Vec<u8>) {
        let columns = std::mem::replace(&mut self.columns, false);
        let form = self.shaper.bookmark(revision, initial_events_end, columns).map(Bytes::from);
        self.write("BOOKMARK", form, out);
    }

    pub(super) fn error(&self, status: &Status, out: &mut Vec<u8>) {
        let (object, _) = negotiate::in_encoding(status, self.encoding);
        self.frame("ERROR", &object, out);
    }

    fn form(
        &self,
        revision: Revision,
        moment: Moment,
        size: usize,
        stored: impl FnOnce() -> Bytes,
    ) -> Result<Bytes, Status> {
        let key = FormKey::new(&self.shaper, self.encoding, revision, moment);
        let make = || Ok(Bytes::from(self.shaper.object(&stored(), false)?.into_owned()));
        self.server.forms.get(key, size, make)
    }

    fn write(&self, kind: &str, form: Result<Bytes, Status>, out: &mut Vec<u8>) {
        match form {
            Ok(object) => self.frame(kind, &object, out),
            Err(status) => self.error(&status, out),
        }
    }

    fn frame(&self, kind: &str, object: &[u8], out: &mut Vec<u8>) {
        out.reserve(object.len() + 40);
        if self.encoding == Encoding::Protobuf {
            return protobuf::event(kind, object, out);
        }
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"object\":");
        out.extend_from_slice(object);
        out.extend_from_slice(b"}\n");
    }
}

/// An object's bytes with another revision. The metadata's `resourceVersion` is the first in canonical JSON, since labels
/// and annotations come after it and quotes within strings are escaped.
fn at_revision(bytes: &[u8], from: Revision, to: Revision) -> Vec<u8> {
    let old = format!("\"resourceVersion\":\"{from}\"");
    let Some(at) = bytes.windows(old.len()).position(|window| window == old.as_bytes()) else {
        return bytes.to_vec();
    };
    let new = format!("\"resourceVersion\":\"{to}\"");
    [&bytes[..at], new.as_bytes(), &bytes[at + old.len()..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_of_an_object_is_replaced_where_it_stands() {
        let bytes = br#"{"metadata":{"name":"a","resourceVersion":"7","labels":{"resourceVersion":"7"}}}"#;
        let expected =
            br#"{"metadata":{"name":"a","resourceVersion":"12","labels":{"resourceVersion":"7"}}}"#;
        assert_eq!(at_revision(bytes, 7, 12), expected);
    }
}

//! Objects in the shape and encoding that the client wants: themselves, table rows, or their metadata.
//!
//! Takes entries' bytes. In JSON objects as such are handed on unparsed; only tables and metadata look inside. What is to be
//! YAML is given as JSON.

use std::borrow::Cow;
use std::sync::Arc;

use api::Descriptor;
use k8s_openapi::jiff::Timestamp;
use machinery::table::{self, IncludeObject, Included, ListMeta, MetaVersion, Writer};
use machinery::{Status, json, schema};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::binary::Binary;
use super::{Accept, Encoding, Shape};

/// Shapes objects of one kind for one answer.
pub(crate) struct Shaper {
    kind: Arc<Descriptor>,
    shape: Shape,
    now: Timestamp,
    /// What every served object of the kind begins with in JSON, which items of a list leave out.
    head: Vec<u8>,
    /// How objects become protobuf, where they do.
    binary: Option<Binary>,
}

impl Shaper {
    pub(crate) fn new(kind: Arc<Descriptor>, accept: &Accept, now: Timestamp) -> Shaper {
        let (name, version) = (&kind.gvk.kind, kind.gvk.api_version());
        let head = format!("{{\"kind\":\"{name}\",\"apiVersion\":\"{version}\",").into_bytes();
        let binary = (accept.encoding == Encoding::Protobuf).then(|| Binary::new(&kind, accept.shape));
        Shaper { kind, shape: accept.shape, now, head, binary }
    }

    /// Whether lists can be made item by item. A table's rows can, but are not worth it: people read them.
    pub(crate) fn is_streamable(&self) -> bool {
        !matches!(self.shape, Shape::Table(..))
    }

    /// Whether stored bytes are the answer.
    pub(crate) fn is_plain(&self) -> bool {
        self.shape == Shape::Object && self.binary.is_none() && self.kind.is_stored_as_served()
    }

    /// Whether what comes before the items of a list says how large they are.
    pub(crate) fn needs_size(&self) -> bool {
        self.binary.is_some()
    }

    /// The type that objects have as they are served; with shape and encoding, all that their form depends on.
    pub(super) fn type_name(&self) -> &'static str {
        self.kind.schema.name
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// One object as an answer or a watch event. `columns`: whether a table says its columns.
    pub(crate) fn object<'a>(&self, stored: &'a [u8], columns: bool) -> Result<Cow<'a, [u8]>, Status> {
        let json = match self.shape {
            Shape::Object => self.served(stored)?,
            Shape::Metadata(version) => Cow::Owned(partial(version, stored)?),
            Shape::Table(version, include) => {
                let served = self.served(stored)?;
                let resource_version = resource_version_of(&served)?;
                let meta = ListMeta { resource_version, ..ListMeta::default() };
                Cow::Owned(self.table(version, &meta, include, columns, [stored].into_iter())?)
            }
        };
        self.in_encoding(json)
    }

    /// An item of a list, appended to `out`; in JSON an object as such without kind and version.
    pub(crate) fn item(&self, stored: &[u8], is_first: bool, out: &mut Vec<u8>) -> Result<(), Status> {
        let json = match self.shape {
            Shape::Metadata(version) => Cow::Owned(partial(version, stored)?),
            _ => self.served(stored)?,
        };
        if let Some(binary) = &self.binary {
            return binary.item(&json, out);
        }
        if !is_first {
            out.push(b',');
        }
        match json.strip_prefix(self.head.as_slice()) {
            Some(rest) => {
                out.push(b'{');
                out.extend_from_slice(rest);
            }
            None => out.extend_from_slice(&json),
        }
        Ok(())
    }

    /// What stands before and after the items of a list, which are `size` bytes (0 unless [`Shaper::needs_size`]).
    pub(crate) fn list_frame(&self, meta: &ListMeta, size: usize) -> (Vec<u8>, &'static [u8]) {
        if let Some(binary) = &self.binary {
            return binary.list_frame(meta, size);
        }
        let (kind, version) = match self.shape {
            Shape::Metadata(version) => ("PartialObjectMetadataList", Cow::Borrowed(version.api_version())),
            _ => (self.kind.list_kind.as_str(), Cow::Owned(self.kind.gvk.api_version())),
        };
        let mut head = format!(r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":"#).into_bytes();
        meta.tree().write(&mut head);
        head.extend_from_slice(b",\"items\":[");
        (head, b"]}")
    }

    /// A whole list.
    pub(crate) fn list<'a>(
        &self,
        meta: &ListMeta,
        stored: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<u8>, Status> {
        if let Shape::Table(version, include) = self.shape {
            return self.table(version, meta, include, true, stored);
        }
        let mut items = Vec::new();
        for (at, object) in stored.enumerate() {
            self.item(object, at == 0, &mut items)?;
        }
        let (head, end) = self.list_frame(meta, items.len());
        Ok([&head, &*items, end].concat())
    }

    /// A bookmark's object: nothing but its revision, and whether the initial events end here.
    /// `columns` as with [`Shaper::object`].
    pub(crate) fn bookmark(
        &self,
        revision: u64,
        initial_events_end: bool,
        columns: bool,
    ) -> Result<Vec<u8>, Status> {
        let annotations =
            if initial_events_end { r#","annotations":{"k8s.io/initial-events-end":"true"}"# } else { "" };
        let metadata = format!(r#"{{"resourceVersion":"{revision}"{annotations}}}"#);
        let json = match self.shape {
            Shape::Object => {
                let (kind, version) = (&self.kind.gvk.kind, self.kind.gvk.api_version());
                let json = format!(r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{metadata}}}"#);
                schema::canonical(&parsed(json.as_bytes())?, self.kind.schema)
            }
            Shape::Metadata(version) => {
                let mut out = Vec::new();
                table::partial_metadata(version, metadata.as_bytes(), &mut out);
                out
            }
            Shape::Table(version, _) => self.table_bookmark(version, revision, &metadata, columns)?,
        };
        self.in_encoding(Cow::Owned(json)).map(Cow::into_owned)
    }

    /// The row of an object that has nothing else.
    fn table_bookmark(
        &self,
        version: MetaVersion,
        revision: u64,
        metadata: &str,
        columns: bool,
    ) -> Result<Vec<u8>, Status> {
        let meta = ListMeta { resource_version: revision.to_string(), ..ListMeta::default() };
        let object = format!(r#"{{"metadata":{metadata}}}"#);
        let row = self.kind.row(object.as_bytes(), self.now).map_err(unreadable)?;
        let definitions = self.kind.columns();
        let mut writer = Writer::new(version, &meta, columns.then_some(definitions.as_slice()));
        writer.row(&row, Some(Included::Metadata(metadata.as_bytes())));
        Ok(writer.finish())
    }

    fn in_encoding<'a>(&self, json: Cow<'a, [u8]>) -> Result<Cow<'a, [u8]>, Status> {
        match &self.binary {
            Some(binary) => binary.object(&json).map(Cow::Owned),
            None => Ok(json),
        }
    }

    /// Stored bytes as this version of the API has them.
    fn served<'a>(&self, stored: &'a [u8]) -> Result<Cow<'a, [u8]>, Status> {
        if self.kind.is_stored_as_served() {
            return Ok(Cow::Borrowed(stored));
        }
        self.kind.convert(stored).map(Cow::Owned).map_err(unreadable)
    }

    fn table<'a>(
        &self,
        version: MetaVersion,
        meta: &ListMeta,
        include: IncludeObject,
        columns: bool,
        objects: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<u8>, Status> {
        let definitions = self.kind.columns();
        let mut writer = Writer::new(version, meta, columns.then_some(definitions.as_slice()));
        for stored in objects {
            let row = self.kind.row(stored, self.now).map_err(unreadable)?;
            match include {
                IncludeObject::None => writer.row(&row, None),
                IncludeObject::Object => writer.row(&row, Some(Included::Object(&self.served(stored)?))),
                IncludeObject::Metadata => {
                    writer.row(&row, Some(Included::Metadata(metadata_of(stored)?.get().as_bytes())));
                }
            }
        }
        Ok(writer.finish())
    }
}

/// An object's metadata as a PartialObjectMetadata.
fn partial(version: MetaVersion, stored: &[u8]) -> Result<Vec<u8>, Status> {
    let metadata = metadata_of(stored)?.get().as_bytes();
    let mut out = Vec::with_capacity(metadata.len() + 80);
    table::partial_metadata(version, metadata, &mut out);
    Ok(out)
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
}

/// The metadata of an object, unparsed.
fn metadata_of(object: &[u8]) -> Result<&RawValue, Status> {
    serde_json::from_slice::<Head<'_>>(object).map(|head| head.metadata).map_err(unreadable)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versioned {
    #[serde(default)]
    resource_version: String,
}

fn resource_version_of(object: &[u8]) -> Result<String, Status> {
    let metadata = metadata_of(object)?;
    let versioned: Versioned = serde_json::from_str(metadata.get()).map_err(unreadable)?;
    Ok(versioned.resource_version)
}

/// The tree of an object that the server made.
pub(super) fn parsed(object: &[u8]) -> Result<json::Tree<'_>, Status> {
    json::parse(object).map(|parsed| parsed.tree).map_err(unreadable)
}

/// Stored bytes that are no object of their kind: the store is damaged, and the client cannot help it.
fn unreadable(error: impl std::fmt::Display) -> Status {
    tracing::error!(%error, "a stored object cannot be read");
    Status::internal("a stored object cannot be read")
}

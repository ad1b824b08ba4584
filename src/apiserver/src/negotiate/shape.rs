//! Objects in the shape that the client wants: themselves, table rows, or their metadata.
//!
//! Takes entries' bytes. Objects as such are handed on unparsed; only tables and metadata look inside.

use std::borrow::Cow;
use std::sync::Arc;

use api::Descriptor;
use k8s_openapi::jiff::Timestamp;
use machinery::Status;
use machinery::table::{IncludeObject, Included, ListMeta, Row, Writer};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Shape;

/// Shapes objects of one kind for one answer.
pub(crate) struct Shaper {
    kind: Arc<Descriptor>,
    shape: Shape,
    now: Timestamp,
    /// What every served object of the kind begins with, which items of a list leave out.
    head: Vec<u8>,
}

impl Shaper {
    pub(crate) fn new(kind: Arc<Descriptor>, shape: Shape, now: Timestamp) -> Shaper {
        let (name, version) = (&kind.gvk.kind, kind.gvk.api_version());
        let head = format!("{{\"kind\":\"{name}\",\"apiVersion\":\"{version}\",").into_bytes();
        Shaper { kind, shape, now, head }
    }

    /// Whether list items are bytes as they stand, so that a list can be streamed.
    pub(crate) fn is_streamable(&self) -> bool {
        self.shape == Shape::Object
    }

    /// One object as an answer or a watch event. `columns`: whether a table says its columns.
    pub(crate) fn object<'a>(&self, stored: &'a [u8], columns: bool) -> Result<Cow<'a, [u8]>, Status> {
        match self.shape {
            Shape::Object => self.served(stored),
            Shape::Metadata => self.metadata(stored).map(Cow::Owned),
            Shape::Table(include) => {
                let served = self.served(stored)?;
                let resource_version = resource_version_of(&served)?;
                let meta = ListMeta { resource_version, ..ListMeta::default() };
                self.table(&meta, include, columns, [stored].into_iter()).map(Cow::Owned)
            }
        }
    }

    /// An item of a streamed list: the object without kind and version, appended to `out`.
    pub(crate) fn item(&self, stored: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
        let served = self.served(stored)?;
        match served.strip_prefix(self.head.as_slice()) {
            Some(rest) => {
                out.push(b'{');
                out.extend_from_slice(rest);
            }
            None => out.extend_from_slice(&served),
        }
        Ok(())
    }

    /// What stands before and after the items of a list of objects.
    pub(crate) fn list_frame(&self, meta: &ListMeta) -> (Vec<u8>, &'static [u8]) {
        (list_head(&self.kind.list_kind, &self.kind.gvk.api_version(), meta), b"]}")
    }

    /// A whole list as a table or as metadata.
    pub(crate) fn list<'a>(
        &self,
        meta: &ListMeta,
        stored: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<u8>, Status> {
        if let Shape::Table(include) = self.shape {
            return self.table(meta, include, true, stored);
        }
        let mut out = list_head("PartialObjectMetadataList", "meta.k8s.io/v1", meta);
        for (at, object) in stored.enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&self.metadata(object)?);
        }
        out.extend_from_slice(b"]}");
        Ok(out)
    }

    /// A bookmark's object: nothing but its revision, and whether the initial events end here.
    pub(crate) fn bookmark(&self, revision: u64, initial_events_end: bool) -> Vec<u8> {
        let annotations =
            if initial_events_end { r#","annotations":{"k8s.io/initial-events-end":"true"}"# } else { "" };
        let (kind, version) = match self.shape {
            Shape::Object => (self.kind.gvk.kind.as_str(), self.kind.gvk.api_version()),
            Shape::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
            Shape::Table(_) => {
                let meta = format!(r#"{{"resourceVersion":"{revision}"}}"#);
                return format!(
                    r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{meta},"columnDefinitions":[],"rows":[{{"cells":[],"object":{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{{"resourceVersion":"{revision}"{annotations}}}}}}}]}}"#
                )
                .into_bytes();
            }
        };
        format!(
            r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{{"resourceVersion":"{revision}","creationTimestamp":null{annotations}}}}}"#
        )
        .into_bytes()
    }

    /// Stored bytes as this version of the API has them.
    fn served<'a>(&self, stored: &'a [u8]) -> Result<Cow<'a, [u8]>, Status> {
        if self.kind.is_stored_as_served() {
            return Ok(Cow::Borrowed(stored));
        }
        self.kind.convert(stored).map(Cow::Owned).map_err(unreadable)
    }

    fn metadata(&self, stored: &[u8]) -> Result<Vec<u8>, Status> {
        let metadata = metadata_of(stored)?;
        let mut out =
            br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#.to_vec();
        out.extend_from_slice(metadata.get().as_bytes());
        out.push(b'}');
        Ok(out)
    }

    fn table<'a>(
        &self,
        meta: &ListMeta,
        include: IncludeObject,
        columns: bool,
        objects: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<u8>, Status> {
        let definitions = self.kind.columns();
        let mut writer = Writer::new(meta, columns.then_some(definitions.as_slice()));
        for stored in objects {
            let row = Row::from(self.kind.row(stored, self.now).map_err(unreadable)?);
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

fn list_head(kind: &str, version: &str, meta: &ListMeta) -> Vec<u8> {
    let mut head = format!(
        r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{{"resourceVersion":"{}""#,
        meta.resource_version
    );
    if !meta.continue_token.is_empty() {
        head.push_str(&format!(r#","continue":"{}""#, meta.continue_token));
    }
    if let Some(count) = meta.remaining_item_count {
        head.push_str(&format!(r#","remainingItemCount":{count}"#));
    }
    head.push_str("},\"items\":[");
    head.into_bytes()
}

/// Stored bytes that are no object of their kind: the store is damaged, and the client cannot help it.
fn unreadable(error: impl std::fmt::Display) -> Status {
    tracing::error!(%error, "a stored object cannot be read");
    Status::internal("a stored object cannot be read")
}

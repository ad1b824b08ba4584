//! Objects and lists of one kind in protobuf, from their JSON.

use api::Descriptor;
use machinery::gvk::GroupVersionKind;
use machinery::schema::{self, Type};
use machinery::table::ListMeta;
use machinery::{Status, protobuf};

use super::Shape;
use super::shape::parsed;

/// The type of a message, and how its envelope names it.
struct Named {
    kind: GroupVersionKind,
    of: &'static Type,
}

/// How objects of one kind become protobuf.
pub(super) struct Binary {
    object: Named,
    /// What is only a body, such as a Scale, has no list.
    list: Option<Named>,
}

impl Named {
    fn new(kind: GroupVersionKind, of: &'static Type) -> Named {
        Named { kind, of }
    }

    fn envelope(&self, len: usize) -> (Vec<u8>, &'static [u8]) {
        protobuf::envelope(self.of, &self.kind, len)
    }
}

impl Binary {
    pub(super) fn new(kind: &Descriptor, shape: Shape) -> Binary {
        let named = |name: &str| schema::named(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}"));
        if let Shape::Metadata(version) = shape {
            let of = |name: &str| {
                let kind = GroupVersionKind::new(
                    "meta.k8s.io",
                    version.api_version().trim_start_matches("meta.k8s.io/"),
                    name,
                );
                Named::new(kind, named(name).expect("the facts have the types of meta.k8s.io"))
            };
            return Binary {
                object: of("PartialObjectMetadata"),
                list: Some(of("PartialObjectMetadataList")),
            };
        }
        let list = kind.gvk.group_version().with_kind(kind.list_kind.as_str());
        let list = schema::of(&list).map(|of| Named::new(list, of));
        Binary { object: Named::new(kind.gvk.clone(), kind.schema), list }
    }

    /// An object in its envelope.
    pub(super) fn object(&self, json: &[u8]) -> Result<Vec<u8>, Status> {
        Ok(protobuf::encode(&parsed(json)?, self.object.of, &self.object.kind))
    }

    /// Appends an object as it stands in a list.
    pub(super) fn item(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
        protobuf::item(&protobuf::message(&parsed(json)?, self.object.of), out);
        Ok(())
    }

    /// What stands before and after the items of a list, which are `size` bytes.
    pub(super) fn list_frame(&self, meta: &ListMeta, size: usize) -> (Vec<u8>, &'static [u8]) {
        let meta = protobuf::list_meta(meta);
        let list = self.list.as_ref().expect("the facts have the list of every kind that is listed");
        let (mut head, end) = list.envelope(meta.len() + size);
        head.extend_from_slice(&meta);
        (head, end)
    }
}

//! What is to be written, what it looks like on its way, and what came of it.

use std::any::Any;
use std::sync::Arc;

use api::{Context, Descriptor, Object};
use bytes::Bytes;
use machinery::Status;
use machinery::gvk::GroupResource;
use store::{Entry, Key};

use super::patch::PatchKind;
use crate::call::Call;
use crate::verbs::options::WriteOptions;
use crate::verbs::{self, get};

/// Which part of the object the request may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// All but the status.
    Main,
    /// The status.
    Status,
    /// The conditions that approve or deny.
    Approval,
    /// Containers for debugging, which may be added.
    EphemeralContainers,
    /// What keeps a namespace that is being deleted.
    Finalize,
}

/// A function that changes the current object; it may refuse.
pub(crate) type Change<'a> = Box<dyn Fn(&mut Object) -> Result<(), Status> + Send + Sync + 'a>;

/// Where the new object comes from.
pub(crate) enum Source<'a> {
    /// The body is a new object (POST).
    New(Bytes),
    /// The body replaces the object (PUT).
    Replacement(Bytes),
    /// The body says what to change (PATCH).
    Patch(PatchKind, Bytes),
    /// The server changes the object itself.
    Change(Change<'a>),
    /// The server creates an object itself.
    Own(Object),
}

/// A write to be done.
pub(crate) struct Intent<'a> {
    pub(crate) call: &'a Call,
    pub(crate) kind: &'a Arc<Descriptor>,
    /// Empty for the object itself; admission sees it.
    pub(crate) subresource: &'a str,
    pub(crate) view: View,
    pub(crate) namespace: String,
    /// Empty as long as it is to be generated.
    pub(crate) name: String,
    /// Whether the name was generated, and how often.
    pub(crate) generated: u32,
    pub(crate) source: Source<'a>,
    pub(crate) options: WriteOptions,
}

impl<'a> Intent<'a> {
    /// Where the object is stored.
    pub(crate) fn key(&self) -> Key {
        verbs::key(self.kind, &self.namespace, &self.name)
    }

    /// How messages name the resource.
    pub(crate) fn group_resource(&self) -> GroupResource {
        self.kind.resource.group_resource()
    }

    /// What kinds may know when they prepare an object.
    pub(crate) fn context(&self) -> Context {
        Context {
            user: self.call.user.name.clone(),
            uid: self.call.user.uid.clone(),
            groups: self.call.user.groups.clone(),
            extra: self.call.user.extra.clone(),
            namespace: self.namespace.clone(),
            now: self.call.now,
            dry_run: self.options.dry_run,
        }
    }
}

/// What a write starts from.
pub(crate) struct Old {
    pub(crate) entry: Arc<Entry>,
    pub(crate) object: Object,
}

/// A write on its way.
pub(crate) struct Draft {
    pub(crate) new: Object,
    /// `None` for a creation.
    pub(crate) old: Option<Old>,
    /// What must not be given back before the write is done (addresses, ports).
    pub(crate) held: Vec<Box<dyn Any + Send + Sync>>,
}

impl Draft {
    pub(crate) fn old_object(&self) -> Option<&Object> {
        self.old.as_ref().map(|old| &old.object)
    }
}

/// An object that was written (or would have been, in a dry run).
pub(crate) struct Written {
    /// In the stored form.
    pub(crate) bytes: Bytes,
    pub(crate) created: bool,
}

impl Written {
    /// An object that is stored already.
    pub(crate) fn stored_as(entry: &Entry) -> Written {
        Written { bytes: entry.bytes.clone(), created: false }
    }

    /// The object, decoded.
    pub(crate) fn object(&self, kind: &Descriptor) -> Result<Object, Status> {
        kind.decode_stored(&self.bytes).map_err(|error| {
            tracing::error!(%error, "a stored object cannot be read");
            Status::internal("a stored object cannot be read")
        })
    }

    /// The object as a Scale, encoded.
    pub(crate) fn scale(&self, kind: &Descriptor) -> Result<Bytes, Status> {
        let scale = kind.scale(&self.object(kind)?).ok_or_else(Status::page_not_found)?;
        get::encoded(&scale)
    }
}

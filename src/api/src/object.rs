//! A typed object whose type only its [`crate::Descriptor`] knows.
//!
//! Made by `Descriptor::decode` from a request body or from stored bytes; the API server's write path hands it from
//! hook to hook and back to `Descriptor::encode`. It carries no behaviour of its own.

use std::any::Any;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::json::{self, Tree};

use crate::kind::Kind;

trait Typed: Any + Send + Sync {
    fn meta(&self) -> &ObjectMeta;
    fn meta_mut(&mut self) -> &mut ObjectMeta;
    fn kind(&self) -> &'static str;
    fn to_tree(&self) -> Tree<'static>;
    fn boxed_clone(&self) -> Box<dyn Typed>;
    fn equals(&self, other: &dyn Any) -> bool;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Kind> Typed for T {
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.metadata_mut()
    }
    fn kind(&self) -> &'static str {
        T::KIND
    }
    fn to_tree(&self) -> Tree<'static> {
        json::to_tree(self).expect("an API object is plain data and always serialises")
    }
    fn boxed_clone(&self) -> Box<dyn Typed> {
        Box::new(self.clone())
    }
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>() == Some(self)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// A decoded object of some kind.
pub struct Object(Box<dyn Typed>);

impl Object {
    /// Wraps a typed object.
    pub fn new<T: Kind>(value: T) -> Object {
        Object(Box::new(value))
    }

    /// The object's metadata.
    pub fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    /// The object's metadata, to change.
    pub fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }

    /// Name of the kind, e.g. `Pod`.
    pub fn kind(&self) -> &'static str {
        self.0.kind()
    }

    /// The typed object, if it is a `T`.
    pub fn downcast_ref<T: Kind>(&self) -> Option<&T> {
        (*self.0).as_any().downcast_ref()
    }

    /// The typed object to change, if it is a `T`.
    pub fn downcast_mut<T: Kind>(&mut self) -> Option<&mut T> {
        (*self.0).as_any_mut().downcast_mut()
    }

    /// The object in the version it was decoded from, as a tree in the type's own field order.
    pub fn to_tree(&self) -> Tree<'static> {
        self.0.to_tree()
    }
}

impl Clone for Object {
    fn clone(&self) -> Object {
        Object(self.0.boxed_clone())
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        self.0.equals((*other.0).as_any())
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meta = self.meta();
        write!(
            f,
            "{} {}/{}",
            self.kind(),
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default()
        )
    }
}

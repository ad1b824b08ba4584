//! From [`Object`] back to the typed kind: the only place that downcasts.

use std::marker::PhantomData;

use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::jiff::Timestamp;
use machinery::field::ErrorList;
use machinery::json::{self, Tree};
use machinery::table::{Column, RowCondition};
use serde_json::Value;

use crate::kind::{Context, Kind};
use crate::object::Object;

/// The hooks of [`Kind`] with the type erased; each is documented there.
pub(super) trait Hooks: Send + Sync {
    fn validate_create(&self, object: &Object) -> ErrorList;
    fn decode(&self, tree: &Tree<'_>) -> Result<Object, json::Error>;
    fn decode_stored(&self, tree: &Tree<'_>) -> Result<Object, json::Error>;
    fn to_storage(&self, object: &Object) -> Tree<'static>;
    fn set_defaults(&self, object: &mut Object);
    fn generate_name(&self, base: &str) -> String;
    fn prepare_for_create(&self, object: &mut Object, cx: &Context);
    fn preparation_warnings(&self, object: &Object) -> Vec<String>;
    fn validate_allocation(&self, new: &Object, old: Option<&Object>) -> ErrorList;
    fn validate(&self, object: &Object) -> ErrorList;
    fn prepare_for_update(&self, new: &mut Object, old: &Object, cx: &Context);
    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList;
    fn prepare_for_status_update(&self, new: &mut Object, old: &Object, cx: &Context);
    fn validate_status_update(&self, new: &Object, old: &Object) -> ErrorList;
    fn prepare_for_approval_update(&self, new: &mut Object, old: &Object, cx: &Context);
    fn validate_approval_update(&self, new: &Object, old: &Object) -> ErrorList;
    fn prepare_for_ephemeral_containers_update(&self, new: &mut Object, old: &Object, cx: &Context);
    fn validate_ephemeral_containers_update(&self, new: &Object, old: &Object) -> ErrorList;
    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String>;
    fn status_warnings(&self, object: &Object) -> Vec<String>;
    fn canonicalize(&self, object: &mut Object);
    fn is_selectable(&self, label: &str) -> bool;
    fn unselectable(&self, label: &str) -> String;
    fn columns(&self) -> Vec<Column>;
    fn row(&self, object: &Object, now: Timestamp) -> Vec<Value>;
    fn row_conditions(&self, object: &Object) -> Vec<RowCondition>;
    fn grace_period(&self, object: &Object, requested: Option<i64>) -> Option<i64>;
    fn scale(&self, object: &Object) -> Option<Scale>;
    fn set_scale(&self, object: &mut Object, scale: &Scale);
}

/// The hooks of the kind `T`.
pub(super) struct Of<T>(PhantomData<fn() -> T>);

impl<T> Of<T> {
    pub(super) fn new() -> Of<T> {
        Of(PhantomData)
    }
}

const SAME_KIND: &str = "a descriptor is only handed objects that it decoded";

fn typed<T: Kind>(object: &Object) -> &T {
    object.downcast_ref().expect(SAME_KIND)
}

fn typed_mut<T: Kind>(object: &mut Object) -> &mut T {
    object.downcast_mut().expect(SAME_KIND)
}

impl<T: Kind> Hooks for Of<T> {
    fn validate_create(&self, object: &Object) -> ErrorList {
        typed::<T>(object).validate_create()
    }
    fn decode(&self, tree: &Tree<'_>) -> Result<Object, json::Error> {
        T::from_request(tree).map(Object::new)
    }
    fn decode_stored(&self, tree: &Tree<'_>) -> Result<Object, json::Error> {
        T::from_storage(tree).map(Object::new)
    }
    fn to_storage(&self, object: &Object) -> Tree<'static> {
        typed::<T>(object).to_storage().expect("an API object is plain data and always serialises")
    }
    fn set_defaults(&self, object: &mut Object) {
        typed_mut::<T>(object).set_defaults();
    }
    fn generate_name(&self, base: &str) -> String {
        T::generate_name(base)
    }
    fn prepare_for_create(&self, object: &mut Object, cx: &Context) {
        typed_mut::<T>(object).prepare_for_create(cx);
    }
    fn preparation_warnings(&self, object: &Object) -> Vec<String> {
        typed::<T>(object).preparation_warnings()
    }
    fn validate_allocation(&self, new: &Object, old: Option<&Object>) -> ErrorList {
        typed::<T>(new).validate_allocation(old.map(typed))
    }
    fn validate(&self, object: &Object) -> ErrorList {
        typed::<T>(object).validate()
    }
    fn prepare_for_update(&self, new: &mut Object, old: &Object, cx: &Context) {
        typed_mut::<T>(new).prepare_for_update(typed(old), cx);
    }
    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        typed::<T>(new).validate_update(typed(old))
    }
    fn prepare_for_status_update(&self, new: &mut Object, old: &Object, cx: &Context) {
        typed_mut::<T>(new).prepare_for_status_update(typed(old), cx);
    }
    fn validate_status_update(&self, new: &Object, old: &Object) -> ErrorList {
        typed::<T>(new).validate_status_update(typed(old))
    }
    fn prepare_for_approval_update(&self, new: &mut Object, old: &Object, cx: &Context) {
        typed_mut::<T>(new).prepare_for_approval_update(typed(old), cx);
    }
    fn validate_approval_update(&self, new: &Object, old: &Object) -> ErrorList {
        typed::<T>(new).validate_approval_update(typed(old))
    }
    fn prepare_for_ephemeral_containers_update(&self, new: &mut Object, old: &Object, cx: &Context) {
        typed_mut::<T>(new).prepare_for_ephemeral_containers_update(typed(old), cx);
    }
    fn validate_ephemeral_containers_update(&self, new: &Object, old: &Object) -> ErrorList {
        typed::<T>(new).validate_ephemeral_containers_update(typed(old))
    }
    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        typed::<T>(object).warnings(old.map(typed))
    }
    fn status_warnings(&self, object: &Object) -> Vec<String> {
        typed::<T>(object).status_warnings()
    }
    fn canonicalize(&self, object: &mut Object) {
        typed_mut::<T>(object).canonicalize();
    }
    fn is_selectable(&self, label: &str) -> bool {
        T::is_selectable(label)
    }
    fn unselectable(&self, label: &str) -> String {
        T::unselectable(label)
    }
    fn columns(&self) -> Vec<Column> {
        T::columns()
    }
    fn row(&self, object: &Object, now: Timestamp) -> Vec<Value> {
        typed::<T>(object).row(now)
    }
    fn row_conditions(&self, object: &Object) -> Vec<RowCondition> {
        typed::<T>(object).row_conditions()
    }
    fn grace_period(&self, object: &Object, requested: Option<i64>) -> Option<i64> {
        typed::<T>(object).grace_period(requested)
    }
    fn scale(&self, object: &Object) -> Option<Scale> {
        typed::<T>(object).scale()
    }
    fn set_scale(&self, object: &mut Object, scale: &Scale) {
        typed_mut::<T>(object).set_scale(scale);
    }
}

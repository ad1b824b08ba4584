//! Bodies that are no objects to be stored but say what to do with a pod: a binding, an eviction.
//!
//! The endpoint hands the body over and gets it typed; what it has done is answered as a `Status` with 201.

use http::{Response, StatusCode};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, Resource};
use machinery::gvk::GroupVersionKind;
use machinery::{Status, json, schema};
use serde::de::DeserializeOwned;

use crate::body::{self, Body};
use crate::call::Call;
use crate::negotiate::{self, Accept};
use crate::verbs::options::FieldValidation;
use crate::write::document;

/// Reads a body that must be of this kind and in the request's namespace.
pub(super) async fn read<T>(call: &Call, body: Body, validation: FieldValidation) -> Result<T, Status>
where
    T: Resource + Metadata<Ty = ObjectMeta> + DeserializeOwned,
{
    let kind = GroupVersionKind::of::<T>();
    let body = document::to_json(call, &kind, body::read(body).await?)?;
    let of = schema::of(&kind).expect("the schema facts have every kind of k8s-openapi's");
    let tree = document::read_as(call, &kind, of, validation, &body)?;
    let mut command: T = json::from_tree(&tree).map_err(|error| {
        let (version, name) = (T::VERSION, T::KIND);
        Status::bad_request(format!("{name} in version \"{version}\" cannot be handled as a {name}: {error}"))
    })?;
    document::check_namespace(command.metadata_mut(), &call.info.namespace)?;
    Ok(command)
}

/// The answer to a command that was carried out.
pub(super) fn done(call: &Call, accept: &Accept) -> Response<Body> {
    let mut status = Status::success(None).to_tree();
    status.set(&["code"], json::Tree::Int(201));
    negotiate::document(call, accept, StatusCode::CREATED, status.to_vec().into())
}

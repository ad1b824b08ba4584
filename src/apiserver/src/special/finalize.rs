//! `namespaces/finalize`: the finalizers in a namespace's spec, which nothing else may change. The last one gone, the
//! namespace goes.

use http::{Response, StatusCode};
use k8s_openapi::api::core::v1::Namespace;
use machinery::Status;
use machinery::gvk::GroupResource;

use super::raw::{self, Fate};
use crate::body::{self, Body};
use crate::call::Call;
use crate::negotiate;
use crate::verbs::options::WriteOptions;
use crate::write::document;

/// Takes over the finalizers of the body's namespace.
pub(super) async fn update(mut call: Call, body: Body) -> Result<Response<Body>, Status> {
    let accept = negotiate::plain(&call)?;
    let options = WriteOptions::read(&call.query, "UpdateOptions")?;
    let kind = call.server.registry.of::<Namespace>().clone();
    let body = document::to_json(&call, &kind.gvk, body::read(body).await?)?;
    let tree = document::read(&call, &kind, options.field_validation, &body)?;
    let wanted = kind.decode(&tree)?;
    let wanted = wanted.downcast_ref::<Namespace>().expect("decoded as a namespace");
    let name = std::mem::take(&mut call.info.name);
    if wanted.metadata.name.as_deref() != Some(name.as_str()) {
        let given = wanted.metadata.name.as_deref().unwrap_or_default();
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    let resource = GroupResource::new("", "namespaces");
    let bytes = raw::change(&call, &kind, &name, options.dry_run, |object| {
        let namespace = object.downcast_mut::<Namespace>().expect("namespaces are stored under namespaces");
        let same = |wanted: &Option<String>, current: &Option<String>| {
            wanted.as_deref().is_none_or(|wanted| wanted.is_empty() || Some(wanted) == current.as_deref())
        };
        if !same(&wanted.metadata.resource_version, &namespace.metadata.resource_version)
            || !same(&wanted.metadata.uid, &namespace.metadata.uid)
        {
            let why =
                "the object has been modified; please apply your changes to the latest version and try again";
            return Err(Status::conflict(&resource, &name, why));
        }
        let finalizers = wanted.spec.as_ref().and_then(|spec| spec.finalizers.clone());
        namespace.spec.get_or_insert_default().finalizers = finalizers;
        let errors = api::validate_finalize(namespace);
        if !errors.is_empty() {
            return Err(Status::invalid(&kind.gvk.group_kind(), &name, &errors));
        }
        let is_deleted = namespace.metadata.deletion_timestamp.is_some()
            && namespace.metadata.finalizers.as_ref().is_none_or(Vec::is_empty);
        Ok(if is_deleted && super::is_finalized(object) { Fate::Goes } else { Fate::Stays })
    })
    .await?;
    Ok(negotiate::document(&call, &accept, StatusCode::OK, bytes))
}

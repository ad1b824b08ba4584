//! What tokens a kubelet may ask for: those of pods bound to its node, for audiences that the pod's volumes name.

use api::Object;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::Pod;
use machinery::Status;
use machinery::gvk::GroupResource;
use store::Key;

use super::super::Attributes;
use crate::chain::authorize::Resource;

pub(super) fn request(attributes: &Attributes<'_>, node: &str, new: Option<&Object>) -> Result<(), Status> {
    let request = new.and_then(Object::downcast_ref::<TokenRequest>);
    let Some(spec) = request.and_then(|request| request.spec.as_ref()) else {
        return Err(attributes.forbidden("node requested token not bound to a pod"));
    };
    let bound = spec.bound_object_ref.clone().unwrap_or_default();
    let (name, uid) = (bound.name.unwrap_or_default(), bound.uid.unwrap_or_default());
    if bound.api_version.as_deref() != Some("v1") || bound.kind.as_deref() != Some("Pod") || name.is_empty() {
        return Err(attributes.forbidden("node requested token not bound to a pod"));
    }
    if uid.is_empty() {
        return Err(attributes.forbidden("node requested token with a pod binding without a uid"));
    }
    let entry = attributes.call.server.store.get(&Key::new("", "pods", attributes.namespace, &name));
    let entry = entry.ok_or_else(|| Status::not_found(&GroupResource::new("", "pods"), &name))?;
    if *entry.attributes.uid != *uid {
        return Err(attributes.forbidden(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        )));
    }
    let pod: Pod = serde_json::from_slice(&entry.bytes).map_err(Status::internal)?;
    if pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) != Some(node) {
        return Err(attributes.forbidden("node requested token bound to a pod scheduled on a different node"));
    }
    audience(attributes, &pod, spec.audiences.as_deref().unwrap_or_default())
}

/// An audience has to stand in the pod's projected volumes (empty: the API server's), or the node has to be allowed it.
fn audience(attributes: &Attributes<'_>, pod: &Pod, asked: &[String]) -> Result<(), Status> {
    let wanted = match asked {
        [] => "",
        [one] => one.as_str(),
        _ => return Err(attributes.forbidden("node may only request 0 or 1 audiences")),
    };
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let sources = volumes.filter_map(|volume| volume.projected.as_ref()?.sources.as_ref()).flatten();
    let mut tokens = sources.filter_map(|source| source.service_account_token.as_ref());
    if tokens.any(|token| token.audience.as_deref().unwrap_or_default() == wanted) {
        return Ok(());
    }
    // Upstream asks with the audience in the place of the resource, so that roles can grant it.
    let question = Resource {
        resource: wanted,
        namespace: attributes.namespace,
        name: attributes.name,
        ..Resource::default()
    };
    attributes.call.authorize("request-serviceaccounts-token-audience", question).map_err(|_| {
        attributes.forbidden(format!(
            "audience {wanted:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
            attributes.call.user.name
        ))
    })
}

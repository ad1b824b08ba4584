//! OwnerReferencesPermissionEnforcement: whoever sets `blockOwnerDeletion` must be allowed to set finalizers of the owner.

use api::Object;
use async_trait::async_trait;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use machinery::Status;
use machinery::gvk::GroupVersion;

use super::{Attributes, Operation, Plugin};
use crate::chain::authorize::{self, Decision, Resource};

pub(super) struct OwnerReferencesPermissionEnforcement;

#[async_trait]
impl Plugin for OwnerReferencesPermissionEnforcement {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation != Operation::Delete && attributes.subresource.is_empty()
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        new: Option<&Object>,
        old: Option<&Object>,
    ) -> Result<(), Status> {
        let blocking = |object: Option<&Object>| -> Vec<OwnerReference> {
            let owners = object.and_then(|object| object.meta().owner_references.clone()).unwrap_or_default();
            owners.into_iter().filter(|owner| owner.block_owner_deletion == Some(true)).collect()
        };
        let known = blocking(old);
        for owner in blocking(new).iter().filter(|owner| !known.iter().any(|known| known.uid == owner.uid)) {
            check(attributes, owner)?;
        }
        Ok(())
    }
}

fn check(attributes: &Attributes<'_>, owner: &OwnerReference) -> Result<(), Status> {
    let refuse = |why: &str| {
        Err(attributes.forbidden(format!("cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: {why}")))
    };
    let server = &attributes.call.server;
    let version =
        GroupVersion::parse(&owner.api_version).map_err(|error| Status::bad_request(error.to_string()))?;
    let kind = server.registry.kinds().iter().find(|kind| kind.gvk == version.with_kind(owner.kind.as_str()));
    let Some(kind) = kind else {
        return refuse(&format!(
            "cannot find RESTMapping for APIVersion {} Kind {}",
            owner.api_version, owner.kind
        ));
    };
    let on = Resource {
        group: &kind.resource.group,
        resource: &kind.resource.resource,
        subresource: "finalizers",
        namespace: if kind.namespaced { attributes.namespace } else { "" },
        name: &owner.name,
        field_selector: "",
    };
    let question = authorize::Attributes { user: &attributes.call.user, verb: "update", target: on.into() };
    match authorize::decide(server, &question) {
        Decision::Allow(_) => Ok(()),
        Decision::NoOpinion(why) => refuse(&why),
    }
}

//! NodeRestriction: a kubelet changes its own node, its own lease, drivers and devices, and pods bound to it, and asks tokens
//! for those alone.

mod node;
mod pods;
mod token;

use api::Object;
use async_trait::async_trait;
use k8s_openapi::api::resource::v1::ResourceSlice;
use machinery::Status;

use super::{Attributes, Operation, Plugin};

pub(super) struct NodeRestriction;

#[async_trait]
impl Plugin for NodeRestriction {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        attributes.call.user.node_name().is_some()
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        new: Option<&Object>,
        old: Option<&Object>,
    ) -> Result<(), Status> {
        let Some(node) = attributes.call.user.node_name() else { return Ok(()) };
        if node.is_empty() {
            return Err(attributes
                .forbidden(format!("could not determine node from user {:?}", attributes.call.user.name)));
        }
        let resource = (attributes.kind.resource.group.as_str(), attributes.kind.resource.resource.as_str());
        match (resource, attributes.subresource) {
            (("", "pods"), "") => pods::pod(attributes, node, new, old),
            (("", "pods"), "status") => pods::status(attributes, node, new, old),
            (("", "pods"), "eviction") => pods::eviction(attributes, node),
            (("", "pods"), other) => Err(attributes.forbidden(format!(
                "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
            ))),
            (("", "nodes"), _) => node::own(attributes, node, new, old),
            (("", "serviceaccounts"), "token") => token::request(attributes, node, new),
            (("coordination.k8s.io", "leases"), _) => lease(attributes, node),
            (("resource.k8s.io", "resourceslices"), _) => slice(attributes, node, new, old),
            (("storage.k8s.io", "csinodes"), _) => drivers(attributes, node),
            _ => Ok(()),
        }
    }
}

/// A node offers the devices that it has itself.
fn slice(
    attributes: &Attributes<'_>,
    node: &str,
    new: Option<&Object>,
    old: Option<&Object>,
) -> Result<(), Status> {
    let is_own = |slice: Option<&Object>| {
        let slice = slice.and_then(|slice| slice.downcast_ref::<ResourceSlice>());
        slice.is_some_and(|slice| slice.spec.node_name.as_deref() == Some(node))
    };
    let (verb, is_own) = match attributes.operation {
        Operation::Create => ("create", is_own(new)),
        Operation::Delete => ("delete", is_own(old)),
        Operation::Update => return Ok(()),
    };
    if is_own {
        return Ok(());
    }
    let why = format!("can only {verb} ResourceSlice with the same NodeName as the requesting node");
    Err(attributes.forbidden(why))
}

fn drivers(attributes: &Attributes<'_>, node: &str) -> Result<(), Status> {
    if attributes.name == node {
        return Ok(());
    }
    Err(attributes.forbidden("can only access CSINode with the same name as the requesting node"))
}

fn lease(attributes: &Attributes<'_>, node: &str) -> Result<(), Status> {
    if attributes.namespace != "kube-node-lease" {
        let why = format!("can only access leases in the {:?} system namespace", "kube-node-lease");
        return Err(attributes.forbidden(why));
    }
    if attributes.name != node {
        return Err(
            attributes.forbidden("can only access node lease with the same name as the requesting node")
        );
    }
    Ok(())
}

//! NodeRestriction: a kubelet changes its own node, its own lease and pods bound to it, and asks tokens for those alone.

mod node;
mod pods;
mod token;

use api::Object;
use async_trait::async_trait;
use machinery::Status;

use super::{Attributes, Plugin};

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
            _ => Ok(()),
        }
    }
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

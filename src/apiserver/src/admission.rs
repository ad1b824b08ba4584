//! Admission: a list of small plugins that may change an object on its way into the store, or refuse it.
//!
//! `write` and the delete verb ask here, in the order of the list, which is upstream's. A plugin looks things up in the
//! store's current state; it writes nothing.

mod certificate_approval;
mod certificate_signing;
mod certificate_subject_restriction;
mod default_toleration_seconds;
mod namespace_lifecycle;
mod node_restriction;
mod owner_references;
mod priority;
mod runtime_class;
mod service_account;
mod taint_nodes_by_condition;

use std::any::Any;
use std::sync::Arc;

use api::{Descriptor, Object};
use async_trait::async_trait;
use machinery::Status;
use machinery::gvk::GroupResource;

use crate::call::Call;
use crate::rbac::escalation::Escalation;
use crate::special::device_access::DeviceAccess;
use crate::special::service_addresses::ServiceAddresses;
use crate::write::{Draft, Intent};

/// What is done to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

/// A request as plugins see it.
pub(crate) struct Attributes<'a> {
    pub(crate) call: &'a Call,
    pub(crate) kind: &'a Arc<Descriptor>,
    pub(crate) operation: Operation,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// Whether nothing is to be written.
    pub(crate) dry_run: bool,
}

impl Attributes<'_> {
    /// Whether the request is about this resource itself (not a subresource).
    pub(crate) fn is(&self, group: &str, resource: &str) -> bool {
        self.subresource.is_empty() && self.is_about(group, resource)
    }

    /// Whether the request is about this resource or a subresource of it.
    pub(crate) fn is_about(&self, group: &str, resource: &str) -> bool {
        self.kind.resource.group == group && self.kind.resource.resource == resource
    }

    /// Upstream's `admission.NewForbidden`.
    pub(crate) fn forbidden(&self, why: impl std::fmt::Display) -> Status {
        let resource: GroupResource = self.kind.resource.group_resource();
        let name =
            if self.name.is_empty() && self.operation == Operation::Create { "Unknown" } else { self.name };
        Status::forbidden(&resource, name, why)
    }
}

/// One rule of admission.
#[async_trait]
pub(crate) trait Plugin: Send + Sync {
    /// Whether there is anything to do for such a request.
    fn handles(&self, attributes: &Attributes<'_>) -> bool;

    /// May change the object. What it pushes onto `held` lives until the write is done.
    async fn admit(
        &self,
        _attributes: &Attributes<'_>,
        _new: &mut Object,
        _old: Option<&Object>,
        _held: &mut Vec<Box<dyn Any + Send + Sync>>,
    ) -> Result<(), Status> {
        Ok(())
    }

    /// May refuse. `new` is `None` for a deletion.
    async fn validate(
        &self,
        _attributes: &Attributes<'_>,
        _new: Option<&Object>,
        _old: Option<&Object>,
    ) -> Result<(), Status> {
        Ok(())
    }
}

/// The plugins, in upstream's order; the last three are no plugins upstream but run at the same place.
pub(crate) fn plugins() -> Vec<Box<dyn Plugin>> {
    vec![
        Box::new(namespace_lifecycle::NamespaceLifecycle),
        Box::new(service_account::ServiceAccount),
        Box::new(node_restriction::NodeRestriction),
        Box::new(taint_nodes_by_condition::TaintNodesByCondition),
        Box::new(priority::Priority),
        Box::new(default_toleration_seconds::DefaultTolerationSeconds),
        Box::new(owner_references::OwnerReferencesPermissionEnforcement),
        Box::new(runtime_class::RuntimeClass),
        Box::new(certificate_approval::CertificateApproval),
        Box::new(certificate_signing::CertificateSigning),
        Box::new(certificate_subject_restriction::CertificateSubjectRestriction),
        Box::new(DeviceAccess),
        Box::new(ServiceAddresses),
        Box::new(Escalation),
    ]
}

/// Lets plugins change the draft.
pub(crate) async fn admit(intent: &Intent<'_>, draft: &mut Draft) -> Result<(), Status> {
    let name = draft.new.meta().name.clone().unwrap_or_default();
    let attributes = of_write(intent, draft, &name);
    let Draft { new, old, held } = draft;
    for plugin in &intent.call.server.admission {
        if plugin.handles(&attributes) {
            plugin.admit(&attributes, new, old.as_ref().map(|old| &old.object), held).await?;
        }
    }
    Ok(())
}

/// Lets plugins refuse the draft.
pub(crate) async fn validate(intent: &Intent<'_>, draft: &Draft) -> Result<(), Status> {
    let name = draft.new.meta().name.clone().unwrap_or_default();
    let attributes = of_write(intent, draft, &name);
    ask(&attributes, Some(&draft.new), draft.old_object()).await
}

/// Lets plugins refuse a deletion.
pub(crate) async fn delete(
    call: &Call,
    kind: &Arc<Descriptor>,
    namespace: &str,
    name: &str,
    old: &Object,
    dry_run: bool,
) -> Result<(), Status> {
    let operation = Operation::Delete;
    let attributes = Attributes { call, kind, operation, subresource: "", namespace, name, dry_run };
    ask(&attributes, None, Some(old)).await
}

fn of_write<'a>(intent: &'a Intent<'_>, draft: &Draft, name: &'a str) -> Attributes<'a> {
    Attributes {
        call: intent.call,
        kind: intent.kind,
        operation: if draft.old.is_some() { Operation::Update } else { Operation::Create },
        subresource: intent.subresource,
        namespace: &intent.namespace,
        name,
        dry_run: intent.options.dry_run,
    }
}

/// Lets plugins judge a request whose object is not stored: a token request, or an eviction, which is `None`.
pub(crate) async fn judge(attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
    ask(attributes, object, None).await
}

async fn ask(attributes: &Attributes<'_>, new: Option<&Object>, old: Option<&Object>) -> Result<(), Status> {
    for plugin in &attributes.call.server.admission {
        if plugin.handles(attributes) {
            plugin.validate(attributes, new, old).await?;
        }
    }
    Ok(())
}

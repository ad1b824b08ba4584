//! Who may have devices as an administrator, allocate them, and report on them. No plugin upstream, where the strategy of
//! claims asks the same (`pkg/registry/resource/utils.go`).

use std::collections::{BTreeMap, BTreeSet};

use api::Object;
use async_trait::async_trait;
use k8s_openapi::api::resource::v1::{
    AllocatedDeviceStatus, AllocationResult, DeviceRequest, DeviceRequestAllocationResult, ResourceClaim,
    ResourceClaimSpec, ResourceClaimStatus, ResourceClaimTemplate,
};
use machinery::Status;
use machinery::field::{Error, ErrorList, Path};
use store::Key;

use crate::admission::{Attributes, Operation, Plugin};
use crate::chain::authorize::{self, Decision, Resource};

const GROUP: &str = "resource.k8s.io";
const ADMIN_LABEL: &str = "resource.kubernetes.io/admin-access";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// Its place in the write path.
pub(crate) struct DeviceAccess;

#[async_trait]
impl Plugin for DeviceAccess {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        let is_about = |resource| attributes.is_about(GROUP, resource);
        match (attributes.operation, attributes.subresource) {
            (Operation::Create, "") => is_about("resourceclaims") || is_about("resourceclaimtemplates"),
            (Operation::Update, "status") => is_about("resourceclaims"),
            _ => false,
        }
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        new: Option<&Object>,
        old: Option<&Object>,
    ) -> Result<(), Status> {
        let Some(new) = new else { return Ok(()) };
        let errors = match (new.downcast_ref::<ResourceClaim>(), old.and_then(Object::downcast_ref)) {
            (Some(claim), Some(old)) => of_status(attributes, claim, old),
            (Some(claim), None) => of_request(attributes, &claim.spec),
            (None, _) => {
                let template = new.downcast_ref::<ResourceClaimTemplate>();
                template.map(|template| of_request(attributes, &template.spec.spec)).unwrap_or_default()
            }
        };
        Status::check(&attributes.kind.refused_as, attributes.name, &errors)
    }
}

/// Errors of a new claim, or of a template of claims.
fn of_request(attributes: &Attributes<'_>, spec: &ResourceClaimSpec) -> ErrorList {
    let requests = spec.devices.iter().flat_map(|devices| devices.requests.iter().flatten());
    let as_administrator = |request: &DeviceRequest| {
        request.exactly.as_ref().is_some_and(|exactly| exactly.admin_access == Some(true))
    };
    let Some(index) = requests.into_iter().position(as_administrator) else { return ErrorList::new() };
    let path = Path::new("spec.devices.requests").index(index).child("adminAccess");
    as_admin(attributes, &path).into_iter().collect()
}

/// Errors of a status that replaces an old one.
fn of_status(attributes: &Attributes<'_>, claim: &ResourceClaim, old: &ResourceClaim) -> ErrorList {
    let (new, old) = (claim.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
    let mut errors = ErrorList::new();
    if first_as_admin(&old).is_none()
        && let Some(index) = first_as_admin(&new)
    {
        let path = Path::new("status.allocation.devices.results").index(index).child("adminAccess");
        errors.extend(as_admin(attributes, &path));
    }
    errors.extend(of_allocation(attributes, &new, &old));
    errors.extend(of_devices(attributes, &new, &old));
    errors
}

/// The first allocated device that is had as an administrator.
fn first_as_admin(status: &ResourceClaimStatus) -> Option<usize> {
    let devices = status.allocation.as_ref()?.devices.as_ref()?;
    let is_admin = |result: &DeviceRequestAllocationResult| result.admin_access == Some(true);
    devices.results.as_ref()?.iter().position(is_admin)
}

/// An administrator's access is for namespaces that are labelled for it.
fn as_admin(attributes: &Attributes<'_>, path: &Path) -> Option<Error> {
    let key = Key::new("", "namespaces", "", attributes.namespace);
    let namespace = attributes.call.server.store.get(&key);
    let is_label = |(name, value): &(Box<str>, Box<str>)| &**name == ADMIN_LABEL && &**value == "true";
    let allows = namespace.is_some_and(|namespace| namespace.attributes.labels.iter().any(is_label));
    let detail = format!(
        "admin access to devices requires the `{ADMIN_LABEL}: true` label on the containing namespace"
    );
    (!allows).then(|| Error::forbidden(path, detail))
}

/// Schedulers allocate and reserve.
fn of_allocation(
    attributes: &Attributes<'_>,
    new: &ResourceClaimStatus,
    old: &ResourceClaimStatus,
) -> Option<Error> {
    let users = |status: &ResourceClaimStatus| status.reserved_for.clone().unwrap_or_default();
    if new.allocation == old.allocation && users(new) == users(old) {
        return None;
    }
    let verb = &*attributes.call.info.verb;
    let on = Resource { subresource: "binding", ..CLAIMS };
    let why = refused(attributes, verb, on)?;
    let detail = format!(
        "changing status.allocation or status.reservedFor requires resource=\"resourceclaims/binding\", verb=\"{verb}\" permission: {why}"
    );
    Some(Error::forbidden(&Path::new("status.allocation"), detail))
}

const CLAIMS: Resource<'static> = Resource {
    group: GROUP,
    resource: "resourceclaims",
    subresource: "",
    namespace: "",
    name: "",
    field_selector: "",
};

/// Drivers report, each on its own devices; where a driver runs on the claim's node, it may need no more than that.
fn of_devices(
    attributes: &Attributes<'_>,
    new: &ResourceClaimStatus,
    old: &ResourceClaimStatus,
) -> ErrorList {
    let Some(allocation) = &new.allocation else { return ErrorList::new() };
    let verb = &*attributes.call.info.verb;
    let mut verbs = vec![format!("arbitrary-node:{verb}")];
    if is_on_node(attributes, allocated_node(allocation)) {
        verbs.insert(0, format!("associated-node:{verb}"));
    }
    let shown = verbs.join(" ");
    let refusal = |driver: &str| {
        let on = Resource { subresource: "driver", namespace: attributes.namespace, name: driver, ..CLAIMS };
        let why = refused_all(attributes, &verbs, on)?;
        let detail = format!(
            "changing status.devices requires resource=\"resourceclaims/driver\", verb=\"[{shown}]\" permission: {why}"
        );
        Some(Error::forbidden(&Path::new("status.devices"), detail))
    };
    modified_drivers(new, old).into_iter().filter_map(refusal).collect()
}

/// Why the user may do none of these, if so: what was said of the first.
fn refused_all(attributes: &Attributes<'_>, verbs: &[String], on: Resource<'_>) -> Option<String> {
    let (first, others) = verbs.split_first()?;
    let why = refused(attributes, first, on)?;
    others.iter().all(|verb| refused(attributes, verb, on).is_some()).then_some(why)
}

/// Why the user may not, if so.
fn refused(attributes: &Attributes<'_>, verb: &str, on: Resource<'_>) -> Option<String> {
    let question = authorize::Attributes { user: &attributes.call.user, verb, target: on.into() };
    match authorize::decide(&attributes.call.server, &question) {
        Decision::Allow(_) => None,
        Decision::NoOpinion(why) => Some(authorize::forbidden(&question, &why).message().to_owned()),
    }
}

/// The drivers of devices of which something else is said than before.
fn modified_drivers<'a>(new: &'a ResourceClaimStatus, old: &'a ResourceClaimStatus) -> BTreeSet<&'a str> {
    let by_device = |status: &'a ResourceClaimStatus| -> BTreeMap<[&str; 4], &AllocatedDeviceStatus> {
        let devices = status.devices.iter().flatten();
        let share = |device: &'a AllocatedDeviceStatus| device.share_id.as_deref().unwrap_or_default();
        devices
            .map(|device| ([&*device.driver, &*device.pool, &*device.device, share(device)], device))
            .collect()
    };
    let (new, old) = (by_device(new), by_device(old));
    let changed = new.iter().filter(|(id, device)| old.get(*id) != Some(*device));
    let gone = old.keys().filter(|id| !new.contains_key(*id));
    changed.map(|(id, _)| id).chain(gone).map(|[driver, ..]| *driver).collect()
}

/// The one node that an allocation names, if it does.
fn allocated_node(allocation: &AllocationResult) -> Option<&str> {
    let [term] = allocation.node_selector.as_ref()?.node_selector_terms.as_slice() else { return None };
    let [field] = term.match_fields.as_deref()? else { return None };
    let [name] = field.values.as_deref()? else { return None };
    let has_expressions = term.match_expressions.as_ref().is_some_and(|all| !all.is_empty());
    let is_name = field.key == "metadata.name" && field.operator == "In";
    (is_name && !has_expressions && !name.is_empty()).then_some(name)
}

/// Whether the user is a service account whose pod runs on this node.
fn is_on_node(attributes: &Attributes<'_>, node: Option<&str>) -> bool {
    let user = &attributes.call.user;
    let own = user.extra.get(NODE_NAME).map(Vec::as_slice);
    let is_account = user.name.starts_with("system:serviceaccount:");
    matches!((own, node), (Some([own]), Some(node)) if is_account && own == node)
}

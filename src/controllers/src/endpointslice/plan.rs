//! From the endpoints desired and the slices there are to the fewest writes (upstream `reconciler`). Pure.

use std::{collections::BTreeMap, sync::Arc};

use client::owner_reference;
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        core::v1::Service,
        discovery::v1::{Endpoint, EndpointSlice},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{MANAGED_BY, MANAGER, SERVICE_NAME, Slices, desired::Group};
use crate::membership::{self, HEADLESS_LABEL, TRIGGER_TIME, annotate};

#[cfg(test)]
mod tests;

/// So many endpoints a slice holds.
const MAX_ENDPOINTS: usize = 100;
/// The longest name that leaves room for the generated part.
const MAX_PREFIX: usize = 248;

#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) create: Vec<EndpointSlice>,
    pub(super) update: Vec<EndpointSlice>,
    pub(super) delete: Vec<Arc<EndpointSlice>>,
}

/// What turns `slices` into the `desired` groups. Endpoints stay in the slice they are in.
pub(super) fn plan(
    service: &Service,
    desired: Vec<Group>,
    slices: &Slices,
    trigger_time: Option<Timestamp>,
) -> Plan {
    let mut plan = Plan::default();
    let mut rest: Vec<Arc<EndpointSlice>> = slices.to_vec();
    for group in desired {
        let belongs = |slice: &Arc<EndpointSlice>| {
            slice.address_type == group.address_type
                && slice.ports.as_deref().unwrap_or_default() == group.ports
                && is_owned(slice, service)
        };
        let (own, others) = rest.into_iter().partition(belongs);
        rest = others;
        plan_group(service, group, own, &mut plan);
    }
    plan.delete.extend(rest);
    for slice in plan.create.iter_mut().chain(&mut plan.update) {
        annotate(&mut slice.metadata, TRIGGER_TIME, trigger_time.map(|time| time.to_string()));
    }
    plan
}

/// A Service of the same name may have been deleted and created anew: slices of the old one go.
fn is_owned(slice: &EndpointSlice, service: &Service) -> bool {
    objects::owner::is_controlled_by(&slice.metadata, service.metadata.uid.as_deref().unwrap_or_default())
}

/// An existing slice with the endpoints that it keeps.
struct Kept {
    slice: Arc<EndpointSlice>,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

fn plan_group(service: &Service, mut group: Group, own: Vec<Arc<EndpointSlice>>, plan: &mut Plan) {
    let labels = labels(service);
    let mut kept: Vec<Kept> =
        own.into_iter().map(|slice| keep(slice, &mut group.endpoints, &labels)).collect();
    let mut waiting: Vec<Endpoint> = std::mem::take(&mut group.endpoints).into_values().collect();

    // Slices that are written anyway are filled first, the fullest first; then one that has room for all the rest.
    kept.sort_by_key(|kept| std::cmp::Reverse(kept.endpoints.len()));
    for slice in kept.iter_mut().filter(|kept| kept.changed && !kept.endpoints.is_empty()) {
        fill(&mut slice.endpoints, &mut waiting);
    }
    let room_for_all =
        |kept: &&mut Kept| !kept.changed && kept.endpoints.len() + waiting.len() <= MAX_ENDPOINTS;
    if !waiting.is_empty()
        && let Some(slice) = kept.iter_mut().find(room_for_all)
    {
        slice.changed = true;
        fill(&mut slice.endpoints, &mut waiting);
    }

    let mut create = Vec::new();
    while !waiting.is_empty() {
        let mut endpoints = Vec::new();
        fill(&mut endpoints, &mut waiting);
        create.push(endpoints);
    }
    settle(service, &group, kept, create, labels, plan);
}

/// Takes out of `desired` what `slice` holds already.
fn keep(
    slice: Arc<EndpointSlice>,
    desired: &mut BTreeMap<String, Endpoint>,
    labels: &BTreeMap<String, String>,
) -> Kept {
    let mut changed = slice.metadata.labels.as_ref() != Some(labels);
    let mut endpoints = Vec::new();
    for endpoint in slice.endpoints.iter().flatten() {
        let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.as_deref()).unwrap_or_default();
        match desired.remove(uid) {
            Some(wanted) => {
                changed |= wanted != *endpoint;
                endpoints.push(wanted);
            }
            None => changed = true,
        }
    }
    Kept { slice, endpoints, changed }
}

fn fill(endpoints: &mut Vec<Endpoint>, waiting: &mut Vec<Endpoint>) {
    let room = MAX_ENDPOINTS.saturating_sub(endpoints.len()).min(waiting.len());
    endpoints.extend(waiting.drain(..room));
}

/// Writes the outcome into the plan. Empty slices go, but for one that shows that the Service has no endpoints.
fn settle(
    service: &Service,
    group: &Group,
    kept: Vec<Kept>,
    create: Vec<Vec<Endpoint>>,
    labels: BTreeMap<String, String>,
    plan: &mut Plan,
) {
    let nothing = create.is_empty() && kept.iter().all(|kept| kept.endpoints.is_empty());
    let mut placeholder = false;
    for Kept { slice, endpoints, changed } in kept {
        if endpoints.is_empty() && (!nothing || placeholder) {
            plan.delete.push(slice);
            continue;
        }
        placeholder |= endpoints.is_empty();
        if changed {
            let mut slice = (*slice).clone();
            slice.endpoints = Some(endpoints);
            slice.metadata.labels = Some(labels.clone());
            plan.update.push(slice);
        }
    }
    let create = if nothing && !placeholder { vec![Vec::new()] } else { create };
    plan.create.extend(create.into_iter().map(|endpoints| build(service, group, endpoints, labels.clone())));
}

fn build(
    service: &Service,
    group: &Group,
    endpoints: Vec<Endpoint>,
    labels: BTreeMap<String, String>,
) -> EndpointSlice {
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let prefix = if name.len() < MAX_PREFIX { format!("{name}-") } else { name.to_owned() };
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(prefix),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![owner_reference(service)]),
            ..ObjectMeta::default()
        },
        address_type: group.address_type.into(),
        endpoints: Some(endpoints),
        ports: Some(group.ports.clone()).filter(|ports| !ports.is_empty()),
    }
}

/// The Service's labels and those by which slices are found.
fn labels(service: &Service) -> BTreeMap<String, String> {
    let reserved = [SERVICE_NAME, MANAGED_BY, HEADLESS_LABEL];
    let own = service.metadata.labels.iter().flatten().filter(|(key, _)| !reserved.contains(&key.as_str()));
    let mut labels: BTreeMap<String, String> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    if service.spec.as_ref().is_some_and(membership::is_headless) {
        labels.insert(HEADLESS_LABEL.into(), String::new());
    }
    labels.insert(SERVICE_NAME.into(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels
}

//! The core group.

mod binding;
mod config_map;
mod data;
mod endpoints;
pub(crate) mod event;
pub(crate) mod namespace;
mod node;
pub(crate) mod pod;
mod pod_template;
pub(crate) mod resources;
mod secret;
mod service;
mod service_account;

use k8s_openapi::api::core::v1;

use crate::descriptor::Descriptor;

/// The kinds of the group.
pub(crate) fn kinds() -> Vec<Descriptor> {
    vec![
        Descriptor::of::<v1::ConfigMap>(),
        Descriptor::of::<v1::Endpoints>(),
        Descriptor::of::<v1::Event>(),
        Descriptor::of::<v1::Namespace>(),
        Descriptor::of::<v1::Node>(),
        Descriptor::of::<v1::Pod>(),
        Descriptor::of::<v1::PodTemplate>(),
        Descriptor::of::<v1::Secret>(),
        Descriptor::of::<v1::ServiceAccount>(),
        Descriptor::of::<v1::Service>(),
    ]
}

/// Kinds that are only bodies of subresources.
pub(crate) fn bodies() -> Vec<Descriptor> {
    vec![Descriptor::of::<v1::Binding>()]
}

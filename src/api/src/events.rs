//! The group `events.k8s.io`.

mod event;

use k8s_openapi::api::events::v1;

use crate::descriptor::Descriptor;

/// The kinds of the group.
pub(crate) fn kinds() -> Vec<Descriptor> {
    vec![Descriptor::of::<v1::Event>()]
}

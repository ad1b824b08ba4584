//! The group `discovery.k8s.io`.

mod endpoint_slice;

use k8s_openapi::api::discovery::v1;

use crate::descriptor::Descriptor;

/// The kinds of the group.
pub(crate) fn kinds() -> Vec<Descriptor> {
    vec![Descriptor::of::<v1::EndpointSlice>()]
}

//! The group `policy`: of it only Eviction, the body of the subresource `eviction`.

mod eviction;

use k8s_openapi::api::policy::v1;

use crate::descriptor::Descriptor;

/// Kinds that are only bodies of subresources.
pub(crate) fn bodies() -> Vec<Descriptor> {
    vec![Descriptor::of::<v1::Eviction>()]
}

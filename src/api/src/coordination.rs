//! The group `coordination.k8s.io`.

mod lease;

use k8s_openapi::api::coordination::v1;

use crate::descriptor::Descriptor;

/// The kinds of the group.
pub(crate) fn kinds() -> Vec<Descriptor> {
    vec![Descriptor::of::<v1::Lease>()]
}

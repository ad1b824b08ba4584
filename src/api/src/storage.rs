//! The group `storage.k8s.io`.

mod csi_node;

use k8s_openapi::api::storage::v1;

use crate::descriptor::Descriptor;

/// The kinds of the group.
pub(crate) fn kinds() -> Vec<Descriptor> {
    vec![Descriptor::of::<v1::CSINode>()]
}

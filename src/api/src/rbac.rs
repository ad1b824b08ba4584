//! The group `rbac.authorization.k8s.io`. What a rule allows, and whether a user may grant it, is the API server's.

mod cluster_role;
mod cluster_role_binding;
mod role;
mod role_binding;
mod rules;
mod subjects;

use k8s_openapi::api::rbac::v1;

use crate::descriptor::Descriptor;

/// The kinds of the group.
pub(crate) fn kinds() -> Vec<Descriptor> {
    vec![
        Descriptor::of::<v1::ClusterRoleBinding>(),
        Descriptor::of::<v1::ClusterRole>(),
        Descriptor::of::<v1::RoleBinding>(),
        Descriptor::of::<v1::Role>(),
    ]
}

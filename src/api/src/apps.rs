//! The group `apps`.

mod deployment;
mod replica_set;
mod replicas;

use k8s_openapi::api::apps::v1;

use crate::descriptor::Descriptor;

/// The kinds of the group.
pub(crate) fn kinds() -> Vec<Descriptor> {
    vec![Descriptor::of::<v1::Deployment>(), Descriptor::of::<v1::ReplicaSet>()]
}

//! The group `autoscaling`: of it only Scale, the body of the subresource `scale`.

mod scale;

use k8s_openapi::api::autoscaling::v1;

use crate::descriptor::Descriptor;

pub(crate) use scale::scale;

/// Kinds that are only bodies of subresources.
pub(crate) fn bodies() -> Vec<Descriptor> {
    vec![Descriptor::of::<v1::Scale>()]
}

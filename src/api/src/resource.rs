//! The group `resource.k8s.io`: devices that drivers offer and pods claim. Schedulers allocate them and kubelets prepare them;
//! Coxswain's own do neither yet, so that only what others write and read is kept here.

mod claim_spec;
mod configuration;
mod device_class;
mod lists;
mod names;
mod resource_claim;
mod resource_claim_template;
mod resource_slice;
mod selectors;
mod taints;

use k8s_openapi::api::resource::v1;

use crate::descriptor::Descriptor;

/// The kinds of the group.
pub(crate) fn kinds() -> Vec<Descriptor> {
    vec![
        Descriptor::of::<v1::DeviceClass>(),
        Descriptor::of::<v1::ResourceClaim>(),
        Descriptor::of::<v1::ResourceClaimTemplate>(),
        Descriptor::of::<v1::ResourceSlice>(),
    ]
}

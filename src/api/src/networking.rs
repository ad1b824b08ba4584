//! The group `networking.k8s.io`.

mod ip_address;
mod service_cidr;

use k8s_openapi::api::networking::v1;

use crate::descriptor::Descriptor;

/// The kinds of the group.
pub(crate) fn kinds() -> Vec<Descriptor> {
    vec![Descriptor::of::<v1::IPAddress>(), Descriptor::of::<v1::ServiceCIDR>()]
}

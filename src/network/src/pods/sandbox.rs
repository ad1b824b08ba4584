//! The pod's side of its link, done inside the pod's network namespace.

use std::{net::Ipv4Addr, path::Path};

use rtnetlink::{RouteMessageBuilder, packet_route::route::RouteScope};

use crate::{Error, links::Links, netns};

/// The name of the link in the pod.
pub(super) const INTERFACE: &str = "eth0";
/// Every pod's gateway. Nobody has the address; the neighbour entry says where packets for it go.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The hardware address of the host's end of every link. They never meet on a wire, so they need not differ.
pub(super) const GATEWAY_HARDWARE_ADDRESS: [u8; 6] = [0xee; 6];

/// The hardware address of a pod: locally administered, made from its address.
pub(super) fn hardware_address(pod: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = pod.octets();
    [0x0a, 0x58, a, b, c, d]
}

/// Gives the pod its address and its way out.
pub(super) async fn configure(netns: &Path, address: Ipv4Addr) -> Result<(), Error> {
    netns::inside(netns, move || async move {
        let links = Links::open()?;
        links.set_up(links.index("lo").await?).await?;
        let index = links.index(INTERFACE).await?;
        links.set_up(index).await?;
        links.add_address(index, address).await?;
        links.add_neighbour(index, GATEWAY, GATEWAY_HARDWARE_ADDRESS).await?;
        let gateway = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(GATEWAY, 32)
            .output_interface(index)
            .scope(RouteScope::Link)
            .build();
        links.replace_route(gateway, "to the gateway").await?;
        let default = RouteMessageBuilder::<Ipv4Addr>::new().gateway(GATEWAY).output_interface(index).build();
        links.replace_route(default, "by default").await
    })
    .await
}

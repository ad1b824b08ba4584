//! The node's side of a pod's link: the pair itself and the way to the pod.

use std::{fs::File, net::Ipv4Addr, os::fd::AsRawFd, path::Path};

use rtnetlink::{
    LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        link::{InfoData, InfoVeth},
        route::RouteScope,
    },
};

use super::sandbox;
use crate::{Error, links::Links};

/// Makes a link with one end here and the other as `eth0` in the namespace of the pod, both up.
pub(crate) async fn add_pair(
    links: &Links,
    host_end: &str,
    pod: Ipv4Addr,
    netns: &Path,
    mtu: u32,
) -> Result<(), Error> {
    let netns = File::open(netns).map_err(Error::io(format!("opening {}", netns.display())))?;
    let pod_end = LinkMessageBuilder::<LinkUnspec>::new()
        .name(sandbox::INTERFACE.to_owned())
        .mtu(mtu)
        .address(sandbox::hardware_address(pod).to_vec())
        .setns_by_fd(netns.as_raw_fd())
        .build();
    let pair = LinkMessageBuilder::<LinkVeth>::new(host_end, sandbox::INTERFACE)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(pod_end)))
        .mtu(mtu)
        .address(sandbox::GATEWAY_HARDWARE_ADDRESS.to_vec())
        .up()
        .build();
    let added = links.handle.link().add(pair).execute().await;
    added.map_err(Error::link(format!("adding link {host_end}")))
}

/// Leads the host's packets for a pod to its link.
pub(super) async fn route_to_pod(
    links: &Links,
    host_end: &str,
    pod: Ipv4Addr,
    source: Option<Ipv4Addr>,
) -> Result<(), Error> {
    let index = links.index(host_end).await?;
    links.add_neighbour(index, pod, sandbox::hardware_address(pod)).await?;
    let mut route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(pod, 32)
        .output_interface(index)
        .scope(RouteScope::Link);
    if let Some(source) = source {
        route = route.pref_source(source);
    }
    links.replace_route(route.build(), &format!("{pod} by {host_end}")).await
}

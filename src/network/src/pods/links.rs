//! Links, routes and neighbours of the namespace that the caller is in, over rtnetlink.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsRawFd,
    path::Path,
};

use futures::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        link::{InfoData, InfoVeth, LinkAttribute},
        neighbour::NeighbourState,
        route::{RouteAttribute, RouteMessage, RouteScope, RouteType},
    },
};
use tokio::task::JoinHandle;

use super::sandbox;
use crate::Error;

/// MTU where the machine has no default route.
const ETHERNET_MTU: u32 = 1500;

/// An rtnetlink connection; its task ends with it.
#[derive(Debug)]
pub(crate) struct Links {
    handle: Handle,
    connection: JoinHandle<()>,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Links {
    /// A connection to the kernel, in the network namespace of this thread.
    pub(crate) fn open() -> Result<Self, Error> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(Error::io("opening a route netlink socket"))?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    /// Names and indexes of the links whose name begins with `prefix`.
    pub(crate) async fn named(&self, prefix: &str) -> Result<Vec<(String, u32)>, Error> {
        let mut links = self.handle.link().get().execute();
        let mut found = Vec::new();
        while let Some(link) = links.try_next().await.map_err(Error::link("listing links"))? {
            let name = link.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) if name.starts_with(prefix) => Some(name.clone()),
                _ => None,
            });
            found.extend(name.map(|name| (name, link.header.index)));
        }
        Ok(found)
    }

    /// Deletes a link, if it is there; what it leads to (its other end, routes, neighbours) goes with it.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Error> {
        let deleted = match self.find(name).await? {
            Some(index) => self.handle.link().del(index).execute().await,
            None => Ok(()),
        };
        match deleted {
            // Its namespace ended at the same moment.
            Err(error) if is_errno(&error, libc::ENODEV) => Ok(()),
            deleted => deleted.map_err(Error::link(format!("deleting link {name}"))),
        }
    }

    /// The MTU of the link that the default route uses.
    pub(super) async fn default_mtu(&self) -> Result<u32, Error> {
        let Some(route) = self.default_route().await? else { return Ok(ETHERNET_MTU) };
        let index = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
        let Some(index) = index else { return Ok(ETHERNET_MTU) };
        let mut links = self.handle.link().get().match_index(index).execute();
        let link = links.try_next().await.map_err(Error::link("reading the default route's link"))?;
        let mtu = link.iter().flat_map(|link| &link.attributes).find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        });
        Ok(mtu.unwrap_or(ETHERNET_MTU))
    }

    async fn default_route(&self) -> Result<Option<RouteMessage>, Error> {
        let query = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let mut routes = self.handle.route().get(query).execute();
        while let Some(route) = routes.try_next().await.map_err(Error::link("listing routes"))? {
            if route.header.destination_prefix_length == 0 {
                return Ok(Some(route));
            }
        }
        Ok(None)
    }

    /// Makes a link with one end here and the other as `eth0` in the namespace of the pod, both up.
    pub(crate) async fn add_pair(
        &self,
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
        let added = self.handle.link().add(pair).execute().await;
        added.map_err(Error::link(format!("adding link {host_end}")))
    }

    /// Leads the host's packets for a pod to its link.
    pub(super) async fn route_to_pod(
        &self,
        host_end: &str,
        pod: Ipv4Addr,
        source: Option<Ipv4Addr>,
    ) -> Result<(), Error> {
        let index = self.index(host_end).await?;
        self.add_neighbour(index, pod, &sandbox::hardware_address(pod)).await?;
        let mut route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(pod, 32)
            .output_interface(index)
            .scope(RouteScope::Link);
        if let Some(source) = source {
            route = route.pref_source(source);
        }
        self.replace_route(route.build(), &format!("{pod} by {host_end}")).await
    }

    /// Makes all addresses of a network this machine's own. The metric tells routes of instances apart.
    pub(crate) async fn own_network(
        &self,
        network: Ipv4Net,
        metric: u32,
        source: Option<Ipv4Addr>,
    ) -> Result<(), Error> {
        let mut route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(network.network(), network.prefix_len())
            .output_interface(self.index("lo").await?)
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            .priority(metric);
        if let Some(source) = source {
            route = route.pref_source(source);
        }
        self.replace_route(route.build(), &format!("{network} to this machine")).await
    }

    /// Deletes the routes with this metric.
    pub(crate) async fn delete_routes(&self, metric: u32) -> Result<(), Error> {
        let query = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let mut routes = self.handle.route().get(query).execute();
        while let Some(route) = routes.try_next().await.map_err(Error::link("listing routes"))? {
            if route.attributes.contains(&RouteAttribute::Priority(metric)) {
                let deleted = self.handle.route().del(route).execute().await;
                deleted.map_err(Error::link("deleting a route to services"))?;
            }
        }
        Ok(())
    }

    /// The index of a link that must be there.
    pub(super) async fn index(&self, name: &str) -> Result<u32, Error> {
        let missing = || Error::io(format!("finding link {name}"))(std::io::ErrorKind::NotFound.into());
        self.find(name).await?.ok_or_else(missing)
    }

    async fn find(&self, name: &str) -> Result<Option<u32>, Error> {
        let mut links = self.handle.link().get().match_name(name).execute();
        match links.try_next().await {
            Ok(link) => Ok(link.map(|link| link.header.index)),
            Err(error) if is_errno(&error, libc::ENODEV) => Ok(None),
            Err(error) => Err(Error::link(format!("finding link {name}"))(error)),
        }
    }

    pub(super) async fn set_up(&self, index: u32) -> Result<(), Error> {
        let up = LinkUnspec::new_with_index(index).up().build();
        self.handle.link().set(up).execute().await.map_err(Error::link("setting a link up"))
    }

    pub(super) async fn add_address(&self, index: u32, address: Ipv4Addr) -> Result<(), Error> {
        let added = self.handle.address().add(index, IpAddr::V4(address), 32).execute().await;
        added.map_err(Error::link(format!("adding address {address}")))
    }

    pub(super) async fn add_neighbour(
        &self,
        index: u32,
        address: Ipv4Addr,
        hardware: &[u8],
    ) -> Result<(), Error> {
        let neighbour = self.handle.neighbours().add(index, IpAddr::V4(address));
        let neighbour = neighbour.state(NeighbourState::Permanent).link_layer_address(hardware).replace();
        neighbour.execute().await.map_err(Error::link(format!("adding neighbour {address}")))
    }

    pub(super) async fn replace_route(&self, route: RouteMessage, what: &str) -> Result<(), Error> {
        let added = self.handle.route().add(route).replace().execute().await;
        added.map_err(Error::link(format!("adding route {what}")))
    }
}

fn is_errno(error: &rtnetlink::Error, errno: i32) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code() == -errno)
}

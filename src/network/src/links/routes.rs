//! Routes of the main table. Those of an instance are told apart from others' by their metric.

use std::net::Ipv4Addr;

use futures::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::{
    RouteMessageBuilder,
    packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope, RouteType},
};

use super::{Links, is_errno};
use crate::Error;

/// Where packets for a network are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gateway {
    /// Nowhere: whoever tries is told so at once.
    Nobody,
    /// To a neighbour on one of the machine's own networks.
    Direct(Ipv4Addr),
    /// To a neighbour behind the tunnel link.
    Tunnelled(Ipv4Addr),
}

impl Links {
    /// Makes all addresses of a network this machine's own.
    pub(crate) async fn own_network(
        &self,
        network: Ipv4Net,
        metric: u32,
        source: Option<Ipv4Addr>,
    ) -> Result<(), Error> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(self.index("lo").await?)
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            .priority(metric);
        let route = from(source, route).destination_prefix(network.network(), network.prefix_len());
        self.replace_route(route.build(), &format!("{network} to this machine")).await
    }

    /// The routes with this metric to networks that are not this machine's own; `tunnel` is the index of that link.
    pub(crate) async fn routes(
        &self,
        metric: u32,
        tunnel: Option<u32>,
    ) -> Result<Vec<(Ipv4Net, Gateway)>, Error> {
        let routes = self.all_routes().await?;
        let ours = routes.iter().filter(|route| has_metric(route, metric));
        Ok(ours.filter_map(|route| Some((network_of(route)?, gateway_of(route, tunnel)?))).collect())
    }

    /// Leads packets for a network to a gateway. `source` is the node's address, where its own packets should come from.
    pub(crate) async fn add_route(
        &self,
        (network, gateway): (Ipv4Net, Gateway),
        metric: u32,
        tunnel: Option<u32>,
        source: Option<Ipv4Addr>,
    ) -> Result<(), Error> {
        let route = route(network, gateway, metric, tunnel);
        let route = match gateway {
            Gateway::Direct(_) => from(source, route),
            // The tunnel link's own address: an answer to it comes back the way the packet went.
            Gateway::Tunnelled(_) | Gateway::Nobody => route,
        };
        self.replace_route(route.build(), &format!("to {network}")).await
    }

    /// Deletes what [`Links::add_route`] made, where it still is.
    pub(crate) async fn delete_route(
        &self,
        (network, gateway): (Ipv4Net, Gateway),
        metric: u32,
        tunnel: Option<u32>,
    ) -> Result<(), Error> {
        let deleted =
            self.handle.route().del(route(network, gateway, metric, tunnel).build()).execute().await;
        match deleted {
            Err(error) if is_errno(&error, libc::ESRCH) => Ok(()),
            deleted => deleted.map_err(Error::link(format!("deleting the route to {network}"))),
        }
    }

    /// Deletes the routes with this metric.
    pub(crate) async fn delete_routes(&self, metric: u32) -> Result<(), Error> {
        let routes = self.all_routes().await?;
        for route in routes.into_iter().filter(|route| has_metric(route, metric)) {
            let deleted = self.handle.route().del(route).execute().await;
            deleted.map_err(Error::link("deleting an instance's route"))?;
        }
        Ok(())
    }

    pub(crate) async fn replace_route(&self, route: RouteMessage, what: &str) -> Result<(), Error> {
        let added = self.handle.route().add(route).replace().execute().await;
        added.map_err(Error::link(format!("adding route {what}")))
    }

    /// The index of the link that the default route uses.
    pub(super) async fn default_route_link(&self) -> Result<Option<u32>, Error> {
        let routes = self.all_routes().await?;
        let default = routes.iter().find(|route| route.header.destination_prefix_length == 0);
        Ok(default.and_then(link_of))
    }

    async fn all_routes(&self) -> Result<Vec<RouteMessage>, Error> {
        let query = RouteMessageBuilder::<Ipv4Addr>::new().build();
        self.handle.route().get(query).execute().try_collect().await.map_err(Error::link("listing routes"))
    }
}

/// Whether a route was refused because its gateway is on none of the machine's networks.
pub(crate) fn is_no_direct_way(error: &Error) -> bool {
    matches!(error, Error::Link { source, .. } if is_errno(source, libc::ENETUNREACH))
}

fn route(
    network: Ipv4Net,
    gateway: Gateway,
    metric: u32,
    tunnel: Option<u32>,
) -> RouteMessageBuilder<Ipv4Addr> {
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(network.network(), network.prefix_len())
        .priority(metric);
    match (gateway, tunnel) {
        (Gateway::Nobody, _) => route.kind(RouteType::Unreachable),
        (Gateway::Tunnelled(address), Some(link)) => route.gateway(address).output_interface(link).onlink(),
        (Gateway::Direct(address) | Gateway::Tunnelled(address), _) => route.gateway(address),
    }
}

fn from(source: Option<Ipv4Addr>, route: RouteMessageBuilder<Ipv4Addr>) -> RouteMessageBuilder<Ipv4Addr> {
    match source {
        Some(source) => route.pref_source(source),
        None => route,
    }
}

fn has_metric(route: &RouteMessage, metric: u32) -> bool {
    route.attributes.contains(&RouteAttribute::Priority(metric))
}

fn network_of(route: &RouteMessage) -> Option<Ipv4Net> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })?;
    Ipv4Net::new(address, route.header.destination_prefix_length).ok()
}

fn gateway_of(route: &RouteMessage, tunnel: Option<u32>) -> Option<Gateway> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    });
    match (route.header.kind, address) {
        (RouteType::Unreachable, _) => Some(Gateway::Nobody),
        (RouteType::Unicast, Some(address)) if tunnel.is_some() && link_of(route) == tunnel => {
            Some(Gateway::Tunnelled(address))
        }
        (RouteType::Unicast, Some(address)) => Some(Gateway::Direct(address)),
        _ => None,
    }
}

fn link_of(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

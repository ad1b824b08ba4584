//! Links, addresses, routes and neighbours of the namespace that the caller is in, over rtnetlink.
//!
//! What pods, the proxy and the mesh ask of the kernel, in their words; who owns which entry is theirs to know.

pub(crate) mod changes;
mod neighbours;
mod routes;
mod vxlan;

use std::net::{IpAddr, Ipv4Addr};

use futures::TryStreamExt;
use rtnetlink::{
    Handle, LinkUnspec,
    packet_route::{
        address::AddressAttribute,
        link::{LinkAttribute, LinkMessage},
    },
};
use tokio::task::JoinHandle;

use crate::Error;
pub(crate) use neighbours::HardwareAddress;
pub(crate) use routes::{Gateway, is_no_direct_way};
pub(crate) use vxlan::{PORT as TUNNEL_PORT, Tunnel};

/// MTU where nothing tells a better one.
const ETHERNET_MTU: u32 = 1500;

/// An rtnetlink connection; its task ends with it.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) handle: Handle,
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
            let name = name_of(&link).filter(|name| name.starts_with(prefix)).map(str::to_owned);
            found.extend(name.map(|name| (name, link.header.index)));
        }
        Ok(found)
    }

    /// Deletes a link, if it is there; what it leads to (its other end, routes, neighbours) goes with it.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Error> {
        let deleted = match self.find(name).await? {
            Some(link) => self.handle.link().del(link.header.index).execute().await,
            None => Ok(()),
        };
        match deleted {
            // Its namespace ended at the same moment.
            Err(error) if is_errno(&error, libc::ENODEV) => Ok(()),
            deleted => deleted.map_err(Error::link(format!("deleting link {name}"))),
        }
    }

    /// The largest packet that reaches both the world and other nodes whole: the MTU of the link of the default route,
    /// or of the link that has the node's `address`, whichever is smaller.
    pub(crate) async fn mtu_of_node(&self, address: Ipv4Addr) -> Result<u32, Error> {
        let indexes = [self.default_route_link().await?, self.link_with(address).await?];
        let mut mtu = None;
        for index in indexes.into_iter().flatten() {
            let link_mtu = self.mtu(index).await?;
            mtu = mtu.into_iter().chain(link_mtu).min();
        }
        Ok(mtu.unwrap_or(ETHERNET_MTU))
    }

    /// The index of the link, other than the loopback, that has an address.
    async fn link_with(&self, address: Ipv4Addr) -> Result<Option<u32>, Error> {
        const LOOPBACK: u32 = 1;
        let mut having = self.handle.address().get().set_address_filter(IpAddr::V4(address)).execute();
        let found = having.try_next().await.map_err(Error::link("listing addresses"))?;
        Ok(found.map(|address| address.header.index).filter(|index| *index != LOOPBACK))
    }

    async fn mtu(&self, index: u32) -> Result<Option<u32>, Error> {
        let mut links = self.handle.link().get().match_index(index).execute();
        let link = links.try_next().await.map_err(Error::link("reading a link's MTU"))?;
        Ok(link.iter().flat_map(|link| &link.attributes).find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        }))
    }

    /// The index of a link that must be there.
    pub(crate) async fn index(&self, name: &str) -> Result<u32, Error> {
        let missing = || Error::io(format!("finding link {name}"))(std::io::ErrorKind::NotFound.into());
        self.find(name).await?.map(|link| link.header.index).ok_or_else(missing)
    }

    async fn find(&self, name: &str) -> Result<Option<LinkMessage>, Error> {
        let mut links = self.handle.link().get().match_name(name).execute();
        match links.try_next().await {
            Ok(link) => Ok(link),
            Err(error) if is_errno(&error, libc::ENODEV) => Ok(None),
            Err(error) => Err(Error::link(format!("finding link {name}"))(error)),
        }
    }

    pub(crate) async fn set_up(&self, index: u32) -> Result<(), Error> {
        let up = LinkUnspec::new_with_index(index).up().build();
        self.handle.link().set(up).execute().await.map_err(Error::link("setting a link up"))
    }

    /// Gives a link an address of its own, as a /32. Repeatable.
    pub(crate) async fn add_address(&self, index: u32, address: Ipv4Addr) -> Result<(), Error> {
        let added = self.handle.address().add(index, IpAddr::V4(address), 32).replace().execute().await;
        added.map_err(Error::link(format!("adding address {address}")))
    }

    /// Takes an address from a link, where it has it.
    pub(crate) async fn delete_address(&self, index: u32, address: Ipv4Addr) -> Result<(), Error> {
        let having = self.handle.address().get().set_link_index_filter(index);
        let mut having = having.set_address_filter(IpAddr::V4(address)).execute();
        while let Some(message) = having.try_next().await.map_err(Error::link("listing addresses"))? {
            let deleted = self.handle.address().del(message).execute().await;
            deleted.map_err(Error::link(format!("deleting address {address}")))?;
        }
        Ok(())
    }

    /// The IPv4 addresses of a link.
    pub(crate) async fn addresses(&self, index: u32) -> Result<Vec<Ipv4Addr>, Error> {
        let mut messages = self.handle.address().get().set_link_index_filter(index).execute();
        let mut found = Vec::new();
        while let Some(message) = messages.try_next().await.map_err(Error::link("listing addresses"))? {
            found.extend(message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(IpAddr::V4(address)) => Some(*address),
                _ => None,
            }));
        }
        Ok(found)
    }
}

fn name_of(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

fn is_errno(error: &rtnetlink::Error, errno: i32) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code() == -errno)
}

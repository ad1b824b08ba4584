//! Neighbours that are known without asking, and where a tunnel link sends frames.

use std::net::{IpAddr, Ipv4Addr};

use futures::TryStreamExt;
use rtnetlink::packet_route::{
    AddressFamily,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
};

use super::{Links, is_errno};
use crate::Error;

/// The hardware address of a link.
pub(crate) type HardwareAddress = [u8; 6];

impl Links {
    /// Says which hardware address a neighbour has. Repeatable.
    pub(crate) async fn add_neighbour(
        &self,
        index: u32,
        address: Ipv4Addr,
        hardware: HardwareAddress,
    ) -> Result<(), Error> {
        let neighbour = self.handle.neighbours().add(index, IpAddr::V4(address));
        let neighbour = neighbour.state(NeighbourState::Permanent).link_layer_address(&hardware).replace();
        neighbour.execute().await.map_err(Error::link(format!("adding neighbour {address}")))
    }

    /// Says to which machine a tunnel link sends frames for a hardware address. Repeatable.
    pub(crate) async fn add_forward(
        &self,
        index: u32,
        hardware: HardwareAddress,
        to: Ipv4Addr,
    ) -> Result<(), Error> {
        let forward = self.handle.neighbours().add_bridge(index, &hardware).destination(IpAddr::V4(to));
        let forward = forward.state(NeighbourState::Permanent).flags(NeighbourFlags::Own).replace();
        forward.execute().await.map_err(Error::link(format!("forwarding frames to {to}")))
    }

    /// The neighbours of a link that were told to the kernel, not found by asking.
    pub(crate) async fn neighbours(&self, index: u32) -> Result<Vec<(Ipv4Addr, HardwareAddress)>, Error> {
        let told = self.told(index, AddressFamily::Inet).await?;
        Ok(told.iter().filter_map(|message| Some((destination(message)?, hardware(message)?))).collect())
    }

    /// Where a tunnel link sends frames.
    pub(crate) async fn forwards(&self, index: u32) -> Result<Vec<(HardwareAddress, Ipv4Addr)>, Error> {
        let told = self.told(index, AddressFamily::Bridge).await?;
        Ok(told.iter().filter_map(|message| Some((hardware(message)?, destination(message)?))).collect())
    }

    /// Forgets what [`Links::add_neighbour`] said, where it still is.
    pub(crate) async fn delete_neighbour(&self, index: u32, address: Ipv4Addr) -> Result<(), Error> {
        let mut message = message(index, AddressFamily::Inet);
        message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet(address)));
        self.forget(message, &format!("deleting neighbour {address}")).await
    }

    /// Forgets what [`Links::add_forward`] said, where it still is.
    pub(crate) async fn delete_forward(
        &self,
        index: u32,
        hardware: HardwareAddress,
        to: Ipv4Addr,
    ) -> Result<(), Error> {
        let mut message = message(index, AddressFamily::Bridge);
        message.header.flags = NeighbourFlags::Own;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(hardware.to_vec()));
        message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet(to)));
        self.forget(message, &format!("no longer forwarding frames to {to}")).await
    }

    async fn told(&self, index: u32, family: AddressFamily) -> Result<Vec<NeighbourMessage>, Error> {
        let all = self.handle.neighbours().get().set_address_family(family).execute();
        let all: Vec<_> = all.try_collect().await.map_err(Error::link("listing neighbours"))?;
        let told = |message: &NeighbourMessage| {
            message.header.ifindex == index && message.header.state == NeighbourState::Permanent
        };
        Ok(all.into_iter().filter(told).collect())
    }

    async fn forget(&self, message: NeighbourMessage, what: &str) -> Result<(), Error> {
        match self.handle.neighbours().del(message).execute().await {
            Err(error) if is_errno(&error, libc::ENOENT) => Ok(()),
            deleted => deleted.map_err(Error::link(what)),
        }
    }
}

fn message(index: u32, family: AddressFamily) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message
}

fn destination(message: &NeighbourMessage) -> Option<Ipv4Addr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(*address),
        // A tunnel link's, whose family is that of frames.
        NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => {
            Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.as_slice()).ok()?))
        }
        _ => None,
    })
}

fn hardware(message: &NeighbourMessage) -> Option<HardwareAddress> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    })
}

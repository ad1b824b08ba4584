//! Tunnel links: VXLAN (RFC 7348) over IPv4, without learning and without multicast, so that frames go only where they
//! were told to.

use std::net::Ipv4Addr;

use rtnetlink::{
    LinkUnspec, LinkVxlan,
    packet_route::link::{InfoData, InfoVxlan, LinkAttribute, LinkInfo, LinkMessage},
};

use super::{Links, neighbours::HardwareAddress};
use crate::Error;

/// Linux's own port for VXLAN: the registered 4789 is taken on some hypervisors.
pub(crate) const PORT: u16 = 8472;

/// A tunnel link, as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tunnel {
    /// The link's name.
    pub(crate) name: String,
    /// The number that tells tunnels over one port apart: 24 bits.
    pub(crate) network: u32,
    /// The machine's address that packets come from.
    pub(crate) local: Ipv4Addr,
    /// The link's hardware address.
    pub(crate) hardware: HardwareAddress,
    /// The largest packet to be carried, without what the tunnel adds.
    pub(crate) mtu: u32,
}

impl Links {
    /// Makes the link, or leaves it where it is as it should be, and answers its index. One that differs is made anew.
    pub(crate) async fn keep_tunnel(&self, tunnel: &Tunnel) -> Result<u32, Error> {
        let what = || format!("making the tunnel link {}", tunnel.name);
        match self.find(&tunnel.name).await? {
            Some(link) if leads_alike(&link, tunnel) => {
                let wanted = LinkUnspec::new_with_index(link.header.index).mtu(tunnel.mtu).up().build();
                self.handle.link().set(wanted).execute().await.map_err(Error::link(what()))?;
                return Ok(link.header.index);
            }
            Some(_) => self.delete(&tunnel.name).await?,
            None => {}
        }
        let link = LinkVxlan::new(&tunnel.name, tunnel.network)
            .local(tunnel.local)
            .port(PORT)
            .learning(false)
            .address(tunnel.hardware.to_vec())
            .mtu(tunnel.mtu)
            .up()
            .build();
        self.handle.link().add(link).execute().await.map_err(Error::link(what()))?;
        self.index(&tunnel.name).await
    }
}

/// Whether a link that is there differs from the wanted one in nothing that cannot be changed.
fn leads_alike(link: &LinkMessage, tunnel: &Tunnel) -> bool {
    let wanted = [
        InfoVxlan::Id(tunnel.network),
        InfoVxlan::Local(tunnel.local),
        InfoVxlan::Port(PORT),
        InfoVxlan::Learning(false),
    ];
    let address = LinkAttribute::Address(tunnel.hardware.to_vec());
    let has = vxlan(link);
    link.attributes.contains(&address) && wanted.iter().all(|wanted| has.contains(wanted))
}

fn vxlan(link: &LinkMessage) -> &[InfoVxlan] {
    let information = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(information) => Some(information),
        _ => None,
    });
    let data = information.into_iter().flatten().find_map(|information| match information {
        LinkInfo::Data(InfoData::Vxlan(data)) => Some(data.as_slice()),
        _ => None,
    });
    data.unwrap_or_default()
}

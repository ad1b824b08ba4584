//! What happens to links and routes behind our back: the kernel's own announcements.

use futures::{StreamExt, channel::mpsc::UnboundedReceiver};
use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        route::{RouteAttribute, RouteMessage},
    },
    sys::SocketAddr,
};
use tokio::task::JoinHandle;

use super::name_of;
use crate::Error;

/// Announcements of the namespace that it was opened in.
#[derive(Debug)]
pub(crate) struct Changes {
    messages: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
    connection: JoinHandle<()>,
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A link came, went or changed.
    Link(String),
    /// An address came or went.
    Address,
    /// A route with this metric went.
    RouteGone(u32),
    /// Announcements were lost: anything may have happened.
    Anything,
}

impl Changes {
    /// Subscribes.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn open() -> Result<Self, Error> {
        const GROUPS: [MulticastGroup; 3] =
            [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv4Route];
        let (connection, _, messages) =
            rtnetlink::new_multicast_connection(&GROUPS).map_err(Error::io("listening to route netlink"))?;
        Ok(Self { messages, connection: tokio::spawn(connection) })
    }

    /// The next thing that happened; `None` when the kernel cut the connection because we read too slowly.
    pub(crate) async fn next(&mut self) -> Option<Notice> {
        loop {
            let (message, _) = self.messages.next().await?;
            if let Some(notice) = notice(message.payload) {
                return Some(notice);
            }
        }
    }
}

fn notice(payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<Notice> {
    use RouteNetlinkMessage::{DelAddress, DelLink, DelRoute, NewAddress, NewLink};
    match payload {
        NetlinkPayload::InnerMessage(NewLink(link) | DelLink(link)) => {
            Some(Notice::Link(name_of(&link)?.to_owned()))
        }
        NetlinkPayload::InnerMessage(NewAddress(_) | DelAddress(_)) => Some(Notice::Address),
        NetlinkPayload::InnerMessage(DelRoute(route)) => Some(Notice::RouteGone(metric(&route)?)),
        NetlinkPayload::InnerMessage(_) => None,
        _ => Some(Notice::Anything),
    }
}

fn metric(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    })
}

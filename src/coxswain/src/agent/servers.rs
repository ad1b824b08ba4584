//! Which servers the cluster has: those that `default/kubernetes` leads to. A node learns of each that comes or goes, so that
//! it connects to another when its own is gone, and remembers them for its next start.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use client::Informers;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Endpoint};
use super::home::{Home, Member};

/// Follows them.
#[derive(Clone)]
pub(super) struct Servers {
    /// Where the machine was told to find the API; a name, maybe, that leads to more than one machine.
    given: Endpoint,
    node_name: String,
    home: Home,
    connection: Arc<Connection>,
    informers: Informers,
}

impl Servers {
    pub(super) fn new(
        member: &Member,
        home: &Home,
        connection: Arc<Connection>,
        informers: Informers,
    ) -> Self {
        let (given, node_name) = (member.servers[0].clone(), member.node_name.clone());
        Self { given, node_name, home: home.clone(), connection, informers }
    }

    /// Tells the connection and the data directory of every change, until cancelled.
    ///
    /// # Errors
    /// The data directory cannot be written.
    pub(super) async fn follow(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let slices = self.informers.of::<EndpointSlice>();
        let mut changes = slices.subscribe();
        while let Some(Some(change)) = cancel.run_until_cancelled(changes.next()).await {
            let slice = change.object();
            let is_the_apis = slice.metadata.namespace.as_deref() == Some("default")
                && slice.metadata.name.as_deref() == Some("kubernetes");
            if is_the_apis {
                let servers = all(&self.given, slice);
                self.home.keep_record(&servers, &self.node_name)?;
                self.connection.learn(servers);
            }
        }
        Ok(())
    }
}

/// The given server, and the others that are ready.
fn all(given: &Endpoint, slice: &EndpointSlice) -> Vec<Endpoint> {
    let port =
        slice.ports.iter().flatten().find_map(|port| port.port).and_then(|port| u16::try_from(port).ok());
    let ready = slice.endpoints.iter().flatten().filter(|endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    });
    let addresses = ready.flat_map(|endpoint| &endpoint.addresses).filter_map(|ip| ip.parse::<IpAddr>().ok());
    let servers = addresses.filter_map(|ip| Some(Endpoint::from(SocketAddr::new(ip, port?))));
    [given.clone()].into_iter().chain(servers.filter(|server| server != given)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_given_server_comes_first_and_stays_whatever_the_slice_says() {
        let slice: EndpointSlice = serde_json::from_value(serde_json::json!({
            "addressType": "IPv4",
            "ports": [{"name": "https", "port": 6443}],
            "endpoints": [
                {"addresses": ["192.0.2.11"], "conditions": {"ready": true}},
                {"addresses": ["192.0.2.12"]},
                {"addresses": ["192.0.2.13"], "conditions": {"ready": false}},
            ],
        }))
        .unwrap();
        let shown = |given: &str, slice: &EndpointSlice| -> Vec<String> {
            all(&given.parse().unwrap(), slice).iter().map(ToString::to_string).collect()
        };
        let (first, second) = ("https://192.0.2.11:6443", "https://192.0.2.12:6443");
        assert_eq!(shown(second, &slice), [second, first]);
        assert_eq!(shown("https://example.test", &slice), ["https://example.test", first, second]);
        assert_eq!(shown(first, &EndpointSlice::default()), [first]);
    }
}

//! The sockets and the life of the server.
//!
//! Bound first, so that the port is known; serving begins at once, and questions are failed until the informers know
//! the cluster.

use std::{
    future, io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    sync::Arc,
    time::Duration,
};

use client::Informers;
use ipnet::IpNet;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use crate::{Error, follow::follow, forward::Forwarder, handler::Handler, index::Known, zone::Zone};

/// A TCP connection without questions is closed after this time.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Answers that wait on one TCP connection.
const TCP_ANSWERS: usize = 32;
/// How often a port that is free for TCP but not for UDP is passed over.
const PORT_ATTEMPTS: usize = 16;

/// What the server is told at start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on.
    pub bind: IpAddr,
    /// The port, or 0 for a free one.
    pub port: u16,
    /// The cluster's domain, e.g. `cluster.local`.
    pub domain: String,
    /// Resolvers that all other questions are forwarded to, in order of preference.
    pub upstream: Vec<SocketAddr>,
    /// The addresses of clients. All others are refused: a resolver that serves everybody tells strangers what the cluster
    /// runs, and is used to flood others with answers that they never asked for (RFC 5358).
    pub clients: Vec<IpNet>,
}

/// The cluster's DNS server. Holds its port as long as it lives, whether it serves or not.
#[derive(Debug)]
pub struct Server {
    udp: UdpSocket,
    tcp: TcpListener,
    port: u16,
    zone: Zone,
    forwarder: Arc<Forwarder>,
    clients: Arc<[IpNet]>,
}

impl Server {
    /// Takes the same port for UDP and TCP.
    ///
    /// # Errors
    /// [`Error::Listen`] when the port is taken, [`Error::Domain`] when the cluster domain is no name.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let zone = Zone::new(&config.domain)?;
        let (udp, tcp) = listen(SocketAddr::new(config.bind, config.port)).await?;
        let port = tcp.local_addr().map_err(Error::listen(config.bind, config.port))?.port();
        let forwarder = Arc::new(Forwarder::new(config.upstream));
        Ok(Self { udp, tcp, port, zone, forwarder, clients: config.clients.into() })
    }

    /// The port that was taken.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves until cancelled. Questions still under way then are dropped, as datagrams may be: clients ask again.
    /// After an error or a panic it can be run anew, on the same port.
    ///
    /// # Errors
    /// [`Error::Stopped`] when a socket fails.
    pub async fn run(&self, informers: Informers, cancel: CancellationToken) -> Result<(), Error> {
        let known = Known::default();
        let handler = Handler {
            zone: self.zone.clone(),
            known: known.clone(),
            forwarder: self.forwarder.clone(),
            clients: self.clients.clone(),
        };
        let mut server = hickory_server::Server::new(handler);
        let (udp, tcp) = self.sockets().map_err(|error| Error::Stopped(error.to_string()))?;
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, TCP_ANSWERS);
        // When the informers stop, what is known last is still better than no answer.
        let follow = async {
            follow(&informers, &known).await;
            future::pending::<()>().await;
        };
        let stopped = tokio::select! {
            () = cancel.cancelled() => None,
            () = follow => None,
            stopped = server.block_until_done() => Some(stopped),
        };
        let stopped = match stopped {
            Some(stopped) => stopped,
            None => server.shutdown_gracefully().await,
        };
        stopped.map_err(|error| Error::Stopped(error.to_string()))
    }

    /// The same sockets once more, for one run: it closes them at its end.
    fn sockets(&self) -> io::Result<(UdpSocket, TcpListener)> {
        let udp = self.udp.as_fd().try_clone_to_owned()?;
        let tcp = self.tcp.as_fd().try_clone_to_owned()?;
        Ok((UdpSocket::from_std(udp.into())?, TcpListener::from_std(tcp.into())?))
    }
}

async fn listen(address: SocketAddr) -> Result<(UdpSocket, TcpListener), Error> {
    let mut attempt = 1;
    loop {
        let failed = Error::listen(address.ip(), address.port());
        let tcp = TcpListener::bind(address).await.map_err(Error::listen(address.ip(), address.port()))?;
        let chosen = tcp.local_addr().map_err(Error::listen(address.ip(), address.port()))?;
        match UdpSocket::bind(chosen).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(_) if address.port() == 0 && attempt < PORT_ATTEMPTS => attempt += 1,
            Err(error) => return Err(failed(error)),
        }
    }
}

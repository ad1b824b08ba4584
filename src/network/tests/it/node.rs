//! A node in a namespace of its own, pods on it, and a machine outside the cluster.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use client::Informers;
use network::{Backend, HostPort, Pods, PodsConfig, mesh, proxy};
use testing::Api;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::namespace::Namespace;

pub(crate) const NODE: &str = "192.0.2.1";
pub(crate) const OUTSIDE: &str = "192.0.2.2";
pub(crate) const INSTANCE: &str = "0123abcd";
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Node {
    pub(crate) namespace: Namespace,
    /// The machine at the other end of its link.
    pub(crate) outside: Arc<Namespace>,
    pub(crate) pods: Arc<Pods>,
    pub(crate) api: Api,
    pub(crate) place: Place,
    state: std::path::PathBuf,
}

/// What tells a node from others.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) pods: String,
    pub(crate) backend: Backend,
}

impl Node {
    /// A node with one link to a machine outside. Neither has a default route.
    pub(crate) async fn new() -> Self {
        let outside = Arc::new(Namespace::new());
        let place = Place {
            name: "node".into(),
            address: NODE.into(),
            pods: "10.244.3.0/24".into(),
            backend: Backend::Routes,
        };
        let node = Self::linked_to(outside.clone(), "eth0", Api::default(), place).await;
        outside.command(&format!("ip address add {OUTSIDE}/24 dev eth0")).await;
        outside.command("ip link set eth0 up").await;
        node
    }

    /// A node with a link to `outside`, where it has the given name.
    pub(crate) async fn linked_to(outside: Arc<Namespace>, link: &str, api: Api, place: Place) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let state = std::env::temp_dir().join(format!("coxswain-network-{}-{number}", std::process::id()));
        let namespace = Namespace::new();
        namespace.command("ip link set lo up").await;
        namespace
            .command(&format!("ip link add up0 type veth peer name {link} netns {}", outside.id()))
            .await;
        namespace.command(&format!("ip address add {}/24 dev up0", place.address)).await;
        namespace.command("ip link set up0 up").await;
        let pods = Arc::new(pods(&place, &state));
        let node = Self { pods, namespace, outside, api, place, state };
        node.configure().await;
        node
    }

    /// Pod networking as after a restart of the process.
    pub(crate) async fn restart_pods(&mut self) {
        self.pods = Arc::new(pods(&self.place, &self.state));
        self.configure().await;
    }

    async fn configure(&self) {
        let (pods, range) = (self.pods.clone(), self.place.pods.clone());
        self.namespace.run(async move { pods.configure(&range).await }).await.unwrap();
    }

    /// A pod that answers on port 8080 with its name and the address that it sees.
    pub(crate) async fn pod(&self, name: &'static str) -> Pod {
        self.pod_with_host_ports(name, &[]).await
    }

    /// The same, with ports of the node that lead to it.
    pub(crate) async fn pod_with_host_ports(&self, name: &'static str, ports: &[HostPort]) -> Pod {
        let pod = Pod { name, namespace: Namespace::new(), address: [0; 4].into(), ports: ports.to_vec() };
        let address = self.attach(&pod).await.unwrap();
        pod.namespace.run(serve(name)).await;
        Pod { address, ..pod }
    }

    pub(crate) async fn attach(&self, pod: &Pod) -> Result<IpAddr, network::Error> {
        let (pods, name, path) = (self.pods.clone(), pod.name, pod.namespace.path());
        let ports = pod.ports.clone();
        let addresses = self.namespace.run(async move { pods.attach(name, &path, &ports).await }).await?;
        Ok(addresses[0])
    }

    pub(crate) async fn detach(&self, name: &'static str) {
        let pods = self.pods.clone();
        self.namespace.run(async move { pods.detach(name).await }).await.unwrap();
    }

    /// Starts the mesh; cancel the answer to end it.
    pub(crate) fn start_mesh(&self) -> CancellationToken {
        let cancel = CancellationToken::new();
        let config = mesh::Config {
            instance: INSTANCE.into(),
            node_name: self.place.name.clone(),
            node_ip: self.place.address.parse().unwrap(),
            cluster_cidr: "10.244.0.0/16".parse().unwrap(),
            backend: self.place.backend,
        };
        let (client, ended) = (self.api.clone(), cancel.clone());
        self.namespace.spawn(async move {
            let informers = Informers::new(client.client(), ended.clone());
            mesh::run(config, informers, ended).await.unwrap();
        });
        cancel
    }

    /// Starts a proxy; cancel the answer to end it.
    pub(crate) fn start_proxy(&self) -> CancellationToken {
        let cancel = CancellationToken::new();
        let config = proxy::Config {
            instance: INSTANCE.into(),
            node_name: self.place.name.clone(),
            node_ip: self.place.address.parse().unwrap(),
            cluster_cidr: "10.244.0.0/16".parse().unwrap(),
            service_cidr: "10.96.0.0/16".parse().unwrap(),
        };
        let (client, ended) = (self.api.clone(), cancel.clone());
        self.namespace.spawn(async move {
            let informers = Informers::new(client.client(), ended.clone());
            proxy::run(config, informers, ended).await.unwrap();
        });
        cancel
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.state).unwrap();
    }
}

fn pods(place: &Place, state: &std::path::Path) -> Pods {
    Pods::new(PodsConfig {
        instance: INSTANCE.into(),
        node_ip: place.address.parse().unwrap(),
        cluster_cidr: "10.244.0.0/16".parse().unwrap(),
        backend: place.backend,
        state: state.to_owned(),
    })
    .unwrap()
}

pub(crate) struct Pod {
    pub(crate) name: &'static str,
    pub(crate) namespace: Namespace,
    pub(crate) address: IpAddr,
    pub(crate) ports: Vec<HostPort>,
}

/// Answers TCP connections with a line "name peer-address", then with what it gets; UDP packets with the name.
pub(crate) async fn serve(name: &'static str) {
    let listener = TcpListener::bind("0.0.0.0:8080").await.unwrap();
    let socket = UdpSocket::bind("0.0.0.0:8080").await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, peer)) = listener.accept().await {
            tokio::spawn(async move {
                connection.write_all(format!("{name} {}\n", peer.ip()).as_bytes()).await?;
                let (mut reader, mut writer) = connection.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    });
    tokio::spawn(async move {
        let mut buffer = [0; 100];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer).await {
            socket.send_to(name.as_bytes(), peer).await.ok();
        }
    });
}

/// The line that the server at `address` answers with.
pub(crate) async fn ask(from: &Namespace, address: impl Into<String>) -> io::Result<String> {
    let address: SocketAddr = address.into().parse().unwrap();
    from.run(async move {
        let (answer, _) = timeout(PATIENCE, open(address)).await??;
        Ok(answer)
    })
    .await
}

/// An open connection, and what the server said first.
pub(crate) async fn open(address: SocketAddr) -> io::Result<(String, BufReader<TcpStream>)> {
    let mut connection = BufReader::new(TcpStream::connect(address).await?);
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    Ok((line.trim().to_owned(), connection))
}

/// Sends through an open connection and reads it back.
pub(crate) async fn echo(connection: &mut BufReader<TcpStream>) -> io::Result<()> {
    let mut buffer = [0; 4];
    connection.write_all(b"echo").await?;
    timeout(PATIENCE, connection.read_exact(&mut buffer)).await??;
    assert_eq!(&buffer, b"echo");
    Ok(())
}

/// Asks until the answer is as wanted.
pub(crate) async fn until(
    from: &Namespace,
    address: &str,
    wanted: impl Fn(&io::Result<String>) -> bool,
) -> io::Result<String> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = ask(from, address).await;
        if wanted(&answer) {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "still {answer:?} at {address}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

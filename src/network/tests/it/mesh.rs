//! Pods of different nodes, and services over them.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use network::Backend;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    namespace::Namespace,
    node::{INSTANCE, Node, Place, ask, open, serve, until},
    site::{OUTSIDE, Site},
};

const FRONT: &str = "10.96.0.10:80";
const NODE_PORT: u16 = 30080;

/// Two nodes in one network, each with the mesh and a proxy, and drops where an answer takes another way.
async fn two_nodes(backend: Backend) -> (Site, Node, Node) {
    let site = Site::new(backend).await;
    let (one, two) = (site.node(1).await, site.node(2).await);
    for node in [&one, &two] {
        node.namespace.command("sysctl -qw net.ipv4.conf.all.rp_filter=1").await;
        node.start_mesh();
        node.start_proxy();
    }
    (site, one, two)
}

#[tokio::test]
async fn pods_reach_each_other_by_routes() {
    pods_reach_each_other(Backend::Routes).await;
}

#[tokio::test]
async fn pods_reach_each_other_by_vxlan() {
    pods_reach_each_other(Backend::Vxlan).await;
}

async fn pods_reach_each_other(backend: Backend) {
    let (site, one, two) = two_nodes(backend).await;
    let (a, b) = (one.pod("a").await, two.pod("b").await);
    let (to_a, to_b) = (format!("{}:8080", a.address), format!("{}:8080", b.address));
    let answer = until(&a.namespace, &to_b, Result::is_ok).await.unwrap();
    assert_eq!(answer, format!("b {}", a.address), "a pod is seen by its own address");
    assert_eq!(until(&b.namespace, &to_a, Result::is_ok).await.unwrap(), format!("a {}", b.address));
    carry_much(&a.namespace, &to_b).await;
    if backend == Backend::Vxlan {
        let tracked = one.namespace.command("cat /proc/net/nf_conntrack").await;
        assert!(tracked.contains("dport=8080"), "what the tunnel carries is tracked: {tracked}");
        assert!(!tracked.contains("dport=8472"), "the tunnel's own packets are not: {tracked}");
    }
    // A node is seen by the address that answers come back to.
    let seen = match backend {
        Backend::Routes => "192.0.2.1",
        Backend::Vxlan => "10.244.1.0",
    };
    assert_eq!(ask(&one.namespace, &to_b).await.unwrap(), format!("b {seen}"));
    // What leaves the cluster comes from the node.
    site.outside.run(serve("outside")).await;
    assert_eq!(ask(&a.namespace, format!("{OUTSIDE}:8080")).await.unwrap(), "outside 192.0.2.1");
    // What nobody has is nowhere, whether its node is known or not.
    for nobody in ["10.244.1.99:80", "10.244.77.1:80"] {
        assert_eq!(ask(&a.namespace, nobody).await.unwrap_err().kind(), ErrorKind::HostUnreachable);
    }
}

/// More than a packet, in both directions.
async fn carry_much(from: &Namespace, to: &str) {
    const MUCH: usize = 200_000;
    let address: SocketAddr = to.parse().unwrap();
    from.run(async move {
        let (_, mut connection) = open(address).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(&mut connection);
        let mut back = vec![0; MUCH];
        let sent = async { writer.write_all(&[7; MUCH]).await };
        let both = async { tokio::try_join!(sent, reader.read_exact(&mut back)) };
        timeout(Duration::from_secs(20), both).await.expect("large packets arrive").unwrap();
        assert!(back.iter().all(|byte| *byte == 7));
    })
    .await;
}

/// A service with a node port, and its endpoints on named nodes.
fn serve_by(site: &Site, policy: &str, endpoints: &[(&str, &crate::node::Pod)]) {
    site.api.apply(json!({
        "kind": "Service", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "type": "NodePort", "externalTrafficPolicy": policy,
            "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"],
            "ports": [{"name": "web", "port": 80, "protocol": "TCP", "nodePort": NODE_PORT}],
        },
    }));
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(node, pod)| {
            json!({"addresses": [pod.address], "conditions": {"ready": true}, "nodeName": node})
        })
        .collect();
    site.api.apply(json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4", "endpoints": endpoints,
        "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "ports": [{"name": "web", "port": 8080, "protocol": "TCP"}],
    }));
}

#[tokio::test]
async fn services_lead_to_pods_of_other_nodes_by_routes() {
    services_lead_to_pods_of_other_nodes(Backend::Routes).await;
}

#[tokio::test]
async fn services_lead_to_pods_of_other_nodes_by_vxlan() {
    services_lead_to_pods_of_other_nodes(Backend::Vxlan).await;
}

async fn services_lead_to_pods_of_other_nodes(backend: Backend) {
    let (site, one, two) = two_nodes(backend).await;
    let (client, b) = (one.pod("client").await, two.pod("b").await);
    until(&client.namespace, &format!("{}:8080", b.address), Result::is_ok).await.unwrap();
    serve_by(&site, "Cluster", &[("node-2", &b)]);
    let answer = until(&client.namespace, FRONT, Result::is_ok).await.unwrap();
    assert_eq!(answer, format!("b {}", client.address), "the endpoint sees the pod itself");
    carry_much(&client.namespace, FRONT).await;
    until(&one.namespace, FRONT, Result::is_ok).await.unwrap();

    // Either node's port leads there, from outside the cluster and from its own nodes and pods.
    for node in ["192.0.2.1", "192.0.2.2"] {
        for from in [&*site.outside, &client.namespace, &one.namespace, &two.namespace] {
            let answer = until(from, &format!("{node}:{NODE_PORT}"), Result::is_ok).await.unwrap();
            assert!(answer.starts_with("b "), "{answer}");
        }
    }
    assert!(!ask(&site.outside, format!("192.0.2.1:{NODE_PORT}")).await.unwrap().ends_with(OUTSIDE));

    // Local: the node with the endpoint shows it the client, the other node has nothing to offer.
    serve_by(&site, "Local", &[("node-2", &b)]);
    let shown = |answer: &std::io::Result<String>| {
        answer.as_ref().is_ok_and(|answer| *answer == format!("b {OUTSIDE}"))
    };
    until(&site.outside, &format!("192.0.2.2:{NODE_PORT}"), shown).await.unwrap();
    let one_port: SocketAddr = format!("192.0.2.1:{NODE_PORT}").parse().unwrap();
    let refused = async {
        while let Ok(Ok(_)) = timeout(Duration::from_millis(500), site.outside.run(open(one_port))).await {}
    };
    timeout(Duration::from_secs(10), refused).await.expect("the other node ceases to answer");
}

#[tokio::test]
async fn nodes_come_go_and_change() {
    let site = Site::new(Backend::Routes).await;
    let one = site.node(1).await;
    one.start_mesh();
    let routes = async |wanted: &[&str]| until_routes(&one, wanted).await;
    routes(&[]).await;
    let place = |number: u8, address: &str| Place {
        name: format!("node-{number}"),
        address: address.into(),
        pods: format!("10.244.{number}.0/24"),
        backend: Backend::Routes,
    };
    site.tell(&place(2, "192.0.2.2"));
    // Not in a network of this node's; the others are not disturbed.
    site.tell(&place(3, "198.51.100.3"));
    site.tell(&place(4, "192.0.2.4"));
    routes(&["10.244.2.0/24 via 192.0.2.2", "10.244.4.0/24 via 192.0.2.4"]).await;
    site.tell(&place(3, "192.0.2.3"));
    site.tell(&place(4, "192.0.2.44"));
    let all = ["10.244.2.0/24 via 192.0.2.2", "10.244.3.0/24 via 192.0.2.3", "10.244.4.0/24 via 192.0.2.44"];
    routes(&all).await;
    site.api.remove("/api/v1/nodes", "node-3").unwrap();
    routes(&[all[0], all[2]]).await;
    // The kernel drops routes with the link that they use.
    one.namespace.command("ip link set up0 down").await;
    one.namespace.command("ip link set up0 up").await;
    routes(&[all[0], all[2]]).await;
    // Somebody else takes one away.
    one.namespace.command("ip route delete 10.244.2.0/24").await;
    routes(&[all[0], all[2]]).await;
}

/// Waits until the routes to other nodes are these.
async fn until_routes(node: &Node, wanted: &[&str]) {
    let read = async || {
        let routes = node.namespace.command("ip route").await;
        let to_nodes = routes.lines().filter(|line| line.starts_with("10.244.") && line.contains(" via "));
        to_nodes.map(|line| line.split(" dev ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let now = read().await;
        if now == wanted {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "still {now:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Links, addresses, routes and what is known of neighbours.
async fn state(node: &Node) -> String {
    let mut state = String::new();
    for line in [
        "ip -o link",
        "ip -o -4 address",
        "ip route",
        "ip neighbour show nud permanent",
        "bridge fdb show",
        "nft list tables",
    ] {
        state.push_str(&node.namespace.command(line).await);
    }
    state
}

#[tokio::test]
async fn a_restart_changes_nothing_and_removes_what_went_meanwhile() {
    let site = Site::new(Backend::Vxlan).await;
    let mut one = site.node(1).await;
    let bare = {
        // Pod networking's own table stays until the end.
        let (pods, range) = (one.pods.clone(), one.place.pods.clone());
        one.namespace.run(async move { pods.configure(&range).await }).await.unwrap();
        state(&one).await
    };
    let mesh = one.start_mesh();
    for number in [2, 3] {
        drop(site.node(number).await);
    }
    let has_tunnel_to = |node: u8| format!("dst 192.0.2.{node} self permanent");
    let tunnels = async |one: &Node, wanted: &[u8]| {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let state = state(one).await;
            let routes = |node: u8| state.contains(&format!("10.244.{node}.0/24 via 10.244.{node}.0 dev"));
            if [2, 3].iter().all(|node| {
                let is = wanted.contains(node);
                state.contains(&has_tunnel_to(*node)) == is && routes(*node) == is
            }) {
                return state;
            }
            assert!(tokio::time::Instant::now() < deadline, "still:\n{state}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let before = tunnels(&one, &[2, 3]).await;
    mesh.cancel();
    site.tell(&Place {
        name: "node-4".into(),
        address: "192.0.2.4".into(),
        pods: "10.244.4.0/24".into(),
        ..one.place.clone()
    });
    site.api.remove("/api/v1/nodes", "node-4").unwrap();
    let mesh = one.start_mesh();
    // The link was not made anew: its index is the same.
    assert_eq!(tunnels(&one, &[2, 3]).await, before);
    mesh.cancel();
    site.api.remove("/api/v1/nodes", "node-3").unwrap();
    let mesh = one.start_mesh();
    tunnels(&one, &[2]).await;
    mesh.cancel();

    // Another backend takes over.
    one.place.backend = Backend::Routes;
    let mesh = one.start_mesh();
    until_routes(&one, &["10.244.2.0/24 via 192.0.2.2"]).await;
    assert!(!state(&one).await.contains("-vx"));
    mesh.cancel();

    one.place.backend = Backend::Vxlan;
    let mesh = one.start_mesh();
    tunnels(&one, &[2]).await;
    mesh.cancel();
    one.namespace.run(async { network::reset(INSTANCE) }).await.unwrap();
    let bare: String = bare.lines().filter(|line| !line.starts_with("table")).collect();
    let after = state(&one).await;
    assert_eq!(after.lines().collect::<String>(), bare);
}

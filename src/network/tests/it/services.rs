//! Services over pods, through the proxy.

use std::{collections::BTreeMap, io::ErrorKind, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

use crate::node::{INSTANCE, NODE, Node, OUTSIDE, Pod, ask, echo, open, serve, until};

const FRONT: &str = "10.96.0.10:80";

fn service(spec: Value) -> Value {
    let mut service = json!({
        "kind": "Service", "apiVersion": "v1", "metadata": { "name": "web", "namespace": "default" },
        "spec": {
            "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"],
            "ports": [{ "name": "tcp", "port": 80, "protocol": "TCP" }, { "name": "udp", "port": 80, "protocol": "UDP" }],
        },
    });
    service["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    service
}

fn slice(pods: &[&Pod]) -> Value {
    let endpoints: Vec<Value> = pods
        .iter()
        .map(|pod| json!({ "addresses": [pod.address], "conditions": { "ready": true }, "nodeName": "node" }))
        .collect();
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4", "endpoints": endpoints,
        "metadata": { "name": "web-1", "namespace": "default", "labels": { "kubernetes.io/service-name": "web" } },
        "ports": [{ "name": "tcp", "port": 8080, "protocol": "TCP" }, { "name": "udp", "port": 8080, "protocol": "UDP" }],
    })
}

#[tokio::test]
async fn connections_are_spread_evenly_over_ready_endpoints() {
    let node = Node::new().await;
    let (a, b, client) = (node.pod("a").await, node.pod("b").await, node.pod("client").await);
    node.api.apply(service(json!({})));
    node.api.apply(slice(&[&a, &b]));
    let _proxy = node.start_proxy();
    until(&client.namespace, FRONT, Result::is_ok).await.unwrap();

    let mut counts = BTreeMap::<String, usize>::new();
    for _ in 0..200 {
        let answer = ask(&client.namespace, FRONT).await.unwrap();
        let (name, seen) = answer.split_once(' ').unwrap();
        assert_eq!(seen, client.address.to_string(), "endpoints see the pod itself");
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    // 200 throws of a coin: fewer than 60 of a side happen once in 10^8 runs.
    assert!(counts["a"] >= 60 && counts["b"] >= 60, "{counts:?}");
    // The node itself has no default route.
    assert!(until(&node.namespace, FRONT, Result::is_ok).await.unwrap().ends_with(NODE));
}

#[tokio::test]
async fn a_pod_reaches_itself_through_its_service() {
    let node = Node::new().await;
    let a = node.pod("a").await;
    node.api.apply(service(json!({})));
    node.api.apply(slice(&[&a]));
    let _proxy = node.start_proxy();
    let answer = until(&a.namespace, FRONT, Result::is_ok).await.unwrap();
    assert_eq!(answer, format!("a {NODE}"));
}

#[tokio::test]
async fn what_is_not_served_is_refused_at_once() {
    let node = Node::new().await;
    let client = node.pod("client").await;
    let _proxy = node.start_proxy();
    node.api.apply(service(json!({})));
    let refused = |answer: &std::io::Result<String>| {
        answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    // Neither the pod nor the node itself, whose address all services seem to be; not at a port without service either.
    node.namespace.run(serve("node")).await;
    for from in [&client.namespace, &node.namespace] {
        until(from, FRONT, refused).await.unwrap_err();
        assert!(refused(&ask(from, "10.96.0.10:8080").await));
    }
}

#[tokio::test]
async fn open_connections_survive_the_removal_of_their_endpoint_and_a_new_proxy() {
    let node = Node::new().await;
    let (a, b, client) = (node.pod("a").await, node.pod("b").await, node.pod("client").await);
    node.api.apply(service(json!({})));
    node.api.apply(slice(&[&a]));
    let proxy = node.start_proxy();
    until(&client.namespace, FRONT, Result::is_ok).await.unwrap();
    let (_, mut connection) = client.namespace.run(open(FRONT.parse().unwrap())).await.unwrap();

    node.api.apply(slice(&[&b]));
    until(&client.namespace, FRONT, |answer| answer.as_ref().unwrap().starts_with('b')).await.unwrap();
    echo(&mut connection).await.unwrap();

    proxy.cancel();
    assert!(ask(&client.namespace, FRONT).await.unwrap().starts_with('b'), "rules stay when the proxy ends");
    let _again = node.start_proxy();
    node.api.apply(slice(&[&a]));
    until(&client.namespace, FRONT, |answer| answer.as_ref().unwrap().starts_with('a')).await.unwrap();
    echo(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_client_in_a_loop_sees_no_failure_while_endpoints_roll() {
    let node = Node::new().await;
    let pods = [node.pod("a").await, node.pod("b").await, node.pod("c").await, node.pod("d").await];
    let client = node.pod("client").await;
    node.api.apply(service(json!({})));
    node.api.apply(slice(&[&pods[0]]));
    let _proxy = node.start_proxy();
    until(&client.namespace, FRONT, Result::is_ok).await.unwrap();
    for round in 0..100 {
        let some: Vec<&Pod> = (0..=round % 3).map(|offset| &pods[(round + offset) % 4]).collect();
        node.api.apply(slice(&some));
        for _ in 0..3 {
            ask(&client.namespace, FRONT).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_udp_flow_moves_when_its_endpoint_is_removed() {
    let node = Node::new().await;
    let (a, b, client) = (node.pod("a").await, node.pod("b").await, node.pod("client").await);
    node.api.apply(service(json!({})));
    node.api.apply(slice(&[&a]));
    let _proxy = node.start_proxy();
    until(&client.namespace, FRONT, Result::is_ok).await.unwrap();

    let socket = client.namespace.run(async {
        let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        socket.connect(FRONT).await.unwrap();
        socket
    });
    let socket = socket.await;
    let mut buffer = [0; 1];
    socket.send(b"?").await.unwrap();
    socket.recv(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"a");

    node.api.apply(slice(&[&b]));
    // Same source port: without forgetting the flow the kernel would go on with the old endpoint.
    let mut tries = 0;
    while &buffer != b"b" {
        socket.send(b"?").await.unwrap();
        socket.recv(&mut buffer).await.unwrap();
        tries += 1;
        assert!(tries < 1000);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_client_stays_with_its_endpoint_until_that_goes() {
    let node = Node::new().await;
    let (a, b, client) = (node.pod("a").await, node.pod("b").await, node.pod("client").await);
    node.api.apply(service(json!({ "sessionAffinity": "ClientIP" })));
    node.api.apply(slice(&[&a, &b]));
    let _proxy = node.start_proxy();
    let first = until(&client.namespace, FRONT, Result::is_ok).await.unwrap();
    for _ in 0..30 {
        assert_eq!(ask(&client.namespace, FRONT).await.unwrap(), first);
    }
    let other = if first.starts_with('a') { &b } else { &a };
    node.api.apply(slice(&[other]));
    until(&client.namespace, FRONT, |answer| answer.as_ref().unwrap().starts_with(other.name)).await.unwrap();
    node.api.apply(slice(&[&a, &b]));
    for _ in 0..30 {
        assert!(ask(&client.namespace, FRONT).await.unwrap().starts_with(other.name));
    }
}

#[tokio::test]
async fn a_node_port_is_open_to_the_world() {
    let node = Node::new().await;
    let a = node.pod("a").await;
    let mut spec = service(json!({ "type": "NodePort" }));
    spec["spec"]["ports"][0]["nodePort"] = json!(30080);
    node.api.apply(spec.clone());
    node.api.apply(slice(&[&a]));
    let _proxy = node.start_proxy();
    let node_port = format!("{NODE}:30080");
    assert_eq!(until(&node.outside, &node_port, Result::is_ok).await.unwrap(), format!("a {NODE}"));
    assert!(ask(&node.namespace, &node_port).await.is_ok());

    spec["spec"]["externalTrafficPolicy"] = json!("Local");
    node.api.apply(spec);
    node.outside.command(&format!("ip route add 10.244.0.0/16 via {NODE}")).await;
    let seen = format!("a {OUTSIDE}");
    until(&node.outside, &node_port, |answer| answer.as_ref().is_ok_and(|answer| *answer == seen))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_process_of_the_node_can_be_an_endpoint() {
    let node = Node::new().await;
    let client = node.pod("client").await;
    node.namespace.run(serve("node")).await;
    node.api.apply(service(json!({})));
    let mut by_node = slice(&[&client]);
    by_node["endpoints"][0]["addresses"] = json!([NODE]);
    node.api.apply(by_node);
    let _proxy = node.start_proxy();
    let answer = until(&client.namespace, FRONT, Result::is_ok).await.unwrap();
    assert_eq!(answer, format!("node {}", client.address));
    assert!(until(&node.namespace, FRONT, Result::is_ok).await.unwrap().starts_with("node "));
}

#[tokio::test]
async fn deleted_services_leave_an_empty_table() {
    let node = Node::new().await;
    let a = node.pod("a").await;
    let _proxy = node.start_proxy();
    let list = "nft list table ip coxswain-0123abcd";
    while !node.namespace.command("nft list tables").await.contains("coxswain-0123abcd\n") {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let empty = node.namespace.command(list).await;
    node.api.apply(service(json!({})));
    node.api.apply(slice(&[&a]));
    until(&a.namespace, FRONT, Result::is_ok).await.unwrap();
    node.api.delete(&service(json!({})));
    node.api.delete(&slice(&[]));
    let mut tries = 0;
    while node.namespace.command(list).await != empty {
        tries += 1;
        assert!(tries < 1000, "{}", node.namespace.command(list).await);
    }
}

#[tokio::test]
async fn reset_leaves_nothing() {
    let node = Node::new().await;
    let a = node.pod("a").await;
    node.api.apply(service(json!({})));
    node.api.apply(slice(&[&a]));
    let proxy = node.start_proxy();
    until(&node.namespace, FRONT, Result::is_ok).await.unwrap();
    proxy.cancel();
    node.namespace.command("nft add table ip somebody-elses").await;

    node.namespace.run(async { network::reset(INSTANCE) }).await.unwrap();
    node.namespace.run(async { network::reset(INSTANCE) }).await.unwrap();
    assert_eq!(node.namespace.command("nft list tables").await.trim(), "table ip somebody-elses");
    assert_eq!(node.namespace.command("ip -o link").await.lines().count(), 2);
    assert_eq!(node.namespace.command("ip route").await.lines().count(), 1);
}

/// The first line of the answer to a health check, and its body.
async fn health(node: &Node) -> std::io::Result<(String, Value)> {
    let asked = async {
        let mut stream = TcpStream::connect((NODE, 31234)).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: node\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = node.namespace.run(asked).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Ok((head.lines().next().unwrap().to_owned(), serde_json::from_str(body).unwrap()))
}

#[tokio::test]
async fn load_balancers_learn_whether_the_node_has_endpoints() {
    let node = Node::new().await;
    let a = node.pod("a").await;
    let local =
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31234});
    node.api.apply(service(local.clone()));
    node.api.apply(slice(&[&a]));
    let _proxy = node.start_proxy();
    let told = async |expected: &str| {
        tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                match health(&node).await {
                    Ok((line, body)) if line == expected => return body,
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        })
        .await
        .unwrap()
    };
    let body = told("HTTP/1.1 200 OK").await;
    let named = json!({"namespace": "default", "name": "web"});
    assert_eq!(body, json!({"service": named, "localEndpoints": 1, "serviceProxyHealthy": true}));
    node.api.apply(slice(&[]));
    assert_eq!(told("HTTP/1.1 503 Service Unavailable").await["localEndpoints"], 0);
    // A service that asks no longer is not answered for.
    node.api.apply(service(json!({"type": "ClusterIP"})));
    tokio::time::timeout(Duration::from_secs(60), async {
        while health(&node).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
}

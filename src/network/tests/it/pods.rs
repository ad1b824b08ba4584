//! Pod networking without services.

use crate::node::{NODE, Node, OUTSIDE, ask, serve};

#[tokio::test]
async fn pods_reach_each_other_the_node_and_the_world() {
    let node = Node::new().await;
    let (a, b) = (node.pod("a").await, node.pod("b").await);
    let (to_a, to_b) = (format!("{}:8080", a.address), format!("{}:8080", b.address));
    assert_eq!(ask(&a.namespace, &to_b).await.unwrap(), format!("b {}", a.address));
    assert_eq!(ask(&b.namespace, &to_a).await.unwrap(), format!("a {}", b.address));
    assert_eq!(ask(&node.namespace, &to_a).await.unwrap(), format!("a {NODE}"));

    node.namespace.run(serve("node")).await;
    assert_eq!(ask(&a.namespace, format!("{NODE}:8080")).await.unwrap(), format!("node {}", a.address));
    node.outside.run(serve("outside")).await;
    assert_eq!(ask(&a.namespace, format!("{OUTSIDE}:8080")).await.unwrap(), format!("outside {NODE}"));
}

#[tokio::test]
async fn a_pod_has_one_address_and_its_gateway_only() {
    let node = Node::new().await;
    node.namespace.command("ip link set up0 mtu 1400").await;
    node.namespace.command(&format!("ip route add default via {OUTSIDE}")).await;
    let pod = node.pod("a").await;
    let addresses = pod.namespace.command("ip -4 -o address show dev eth0").await;
    assert!(addresses.contains("inet 10.244.3.1/32"), "{addresses}");
    let routes = pod.namespace.command("ip route").await;
    assert_eq!(
        routes.trim(),
        "default via 169.254.1.1 dev eth0 proto static \n169.254.1.1 dev eth0 proto static scope link"
    );
    let link = pod.namespace.command("ip link show dev eth0").await;
    assert!(link.contains("mtu 1400"), "{link}");
}

#[tokio::test]
async fn attaching_again_repairs_what_was_left_and_keeps_the_address() {
    let mut node = Node::new().await;
    let (a, b) = (node.pod("a").await, node.pod("b").await);
    // The process ended before the pod's side was done.
    a.namespace.command("ip address flush dev eth0").await;
    node.restart_pods().await;
    assert_eq!(node.attach(&a).await.unwrap(), a.address);
    assert_eq!(node.attach(&a).await.unwrap(), a.address);
    // The link was never made.
    a.namespace.command("ip link delete eth0").await;
    assert_eq!(node.attach(&a).await.unwrap(), a.address);
    let answer = ask(&b.namespace, format!("{}:8080", a.address)).await.unwrap();
    assert_eq!(answer, format!("a {}", b.address));
}

#[tokio::test]
async fn detaching_leaves_nothing() {
    let mut node = Node::new().await;
    let before = node.namespace.command("ip -o link").await;
    let (routes, neighbours) = ("ip route", "ip neighbour show nud permanent");
    let (routes_before, neighbours_before) =
        (node.namespace.command(routes).await, node.namespace.command(neighbours).await);
    let a = node.pod("a").await;
    assert_ne!(node.namespace.command(routes).await, routes_before);
    node.restart_pods().await;
    node.detach("a").await;
    node.detach("a").await;
    node.detach("never-attached").await;
    assert_eq!(node.namespace.command("ip -o link").await, before);
    assert_eq!(node.namespace.command(routes).await, routes_before);
    assert_eq!(node.namespace.command(neighbours).await, neighbours_before);
    drop(a);

    // A pod whose namespace is gone already is detached all the same.
    drop(node.pod("b").await);
    node.detach("b").await;
    assert_eq!(node.namespace.command("ip -o link").await, before);
}

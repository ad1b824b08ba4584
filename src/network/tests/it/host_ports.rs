//! Ports of the node that lead to pods.

use std::net::Ipv4Addr;

use network::{Error, HostPort};

use crate::node::{NODE, Node, OUTSIDE, ask};

fn port(address: Ipv4Addr, port: u16) -> HostPort {
    HostPort { protocol: 6, address, port, pod_port: 8080 }
}

fn everywhere(number: u16) -> HostPort {
    port(Ipv4Addr::UNSPECIFIED, number)
}

#[tokio::test]
async fn a_host_port_leads_to_its_pod_from_everywhere() {
    let node = Node::new().await;
    let (a, b) = (node.pod_with_host_ports("a", &[everywhere(81)]).await, node.pod("b").await);
    let to_a = format!("{NODE}:81");
    assert_eq!(ask(&node.outside, &to_a).await.unwrap(), format!("a {OUTSIDE}"));
    assert_eq!(ask(&b.namespace, &to_a).await.unwrap(), format!("a {}", b.address));
    assert_eq!(ask(&a.namespace, &to_a).await.unwrap(), format!("a {NODE}"));
    assert_eq!(ask(&node.namespace, &to_a).await.unwrap(), format!("a {NODE}"));
    assert_eq!(ask(&node.namespace, "127.0.0.1:81").await.unwrap(), format!("a {NODE}"));
}

#[tokio::test]
async fn pods_share_a_port_at_different_addresses_only() {
    let node = Node::new().await;
    let at_node = port(NODE.parse().unwrap(), 81);
    let _a = node.pod_with_host_ports("a", &[at_node]).await;
    let _b = node.pod_with_host_ports("b", &[port(Ipv4Addr::LOCALHOST, 81)]).await;
    assert!(ask(&node.namespace, format!("{NODE}:81")).await.unwrap().starts_with("a "));
    assert!(ask(&node.namespace, "127.0.0.1:81").await.unwrap().starts_with("b "));
    let c = node.pod("c").await;
    let c = crate::node::Pod { ports: vec![at_node], ..c };
    let refused = node.attach(&c).await.unwrap_err();
    assert!(matches!(refused, Error::HostPortTaken(port) if port == at_node), "{refused}");
}

#[tokio::test]
async fn host_ports_outlive_the_process_and_end_with_the_pod() {
    let mut node = Node::new().await;
    let a = node.pod_with_host_ports("a", &[everywhere(81), everywhere(81)]).await;
    node.restart_pods().await;
    assert!(ask(&node.outside, format!("{NODE}:81")).await.is_ok());
    node.attach(&a).await.unwrap();
    assert!(ask(&node.outside, format!("{NODE}:81")).await.is_ok());
    node.detach("a").await;
    node.detach("a").await;
    assert!(ask(&node.outside, format!("{NODE}:81")).await.is_err());
    let b = node.pod_with_host_ports("b", &[everywhere(81)]).await;
    assert_eq!(ask(&node.outside, format!("{NODE}:81")).await.unwrap(), format!("b {OUTSIDE}"));
    drop(b);
}

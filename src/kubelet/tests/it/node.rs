//! The node's own object.

use serde_json::{Value, json};

use crate::cluster::{Cluster, NODES, soon};

fn condition(node: &Value, type_: &str) -> Value {
    let mut conditions = node["status"]["conditions"].as_array().unwrap().iter();
    conditions.find(|condition| condition["type"] == type_).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_registers_and_is_ready_once_it_has_a_pod_range() {
    let mut cluster = Cluster::new();
    cluster.start();
    let node = soon(cluster.api.until(|api| api.get(NODES, "node"))).await;
    assert_eq!(condition(&node, "Ready")["status"], "False");
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "node");
    assert_eq!(node["status"]["capacity"]["pods"], "110");
    assert_eq!(node["status"]["addresses"][0], json!({"type": "InternalIP", "address": "127.0.0.1"}));
    cluster.give_pod_range().await;
    let node = soon(cluster.api.until(|api| {
        let node = api.get(NODES, "node")?;
        (condition(&node, "Ready")["status"] == "True").then_some(node)
    }))
    .await;
    assert_eq!(condition(&node, "Ready")["reason"], "KubeletReady");
    assert_eq!(cluster.runtime.books(|books| books.pod_cidr.clone()), "10.1.0.0/24");
    assert!(node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_holds_a_lease_and_takes_back_its_status() {
    let cluster = Cluster::ready().await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let lease = soon(cluster.api.until(|api| api.get(leases, "node"))).await;
    assert_eq!(lease["spec"]["holderIdentity"], "node");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 40);
    let is_ready = |node: &Value| condition(node, "Ready")["status"] == "True";
    soon(cluster.api.until(|api| api.get(NODES, "node").filter(is_ready))).await;
    cluster.api.update(NODES, "node", |node| {
        let conditions = node["status"]["conditions"].as_array_mut().unwrap();
        conditions.iter_mut().for_each(|condition| condition["status"] = json!("Unknown"));
    });
    soon(cluster.api.until(|api| api.get(NODES, "node").filter(is_ready))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_what_it_is_short_of_by_the_thresholds_that_it_is_told() {
    let mut cluster = Cluster::new();
    cluster.thresholds.eviction_hard = "memory.available<50Mi,nodefs.available<99.99%".parse().unwrap();
    cluster.start();
    let node = soon(cluster.api.until(|api| api.get(NODES, "node"))).await;
    assert_eq!(condition(&node, "DiskPressure")["status"], "True");
    assert_eq!(condition(&node, "MemoryPressure")["status"], "False");
    let memory = |of: &str| {
        let amount = node["status"][of]["memory"].as_str().unwrap();
        machinery::quantity::Quantity::parse(amount).unwrap().value()
    };
    let pages = node["status"]["capacity"].as_object().unwrap().iter();
    let pages = pages.filter(|(name, _)| name.starts_with("hugepages-"));
    if pages.clone().all(|(_, amount)| amount == "0") {
        assert_eq!(memory("capacity") - memory("allocatable"), 50 << 20, "what is kept is not given to pods");
    }
}

//! Addresses and node ports of services, where one server or several share a store.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::cluster::{Client, Cluster};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";

fn service(name: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["ports"] = json!([{"port": 80, "nodePort": spec["nodePort"].take()}]);
    spec.as_object_mut().unwrap().remove("nodePort");
    json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec})
}

/// The codes that both servers answer when each creates a service of the same spec at the same moment.
async fn race(servers: &[Client; 2], round: usize, spec: Value) -> BTreeSet<u16> {
    let create = |(index, server): (usize, &Client)| {
        let (server, body) = (server.clone(), service(&format!("s{round}-{index}"), &spec));
        async move { server.post(SERVICES, body).await.code }
    };
    join_all(servers.iter().enumerate().map(create)).await.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_servers_never_give_an_address_or_a_port_twice() {
    let one = Cluster::start().await;
    let other = Cluster::over(one.store.clone()).await;
    let servers = [one.admin(), other.admin()];
    for round in 0..40 {
        let address = format!("10.96.3.{}", round + 1);
        let spec = json!({"clusterIP": address, "nodePort": null});
        assert_eq!(race(&servers, round, spec).await, [201, 422].into(), "{address}");
        let port = 31000 + round;
        let spec = json!({"type": "NodePort", "nodePort": port});
        assert_eq!(race(&servers, round + 100, spec).await, [201, 422].into(), "{port}");
    }
    let all = servers[0].get(SERVICES).await.expect(200).at("/items");
    let addresses: Vec<&Value> =
        all.as_array().unwrap().iter().map(|service| &service["spec"]["clusterIP"]).collect();
    let different: BTreeSet<&str> = addresses.iter().filter_map(|address| address.as_str()).collect();
    assert_eq!(addresses.len(), different.len());
}

#[tokio::test]
async fn an_address_is_reserved_by_an_object_for_as_long_as_its_service_has_it() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let body = service("a", &json!({"type": "NodePort", "nodePort": 30500}));
    let created = admin.post(SERVICES, body.clone()).await.expect(201);
    let ip = created.at("/spec/clusterIP").as_str().unwrap().to_owned();
    let address = admin.get(&format!("{ADDRESSES}/{ip}")).await.expect(200);
    let parent = json!({"resource": "services", "namespace": "default", "name": "a"});
    assert_eq!(address.at("/spec/parentRef"), parent);
    assert_eq!(address.at("/metadata/labels/ipaddress.kubernetes.io~1managed-by"), "ipallocator.k8s.io");

    admin.delete(&format!("{SERVICES}/a")).await.expect(200);
    admin.get(&format!("{ADDRESSES}/{ip}")).await.expect(404);
    // The port is free again as well, and so is what a service no longer asks for.
    admin.post(SERVICES, body).await.expect(201);
    let plain = json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": null}]}});
    admin.patch(&format!("{SERVICES}/a"), "merge-patch", plain).await.expect(200);
    admin.post(SERVICES, service("b", &json!({"type": "NodePort", "nodePort": 30500}))).await.expect(201);
}

#[tokio::test]
async fn what_was_reserved_for_a_service_that_is_refused_is_free_again() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let asked = json!({"clusterIP": "10.96.3.7", "nodePort": null});
    admin.post(SERVICES, service("a", &json!({"nodePort": null}))).await.expect(201);
    // The name is taken, which shows after the address has been reserved.
    admin.post(SERVICES, service("a", &asked)).await.expect(409);
    admin.get(&format!("{ADDRESSES}/10.96.3.7")).await.expect(404);
    admin.post(SERVICES, service("b", &asked)).await.expect(201);
}

#[tokio::test]
async fn an_address_of_somebody_elses_is_not_given_to_a_service() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let own = json!({"kind": "IPAddress", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "10.96.3.9"},
        "spec": {"parentRef": {"group": "example.com", "resource": "gateways", "name": "g"}}});
    admin.post(ADDRESSES, own).await.expect(201);
    let refused =
        admin.post(SERVICES, service("a", &json!({"clusterIP": "10.96.3.9", "nodePort": null}))).await;
    assert!(refused.expect(422).message().contains("provided IP is already allocated"));
}

#[tokio::test]
async fn the_range_of_services_is_an_object_that_says_it_is_ready() {
    let cluster = Cluster::start().await;
    let range = cluster.admin().get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes").await.expect(200);
    assert_eq!(range.at("/spec/cidrs"), json!(["10.96.0.0/12"]));
    assert_eq!(range.at("/status/conditions/0/type"), "Ready");
    assert_eq!(range.at("/status/conditions/0/status"), "True");
    assert_eq!(range.at("/metadata/finalizers"), json!(["networking.k8s.io/service-cidr-finalizer"]));
}

#[tokio::test]
async fn a_store_from_before_there_were_reservations_gets_them() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin
        .post(SERVICES, service("a", &json!({"clusterIP": "10.96.3.5", "nodePort": null})))
        .await
        .expect(201);
    admin.delete(&format!("{ADDRESSES}/10.96.3.5")).await.expect(200);
    let again = Cluster::over(cluster.store.clone()).await;
    again.admin().get(&format!("{ADDRESSES}/10.96.3.5")).await.expect(200);
}

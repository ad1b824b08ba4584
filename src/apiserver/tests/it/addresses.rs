//! Addresses and node ports of services, where one server or several share a store.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use store::Range;

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
async fn ports_that_are_asked_for_are_not_drawn_while_there_are_others() {
    let cluster = Cluster::start().await;
    let ports: Vec<Value> = (1..=250).map(|port| json!({"name": format!("p{port}"), "port": port})).collect();
    let body = json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "many"},
        "spec": {"type": "NodePort", "ports": ports}});
    let made = cluster.admin().post(SERVICES, body).await.expect(201).at("/spec/ports");
    let drawn: Vec<u64> =
        made.as_array().unwrap().iter().filter_map(|port| port["nodePort"].as_u64()).collect();
    assert_eq!(drawn.len(), 250);
    assert!(drawn.iter().all(|port| (30086..=32767).contains(port)), "{drawn:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_write_that_starts_over_leaves_nothing_reserved() {
    const ROUNDS: usize = 20;
    let one = Cluster::start().await;
    let other = Cluster::over(one.store.clone()).await;
    let servers = [one.admin(), other.admin()];
    for round in 0..ROUNDS {
        let name = format!("s{round}");
        servers[0].post(SERVICES, service(&name, &json!({"nodePort": null}))).await.expect(201);
        let path = format!("{SERVICES}/{name}");
        let open = servers
            .each_ref()
            .map(|server| server.patch(&path, "merge-patch", json!({"spec": {"type": "NodePort"}})));
        join_all(open).await.into_iter().for_each(|answer| drop(answer.expect(200)));
    }
    let reserved = one.store.snapshot(&Range::resource("coxswain.io", "nodeports"));
    assert_eq!(reserved.iter().count(), ROUNDS);
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

/// An IPAddress that somebody made by hand.
fn by_hand(ip: &str, finalizers: &[&str]) -> Value {
    json!({"kind": "IPAddress", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": ip, "finalizers": finalizers},
        "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "a"}}})
}

#[tokio::test]
async fn an_address_that_somebody_made_for_a_service_is_not_taken_over() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let before = admin.post(ADDRESSES, by_hand("10.96.3.9", &[])).await.expect(201);
    let asked = service("a", &json!({"clusterIP": "10.96.3.9", "nodePort": null}));
    let refused = admin.post(SERVICES, asked).await.expect(422).message();
    assert!(
        refused.ends_with("failed to allocate IP 10.96.3.9: provided IP is already allocated"),
        "{refused}"
    );
    let after = admin.get(&format!("{ADDRESSES}/10.96.3.9")).await.expect(200);
    assert_eq!(before.text, after.text);
}

#[tokio::test]
async fn a_second_service_of_a_name_takes_nothing_from_the_first() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let body = service("a", &json!({"type": "NodePort", "clusterIP": "10.96.3.5", "nodePort": 30500}));
    admin.post(SERVICES, body.clone()).await.expect(201);
    let before = admin.get(&format!("{ADDRESSES}/10.96.3.5")).await.expect(200);
    admin.post(SERVICES, body).await.expect(422);
    assert_eq!(before.text, admin.get(&format!("{ADDRESSES}/10.96.3.5")).await.expect(200).text);
    // What it has already it keeps through any update.
    let label = json!({"metadata": {"labels": {"x": "y"}}});
    admin.patch(&format!("{SERVICES}/a"), "merge-patch", label).await.expect(200);
    assert_eq!(before.text, admin.get(&format!("{ADDRESSES}/10.96.3.5")).await.expect(200).text);
}

#[tokio::test]
async fn an_address_with_finalizers_outlives_its_service_until_they_are_gone() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let asked = service("a", &json!({"clusterIP": "10.96.3.5", "nodePort": null}));
    admin.post(SERVICES, asked.clone()).await.expect(201);
    let path = format!("{ADDRESSES}/10.96.3.5");
    let finalizers = |list: Value| json!({"metadata": {"finalizers": list}});
    admin.patch(&path, "merge-patch", finalizers(json!(["example.com/f"]))).await.expect(200);
    admin.delete(&format!("{SERVICES}/a")).await.expect(200);
    assert_ne!(admin.get(&path).await.expect(200).at("/metadata/deletionTimestamp"), Value::Null);
    admin.post(SERVICES, asked.clone()).await.expect(422);
    admin.patch(&path, "merge-patch", finalizers(Value::Null)).await.expect(200);
    admin.get(&path).await.expect(404);
    admin.post(SERVICES, asked).await.expect(201);
}

#[tokio::test]
async fn an_address_outside_of_the_range_is_told_as_upstream_tells_it() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let asked = service("a", &json!({"clusterIP": "192.0.2.7", "nodePort": null}));
    let refused = admin.post(SERVICES, asked.clone()).await.expect(422).message();
    assert!(refused.ends_with("the provided network does not match the current range"), "{refused}");
    let refused = admin.post(&format!("{SERVICES}?dryRun=All"), asked).await.expect(422).message();
    assert!(refused.ends_with("The range of valid IPs is 10.96.0.0/12"), "{refused}");
}

#[tokio::test]
async fn an_address_is_called_what_it_was_asked_to_begin_with() {
    let cluster = Cluster::start().await;
    let mut body = by_hand("", &[]);
    body["metadata"] = json!({"generateName": "10.96.3.9"});
    let created = cluster.admin().post(ADDRESSES, body).await.expect(201);
    assert_eq!(created.at("/metadata/name"), "10.96.3.9");
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

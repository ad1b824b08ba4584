//! What clients see of the cluster.

use std::net::SocketAddr;

use client::Informers;
use dns::Server;
use hickory_proto::{
    op::ResponseCode,
    rr::{DNSClass, RecordType},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    cluster::{Cluster, config, described, eventually, service},
    resolver::{outside, over_tcp, over_udp, over_udp_from, question, with_edns},
};

#[tokio::test]
async fn a_service_is_answered_over_udp_and_tcp_in_the_case_it_was_asked_in() {
    let cluster = Cluster::new(vec![]).await;
    let asked = question("Web.default.svc.Cluster.local.", RecordType::A);
    for answer in [over_udp(cluster.server, &asked).await, over_tcp(cluster.server, &asked).await] {
        assert_eq!(described(&answer), ["Web.default.svc.Cluster.local. 10.96.0.9"]);
        assert_eq!(answer.queries[0].name.to_string(), "Web.default.svc.Cluster.local.");
        assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
        assert_eq!((answer.metadata.id, answer.answers[0].ttl), (4711, 5));
    }
}

#[tokio::test]
async fn negative_answers_tell_no_such_name_from_no_such_data() {
    let cluster = Cluster::new(vec![]).await;
    for (name, code) in [
        ("nobody.default.svc.cluster.local.", ResponseCode::NXDomain),
        ("web.default.svc.cluster.local.", ResponseCode::NoError),
    ] {
        let answer = cluster.ask(name, RecordType::AAAA).await;
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (code, 0));
        let authority = &answer.authorities[0];
        assert_eq!((authority.record_type(), authority.ttl), (RecordType::SOA, 5));
        assert_eq!(authority.name.to_string(), "cluster.local.");
    }
}

#[tokio::test]
async fn changes_are_answered() {
    let cluster = Cluster::new(vec![]).await;
    let name = "new.default.svc.cluster.local.";
    let new = service("new", json!({ "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"] }));
    let answers = async || cluster.ask(name, RecordType::A).await.answers.len();
    assert_eq!(answers().await, 0);
    cluster.api.apply(new.clone());
    eventually(async || answers().await == 1).await;
    cluster.api.delete(&new);
    eventually(async || answers().await == 0).await;
}

#[tokio::test]
async fn endpoints_of_a_headless_service_are_answered_as_they_come_and_go() {
    let cluster = Cluster::new(vec![]).await;
    cluster.api.apply(service("db", json!({ "clusterIP": "None", "clusterIPs": ["None"] })));
    let slice = |addresses: &[&str]| {
        let metadata = json!({
            "name": "db-1", "namespace": "default", "labels": { "kubernetes.io/service-name": "db" },
        });
        let endpoints: Vec<Value> =
            addresses.iter().map(|address| json!({ "addresses": [address] })).collect();
        json!({
            "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": metadata,
            "addressType": "IPv4", "endpoints": endpoints, "ports": [],
        })
    };
    let answered = async |wanted: &[&str]| {
        let answer = cluster.ask("db.default.svc.cluster.local.", RecordType::A).await;
        let mut found: Vec<_> = answer.answers.iter().map(|record| record.data.to_string()).collect();
        found.sort();
        found == wanted
    };
    for addresses in [&["10.244.0.1"][..], &["10.244.0.1", "10.244.0.2"], &["10.244.0.2"]] {
        cluster.api.apply(slice(addresses));
        eventually(async || answered(addresses).await).await;
    }
    cluster.api.delete(&slice(&[]));
    eventually(async || {
        let answer = cluster.ask("db.default.svc.cluster.local.", RecordType::A).await;
        answer.metadata.response_code == ResponseCode::NXDomain
    })
    .await;
}

#[tokio::test]
async fn nothing_is_answered_before_the_cluster_is_known() {
    let silent = tower::service_fn(|_: http::Request<kube::client::Body>| {
        std::future::pending::<Result<http::Response<kube::client::Body>, std::convert::Infallible>>()
    });
    let bind = "127.0.0.1".parse().unwrap();
    let server = Server::bind(config(bind, 0, vec![outside().await])).await.unwrap();
    let (address, end) = (SocketAddr::new(bind, server.port()), CancellationToken::new());
    let informers = Informers::new(kube::Client::new(silent, "default"), end.clone());
    let cancel = end.clone();
    let running = tokio::spawn(async move { server.run(informers, cancel).await });
    for name in ["web.default.svc.cluster.local.", "1.0.96.10.in-addr.arpa.", "www.example.com."] {
        let answer = over_udp(address, &question(name, RecordType::A)).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    }
    end.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_not_understood_is_said_so() {
    let cluster = Cluster::new(vec![]).await;
    let name = "web.default.svc.cluster.local.";
    let answer = over_udp(cluster.server, &with_edns(question(name, RecordType::A), 1232, 1)).await;
    // 16 has two names in hickory: BADVERS and BADSIG.
    assert_eq!(u16::from(answer.metadata.response_code), u16::from(ResponseCode::BADVERS));
    let answer = over_udp(cluster.server, &with_edns(question(name, RecordType::A), 4096, 0)).await;
    assert_eq!(answer.edns.unwrap().max_payload(), 1232);
    let mut chaos = question(name, RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(over_udp(cluster.server, &chaos).await.metadata.response_code, ResponseCode::Refused);
    let transfer = question("cluster.local.", RecordType::AXFR);
    assert_eq!(over_tcp(cluster.server, &transfer).await.metadata.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn strangers_are_refused_whatever_they_ask() {
    let cluster = Cluster::new(vec![outside().await]).await;
    for name in ["web.default.svc.cluster.local.", "9.0.96.10.in-addr.arpa.", "www.example.com."] {
        let asked = question(name, RecordType::ANY);
        let ours = over_udp(cluster.server, &asked).await;
        assert_ne!(ours.metadata.response_code, ResponseCode::Refused, "{name}");
        let answer = over_udp_from("127.0.0.2", cluster.server, &asked).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::Refused, "{name}");
        assert_eq!((answer.answers.len(), answer.authorities.len()), (0, 0));
    }
}

#[tokio::test]
async fn the_server_ends_when_cancelled_and_frees_its_port() {
    let cluster = Cluster::new(vec![]).await;
    cluster.ask("web.default.svc.cluster.local.", RecordType::A).await;
    let port = cluster.server.port();
    drop(cluster.end);
    cluster.running.await.unwrap().unwrap();
    let config = config(cluster.server.ip(), port, vec![]);
    let again = Server::bind(config.clone()).await.unwrap();
    let taken = Server::bind(config).await.unwrap_err().to_string();
    assert_eq!(
        taken,
        format!("cannot listen on 127.0.0.1:{port} for DNS: Address already in use (os error 98)")
    );
    drop(again);
}

#[tokio::test]
async fn a_run_that_was_broken_off_is_followed_by_another_on_the_same_port() {
    let bind = "127.0.0.1".parse().unwrap();
    let server = Server::bind(config(bind, 0, vec![])).await.unwrap();
    let (api, cancel) = (testing::Api::default(), CancellationToken::new());
    api.apply(service("web", serde_json::json!({ "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"] })));
    let address = SocketAddr::new(bind, server.port());
    for _ in 0..2 {
        let informers = Informers::new(api.client(), cancel.clone());
        let answered = eventually(async || {
            let answer = over_udp(address, &question("web.default.svc.cluster.local.", RecordType::A)).await;
            answer.answers.len() == 1
        });
        tokio::select! {
            ended = server.run(informers, cancel.clone()) => panic!("it ended by itself: {ended:?}"),
            () = answered => {}
        }
    }
}

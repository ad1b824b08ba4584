//! What clients see of the world outside the cluster.

use std::sync::atomic::Ordering;

use hickory_proto::{op::ResponseCode, rr::RecordType};
use serde_json::json;

use crate::{
    cluster::{Cluster, described, eventually, service},
    resolver::{failing, outside, over_tcp, over_udp, pass_on, question, with_edns},
};

#[tokio::test]
async fn other_names_are_forwarded() {
    let cluster = Cluster::new(vec![outside().await]).await;
    let answer = cluster.ask("www.example.com.", RecordType::A).await;
    assert_eq!(described(&answer), ["www.example.com. 192.0.2.1"]);
    assert!(!answer.metadata.authoritative);
    let answer = cluster.ask("nowhere.example.com.", RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn large_answers_are_fetched_by_tcp_and_cut_for_udp() {
    let cluster = Cluster::new(vec![outside().await]).await;
    let asked = question("big.example.com.", RecordType::A);
    let cut = over_udp(cluster.server, &asked).await;
    assert!(cut.metadata.truncation);
    assert_eq!(over_tcp(cluster.server, &asked).await.answers.len(), 200);
    let more = over_udp(cluster.server, &with_edns(asked, 1232, 0)).await;
    assert!(more.metadata.truncation && more.answers.len() > cut.answers.len());
}

#[tokio::test]
async fn an_external_name_is_followed() {
    let cluster = Cluster::new(vec![outside().await]).await;
    let external = |name| json!({ "type": "ExternalName", "externalName": name });
    cluster.api.apply(service("far", external("www.example.com")));
    cluster.api.apply(service("near", external("web.default.svc.cluster.local")));
    cluster.api.apply(service("circle", external("circle.default.svc.cluster.local")));
    let ask = async |name: &'static str| {
        let is_known = async || {
            cluster.ask(name, RecordType::CNAME).await.metadata.response_code == ResponseCode::NoError
        };
        eventually(is_known).await;
        cluster.ask(name, RecordType::A).await
    };
    let far = ["far.default.svc.cluster.local. www.example.com.", "www.example.com. 192.0.2.1"];
    assert_eq!(described(&ask("far.default.svc.cluster.local.").await), far);
    let near = described(&ask("near.default.svc.cluster.local.").await);
    assert_eq!(near[1], "web.default.svc.cluster.local. 10.96.0.9");
    let circle = ask("circle.default.svc.cluster.local.").await;
    assert_eq!(circle.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn an_external_name_is_told_even_where_it_leads_nowhere() {
    let cluster = Cluster::new(vec![]).await;
    cluster.api.apply(service("far", json!({ "type": "ExternalName", "externalName": "www.example.com" })));
    let name = "far.default.svc.cluster.local.";
    eventually(async || cluster.ask(name, RecordType::A).await.answers.len() == 1).await;
    let answer = cluster.ask(name, RecordType::A).await;
    assert_eq!(described(&answer), [format!("{name} www.example.com.")]);
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn the_next_resolver_is_asked_when_one_is_down() {
    let down = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let others = vec![down, silent.local_addr().unwrap(), failing().await];
    let cluster = Cluster::new([others, vec![outside().await]].concat()).await;
    let answer = cluster.ask("www.example.com.", RecordType::A).await;
    assert_eq!(described(&answer), ["www.example.com. 192.0.2.1"]);
    for upstream in [vec![down], vec![failing().await, down], vec![]] {
        let cluster = Cluster::new(upstream).await;
        let answer = cluster.ask("www.example.com.", RecordType::A).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    }
}

#[tokio::test]
async fn a_question_that_comes_back_is_not_forwarded_again() {
    let relay = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let cluster = Cluster::new(vec![relay.local_addr().unwrap(), outside().await]).await;
    let (seen, relaying) = pass_on(relay, cluster.server);
    let answer = cluster.ask("www.example.com.", RecordType::A).await;
    assert_eq!(described(&answer), ["www.example.com. 192.0.2.1"]);
    assert_eq!(seen.load(Ordering::Relaxed), 1);
    relaying.abort();
}

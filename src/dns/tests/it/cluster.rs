//! A DNS server of a small cluster, and how tests ask it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use client::Informers;
use dns::{Config, Server};
use hickory_proto::{op::Message, rr::RecordType};
use serde_json::{Value, json};
use testing::Api;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::resolver::{over_udp, question};

pub(crate) struct Cluster {
    pub(crate) api: Api,
    pub(crate) server: SocketAddr,
    pub(crate) running: JoinHandle<Result<(), dns::Error>>,
    pub(crate) end: DropGuard,
}

impl Cluster {
    pub(crate) async fn new(upstream: Vec<SocketAddr>) -> Self {
        let (api, end) = (Api::default(), CancellationToken::new());
        api.apply(json!({ "kind": "Namespace", "apiVersion": "v1", "metadata": { "name": "default" } }));
        api.apply(service("web", json!({ "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"] })));
        let bind = "127.0.0.1".parse().unwrap();
        let server = Server::bind(config(bind, 0, upstream)).await.unwrap();
        let address = SocketAddr::new(bind, server.port());
        let informers = Informers::new(api.client(), end.clone());
        let cancel = end.clone();
        let running = tokio::spawn(async move { server.run(informers, cancel).await });
        let cluster = Self { api, server: address, running, end: end.drop_guard() };
        eventually(async || cluster.ask("cluster.local.", RecordType::SOA).await.answers.len() == 1).await;
        cluster
    }

    pub(crate) async fn ask(&self, name: &str, kind: RecordType) -> Message {
        over_udp(self.server, &question(name, kind)).await
    }
}

pub(crate) fn config(bind: IpAddr, port: u16, upstream: Vec<SocketAddr>) -> Config {
    let clients = vec!["127.0.0.1/32".parse().unwrap()];
    Config { bind, port, domain: "cluster.local".into(), upstream, clients }
}

/// Asks again until it is so.
pub(crate) async fn eventually(is_so: impl AsyncFn() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asking).await.unwrap();
}

pub(crate) fn service(name: &str, spec: Value) -> Value {
    let metadata = json!({ "name": name, "namespace": "default" });
    json!({ "kind": "Service", "apiVersion": "v1", "metadata": metadata, "spec": spec })
}

pub(crate) fn described(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| format!("{} {}", record.name, record.data)).collect()
}

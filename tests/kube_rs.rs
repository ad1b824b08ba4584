//! A kube-rs program: a reflector and a controller, over real TLS, unmodified.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::controller::Action;
use kube::runtime::{Controller, WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Config, ResourceExt};

use crate::cluster::Cluster;

async fn client(kubeconfig: &Path) -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// Creates config maps one after the other, and tells the name of each that was acknowledged, until a request fails.
pub(crate) async fn create_until_refused(
    kubeconfig: &Path,
    prefix: &str,
    mut acknowledged: impl FnMut(String),
) -> kube::Error {
    let api = Api::<ConfigMap>::default_namespaced(client(kubeconfig).await);
    let mut number = 0;
    loop {
        let name = format!("{prefix}-{number}");
        match api.create(&PostParams::default(), &config_map(&name)).await {
            Ok(_) => acknowledged(name),
            Err(error) => return error,
        }
        number += 1;
    }
}

fn config_map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
        data: Some(BTreeMap::from([("key".to_owned(), name.to_owned())])),
        ..Default::default()
    }
}

/// Copies every config map that is labelled into a secret of the same name.
async fn reconcile(source: Arc<ConfigMap>, client: Arc<Client>) -> Result<Action, kube::Error> {
    let secrets = Api::<Secret>::default_namespaced((*client).clone());
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(source.name_any()),
            owner_references: kube::Resource::controller_owner_ref(&*source, &()).map(|owner| vec![owner]),
            ..Default::default()
        },
        string_data: source.data.clone(),
        ..Default::default()
    };
    match secrets.create(&PostParams::default(), &secret).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {
            secrets.patch(&source.name_any(), &PatchParams::default(), &Patch::Merge(&secret)).await?;
        }
        outcome => drop(outcome?),
    }
    Ok(Action::await_change())
}

async fn program(kubeconfig: &Path) {
    let client = client(kubeconfig).await;
    let sources = Api::<ConfigMap>::default_namespaced(client.clone());
    let secrets = Api::<Secret>::default_namespaced(client.clone());

    let (store, writer) = reflector::store();
    let reflected =
        reflector(writer, watcher(sources.clone(), watcher::Config::default().labels("copy=yes")))
            .applied_objects()
            .try_for_each(|_| std::future::ready(Ok(())));
    let controller = Controller::new(sources.clone(), watcher::Config::default().labels("copy=yes"))
        .owns(secrets.clone(), watcher::Config::default())
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(100)), Arc::new(client))
        .for_each(|_| std::future::ready(()));
    let user = async {
        for number in 0..10 {
            let mut source = config_map(&format!("source-{number}"));
            source.labels_mut().insert("copy".to_owned(), "yes".to_owned());
            sources.create(&PostParams::default(), &source).await.unwrap();
        }
        store.wait_until_ready().await.unwrap();
        until(|| async { store.len() == 10 }).await;
        let copied = || async { secrets.list(&Default::default()).await.unwrap().items.len() == 10 };
        until(copied).await;
        // The controller puts back what somebody takes away.
        secrets.delete("source-3", &Default::default()).await.unwrap();
        until(copied).await;
        // A copy goes with its source.
        sources.delete("source-4", &Default::default()).await.unwrap();
        until(|| async { secrets.get_opt("source-4").await.unwrap().is_none() && store.len() == 9 }).await;
    };
    tokio::select! {
        ended = reflected => panic!("the reflector ended: {ended:?}"),
        () = controller => panic!("the controller ended"),
        () = user => {}
    }
}

async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it holds within a minute");
}

#[test]
fn a_reflector_and_a_controller_work_unmodified() {
    let cluster = Cluster::start();
    let kubeconfig = cluster.kubeconfig();
    let running = cluster.host.run(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(program(&kubeconfig));
    });
    running.join().unwrap();
}

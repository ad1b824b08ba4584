//! Publishes the cluster's certificate authority as config map `kube-root-ca.crt` into every namespace, where pods find
//! it beside their token (upstream `pkg/controller/certificates/rootcacertpublisher`).

use std::{collections::BTreeMap, sync::Arc};

use client::{Change, Key, Queue, Requeue, answer};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};

use crate::{Context, Error, feed::feed};

const NAME: &str = "kube-root-ca.crt";
const FILE: &str = "ca.crt";
const DESCRIPTION_ANNOTATION: &str = "kubernetes.io/description";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the \
     internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes \
     clusters.";

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let (namespaces, maps) = (cx.informers.of::<Namespace>(), cx.informers.of::<ConfigMap>());
    let client = cx.client("root-ca-cert-publisher");
    namespaces.synced().await;
    maps.synced().await;

    let queue = Queue::<String>::named("root_ca_cert_publisher");
    feed(&namespaces, &queue, |change| match change {
        Change::Applied { new, .. } => new.metadata.name.clone(),
        Change::Deleted(_) => None,
    });
    feed(&maps, &queue, |change| {
        let meta = &change.object().metadata;
        (meta.name.as_deref() == Some(NAME)).then(|| meta.namespace.clone()).flatten()
    });

    let sync = |name: String| {
        let step = namespaces
            .get("", &name)
            .and_then(|namespace| plan(&namespace, maps.get_key(&Key::new(&name, NAME)), &cx.root_ca));
        let api = Api::<ConfigMap>::namespaced(client.clone(), &name);
        async move {
            match step {
                Some(step) => apply(&api, step).await.map(|()| Requeue::No),
                None => Ok(Requeue::No),
            }
        }
    };
    client::work(queue, 1, sync, cx.cancel.clone()).await;
    Ok(())
}

#[derive(Debug)]
enum Step {
    Create(ConfigMap),
    Update(ConfigMap),
}

/// What brings the config map of `namespace` to hold `root_ca`.
fn plan(namespace: &Namespace, observed: Option<Arc<ConfigMap>>, root_ca: &str) -> Option<Step> {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase != Some("Active") {
        return None;
    }
    let data = BTreeMap::from([(FILE.to_owned(), root_ca.to_owned())]);
    let Some(observed) = observed else {
        let metadata = ObjectMeta {
            name: Some(NAME.into()),
            namespace: namespace.metadata.name.clone(),
            annotations: Some([(DESCRIPTION_ANNOTATION.into(), DESCRIPTION.into())].into()),
            ..ObjectMeta::default()
        };
        return Some(Step::Create(ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }));
    };
    let annotated = observed.metadata.annotations.as_ref().and_then(|all| all.get(DESCRIPTION_ANNOTATION));
    if observed.data.as_ref() == Some(&data) && annotated.is_some_and(|text| !text.is_empty()) {
        return None;
    }
    let mut map = ConfigMap { data: Some(data), binary_data: None, ..(*observed).clone() };
    let annotations = map.metadata.annotations.get_or_insert_default();
    annotations.insert(DESCRIPTION_ANNOTATION.into(), DESCRIPTION.into());
    Some(Step::Update(map))
}

async fn apply(api: &Api<ConfigMap>, step: Step) -> Result<(), Error> {
    let outcome = match step {
        Step::Create(map) => api.create(&PostParams::default(), &map).await,
        Step::Update(map) => api.replace(NAME, &PostParams::default(), &map).await,
    };
    match outcome {
        Err(error) if !answer::is_already_exists(&error) && !answer::is_namespace_terminating(&error) => {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::NamespaceStatus;

    use super::*;

    fn check(phase: &str, held: Option<&str>, expected: &str) {
        let status = NamespaceStatus { phase: Some(phase.into()), ..NamespaceStatus::default() };
        let namespace = Namespace { status: Some(status), ..Namespace::default() };
        let observed = held.map(|text| {
            let metadata = ObjectMeta {
                annotations: Some([(DESCRIPTION_ANNOTATION.into(), "x".into())].into()),
                ..ObjectMeta::default()
            };
            let data = Some([(FILE.into(), text.into())].into());
            Arc::new(ConfigMap { metadata, data, ..ConfigMap::default() })
        });
        let step = match plan(&namespace, observed, "PEM") {
            None => "nothing",
            Some(Step::Create(_)) => "create",
            Some(Step::Update(map)) if map.data.as_ref().unwrap()[FILE] == "PEM" => "update",
            Some(Step::Update(_)) => "wrong update",
        };
        assert_eq!(step, expected);
    }

    #[test]
    fn the_config_map_is_created_and_kept_right() {
        check("Active", None, "create");
        check("Active", Some("PEM"), "nothing");
        check("Active", Some("tampered"), "update");
        check("Terminating", None, "nothing");
    }
}

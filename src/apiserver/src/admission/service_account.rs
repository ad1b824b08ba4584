//! ServiceAccount: every pod has a service account that exists, its token mounted and its pull secrets.

use std::any::Any;
use std::time::Duration;

use api::Object;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, Container, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath,
    ObjectFieldSelector, Pod, PodSpec, ProjectedVolumeSource, ServiceAccount as Account,
    ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use machinery::{Status, meta};
use store::{Item, Key, Range, Store};

use super::{Attributes, Operation, Plugin};

pub(super) struct ServiceAccount;

const DEFAULT: &str = "default";
const MIRROR: &str = "kubernetes.io/config.mirror";
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
/// An hour, and seven seconds by which upstream recognises tokens that it made itself.
const TOKEN_SECONDS: i64 = 3607;
const MODE: i32 = 0o644;
/// How long a pod waits for its namespace's account `default`, which a controller makes.
const PATIENCE: Duration = Duration::from_secs(1);

#[async_trait]
impl Plugin for ServiceAccount {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation == Operation::Create && attributes.is("", "pods")
    }

    async fn admit(
        &self,
        attributes: &Attributes<'_>,
        new: &mut Object,
        _old: Option<&Object>,
        _held: &mut Vec<Box<dyn Any + Send + Sync>>,
    ) -> Result<(), Status> {
        let Some(pod) = new.downcast_mut::<Pod>() else { return Ok(()) };
        if is_mirror(pod) {
            return Ok(());
        }
        let Some(spec) = pod.spec.as_mut() else { return Ok(()) };
        let name = spec.service_account_name.get_or_insert_default();
        if name.is_empty() {
            DEFAULT.clone_into(name);
        }
        let name = name.clone();
        // The field's old name is kept equal, as upstream's conversion does.
        spec.service_account = Some(name.clone());
        let account = account(attributes, &name).await?;
        if mounts_token(spec, &account) {
            mount_token(spec);
        }
        if spec.image_pull_secrets.as_ref().is_none_or(Vec::is_empty) {
            spec.image_pull_secrets = account.image_pull_secrets.filter(|secrets| !secrets.is_empty());
        }
        Ok(())
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        new: Option<&Object>,
        _old: Option<&Object>,
    ) -> Result<(), Status> {
        let Some(pod) = new.and_then(Object::downcast_ref::<Pod>).filter(|pod| is_mirror(pod)) else {
            return Ok(());
        };
        let Some(spec) = pod.spec.as_ref() else { return Ok(()) };
        if spec.service_account_name.as_deref().is_some_and(|name| !name.is_empty()) {
            return Err(attributes.forbidden("a mirror pod may not reference service accounts"));
        }
        if spec.volumes.iter().flatten().any(|volume| volume.secret.is_some()) {
            return Err(attributes.forbidden("a mirror pod may not reference secrets"));
        }
        Ok(())
    }
}

fn is_mirror(pod: &Pod) -> bool {
    pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR))
}

async fn account(attributes: &Attributes<'_>, name: &str) -> Result<Account, Status> {
    let store = &attributes.call.server.store;
    let key = Key::new("", "serviceaccounts", attributes.namespace, name);
    let mut entry = store.get(&key);
    if entry.is_none() && name == DEFAULT {
        appear(store, &key).await;
        entry = store.get(&key);
    }
    let Some(entry) = entry else {
        let namespace = attributes.namespace;
        return Err(attributes.forbidden(format!(
            "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
        )));
    };
    serde_json::from_slice(&entry.bytes).map_err(Status::internal)
}

/// Waits a while for a key.
async fn appear(store: &Store, key: &Key) {
    let Ok(mut watch) = store.watch(Range::key(key), store.revision()) else { return };
    let seen = async {
        while store.get(key).is_none() && !matches!(watch.next().await, Ok(Item::Events(_)) | Err(_)) {}
    };
    if tokio::time::timeout(PATIENCE, seen).await.is_err() {
        tracing::debug!(key = key.as_str(), "the service account did not appear");
    }
}

fn mounts_token(spec: &PodSpec, account: &Account) -> bool {
    spec.automount_service_account_token.or(account.automount_service_account_token).unwrap_or(true)
}

fn mount_token(spec: &mut PodSpec) {
    let volumes = spec.volumes.get_or_insert_default();
    let present = volumes.iter().find(|volume| volume.name.starts_with(VOLUME_PREFIX));
    let is_present = present.is_some();
    let name = present.map_or_else(|| meta::generate_name(VOLUME_PREFIX), |volume| volume.name.clone());
    let mut mounted = false;
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        mounted |= mount(container, &name);
    }
    if mounted && !is_present {
        volumes.push(token_volume(name));
    }
    if spec.volumes.as_ref().is_some_and(Vec::is_empty) {
        spec.volumes = None;
    }
}

/// Whether the container got the mount; one of its own at the same place prevents it.
fn mount(container: &mut Container, name: &str) -> bool {
    let mounts = container.volume_mounts.get_or_insert_default();
    if mounts.iter().any(|mount| mount.mount_path == TOKEN_PATH) {
        return false;
    }
    mounts.push(VolumeMount {
        name: name.to_owned(),
        read_only: Some(true),
        mount_path: TOKEN_PATH.to_owned(),
        ..VolumeMount::default()
    });
    true
}

fn token_volume(name: String) -> Volume {
    let token = VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            path: "token".to_owned(),
            expiration_seconds: Some(TOKEN_SECONDS),
            audience: None,
        }),
        ..VolumeProjection::default()
    };
    let ca = VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: "kube-root-ca.crt".to_owned(),
            items: Some(vec![KeyToPath { key: "ca.crt".to_owned(), path: "ca.crt".to_owned(), mode: None }]),
            optional: None,
        }),
        ..VolumeProjection::default()
    };
    let namespace = VolumeProjection {
        downward_api: Some(DownwardAPIProjection {
            items: Some(vec![DownwardAPIVolumeFile {
                path: "namespace".to_owned(),
                field_ref: Some(ObjectFieldSelector {
                    api_version: Some("v1".to_owned()),
                    field_path: "metadata.namespace".to_owned(),
                }),
                ..DownwardAPIVolumeFile::default()
            }]),
        }),
        ..VolumeProjection::default()
    };
    let projected =
        ProjectedVolumeSource { default_mode: Some(MODE), sources: Some(vec![token, ca, namespace]) };
    Volume { name, projected: Some(projected), ..Volume::default() }
}

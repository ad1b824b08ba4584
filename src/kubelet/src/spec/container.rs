//! From a container's spec to the configuration that the runtime is given.

use std::{collections::BTreeMap, path::Path};

use cri::v1::{ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, LinuxContainerConfig, Mount};
use k8s_openapi::api::core::v1::{Container, Pod};

use super::{
    expansion::expand,
    labels, resources,
    security::{self, ImageUser},
};

/// What the configuration needs beyond pod and container.
pub(crate) struct Surroundings<'a> {
    pub restart_count: u32,
    /// What the runtime calls the image.
    pub image_ref: String,
    pub image_user: &'a ImageUser,
    pub env: BTreeMap<String, String>,
    pub mounts: Vec<Mount>,
    pub memory_bytes: i64,
    pub seccomp_dir: &'a Path,
    /// The container whose processes an ephemeral one wants to see.
    pub target_id: Option<String>,
}

/// The configuration of one container.
pub(crate) fn config(pod: &Pod, container: &Container, around: Surroundings<'_>) -> ContainerConfig {
    let image = container.image.clone().unwrap_or_default();
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
        let words = words.as_deref().unwrap_or_default();
        words.iter().map(|word| expand(word, |name| around.env.get(name).cloned())).collect()
    };
    let mut security_context = security::context(pod, container, around.image_user, around.seccomp_dir);
    if let (Some(target), Some(options)) = (around.target_id, &mut security_context.namespace_options) {
        options.pid = cri::v1::NamespaceMode::Target.into();
        options.target_id = target;
    }
    ContainerConfig {
        metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: around.restart_count }),
        image: Some(ImageSpec {
            image: around.image_ref,
            user_specified_image: image,
            ..ImageSpec::default()
        }),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: around.env.iter().map(|(key, value)| key_value(key, value)).collect(),
        mounts: around.mounts,
        labels: labels::of_container(pod, container),
        annotations: labels::annotations(pod, container, around.restart_count),
        log_path: log_path(&container.name, around.restart_count),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        linux: Some(LinuxContainerConfig {
            resources: Some(resources::of_container(pod, container, around.memory_bytes)),
            security_context: Some(security_context),
        }),
        ..ContainerConfig::default()
    }
}

/// Where below the pod's log directory a container writes.
pub(crate) fn log_path(name: &str, restart_count: u32) -> String {
    format!("{name}/{restart_count}.log")
}

fn key_value(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: value.into() }
}

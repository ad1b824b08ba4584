//! What pods left behind that were deleted while the kubelet was not running.
//!
//! Looks once, at the start, and only at what this kubelet made: sandboxes with its mark, its own directories and cgroups.

use std::{collections::HashMap, io, path::Path, sync::Arc};

use cri::v1;

use super::Pods;
use crate::{act::Error, host::Host, spec::labels, volumes};

/// Removes what belongs to no pod.
///
/// Pods that arrive meanwhile are safe: a pod is known before anything is made for it, and what is found is compared with
/// the pods that are known after it was found.
pub(super) async fn clean_up(host: Arc<Host>, pods: Pods) {
    if let Err(error) = sandboxes(&host, &pods).await {
        // What may still run is not pulled from under it.
        tracing::warn!(%error, "orphaned sandboxes could not be removed");
        return;
    }
    for uid in directories(&host.config.data_dir.join("pods")).await {
        if !pods.knows(&uid)
            && let Err(error) = volumes::tear_down::everything(&host.pod_dir(&uid)).await
        {
            tracing::warn!(uid, %error, "an orphaned pod directory could not be removed");
        }
    }
    for name in directories(&host.config.log_dir).await {
        let path = host.config.log_dir.join(&name);
        if !pods.knows(name.rsplit('_').next().unwrap_or_default())
            && let Err(error) = tokio::fs::remove_dir_all(&path).await
        {
            tracing::warn!(path = %path.display(), %error, "orphaned logs could not be removed");
        }
    }
    let with_cgroup = host.cgroups.pods().unwrap_or_else(|error| {
        tracing::warn!(%error, "orphaned cgroups could not be looked for");
        Vec::new()
    });
    for uid in with_cgroup {
        if !pods.knows(&uid)
            && let Err(error) = host.cgroups.remove(&uid)
        {
            tracing::warn!(uid, %error, "an orphaned cgroup could not be removed");
        }
    }
}

async fn sandboxes(host: &Host, pods: &Pods) -> Result<(), Error> {
    let listed = host.runtime.list_pod_sandbox(v1::ListPodSandboxRequest { filter: None }).await?;
    let made_by = host.made_by();
    for sandbox in listed.items {
        let uid = of(&sandbox.labels, labels::POD_UID);
        if of(&sandbox.annotations, labels::MADE_BY) != made_by || pods.knows(uid) {
            continue;
        }
        tracing::info!(uid, sandbox = sandbox.id, "removing the sandbox of a pod that is gone");
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: sandbox.id.clone() };
        host.runtime.stop_pod_sandbox(request).await?;
        host.runtime.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id: sandbox.id }).await?;
    }
    Ok(())
}

fn of<'a>(map: &'a HashMap<String, String>, key: &str) -> &'a str {
    map.get(key).map_or("", String::as_str)
}

/// The names of what is in `path`; those found so far where it cannot be read to its end.
async fn directories(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    match list(path, &mut names).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "orphans could not be looked for");
        }
        // Before the first pod there is no such directory.
        Ok(()) | Err(_) => {}
    }
    names
}

async fn list(path: &Path, names: &mut Vec<String>) -> io::Result<()> {
    let mut entries = tokio::fs::read_dir(path).await?;
    while let Some(entry) = entries.next_entry().await? {
        names.extend(entry.file_name().into_string());
    }
    Ok(())
}

//! The calls about images, and the import of archives at the start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cri::{Status, v1};
use tokio::sync::watch;

use super::BuiltIn;
use crate::core::{Core, blocking};
use crate::error::Result;
use crate::images::{Credentials, Image};

pub(super) async fn list(
    runtime: &BuiltIn,
    request: v1::ListImagesRequest,
) -> Result<v1::ListImagesResponse, Status> {
    let wanted = request.filter.and_then(|filter| filter.image).map(|image| image.image).unwrap_or_default();
    let found = if wanted.is_empty() {
        let images = runtime.core.images.clone();
        blocking(move || images.list()).await?
    } else {
        find(runtime, wanted).await?.into_iter().collect()
    };
    let mut images = Vec::new();
    for image in found {
        images.push(describe(runtime, image).await?);
    }
    Ok(v1::ListImagesResponse { images })
}

pub(super) async fn status(
    runtime: &BuiltIn,
    request: v1::ImageStatusRequest,
) -> Result<v1::ImageStatusResponse, Status> {
    let name = request.image.map(|image| image.image).unwrap_or_default();
    let image = match find(runtime, name).await? {
        Some(image) => Some(describe(runtime, image).await?),
        None => None,
    };
    Ok(v1::ImageStatusResponse { image, ..v1::ImageStatusResponse::default() })
}

pub(super) async fn pull(
    runtime: &BuiltIn,
    request: v1::PullImageRequest,
) -> Result<v1::PullImageResponse, Status> {
    let name = request.image.map(|image| image.image).unwrap_or_default();
    let auth = request.auth.unwrap_or_default();
    let credentials = Credentials {
        username: auth.username,
        password: auth.password,
        auth: auth.auth,
        registry_token: auth.registry_token,
        identity_token: auth.identity_token,
    };
    Ok(v1::PullImageResponse { image_ref: runtime.puller.pull(&name, &credentials).await? })
}

pub(super) async fn remove(
    runtime: &BuiltIn,
    request: v1::RemoveImageRequest,
) -> Result<v1::RemoveImageResponse, Status> {
    let name = request.image.map(|image| image.image).unwrap_or_default();
    let images = runtime.core.images.clone();
    blocking(move || images.remove(&name)).await?;
    Ok(v1::RemoveImageResponse {})
}

/// An image by name or ID. One that is not here may be about to be imported.
async fn find(runtime: &BuiltIn, name: String) -> Result<Option<Image>> {
    let images = runtime.core.images.clone();
    let find = move || images.find(&name);
    if let Some(image) = blocking(find.clone()).await? {
        return Ok(Some(image));
    }
    let mut importing = runtime.importing.clone();
    // When the importer is gone it has ended too.
    drop(importing.wait_for(|is_importing| !is_importing).await);
    blocking(find).await
}

async fn describe(runtime: &BuiltIn, image: Image) -> Result<v1::Image> {
    let images = runtime.core.images.clone();
    blocking(move || {
        let user = images.config(&image)?.config.user;
        let user = user.split(':').next().unwrap_or_default();
        let uid = user.parse().ok().map(|value| v1::Int64Value { value });
        let username = if uid.is_some() { String::new() } else { user.to_owned() };
        let spec = v1::ImageSpec { image: image.id.clone(), ..v1::ImageSpec::default() };
        Ok(v1::Image {
            id: image.id,
            repo_tags: image.tags,
            repo_digests: image.digests,
            size: image.size,
            uid,
            username,
            spec: Some(spec),
            pinned: false,
        })
    })
    .await
}

/// Imports the archives of a directory, one after the other, beside everything else.
pub(super) fn import_all(core: &Arc<Core>, directory: Option<PathBuf>) -> watch::Receiver<bool> {
    let (importing, receiver) = watch::channel(true);
    let images = core.images.clone();
    tokio::task::spawn_blocking(move || {
        // A process that was killed in the middle of a pull could not clean up.
        if let Err(e) = images.collect_garbage() {
            tracing::warn!(error = %e, "cannot clean up the image store");
        }
        for archive in directory.iter().flat_map(|directory| archives_in(directory)) {
            if let Err(e) = images.import_once(&archive) {
                tracing::error!(archive = %archive.display(), error = %e, "cannot import images");
            }
        }
        importing.send_replace(false);
    });
    receiver
}

fn archives_in(directory: &Path) -> Vec<PathBuf> {
    let names = crate::files::names_in(directory).unwrap_or_else(|e| {
        tracing::error!(error = %e, "cannot read the import directory");
        Vec::new()
    });
    let mut archives: Vec<_> =
        names.iter().filter(|n| n.ends_with(".tar")).map(|n| directory.join(n)).collect();
    archives.sort();
    archives
}

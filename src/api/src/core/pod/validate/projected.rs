//! Projected volumes and files made of fields of the pod (upstream: `validateProjectionSources`,
//! `validateDownwardAPIVolumeFile`).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, PodSpec, ProjectedVolumeSource, ServiceAccountTokenProjection, VolumeProjection,
};
use machinery::field::{Error, ErrorList, Path};

use super::{Allowed, environment, fields, volumes};

/// Fields of the pod that a file may hold.
const FOR_FILES: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

const MIN_SECONDS: i64 = 10 * 60;
const MAX_SECONDS: i64 = 1 << 32;

pub(super) fn validate(projected: &ProjectedVolumeSource, allowed: &Allowed, path: &Path) -> ErrorList {
    let mut errors =
        ErrorList::from_iter(fields::file_mode(projected.default_mode, &path.child("defaultMode")));
    let mut paths = BTreeSet::new();
    for (index, source) in projected.sources.iter().flatten().enumerate() {
        errors.extend(validate_source(source, allowed, path, &path.child("sources").index(index)));
        for (file, owner) in files(source) {
            if !file.is_empty() && !paths.insert(file) {
                errors.push(Error::invalid(path, owner, "conflicting duplicate paths"));
            }
        }
    }
    errors
}

/// Paths of a source's files, each with what upstream shows when it is taken.
fn files(source: &VolumeProjection) -> Vec<(&str, &str)> {
    let secret = source.secret.iter().flat_map(|secret| {
        secret.items.iter().flatten().map(|item| (item.path.as_str(), secret.name.as_str()))
    });
    let config_map = source
        .config_map
        .iter()
        .flat_map(|map| map.items.iter().flatten().map(|item| (item.path.as_str(), map.name.as_str())));
    let downward = source.downward_api.iter().flat_map(|downward| {
        downward.items.iter().flatten().map(|file| (file.path.as_str(), file.path.as_str()))
    });
    secret.chain(config_map).chain(downward).collect()
}

fn validate_source(source: &VolumeProjection, allowed: &Allowed, volume: &Path, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut count = 0;
    if let Some(secret) = &source.secret {
        count += 1;
        let path = path.child("secret");
        errors.extend(secret.name.is_empty().then(|| Error::required(&path.child("name"), "")));
        errors.extend(volumes::validate_items(secret.items.as_deref(), &path));
    }
    if let Some(map) = &source.config_map {
        count += 1;
        let path = path.child("configMap");
        errors.extend(map.name.is_empty().then(|| Error::required(&path.child("name"), "")));
        errors.extend(volumes::validate_items(map.items.as_deref(), &path));
    }
    if let Some(downward) = &source.downward_api {
        count += 1;
        let path = path.child("downwardAPI");
        errors.extend(downward.items.iter().flatten().flat_map(|file| validate_file(file, &path)));
    }
    if let Some(token) = &source.service_account_token {
        count += 1;
        errors.extend(validate_token(token, allowed, volume, &path.child("serviceAccountToken")));
    }
    if count > 1 {
        errors.push(Error::forbidden(path, "may not specify more than 1 volume type per source"));
    }
    errors
}

/// Upstream reports the token's path at the volume.
fn validate_token(
    token: &ServiceAccountTokenProjection,
    allowed: &Allowed,
    volume: &Path,
    path: &Path,
) -> ErrorList {
    let seconds = token.expiration_seconds.unwrap_or_default();
    let detail = match seconds {
        ..MIN_SECONDS => Some("may not specify a duration less than 10 minutes"),
        MIN_SECONDS..=MAX_SECONDS => None,
        _ => Some("may not specify a duration larger than 2^32 seconds"),
    };
    let seconds_path = path.child("expirationSeconds");
    let mut errors =
        ErrorList::from_iter(detail.map(|detail| Error::invalid(&seconds_path, seconds, detail)));
    let path = volume.child("path");
    if token.path.is_empty() {
        errors.push(Error::required(&path, ""));
    } else if !allowed.token_paths {
        errors.extend(fields::file_path(&token.path, &path));
    }
    errors
}

/// Whether a token stands outside of its volume, as older servers took it.
pub(super) fn has_foreign_token_path(spec: &PodSpec) -> bool {
    let projected = spec.volumes.iter().flatten().filter_map(|volume| volume.projected.as_ref());
    let sources = projected.flat_map(|projected| projected.sources.iter().flatten());
    let mut tokens = sources.filter_map(|source| source.service_account_token.as_ref());
    tokens.any(|token| !fields::file_path(&token.path, &Path::root()).is_empty())
}

/// A file that holds a field of the pod or an amount of a container.
pub(super) fn validate_file(file: &DownwardAPIVolumeFile, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if file.path.is_empty() {
        errors.push(Error::required(&path.child("path"), ""));
    }
    errors.extend(fields::file_path(&file.path, &path.child("path")));
    match (&file.field_ref, &file.resource_field_ref) {
        (Some(field), resource) => {
            errors.extend(environment::validate_field(field, FOR_FILES, &path.child("fieldRef")));
            if resource.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(Error::invalid(path, "resource", detail));
            }
        }
        (None, Some(resource)) => {
            errors.extend(environment::validate_resource(resource, true, &path.child("resourceFieldRef")));
        }
        (None, None) => {
            errors.push(Error::required(path, "one of fieldRef and resourceFieldRef is required"));
        }
    }
    errors.extend(fields::file_mode(file.mode, &path.child("mode")));
    errors
}

/// A pod without a service account has nobody to give a token of.
pub(super) fn validate_no_tokens(spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        for (source_index, _) in
            sources.enumerate().filter(|(_, source)| source.service_account_token.is_some())
        {
            let path = path.index(index).child("projected.sources").index(source_index);
            let detail = "must not be specified when serviceAccountName is not set";
            errors.push(Error::forbidden(&path.child("serviceAccountToken"), detail));
        }
    }
    errors
}

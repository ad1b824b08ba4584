//! The volumes of a pod: names, exactly one source each, and the sources that clusters of this kind use (upstream:
//! `ValidateVolumes`, `validateVolumeSource`).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, DownwardAPIVolumeSource, EphemeralVolumeSource, HostPathVolumeSource,
    ImageVolumeSource, KeyToPath, SecretVolumeSource, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::{Error, ErrorList, Path};
use machinery::names;
use machinery::quantity::Quantity;

use super::volume_sources::{Source, sources};
use super::{Allowed, Of, claim_template, fields, projected};
use crate::checks::{self, text};

const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// Volumes without errors, by name.
pub(in super::super) type Known<'a> = BTreeMap<&'a str, &'a Volume>;

pub(super) fn validate<'a>(
    volumes: &'a [Volume],
    of: Of<'_>,
    allowed: &Allowed,
    path: &Path,
) -> (Known<'a>, ErrorList) {
    let created = created_claims(volumes, of);
    let mut known = Known::new();
    let mut errors = ErrorList::new();
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        let mut own = validate_source(volume, of, allowed, &path);
        own.extend(validate_name(&volume.name, &known, &path.child("name")));
        if own.is_empty() {
            known.insert(&volume.name, volume);
        }
        errors.extend(own);
        let claim = volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.as_str());
        if let Some(claim) = claim.filter(|claim| created.contains(*claim)) {
            let path = path.child("persistentVolumeClaim.claimName");
            let detail = "must not reference a PVC that gets created for an ephemeral volume";
            errors.push(Error::invalid(&path, claim, detail));
        }
    }
    (known, errors)
}

fn validate_name(name: &str, known: &Known<'_>, path: &Path) -> ErrorList {
    let mut errors =
        if name.is_empty() { vec![Error::required(path, "")] } else { checks::dns_label(name, path) };
    if known.contains_key(name) {
        errors.push(Error::duplicate(path, name));
    }
    errors
}

fn pod_name<'a>(of: Of<'a>) -> Option<&'a str> {
    match of {
        Of::Pod(ObjectMeta { name, .. }) => name.as_deref().filter(|name| !name.is_empty()),
        Of::Template => None,
    }
}

/// Names of the claims that will be made for ephemeral volumes.
fn created_claims(volumes: &[Volume], of: Of<'_>) -> BTreeSet<String> {
    let Some(pod) = pod_name(of) else { return BTreeSet::new() };
    let ephemeral = volumes.iter().filter(|volume| volume.ephemeral.is_some());
    ephemeral.map(|volume| format!("{pod}-{}", volume.name)).collect()
}

/// The first source counts; each further one is an error.
fn validate_source(volume: &Volume, of: Of<'_>, allowed: &Allowed, path: &Path) -> ErrorList {
    let mut given = sources(volume).into_iter();
    let Some((first, source)) = given.next() else {
        return vec![Error::required(path, "must specify a volume type")];
    };
    let mut errors = match source {
        Source::EmptyDir(source) => {
            let limit = source.size_limit.as_ref().and_then(|limit| Quantity::parse(&limit.0).ok());
            let path = path.child("emptyDir.sizeLimit");
            let detail = "SizeLimit field must be a valid resource quantity";
            let is_negative = limit.is_some_and(|limit| limit < Quantity::default());
            is_negative.then(|| Error::forbidden(&path, detail)).into_iter().collect()
        }
        Source::HostPath(source) => validate_host_path(source, &path.child("hostPath")),
        Source::Secret(source) => validate_secret(source, &path.child("secret")),
        Source::ConfigMap(source) => validate_config_map(source, &path.child("configMap")),
        Source::DownwardApi(source) => validate_downward(source, &path.child("downwardAPI")),
        Source::Projected(source) => projected::validate(source, allowed, &path.child("projected")),
        Source::Ephemeral(source) => validate_ephemeral(source, &volume.name, of, path),
        Source::Image(source) => validate_image(source, of, &path.child("image")),
        Source::Other(check) => check(path),
    };
    let long_target = |name: &str| long_iscsi_target(volume, path).filter(|_| name == "iscsi");
    errors.extend(long_target(first));
    for (name, _) in given {
        errors.push(Error::forbidden(&path.child(name), "may not specify more than 1 volume type"));
        errors.extend(long_target(name));
    }
    errors
}

/// With a name of its own for the initiator, the volume's name and the portal go into one name that is limited.
fn long_iscsi_target(volume: &Volume, path: &Path) -> Option<Error> {
    const MAX: usize = 64;
    let iscsi = volume.iscsi.as_ref().filter(|iscsi| iscsi.initiator_name.is_some())?;
    let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
    let is_long = volume.name.len() + 1 + iscsi.target_portal.len() > MAX;
    is_long.then(|| Error::invalid(&path.child("name"), volume.name.as_str(), detail))
}

fn validate_host_path(source: &HostPathVolumeSource, path: &Path) -> ErrorList {
    if source.path.is_empty() {
        return vec![Error::required(&path.child("path"), "")];
    }
    let mut errors = checks::no_backsteps(&source.path, &path.child("path"));
    if let Some(type_) = &source.type_ {
        errors.extend(checks::supported_only(type_, HOST_PATH_TYPES, &path.child("type")));
    }
    errors
}

fn validate_secret(source: &SecretVolumeSource, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if text(&source.secret_name).is_empty() {
        errors.push(Error::required(&path.child("secretName"), ""));
    }
    errors.extend(fields::file_mode(source.default_mode, &path.child("defaultMode")));
    errors.extend(validate_items(source.items.as_deref(), path));
    errors
}

fn validate_config_map(source: &ConfigMapVolumeSource, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if source.name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    errors.extend(fields::file_mode(source.default_mode, &path.child("defaultMode")));
    errors.extend(validate_items(source.items.as_deref(), path));
    errors
}

/// Which keys become which files.
pub(super) fn validate_items(items: Option<&[KeyToPath]>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let path = path.child("items").index(index);
        if item.key.is_empty() {
            errors.push(Error::required(&path.child("key"), ""));
        }
        if item.path.is_empty() {
            errors.push(Error::required(&path.child("path"), ""));
        }
        errors.extend(fields::file_path(&item.path, &path.child("path")));
        errors.extend(fields::file_mode(item.mode, &path.child("mode")));
    }
    errors
}

fn validate_downward(source: &DownwardAPIVolumeSource, path: &Path) -> ErrorList {
    let mut errors = ErrorList::from_iter(fields::file_mode(source.default_mode, &path.child("defaultMode")));
    for file in source.items.iter().flatten() {
        errors.extend(projected::validate_file(file, path));
    }
    errors
}

/// A claim is made for the volume, under a name that the pod's and the volume's make together.
fn validate_ephemeral(source: &EphemeralVolumeSource, name: &str, of: Of<'_>, path: &Path) -> ErrorList {
    let template_path = path.child("ephemeral.volumeClaimTemplate");
    let mut errors = match &source.volume_claim_template {
        Some(template) => claim_template::validate(template, &template_path),
        None => vec![Error::required(&template_path, "")],
    };
    if let Some(pod) = pod_name(of).filter(|_| !name.is_empty()) {
        let claim = format!("{pod}-{name}");
        let messages = names::dns1123_subdomain(&claim).into_iter();
        let messages = messages.map(|message| format!("PVC name \"{claim}\": {message}")).collect();
        errors.extend(checks::each(&path.child("name"), name, messages));
    }
    errors
}

fn validate_image(source: &ImageVolumeSource, of: Of<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if matches!(of, Of::Pod(_)) && text(&source.reference).is_empty() {
        errors.push(Error::required(&path.child("reference"), ""));
    }
    let policies = &["Always", "IfNotPresent", "Never"];
    errors.extend(checks::one_of(source.pull_policy.as_deref(), policies, &path.child("pullPolicy")));
    errors
}

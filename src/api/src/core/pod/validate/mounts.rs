//! Where volumes are mounted in a container, and block devices (upstream: `ValidateVolumeMounts`,
//! `ValidateVolumeDevices`).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, VolumeDevice, VolumeMount};
use machinery::field::{Error, ErrorList, Path};

use super::volumes::Known;
use crate::checks::{self, text};

const PROPAGATIONS: &[&str] = &["Bidirectional", "HostToContainer", "None"];

pub(super) fn validate(container: &Container, volumes: &Known<'_>, path: &Path) -> ErrorList {
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    let devices = container.volume_devices.as_deref().unwrap_or_default();
    let mut errors = ErrorList::new();
    let mut paths = BTreeSet::new();
    for (index, mount) in mounts.iter().enumerate() {
        let list = path.child("volumeMounts");
        let path = list.index(index);
        errors.extend(validate_place(mount, volumes, &path));
        if !paths.insert(mount.mount_path.as_str()) {
            errors.push(Error::invalid(
                &path.child("mountPath"),
                mount.mount_path.as_str(),
                "must be unique",
            ));
        }
        if devices.iter().any(|device| device.name == mount.name) {
            let detail = "must not already exist in volumeDevices";
            errors.push(Error::invalid(&path.child("name"), mount.name.as_str(), detail));
        }
        if devices.iter().any(|device| device.device_path == mount.mount_path) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.push(Error::invalid(&path.child("mountPath"), mount.mount_path.as_str(), detail));
        }
        errors.extend(validate_sub_path(mount, &list, &path));
        errors.extend(validate_propagation(mount, container, &list));
    }
    errors.extend(validate_devices(devices, mounts, volumes, &path.child("volumeDevices")));
    errors
}

fn validate_place(mount: &VolumeMount, volumes: &Known<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let name = mount.name.as_str();
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    if !volumes.contains_key(name) {
        errors.push(Error::not_found(&path.child("name"), name));
    }
    if mount.mount_path.is_empty() {
        errors.push(Error::required(&path.child("mountPath"), ""));
    }
    errors
}

/// Upstream reports sub-paths and propagation at the list, not at the mount.
fn validate_sub_path(mount: &VolumeMount, list: &Path, path: &Path) -> ErrorList {
    let (plain, expression) = (text(&mount.sub_path), text(&mount.sub_path_expr));
    let mut errors = ErrorList::new();
    if !plain.is_empty() {
        errors.extend(checks::descending_path(plain, &list.child("subPath")));
    }
    if !expression.is_empty() {
        if !plain.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.push(Error::invalid(&path.child("subPathExpr"), expression, detail));
        }
        errors.extend(checks::descending_path(expression, &list.child("subPathExpr")));
    }
    errors
}

fn validate_propagation(mount: &VolumeMount, container: &Container, list: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = list.child("mountPropagation");
    if let Some(propagation) = &mount.mount_propagation {
        errors.extend(checks::supported_only(propagation, PROPAGATIONS, &path));
        let context = container.security_context.as_ref();
        let is_privileged = context.and_then(|context| context.privileged) == Some(true);
        if propagation == "Bidirectional" && !is_privileged {
            let detail = "Bidirectional mount propagation is available only to privileged containers";
            errors.push(Error::forbidden(&path, detail));
        }
    }
    let path = list.child("recursiveReadOnly");
    match mount.recursive_read_only.as_deref() {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if mount.read_only != Some(true) {
                errors.push(Error::forbidden(&path, "may only be specified when readOnly is true"));
            }
            if mount.mount_propagation.as_deref().is_some_and(|propagation| propagation != "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.push(Error::forbidden(&path, detail));
            }
        }
        Some(other) => {
            errors.push(Error::not_supported(&path, other, &["Disabled", "Enabled", "IfPossible"]));
        }
    }
    errors
}

fn validate_devices(
    devices: &[VolumeDevice],
    mounts: &[VolumeMount],
    volumes: &Known<'_>,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, device) in devices.iter().enumerate() {
        let (name_path, path_path) = (path.index(index).child("name"), path.index(index).child("devicePath"));
        let (name, place, before) = (device.name.as_str(), device.device_path.as_str(), &devices[..index]);
        let has_backsteps = |place: &str| !checks::no_backsteps(place, &path_path).is_empty();
        errors.extend(validate_device_name(name, before, volumes, &name_path));
        if place.is_empty() {
            errors.push(Error::required(&path_path, ""));
        }
        let wrong_place = |detail: &str| Error::invalid(&path_path, place, detail);
        if before.iter().any(|other| other.device_path == place && !has_backsteps(place)) {
            errors.push(wrong_place("must be unique"));
        }
        if has_backsteps(place) {
            errors.push(wrong_place("can not contain backsteps ('..')"));
        }
        if mounts.iter().any(|mount| mount.name == name) {
            errors.push(Error::invalid(&name_path, name, "must not already exist in volumeMounts"));
        }
        if mounts.iter().any(|mount| mount.mount_path == place) {
            errors.push(wrong_place("must not already exist as a path in volumeMounts"));
        }
    }
    errors
}

fn validate_device_name(name: &str, before: &[VolumeDevice], volumes: &Known<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if name.is_empty() {
        errors.push(Error::required(path, ""));
    } else if before.iter().any(|other| other.name == name) {
        errors.push(Error::invalid(path, name, "must be unique"));
    }
    match volumes.get(name) {
        Some(volume) if volume.persistent_volume_claim.is_none() && volume.ephemeral.is_none() => {
            let detail =
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
            errors.push(Error::invalid(path, name, detail));
        }
        Some(_) => {}
        None => errors.push(Error::not_found(path, name)),
    }
    errors
}

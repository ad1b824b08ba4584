//! Environment variables and where their values come from (upstream: `ValidateEnv`, `ValidateEnvFrom`).

use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, EnvVar, EnvVarSource, FileKeySelector, ObjectFieldSelector, PodSpec,
    ResourceFieldSelector,
};
use machinery::field::{Error, ErrorList, Path};
use machinery::names;
use machinery::quantity::Quantity;

use super::fields;
use crate::checks::{self, text};

/// Fields of the pod that a variable may hold.
const FOR_VARIABLES: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields of the pod that can be referred to at all.
const KNOWN: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

const BYTES: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

const ONE_SOURCE: &str =
    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";

pub(super) fn validate(container: &Container, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, variable) in container.env.iter().flatten().enumerate() {
        errors.extend(validate_variable(variable, &path.child("env").index(index)));
    }
    let path = path.child("envFrom");
    for (index, source) in container.env_from.iter().flatten().enumerate() {
        errors.extend(validate_from(source, &path, index));
    }
    errors
}

fn validate_variable(variable: &EnvVar, path: &Path) -> ErrorList {
    let name = path.child("name");
    let mut errors = ErrorList::new();
    if variable.name.is_empty() {
        errors.push(Error::required(&name, ""));
    } else {
        errors.extend(fields::env_name(&variable.name, &name));
    }
    if let Some(source) = &variable.value_from {
        errors.extend(validate_source(source, text(&variable.value), &path.child("valueFrom")));
    }
    errors
}

fn validate_source(source: &EnvVarSource, value: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut count = 0;
    let mut found = |more: ErrorList| {
        count += 1;
        errors.extend(more);
    };
    if let Some(field) = &source.field_ref {
        found(validate_field(field, FOR_VARIABLES, &path.child("fieldRef")));
    }
    if let Some(resource) = &source.resource_field_ref {
        found(validate_resource(resource, false, &path.child("resourceFieldRef")));
    }
    if let Some(key) = &source.config_map_key_ref {
        found(validate_key(&key.name, &key.key, &path.child("configMapKeyRef")));
    }
    if let Some(key) = &source.secret_key_ref {
        found(validate_key(&key.name, &key.key, &path.child("secretKeyRef")));
    }
    if let Some(key) = &source.file_key_ref {
        found(validate_file_key(key, &path.child("fileKeyRef")));
    }
    let detail = match count {
        0 => ONE_SOURCE,
        _ if !value.is_empty() => "may not be specified when `value` is not empty",
        1 => return errors,
        _ => "may not have more than one field specified at a time",
    };
    errors.push(Error::invalid(path, "", detail));
    errors
}

/// A reference to a field of the pod; labels and annotations are chosen by `['key']`.
pub(super) fn validate_field(field: &ObjectFieldSelector, allowed: &[&str], path: &Path) -> ErrorList {
    if text(&field.api_version).is_empty() {
        return vec![Error::required(&path.child("apiVersion"), "")];
    }
    if field.field_path.is_empty() {
        return vec![Error::required(&path.child("fieldPath"), "")];
    }
    let field_path = path.child("fieldPath");
    if text(&field.api_version) != "v1" {
        let version = text(&field.api_version);
        let detail = format!("error converting fieldPath: unsupported pod version: {version}");
        return vec![Error::invalid(&field_path, field.field_path.as_str(), detail)];
    }
    if let Some((name, key)) = subscript(&field.field_path) {
        return match name {
            "metadata.annotations" => checks::qualified_name(&key.to_lowercase(), path),
            "metadata.labels" => checks::qualified_name(key, path),
            _ => {
                let detail = "error converting fieldPath: field label does not support subscript";
                vec![Error::invalid(&field_path, field.field_path.as_str(), detail)]
            }
        };
    }
    let name = field.field_path.as_str();
    if !KNOWN.contains(&name) {
        let detail = format!("error converting fieldPath: field label not supported: {name}");
        return vec![Error::invalid(&field_path, name, detail)];
    }
    checks::supported_only(name, allowed, &field_path)
}

/// Splits `path['key']`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (name, key) = path.strip_suffix("']")?.split_once("['")?;
    (!name.is_empty()).then_some((name, key))
}

/// A reference to a container's requests or limits.
pub(super) fn validate_resource(field: &ResourceFieldSelector, in_volume: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let name = field.resource.as_str();
    let is_huge_page = is_huge_page(name);
    if in_volume && text(&field.container_name).is_empty() {
        errors.push(Error::required(&path.child("containerName"), ""));
    } else if name.is_empty() {
        errors.push(Error::required(&path.child("resource"), ""));
    } else if !is_huge_page {
        let wrong = checks::supported_only(name, RESOURCES, &path.child("resource"));
        errors.extend(wrong.into_iter().map(Error::plain));
    }
    let divisor = field.divisor.as_ref().and_then(|divisor| Quantity::parse(&divisor.0).ok());
    errors.extend(divisor.and_then(|divisor| validate_divisor(name, &divisor, &path.child("divisor"))));
    errors
}

fn is_huge_page(name: &str) -> bool {
    name.starts_with("requests.hugepages-") || name.starts_with("limits.hugepages-")
}

fn validate_divisor(name: &str, divisor: &Quantity, path: &Path) -> Option<Error> {
    let (supported, shown, what) = match name.split_once('.').map_or(name, |(_, resource)| resource) {
        "cpu" => (&["1m", "1"][..], "1m and 1", "cpu"),
        "memory" => (BYTES, "", "memory"),
        "ephemeral-storage" => (BYTES, "", "local ephemeral storage"),
        _ if is_huge_page(name) => (BYTES, "", "hugepages"),
        _ => return None,
    };
    let shown = if shown.is_empty() { BYTES.join(", ") } else { shown.to_owned() };
    let is_supported = divisor.is_zero() || supported.contains(&divisor.to_string().as_str());
    let detail = format!("only divisor's values {shown} are supported with the {what} resource");
    (!is_supported).then(|| Error::invalid(path, name, detail))
}

fn validate_key(object: &str, key: &str, path: &Path) -> ErrorList {
    let mut errors = checks::reference(object, &path.child("name"));
    let path = path.child("key");
    if key.is_empty() {
        errors.push(Error::required(&path, ""));
    } else {
        errors.extend(checks::each(&path, key, names::config_map_key(key)));
    }
    errors
}

fn validate_file_key(file: &FileKeySelector, path: &Path) -> ErrorList {
    let or_required = |value: &str, name: &str, check: fn(&str, &Path) -> ErrorList| {
        let path = path.child(name);
        if value.is_empty() { vec![Error::required(&path, "")] } else { check(value, &path) }
    };
    let mut errors = or_required(&file.key, "key", fields::env_name);
    errors.extend(or_required(&file.volume_name, "volumeName", checks::dns_label));
    errors.extend(or_required(&file.path, "path", checks::no_backsteps));
    errors
}

/// Files of variables stand in an emptyDir of the pod.
pub(super) fn validate_file_volumes(spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (container, path) in super::containers_with_paths(spec, path) {
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let file = variable.value_from.as_ref().and_then(|source| source.file_key_ref.as_ref());
            let Some(name) = file.map(|file| file.volume_name.as_str()) else { continue };
            let path = path.child("env").index(index).child("valueFrom.fileKeyRef.volumeName");
            match spec.volumes.iter().flatten().rfind(|volume| volume.name == name) {
                None => errors.push(Error::not_found(&path, name)),
                Some(volume) if volume.empty_dir.is_none() => {
                    let detail = "referenced volume must be of type emptyDir";
                    errors.push(Error::invalid(&path, name, detail));
                }
                Some(_) => {}
            }
        }
    }
    errors
}

fn validate_from(source: &EnvFromSource, list: &Path, index: usize) -> ErrorList {
    let path = list.index(index);
    let prefix = text(&source.prefix);
    let mut errors = ErrorList::new();
    if !prefix.is_empty() {
        errors.extend(fields::env_name(prefix, &path.child("prefix")));
    }
    if let Some(map) = &source.config_map_ref {
        errors.extend(checks::required_reference(&map.name, &path.child("configMapRef.name")));
    }
    if let Some(secret) = &source.secret_ref {
        errors.extend(checks::required_reference(&secret.name, &path.child("secretRef.name")));
    }
    match (&source.config_map_ref, &source.secret_ref) {
        (None, None) => {
            let detail = "must specify one of: `configMapRef` or `secretRef`";
            errors.push(Error::invalid(list, "", detail));
        }
        (Some(_), Some(_)) => {
            let detail = "may not have more than one field specified at a time";
            errors.push(Error::invalid(list, "", detail));
        }
        _ => {}
    }
    errors
}

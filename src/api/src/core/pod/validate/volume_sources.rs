//! The sources that a volume may have, in upstream's order, and the checks of those that stand for storage outside the
//! cluster. Whether a source can be mounted is the kubelet's to say.

use k8s_openapi::api::core::v1 as core;
use machinery::field::{Error, ErrorList, Path};
use machinery::names;

use crate::checks::{self, text};

/// One source of a volume.
pub(super) enum Source<'a> {
    EmptyDir(&'a core::EmptyDirVolumeSource),
    HostPath(&'a core::HostPathVolumeSource),
    Secret(&'a core::SecretVolumeSource),
    ConfigMap(&'a core::ConfigMapVolumeSource),
    DownwardApi(&'a core::DownwardAPIVolumeSource),
    Projected(&'a core::ProjectedVolumeSource),
    Ephemeral(&'a core::EphemeralVolumeSource),
    Image(&'a core::ImageVolumeSource),
    /// Storage from outside, with its check, which is given the volume's path.
    Other(Box<dyn Fn(&Path) -> ErrorList + 'a>),
}

/// The sources that a volume has, each with the name under which upstream refuses it as one too many.
pub(super) fn sources(volume: &core::Volume) -> Vec<(&'static str, Source<'_>)> {
    let mut found = vec![];
    macro_rules! look {
        ($field:ident, $name:literal, $kind:expr) => {
            found.extend(volume.$field.as_ref().map(|source| ($name, $kind(source))));
        };
    }
    macro_rules! other {
        ($field:ident, $name:literal, $check:expr) => {
            found.extend(volume.$field.as_ref().map(|source| {
                let check = move |path: &Path| $check(source, path);
                ($name, Source::Other(Box::new(check)))
            }));
        };
    }
    look!(empty_dir, "emptyDir", Source::EmptyDir);
    look!(host_path, "hostPath", Source::HostPath);
    other!(git_repo, "gitRepo", git_repo);
    other!(gce_persistent_disk, "gcePersistentDisk", gce_persistent_disk);
    other!(aws_elastic_block_store, "awsElasticBlockStore", aws_elastic_block_store);
    look!(secret, "secret", Source::Secret);
    other!(nfs, "nfs", nfs);
    other!(iscsi, "iscsi", iscsi);
    other!(glusterfs, "glusterfs", glusterfs);
    other!(flocker, "flocker", flocker);
    other!(persistent_volume_claim, "persistentVolumeClaim", persistent_volume_claim);
    other!(rbd, "rbd", rbd);
    other!(cinder, "cinder", cinder);
    other!(cephfs, "cephFS", cephfs);
    other!(quobyte, "quobyte", quobyte);
    look!(downward_api, "downwarAPI", Source::DownwardApi);
    other!(fc, "fc", fibre_channel);
    other!(flex_volume, "flexVolume", flex_volume);
    look!(config_map, "configMap", Source::ConfigMap);
    other!(azure_file, "azureFile", azure_file);
    other!(vsphere_volume, "vsphereVolume", vsphere_volume);
    other!(photon_persistent_disk, "photonPersistentDisk", photon_persistent_disk);
    other!(portworx_volume, "portworxVolume", portworx_volume);
    other!(azure_disk, "azureDisk", azure_disk);
    other!(storageos, "storageos", storage_os);
    look!(projected, "projected", Source::Projected);
    other!(scale_io, "scaleIO", scale_io);
    other!(csi, "csi", csi);
    look!(ephemeral, "ephemeral", Source::Ephemeral);
    look!(image, "image", Source::Image);
    found
}

/// An error for each value that is empty.
fn required(values: &[(&str, &str)], path: &Path) -> ErrorList {
    let empty = values.iter().filter(|(value, _)| value.is_empty());
    empty.map(|(_, name)| Error::required(&path.child(name), "")).collect()
}

fn required_list(list: &[String], path: &Path) -> Option<Error> {
    list.is_empty().then(|| Error::required(path, ""))
}

fn in_range(value: i32, path: &Path) -> ErrorList {
    checks::each(path, value, names::in_range(value.into(), 0, 255))
}

fn git_repo(source: &core::GitRepoVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("gitRepo");
    let mut errors = required(&[(&source.repository, "repository")], &path);
    errors.extend(checks::descending_path(text(&source.directory), &path.child("directory")));
    errors
}

/// Zero is taken as well, though upstream does not say so.
fn partition(number: i32, path: &Path) -> Option<Error> {
    (!(0..=255).contains(&number)).then(|| Error::invalid(path, number, names::inclusive_range(1, 255)))
}

fn gce_persistent_disk(source: &core::GCEPersistentDiskVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("persistentDisk");
    let mut errors = required(&[(&source.pd_name, "pdName")], &path);
    errors.extend(partition(source.partition.unwrap_or(0), &path.child("partition")));
    errors
}

fn aws_elastic_block_store(source: &core::AWSElasticBlockStoreVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("awsElasticBlockStore");
    let mut errors = required(&[(&source.volume_id, "volumeID")], &path);
    errors.extend(partition(source.partition.unwrap_or(0), &path.child("partition")));
    errors
}

fn nfs(source: &core::NFSVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("nfs");
    let mut errors = required(&[(&source.server, "server"), (&source.path, "path")], &path);
    if !source.path.starts_with('/') {
        errors.push(Error::invalid(&path.child("path"), source.path.as_str(), "must be an absolute path"));
    }
    errors
}

fn iscsi(source: &core::ISCSIVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("iscsi");
    let mut errors = required(&[(&source.target_portal, "targetPortal"), (&source.iqn, "iqn")], &path);
    if !source.iqn.is_empty() {
        errors.extend(iscsi_name(&source.iqn, &path.child("iqn")));
    }
    errors.extend(in_range(source.lun, &path.child("lun")));
    let uses_chap = source.chap_auth_discovery == Some(true) || source.chap_auth_session == Some(true);
    if uses_chap && source.secret_ref.is_none() {
        errors.push(Error::required(&path.child("secretRef"), ""));
    }
    if let Some(name) = &source.initiator_name {
        errors.extend(iscsi_name(name, &path.child("initiatorname")));
    }
    errors
}

/// A name of iSCSI, in one of its three forms.
fn iscsi_name(name: &str, path: &Path) -> Option<Error> {
    let is_of_length = |rest: &str, length| {
        let mut chars = rest.chars();
        chars.next().is_some_and(|separator| separator != '\n')
            && chars.as_str().len() == length
            && chars.all(|c| c.is_ascii_alphanumeric())
    };
    let is_formed = match name.get(..3) {
        Some("iqn") => name.match_indices("iqn.").any(|(place, _)| is_qualified(&name[place + 4..])),
        Some("eui") => is_of_length(&name[3..], 16),
        Some("naa") => is_of_length(&name[3..], 32),
        _ => {
            let detail = "must be valid format starting with iqn, eui, or naa";
            return Some(Error::invalid(path, name, detail));
        }
    };
    (!is_formed).then(|| Error::invalid(path, name, "must be valid format"))
}

/// What follows `iqn.`: `2001-04.com.example:disk`.
fn is_qualified(rest: &str) -> bool {
    let is_date = |date: &str| {
        date.bytes()
            .enumerate()
            .all(|(place, byte)| if place == 4 { byte == b'-' } else { byte.is_ascii_digit() })
    };
    let Some((_, rest)) = rest.split_at_checked(7).filter(|(date, _)| is_date(date)) else { return false };
    let Some((domain, name)) = rest.strip_prefix('.').and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    let is_name =
        |c: char| !matches!(c, ',' | '^' | ';' | '*' | '&' | '$' | '|' | ' ' | '\t' | '\n' | '\x0c' | '\r');
    let is_domain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    !domain.is_empty() && domain.chars().all(is_domain) && !name.is_empty() && name.chars().all(is_name)
}

fn glusterfs(source: &core::GlusterfsVolumeSource, path: &Path) -> ErrorList {
    required(&[(&source.endpoints, "endpoints"), (&source.path, "path")], &path.child("glusterfs"))
}

fn flocker(source: &core::FlockerVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("flocker");
    let (name, uuid) = (text(&source.dataset_name), text(&source.dataset_uuid));
    let mut errors = ErrorList::new();
    match (name.is_empty(), uuid.is_empty()) {
        (true, true) => errors.push(Error::required(&path, "one of datasetName and datasetUUID is required")),
        (false, false) => {
            let detail = "datasetName and datasetUUID can not be specified simultaneously";
            errors.push(Error::invalid(&path, "resource", detail));
        }
        _ => {}
    }
    if name.contains('/') {
        errors.push(Error::invalid(&path.child("datasetName"), name, "must not contain '/'"));
    }
    errors
}

fn persistent_volume_claim(source: &core::PersistentVolumeClaimVolumeSource, path: &Path) -> ErrorList {
    required(&[(&source.claim_name, "claimName")], &path.child("persistentVolumeClaim"))
}

fn rbd(source: &core::RBDVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("rbd");
    let mut errors = ErrorList::from_iter(required_list(&source.monitors, &path.child("monitors")));
    errors.extend(required(&[(&source.image, "image")], &path));
    errors
}

fn cinder(source: &core::CinderVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("cinder");
    let mut errors = required(&[(&source.volume_id, "volumeID")], &path);
    if let Some(secret) = &source.secret_ref {
        errors.extend(required(&[(&secret.name, "name")], &path.child("secretRef")));
    }
    errors
}

fn cephfs(source: &core::CephFSVolumeSource, path: &Path) -> ErrorList {
    required_list(&source.monitors, &path.child("cephfs.monitors")).into_iter().collect()
}

fn quobyte(source: &core::QuobyteVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("quobyte");
    let detail = "must be a host:port pair or multiple pairs separated by commas";
    let mut errors = ErrorList::new();
    if source.registry.is_empty() {
        errors.push(Error::required(&path.child("registry"), detail));
    } else if text(&source.tenant).len() >= 65 {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        errors.push(Error::required(&path.child("tenant"), detail));
    } else {
        let wrong = source.registry.split(',').filter(|pair| !pair.contains(':'));
        let error = |_| Error::invalid(&path.child("registry"), source.registry.as_str(), detail);
        errors.extend(wrong.map(error));
    }
    errors.extend(required(&[(&source.volume, "volume")], &path));
    errors
}

fn fibre_channel(source: &core::FCVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("fc");
    let names_path = path.child("targetWWNs");
    let names = source.target_wwns.as_deref().unwrap_or_default();
    let has_ids = source.wwids.as_ref().is_some_and(|ids| !ids.is_empty());
    let mut errors = ErrorList::new();
    match (names.is_empty(), has_ids) {
        (true, false) => {
            let detail = "must specify either targetWWNs or wwids, but not both";
            errors.push(Error::required(&names_path, detail));
        }
        (false, true) => {
            let detail = "targetWWNs and wwids can not be specified simultaneously";
            errors.push(Error::invalid(&names_path, names, detail));
        }
        _ => {}
    }
    let lun = path.child("lun");
    match source.lun {
        _ if names.is_empty() => {}
        Some(number) => errors.extend(in_range(number, &lun)),
        None => errors.push(Error::required(&lun, "lun is required if targetWWNs is specified")),
    }
    errors
}

fn flex_volume(source: &core::FlexVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("flexVolume");
    let mut errors = required(&[(&source.driver, "driver")], &path);
    for key in source.options.iter().flatten().map(|(key, _)| key.as_str()) {
        let namespace = key.split_once('/').map_or(key, |(namespace, _)| namespace);
        let dotted = format!(".{}", namespace.to_lowercase());
        if dotted.ends_with(".kubernetes.io") || dotted.ends_with(".k8s.io") {
            let detail = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(Error::invalid(&path.child("options").key(key), key, detail));
        }
    }
    errors
}

fn azure_file(source: &core::AzureFileVolumeSource, path: &Path) -> ErrorList {
    let values = [(source.secret_name.as_str(), "secretName"), (source.share_name.as_str(), "shareName")];
    required(&values, &path.child("azureFile"))
}

fn vsphere_volume(source: &core::VsphereVirtualDiskVolumeSource, path: &Path) -> ErrorList {
    required(&[(&source.volume_path, "volumePath")], &path.child("vsphereVolume"))
}

fn photon_persistent_disk(source: &core::PhotonPersistentDiskVolumeSource, path: &Path) -> ErrorList {
    required(&[(&source.pd_id, "pdID")], &path.child("photonPersistentDisk"))
}

fn portworx_volume(source: &core::PortworxVolumeSource, path: &Path) -> ErrorList {
    required(&[(&source.volume_id, "volumeID")], &path.child("portworxVolume"))
}

fn azure_disk(source: &core::AzureDiskVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("azureDisk");
    let mut errors = required(&[(&source.disk_name, "diskName"), (&source.disk_uri, "diskURI")], &path);
    if let Some(mode) = &source.caching_mode {
        let modes = &["None", "ReadOnly", "ReadWrite"];
        errors.extend(checks::supported_only(mode, modes, &path.child("cachingMode")));
    }
    let Some(kind) = &source.kind else { return errors };
    errors.extend(checks::supported_only(kind, &["Dedicated", "Managed", "Shared"], &path.child("kind")));
    let (prefix, example) = if kind == "Managed" {
        (
            "/subscriptions/",
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
        )
    } else {
        ("https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd")
    };
    if !source.disk_uri.starts_with(prefix) {
        errors.push(Error::not_supported(&path.child("diskURI"), source.disk_uri.as_str(), &[example]));
    }
    errors
}

fn storage_os(source: &core::StorageOSVolumeSource, path: &Path) -> ErrorList {
    let path = path.child("storageos");
    let name = text(&source.volume_name);
    let mut errors = required(&[(name, "volumeName")], &path);
    if !name.is_empty() {
        errors.extend(checks::dns_label(name, &path.child("volumeName")));
    }
    let namespace = text(&source.volume_namespace);
    if !namespace.is_empty() {
        errors.extend(checks::dns_label(namespace, &path.child("volumeNamespace")));
    }
    if let Some(secret) = &source.secret_ref {
        errors.extend(required(&[(&secret.name, "name")], &path.child("secretRef")));
    }
    errors
}

fn scale_io(source: &core::ScaleIOVolumeSource, path: &Path) -> ErrorList {
    let values = [
        (source.gateway.as_str(), "gateway"),
        (source.system.as_str(), "system"),
        (text(&source.volume_name), "volumeName"),
    ];
    required(&values, &path.child("scaleIO"))
}

fn csi(source: &core::CSIVolumeSource, path: &Path) -> ErrorList {
    let driver = path.child("csi.driver");
    let name = source.driver.as_str();
    let path = path.child("csi");
    let mut errors = required(&[(name, "driver")], &path);
    if name.len() > 63 {
        errors.push(Error::too_long(&driver, 63));
    }
    if !name.is_empty() {
        errors.extend(checks::each(&driver, name, names::dns1123_subdomain(&name.to_lowercase())));
    }
    if let Some(secret) = &source.node_publish_secret_ref {
        // Upstream names the field only where it is empty.
        let (given, absent) = (path.child("name"), path.child("nodePublishSecretRef.name"));
        let at = if secret.name.is_empty() { absent } else { given };
        errors.extend(checks::required_reference(&secret.name, &at));
    }
    errors
}

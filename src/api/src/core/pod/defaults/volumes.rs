//! Defaulting of volumes: a volume without a source is an emptyDir, files are readable by all.

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, ProjectedVolumeSource, Volume};

use super::containers::pull_policy;
use crate::core::resources;
use crate::defaults;

const FILE_MODE: i32 = 0o644;

pub(super) fn set_defaults(volumes: &mut [Volume]) {
    volumes.iter_mut().for_each(set_volume);
}

fn set_volume(volume: &mut Volume) {
    if has_no_source(volume) {
        volume.empty_dir = Some(Default::default());
    }
    if let Some(host_path) = &mut volume.host_path {
        host_path.type_.get_or_insert_default();
    }
    if let Some(secret) = &mut volume.secret {
        secret.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(config_map) = &mut volume.config_map {
        config_map.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(downward) = &mut volume.downward_api {
        downward.default_mode.get_or_insert(FILE_MODE);
        downward.items.iter_mut().flatten().for_each(set_file);
    }
    if let Some(projected) = &mut volume.projected {
        set_projected(projected);
    }
    if let Some(image) = &mut volume.image {
        let policy = pull_policy(image.reference.as_deref().unwrap_or_default());
        defaults::string(&mut image.pull_policy, policy);
    }
    if let Some(claim) = volume.ephemeral.as_mut().and_then(|source| source.volume_claim_template.as_mut()) {
        claim.spec.volume_mode.get_or_insert_with(|| "Filesystem".to_owned());
        let resources = claim.spec.resources.iter_mut();
        let amounts = resources.flat_map(|resources| [&mut resources.limits, &mut resources.requests]);
        amounts.flatten().for_each(resources::round_up);
    }
    set_network_volume(volume);
}

fn has_no_source(volume: &Volume) -> bool {
    let name = volume.name.clone();
    *volume == Volume { name, ..Default::default() }
}

fn set_projected(projected: &mut ProjectedVolumeSource) {
    projected.default_mode.get_or_insert(FILE_MODE);
    for source in projected.sources.iter_mut().flatten() {
        if let Some(downward) = &mut source.downward_api {
            downward.items.iter_mut().flatten().for_each(set_file);
        }
        if let Some(token) = &mut source.service_account_token {
            token.expiration_seconds.get_or_insert(60 * 60);
        }
    }
}

fn set_file(file: &mut DownwardAPIVolumeFile) {
    if let Some(field) = &mut file.field_ref {
        defaults::string(&mut field.api_version, "v1");
    }
}

fn set_network_volume(volume: &mut Volume) {
    if let Some(iscsi) = &mut volume.iscsi {
        defaults::string(&mut iscsi.iscsi_interface, "default");
    }
    if let Some(rbd) = &mut volume.rbd {
        defaults::string(&mut rbd.pool, "rbd");
        defaults::string(&mut rbd.user, "admin");
        defaults::string(&mut rbd.keyring, "/etc/ceph/keyring");
    }
    if let Some(disk) = &mut volume.azure_disk {
        disk.caching_mode.get_or_insert_with(|| "ReadWrite".to_owned());
        disk.fs_type.get_or_insert_with(|| "ext4".to_owned());
        disk.read_only.get_or_insert(false);
        disk.kind.get_or_insert_with(|| "Shared".to_owned());
    }
    if let Some(scale_io) = &mut volume.scale_io {
        defaults::string(&mut scale_io.storage_mode, "ThinProvisioned");
        defaults::string(&mut scale_io.fs_type, "xfs");
    }
}

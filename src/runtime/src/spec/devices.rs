//! Device files in a container, and what it may do with which devices.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use cri::v1;
use serde_json::{Value, json};

use crate::error::{At, Error, Result};

/// Not a container's business even when it gets all devices: these are its own file systems and terminals.
const OWN: [&str; 5] = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console"];

/// The device files beside the ones that every container has, and the rules for all.
pub(super) fn make(config: &v1::ContainerConfig, is_privileged: bool) -> Result<(Vec<Value>, Vec<Value>)> {
    if is_privileged {
        let mut devices = Vec::new();
        collect(Path::new("/dev"), Path::new("/dev"), &mut devices)?;
        return Ok((
            devices.into_iter().map(|d| d.file).collect(),
            vec![json!({"allow": true, "access": "rwm"})],
        ));
    }
    let mut devices = Vec::new();
    for device in &config.devices {
        let (host, inside) = (Path::new(&device.host_path), Path::new(&device.container_path));
        let start = devices.len();
        collect(host, inside, &mut devices)?;
        if devices.len() == start {
            return Err(Error::Invalid(format!("{} is not a device", device.host_path)));
        }
        devices[start..].iter_mut().for_each(|found| found.rule["access"] = json!(device.permissions));
    }
    let mut rules = vec![json!({"allow": false, "access": "rwm"})];
    rules.extend(devices.iter().map(|found| found.rule.clone()));
    Ok((devices.into_iter().map(|found| found.file).collect(), rules))
}

struct Found {
    file: Value,
    rule: Value,
}

/// The device at `host`, or all below it.
fn collect(host: &Path, inside: &Path, found: &mut Vec<Found>) -> Result<()> {
    if OWN.iter().any(|own| host == Path::new(own)) {
        return Ok(());
    }
    let metadata = fs::symlink_metadata(host).at("look at", host)?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        for entry in fs::read_dir(host).at("list", host)? {
            let name = entry.at("list", host)?.file_name();
            collect(&host.join(&name), &inside.join(&name), found)?;
        }
        return Ok(());
    }
    let letter = match (kind.is_char_device(), kind.is_block_device()) {
        (true, _) => "c",
        (_, true) => "b",
        _ => return Ok(()),
    };
    let (major, minor) = (libc::major(metadata.rdev()), libc::minor(metadata.rdev()));
    found.push(Found {
        file: json!({
            "path": inside, "type": letter, "major": major, "minor": minor,
            "fileMode": metadata.mode() & 0o777, "uid": metadata.uid(), "gid": metadata.gid(),
        }),
        rule: json!({"allow": true, "type": letter, "major": major, "minor": minor, "access": "rwm"}),
    });
    Ok(())
}

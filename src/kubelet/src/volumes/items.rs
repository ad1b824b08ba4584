//! Which keys of a config map or secret become which files.

use k8s_openapi::api::core::v1::KeyToPath;

use super::{
    Error,
    atomic::{File, Files},
};

/// Picks the `items`, or takes all of `data`, as files with `default_mode`.
///
/// A key that is not there is an error unless the source is optional. `missing` words that error.
pub(super) fn select(
    data: impl Iterator<Item = (String, Vec<u8>)>,
    items: Option<&[KeyToPath]>,
    default_mode: u32,
    optional: bool,
    missing: &str,
) -> Result<Files, Error> {
    let mut all: Files =
        data.map(|(key, data)| (key, File { data, mode: default_mode, owner: None })).collect();
    let Some(items) = items.filter(|items| !items.is_empty()) else { return Ok(all) };
    let mut out = Files::new();
    for item in items {
        match all.get_mut(&item.key) {
            Some(file) => {
                let mode = item.mode.map_or(default_mode, mode);
                out.insert(item.path.clone(), File { mode, ..file.clone() });
            }
            None if optional => {}
            None => return Err(Error::Source(format!("{missing}: {}", item.key))),
        }
    }
    Ok(out)
}

/// Permission bits as the API has them.
pub(super) fn mode(bits: i32) -> u32 {
    bits.unsigned_abs() & 0o777
}

/// What a volume that does not say has.
pub(super) const DEFAULT_MODE: i32 = 0o644;

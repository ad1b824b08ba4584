//! Layers in place: each unpacked once, under its chain ID, complete or not there at all.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use sha2::{Digest, Sha256};

use super::{Images, hex_of, unpack};
use crate::error::{At, Error, Result};
use crate::files;

impl Images {
    /// Puts the next layer on `below` (chain IDs, bottom first) in place and answers its chain ID. `open` gives the
    /// uncompressed tar stream and is only called when the layer is not here yet.
    pub(super) fn ensure_layer<R: Read>(
        &self,
        below: &[String],
        diff_id: &str,
        open: impl FnOnce() -> Result<R>,
    ) -> Result<String> {
        let chain = chain_id(below.last().map(String::as_str), diff_id);
        let target = self.layers_dir().join(&chain);
        if target.exists() {
            return Ok(chain);
        }
        let temporary = self.layers_dir().join(format!(".new-{}", files::random_id()));
        fs::create_dir(&temporary).at("create", &temporary)?;
        let unpacked = fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755))
            .at("change mode of", &temporary)
            .and_then(|()| {
                let bounds = unpack::Bounds::of(&temporary)?;
                unpack::unpack(open()?, &temporary, &self.layer_dirs(below), bounds)
            })
            .and_then(|got| check_diff_id(&got, diff_id))
            .and_then(|()| match fs::rename(&temporary, &target) {
                // Another pull was faster with the same layer.
                Err(_) if target.exists() => fs::remove_dir_all(&temporary).at("remove", &temporary),
                renamed => renamed.at("rename", &temporary),
            });
        if let Err(e) = unpacked {
            files::remove_tree(&temporary)?;
            return Err(e);
        }
        Ok(chain)
    }

    pub(super) fn has_layer(&self, chain: &str) -> bool {
        self.layers_dir().join(chain).exists()
    }
}

/// The chain ID of a layer on top of another, both without `sha256:` (OCI image specification, "Layer ChainID").
pub(super) fn chain_id(below: Option<&str>, diff_id: &str) -> String {
    match below {
        None => hex_of(diff_id).to_owned(),
        Some(below) => hex::encode(Sha256::digest(format!("sha256:{below} {diff_id}"))),
    }
}

fn check_diff_id(got: &str, expected: &str) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(Error::Image(format!("layer has the digest {got}, its image says {expected}")))
}

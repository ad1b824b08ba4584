//! An image for two platforms, of two layers: the first gzip, the second zstd.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::images::layer;

/// An OCI layout directory.
pub(super) struct Layout {
    pub(super) path: PathBuf,
    /// The digest of the index.
    pub(super) digest: String,
}

/// Writes the layout. Only the image for this machine's platform serves `/www`; the other one ends at once.
pub(super) fn multi_platform(parent: &Path) -> Layout {
    let path = parent.join("layout");
    let blobs = Blobs(path.join("blobs/sha256"));
    fs::create_dir_all(&blobs.0).unwrap();
    let (first, second) = (layer(), second_layer());
    let diff_ids = [digest(&first), digest(&second)];
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&first).unwrap();
    let layers = [
        blobs.put("application/vnd.oci.image.layer.v1.tar+gzip", &gzip.finish().unwrap()),
        blobs.put("application/vnd.oci.image.layer.v1.tar+zstd", &zstd::encode_all(&second[..], 1).unwrap()),
    ];
    let serve = "echo \"$(hostname) platform\" >/www/index.html && exec httpd -f -p 8080 -h /www";
    let ours = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let manifests: Vec<Value> = ["s390x", ours]
        .into_iter()
        .map(|architecture| {
            let script = if architecture == ours { serve } else { "exit 1" };
            let config = json!({
                "architecture": architecture, "os": "linux",
                "config": {"Env": ["PATH=/bin:/usr/bin"], "Cmd": ["/bin/sh", "-c", script]},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
            });
            let config = blobs.json("application/vnd.oci.image.config.v1+json", &config);
            let media_type = "application/vnd.oci.image.manifest.v1+json";
            let manifest =
                json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers});
            let mut manifest = blobs.json(media_type, &manifest);
            manifest["platform"] = json!({"architecture": architecture, "os": "linux"});
            manifest
        })
        .collect();
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests});
    let mut index = blobs.json(media_type, &index);
    let digest = index["digest"].as_str().unwrap().to_owned();
    index["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    fs::write(path.join("index.json"), json!({"schemaVersion": 2, "manifests": [index]}).to_string())
        .unwrap();
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    Layout { path, digest }
}

fn second_layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(5);
    tar.append_data(&mut header, "www/second", &b"zstd\n"[..]).unwrap();
    tar.into_inner().unwrap()
}

struct Blobs(PathBuf);

impl Blobs {
    /// Writes a blob and answers its descriptor.
    fn put(&self, media_type: &str, content: &[u8]) -> Value {
        let digest = digest(content);
        fs::write(self.0.join(&digest[7..]), content).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }

    fn json(&self, media_type: &str, content: &Value) -> Value {
        self.put(media_type, content.to_string().as_bytes())
    }
}

fn digest(content: &[u8]) -> String {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

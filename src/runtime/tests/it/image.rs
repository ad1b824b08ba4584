//! A small image made on the spot: busybox with links for its commands, as a docker-archive or an OCI layout.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

pub(crate) const NAME: &str = "docker.io/library/box:1";

const COMMANDS: &[&str] = &[
    "sh", "cat", "echo", "sleep", "id", "ls", "grep", "hostname", "ip", "true", "false", "kill", "ps", "dd",
    "head", "tail", "stty", "tty", "env", "pwd", "touch", "mount", "stat", "mknod", "rm", "readlink", "wc",
    "seq", "tr", "test",
];

/// What goes into an image beside the files.
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) config: Value,
    pub(crate) extra: Vec<(&'static str, &'static [u8])>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            name: NAME,
            config: json!({"Env": ["FROM=image"], "Cmd": ["echo", "default"]}),
            extra: Vec::new(),
        }
    }
}

impl Recipe {
    /// The two layers: the programs; then a change, with a whiteout.
    fn layers(&self) -> Vec<Vec<u8>> {
        let mut base = Builder::new(Vec::new());
        for directory in ["bin/", "etc/", "tmp/", "gone/"] {
            add(&mut base, EntryType::Directory, directory, "", b"", 0o755);
        }
        let program = std::fs::read(busybox()).unwrap();
        add(&mut base, EntryType::Regular, "bin/busybox", "", &program, 0o755);
        for command in COMMANDS {
            add(&mut base, EntryType::Symlink, &format!("bin/{command}"), "busybox", b"", 0o777);
        }
        add(
            &mut base,
            EntryType::Regular,
            "etc/passwd",
            "",
            b"root:x:0:0::/root:/bin/sh\nweb:x:33:34::/tmp:/bin/sh\n",
            0o644,
        );
        add(&mut base, EntryType::Regular, "etc/group", "", b"root:x:0:\nmedia:x:50:web\n", 0o644);
        add(&mut base, EntryType::Regular, "gone/file", "", b"old", 0o644);

        let mut change = Builder::new(Vec::new());
        add(&mut change, EntryType::Directory, "gone/", "", b"", 0o755);
        add(&mut change, EntryType::Regular, "gone/.wh.file", "", b"", 0o644);
        add(&mut change, EntryType::Regular, "gone/new", "", b"new", 0o644);
        for (name, data) in &self.extra {
            add(&mut change, EntryType::Regular, name, "", data, 0o755);
        }
        vec![base.into_inner().unwrap(), change.into_inner().unwrap()]
    }

    fn config_for(&self, layers: &[Vec<u8>]) -> Vec<u8> {
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        serde_json::to_vec(&config).unwrap()
    }

    pub(crate) fn docker_archive(&self, path: &Path) {
        let layers = self.layers();
        let mut archive = Builder::new(Vec::new());
        let mut names = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let name = format!("{index}/layer.tar");
            add(&mut archive, EntryType::Regular, &name, "", layer, 0o644);
            names.push(name);
        }
        add(&mut archive, EntryType::Regular, "config.json", "", &self.config_for(&layers), 0o644);
        let manifest = json!([{"Config": "config.json", "RepoTags": [self.name], "Layers": names}]);
        add(&mut archive, EntryType::Regular, "manifest.json", "", manifest.to_string().as_bytes(), 0o644);
        std::fs::write(path, archive.into_inner().unwrap()).unwrap();
    }

    /// One layer as gzip, one as zstd; the whole archive as gzip.
    pub(crate) fn oci_layout(&self, path: &Path) {
        let layers = self.layers();
        let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut put = |kind: &str, data: &[u8]| {
            let name = format!("blobs/sha256/{}", &digest(data)[7..]);
            add(&mut archive, EntryType::Regular, &name, "", data, 0o644);
            json!({"mediaType": kind, "digest": digest(data), "size": data.len()})
        };
        let compressed = [gzip(&layers[0]), zstd::encode_all(&layers[1][..], 1).unwrap()];
        let kinds = ["gzip", "zstd"].map(|name| format!("application/vnd.oci.image.layer.v1.tar+{name}"));
        let layer_descriptors: Vec<Value> =
            compressed.iter().zip(&kinds).map(|(data, kind)| put(kind, data)).collect();
        let config = put("application/vnd.oci.image.config.v1+json", &self.config_for(&layers));
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": layer_descriptors});
        let mut named = put("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
        named["annotations"] = json!({"org.opencontainers.image.ref.name": self.name});
        let index = json!({"schemaVersion": 2, "manifests": [named]});
        add(&mut archive, EntryType::Regular, "index.json", "", index.to_string().as_bytes(), 0o644);
        add(&mut archive, EntryType::Regular, "oci-layout", "", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644);
        std::fs::write(path, archive.into_inner().unwrap().finish().unwrap()).unwrap();
    }
}

fn add<W: std::io::Write>(
    to: &mut Builder<W>,
    kind: EntryType,
    name: &str,
    link: &str,
    data: &[u8],
    mode: u32,
) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(data.len() as u64);
    header.set_mtime(1_700_000_000);
    if link.is_empty() {
        to.append_data(&mut header, name, data).unwrap();
    } else {
        to.append_link(&mut header, name, link).unwrap();
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut encoder, data).unwrap();
    encoder.finish().unwrap()
}

fn digest(data: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(data)))
}

/// Debian's static busybox, installed once where it is missing.
fn busybox() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let path = PathBuf::from("/bin/busybox");
        if !path.exists() {
            let status =
                Command::new("apt-get").args(["install", "-y", "-q", "busybox-static"]).status().unwrap();
            assert!(status.success(), "install busybox-static");
        }
        path
    })
    .clone()
}

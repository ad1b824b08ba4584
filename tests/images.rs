//! The test images, made here from Debian's packages, and the registry that serves them: Debian's `docker-registry`.
//!
//! `web:v1` and `web:v2` hold busybox, curl and the libraries that curl needs; they differ in the variable `VERSION`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::cluster::eventually;
use crate::host::{Host, succeed};

/// Where every test's registry listens, on its machine's loopback.
pub(crate) const REGISTRY: &str = "127.0.0.1:5000";

/// The registry's configuration, in its storage directory.
const CONFIG: &str = "config.yml";

/// A registry process; ends when it is dropped.
pub(crate) struct Registry(Child);

impl Registry {
    /// Starts a registry with the test images on a machine's loopback.
    pub(crate) fn start(host: &Host) -> Self {
        static FILLED: OnceLock<PathBuf> = OnceLock::new();
        let storage = FILLED.get_or_init(fill);
        Self::over(host, storage)
    }

    fn over(host: &Host, storage: &Path) -> Self {
        Self::configured(host, &storage.join(CONFIG), &format!("http://{REGISTRY}"))
    }

    /// Starts a registry with a configuration of its own and waits until it answers at `url`, however that may be.
    pub(crate) fn configured(host: &Host, config: &Path, url: &str) -> Self {
        let child = host
            .command("docker-registry")
            .arg("serve")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the registry answers", || {
            host.command("curl")
                .args(["-sko", "/dev/null", &format!("{url}/v2/")])
                .status()
                .unwrap()
                .success()
                .then_some(())
        });
        Self(child)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The full name of a test image.
pub(crate) fn image(name: &str) -> String {
    format!("{REGISTRY}/test/{name}")
}

/// Makes the images and pushes them into a storage directory, once for all tests.
fn fill() -> PathBuf {
    let storage = crate::cluster::scratch("registry");
    // Once: registries that start at the same time must not read it half written.
    let text = json!({
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": true}},
        "storage": {"filesystem": {"rootdirectory": storage}},
        "http": {"addr": REGISTRY},
    });
    fs::write(storage.join(CONFIG), text.to_string()).unwrap();
    let host = Host::new();
    let registry = Registry::over(&host, &storage);
    for version in ["v1", "v2"] {
        let layout = layout(&storage, version);
        succeed(
            host.command("skopeo")
                .args(["copy", "--insecure-policy", "--dest-tls-verify=false", "--quiet"])
                .args([
                    format!("oci:{}:latest", layout.display()),
                    format!("docker://{REGISTRY}/test/web:{version}"),
                ]),
        );
    }
    drop(registry);
    storage
}

/// Writes an image as an OCI layout directory and returns its path.
pub(crate) fn layout(parent: &Path, version: &str) -> PathBuf {
    let root = parent.join(format!("layout-{version}"));
    let blobs = root.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let blob = |content: &[u8], media_type: &str| {
        let digest = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        fs::write(blobs.join(&digest), content).unwrap();
        json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len()})
    };
    let layer = blob(&layer(), "application/vnd.oci.image.layer.v1.tar");
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", format!("VERSION={version}")],
            "Cmd": ["/bin/sh", "-c", "mkdir -p /www && echo \"$(hostname) $VERSION\" >/www/index.html && exec httpd -f -p 8080 -h /www"],
        },
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = blob(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer],
    });
    let mut manifest = blob(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    fs::write(root.join("index.json"), json!({"schemaVersion": 2, "manifests": [manifest]}).to_string())
        .unwrap();
    fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    root
}

/// The one layer: busybox with its applets, curl with its libraries, accounts.
pub(crate) fn layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.follow_symlinks(true);
    for directory in ["bin", "etc", "lib", "root", "tmp", "usr", "usr/bin", "www"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(if directory == "tmp" || directory == "www" { 0o1777 } else { 0o755 });
        header.set_size(0);
        tar.append_data(&mut header, directory, std::io::empty()).unwrap();
    }
    tar.append_path_with_name("/bin/busybox", "bin/busybox").unwrap();
    for applet in
        succeed(Command::new("/bin/busybox").arg("--list")).lines().filter(|applet| *applet != "busybox")
    {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
    }
    tar.append_path_with_name("/usr/bin/curl", "usr/bin/curl").unwrap();
    for library in libraries("/usr/bin/curl") {
        tar.append_path_with_name(&library, library.trim_start_matches('/')).unwrap();
    }
    for (path, content) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/www:/bin/sh\n"),
        ("etc/group", "root:x:0:\nweb:x:1000:\n"),
        ("etc/nsswitch.conf", "hosts: files dns\n"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// The shared libraries of a program, its loader, and those that the C library loads by itself for names.
fn libraries(program: &str) -> BTreeSet<String> {
    succeed(Command::new("ldd").arg(program))
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

//! Encryption at rest: what a secret says is nowhere in the data directory, keys are rotated with kubectl, and a wrong key
//! harms nothing but what it cannot open.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::cluster::{Cluster, binary, eventually, scratch};

/// What the secret says, and how the API writes that.
const PLAIN: &str = "the-treasure-is-under-the-oak";
const ENCODED: &str = "dGhlLXRyZWFzdXJlLWlzLXVuZGVyLXRoZS1vYWs=";
/// Base64 of 32 bytes.
const ONE: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const TWO: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

/// A directory with a configuration; removed with the value.
struct Configuration(PathBuf);

impl Configuration {
    fn new(providers: &str) -> Self {
        let directory = scratch("encryption");
        fs::create_dir_all(&directory).unwrap();
        let configuration = Self(directory);
        configuration.write(providers);
        configuration
    }

    fn write(&self, providers: &str) {
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
             - resources: [secrets]\n  providers: [{providers}]\n"
        );
        fs::write(self.file(), text).unwrap();
    }

    fn file(&self) -> &'static str {
        // The arguments of a test's server last as long as the test.
        self.0.join("encryption.yaml").into_os_string().into_string().unwrap().leak()
    }

    fn cluster(&self) -> Cluster {
        Cluster::control_plane(&["--encryption-provider-config", self.file()])
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn keys(kind: &str, name: &str, secret: &str) -> String {
    format!("{{{kind}: {{keys: [{{name: {name}, secret: {secret}}}]}}}}")
}

/// Starts the server anew, over another configuration.
fn restart(cluster: &mut Cluster, configuration: &Configuration, providers: &str) {
    cluster.stop_server();
    configuration.write(providers);
    cluster.start_server();
}

fn password(cluster: &Cluster) -> String {
    cluster.ok(&["get", "secret", "map", "-o", "jsonpath={.data.where}"])
}

fn write_all_again(cluster: &Cluster) {
    let all = cluster.ok(&["get", "secrets", "--all-namespaces", "-o", "json"]);
    let file = cluster.data.with_extension("secrets.json");
    fs::write(&file, all).unwrap();
    cluster.ok(&["replace", "-f", crate::cluster::text(&file)]);
    fs::remove_file(file).unwrap();
}

/// Whether the bytes are in a file anywhere below.
fn contains(directory: &Path, wanted: &str) -> bool {
    fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return contains(&path, wanted);
        }
        // Sockets cannot be read; nothing is in them.
        fs::read(&path).is_ok_and(|bytes| bytes.windows(wanted.len()).any(|bytes| bytes == wanted.as_bytes()))
    })
}

#[test]
fn secrets_are_encrypted_rotated_and_lost_with_their_key_alone() {
    let old = keys("aescbc", "key1", ONE);
    let configuration = Configuration::new(&format!("{old}, {{identity: {{}}}}"));
    let mut cluster = configuration.cluster();
    cluster.ok(&["create", "secret", "generic", "map", &format!("--from-literal=where={PLAIN}")]);
    cluster.ok(&["create", "configmap", "known", &format!("--from-literal=where={PLAIN}-indeed")]);
    // Into the history.
    cluster.ok(&["label", "secret", "map", "of=the-island"]);
    // Its port is reserved in a record that no client reaches.
    cluster.ok(&["create", "service", "nodeport", "landing", "--tcp=80:80"]);
    assert_eq!(password(&cluster), ENCODED);
    cluster.stop_server();
    assert!(contains(&cluster.data, &format!("{PLAIN}-indeed")), "what is not encrypted can be found");
    assert!(!contains(&cluster.data, ENCODED), "the secret can be read in the data directory");
    assert!(contains(&cluster.data, "k8s:enc:aescbc:v1:key1:"));
    cluster.start_server();

    let new = keys("aesgcm", "key2", TWO);
    restart(&mut cluster, &configuration, &format!("{new}, {old}, {{identity: {{}}}}"));
    assert_eq!(password(&cluster), ENCODED);
    write_all_again(&cluster);
    eventually("nothing is stored with the old key", || {
        metric(&cluster, "coxswain_store_stale_objects ").filter(|count| *count == 0)
    });
    // The old key is not needed any more.
    restart(&mut cluster, &configuration, &new);
    assert_eq!(password(&cluster), ENCODED);
    cluster.ok(&["get", "secrets", "--all-namespaces"]);

    restart(&mut cluster, &configuration, &keys("aesgcm", "key2", ONE));
    let refused = cluster.fails(&["get", "secret", "map"]);
    assert!(refused.contains("Internal error occurred: cipher: message authentication failed"), "{refused}");
    let refused = cluster.fails(&["get", "secrets"]);
    assert!(refused.contains("unable to transform key"), "{refused}");
    let refused = cluster.fails(&["delete", "secret", "map"]);
    assert!(refused.contains("message authentication failed"), "{refused}");
    cluster.ok(&["create", "namespace", "elsewhere"]);
    eventually("a service account in a new namespace", || {
        cluster
            .kubectl(&["-n", "elsewhere", "get", "serviceaccount", "default"])
            .status
            .success()
            .then_some(())
    });
    cluster.ok(&["-n", "elsewhere", "create", "secret", "generic", "other", "--from-literal=a=b"]);
    cluster.ok(&["-n", "elsewhere", "delete", "secret", "other"]);

    restart(&mut cluster, &configuration, &new);
    assert_eq!(password(&cluster), ENCODED);
}

#[test]
fn a_changed_configuration_is_taken_over_while_the_server_runs() {
    let (old, new) = (keys("secretbox", "key1", ONE), keys("secretbox", "key2", TWO));
    let configuration = Configuration::new(&old);
    let cluster = Cluster::control_plane(&[
        "--encryption-provider-config",
        configuration.file(),
        "--encryption-provider-config-automatic-reload",
    ]);
    cluster.ok(&["create", "secret", "generic", "map", &format!("--from-literal=where={PLAIN}")]);
    // Its port is reserved in a record that no client reaches.
    cluster.ok(&["create", "service", "nodeport", "landing", "--tcp=80:80"]);
    configuration.write(&format!("{new}, {old}"));
    eventually("the new key is in use", || (reloads(&cluster) == 1).then_some(()));
    write_all_again(&cluster);
    eventually("nothing is stored with the old key", || {
        metric(&cluster, "coxswain_store_stale_objects ").filter(|count| *count == 0)
    });
    assert!(contains(&cluster.data.join("store"), "k8s:enc:secretbox:v1:key2:"));
    configuration.write(&new);
    eventually("the old key is let go", || (reloads(&cluster) == 2).then_some(()));
    assert_eq!(password(&cluster), ENCODED);
}

/// How often a changed configuration was taken over.
fn reloads(cluster: &Cluster) -> u64 {
    let name = "apiserver_encryption_config_controller_automatic_reloads_total{apiserver_id_hash=\"\",status=\"success\"} ";
    metric(cluster, name).unwrap_or(0)
}

fn metric(cluster: &Cluster, name: &str) -> Option<u64> {
    let page = cluster.ok(&["get", "--raw", "/metrics"]);
    page.lines().find_map(|line| line.strip_prefix(name)?.parse().ok())
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_before_anything_is_opened() {
    let configuration = Configuration::new(&keys("aescbc", "key1", "c2hvcnQ="));
    let data = configuration.0.join("data");
    let mut server = Command::new(binary());
    server
        .args(["server", "--without-node", "--port", "0", "--bind-address", "127.0.0.1", "--data-dir"])
        .arg(&data);
    let output = server.args(["--encryption-provider-config", configuration.file()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("secret is not of the expected length, got 5"),
        "{said}"
    );
    assert!(!data.join("store").exists());
}

/// A KMS plugin, ended when dropped.
struct Plugin(Child);

impl Plugin {
    fn start(configuration: &Configuration) -> Self {
        let program = binary().with_file_name("examples").join("kms_plugin");
        let child = Command::new(program).args([socket(configuration), key(configuration)]).spawn().unwrap();
        let plugin = Self(child);
        eventually("the plugin listens", || socket(configuration).exists().then_some(()));
        plugin
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn socket(configuration: &Configuration) -> PathBuf {
    configuration.0.join("kms.sock")
}

fn key(configuration: &Configuration) -> PathBuf {
    configuration.0.join("key")
}

#[test]
fn a_kms_plugin_keeps_the_keys_and_changes_them() {
    let configuration = Configuration::new("");
    let endpoint = socket(&configuration);
    let kms = format!("{{kms: {{apiVersion: v2, name: vault, endpoint: 'unix://{}'}}}}", endpoint.display());
    configuration.write(&kms);
    fs::write(key(&configuration), "first-key").unwrap();
    let plugin = Plugin::start(&configuration);
    let mut cluster = configuration.cluster();
    cluster.ok(&["create", "secret", "generic", "map", &format!("--from-literal=where={PLAIN}")]);
    cluster.stop_server();
    assert!(!contains(&cluster.data, ENCODED));
    assert!(contains(&cluster.data.join("store"), "k8s:enc:kms:v2:vault:"));

    fs::write(key(&configuration), "second-key").unwrap();
    cluster.start_server();
    assert_eq!(password(&cluster), ENCODED, "what the first key encrypted can be read");
    write_all_again(&cluster);
    cluster.stop_server();
    fs::write(key(&configuration).with_extension("gone"), "").unwrap();
    cluster.start_server();
    assert_eq!(password(&cluster), ENCODED, "all is encrypted with the second key");

    // What is known can be read and written without the plugin, for a while.
    drop(plugin);
    assert_eq!(password(&cluster), ENCODED);
    cluster.ok(&["create", "secret", "generic", "other", "--from-literal=a=b"]);
}

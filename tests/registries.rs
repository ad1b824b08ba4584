//! Images from registries as there are: by TLS with an authority of one's own, closed by password or by token, with images for
//! several platforms; and what a user sees when one of them does not do its part.

mod layout;
mod tls;
mod tokens;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cluster::{Cluster, eventually, scratch};
use crate::host::{ADDRESS, succeed};
use crate::images::{REGISTRY, Registry, image};

use layout::multi_platform;
use tls::Authority;
use tokens::TokenServer;

/// A user, "user" with the password "secret", as `htpasswd -B` writes it.
const PASSWORDS: &str = "user:$2b$04$BErBjUKIgk3DcQin5lUKpOeswP7r7.jfyTAslWz3rRT66C7J4BDUm\n";

/// Starts a registry over `storage` on a port of the machine's own address, which is no loopback: it is asked by TLS.
fn serve(cluster: &Cluster, storage: &Path, port: u16, authority: &Authority, login: &Value) -> Registry {
    let (certificate, key) = authority.issue(storage, port);
    let config = json!({
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": true}},
        "storage": {"filesystem": {"rootdirectory": storage}},
        "http": {"addr": format!("{ADDRESS}:{port}"), "tls": {"certificate": certificate, "key": key}},
        "auth": login,
    });
    let file = storage.join(format!("{port}.json"));
    fs::write(&file, config.to_string()).unwrap();
    Registry::configured(&cluster.host, &file, &format!("https://{ADDRESS}:{port}"))
}

/// Pushes an image into `storage` and answers the digest of its index.
fn fill(cluster: &Cluster, storage: &Path) -> String {
    let file = storage.join("open.json");
    let config = json!({
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": true}},
        "storage": {"filesystem": {"rootdirectory": storage}},
        "http": {"addr": "127.0.0.1:5001"},
    });
    fs::write(&file, config.to_string()).unwrap();
    let _open = Registry::configured(&cluster.host, &file, "http://127.0.0.1:5001");
    let layout = multi_platform(storage);
    let mut copy = cluster.host.command("skopeo");
    copy.args(["copy", "--all", "--insecure-policy", "--dest-tls-verify=false", "--quiet"]);
    succeed(
        copy.arg(format!("oci:{}:latest", layout.path.display())).arg("docker://127.0.0.1:5001/team/web:v1"),
    );
    layout.digest
}

/// Makes a pod whose image is asked for at the registry, with the credentials of a secret unless its name is empty.
fn pod(cluster: &Cluster, name: &str, image: &str, secret: &str) {
    let secrets =
        if secret.is_empty() { String::new() } else { format!("imagePullSecrets: [{{name: {secret}}}]") };
    cluster.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  {secrets}\n  containers: [{{name: main, image: \"{image}\", imagePullPolicy: Always}}]\n"
    ));
}

fn secret(cluster: &Cluster, name: &str, registry: &str, password: &str) {
    cluster.ok(&[
        "create",
        "secret",
        "docker-registry",
        name,
        &format!("--docker-server={registry}"),
        "--docker-username=user",
        &format!("--docker-password={password}"),
    ]);
}

/// The text of the pod's event of that reason that contains `part`.
fn event(cluster: &Cluster, pod: &str, reason: &str, part: &str) -> String {
    let selector = format!("--field-selector=involvedObject.name={pod},reason={reason}");
    eventually(&format!("{pod} has an event {reason} with {part:?}"), || {
        let events = cluster.ok(&["get", "events", &selector, "-o", "json"]);
        let events: Value = serde_json::from_str(&events).unwrap();
        let mut messages =
            events["items"].as_array().unwrap().iter().filter_map(|event| event["message"].as_str());
        messages.find(|message| message.contains(part)).map(str::to_owned)
    })
}

fn waiting(cluster: &Cluster, pod: &str) -> (String, String) {
    let json =
        cluster.ok(&["get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].state.waiting}"]);
    let waiting: Value = serde_json::from_str(&json).unwrap_or_default();
    let field = |name: &str| waiting[name].as_str().unwrap_or_default().to_owned();
    (field("reason"), field("message"))
}

/// Waits for the error of the first attempt, as events and status show it, and for the back-off after it.
fn backs_off(cluster: &Cluster, pod: &str, image: &str, why: &str) {
    let failed = event(cluster, pod, "Failed", why);
    assert!(
        failed.starts_with(&format!("Failed to pull image {image:?}: failed to pull and unpack image")),
        "{failed}"
    );
    event(cluster, pod, "Failed", "Error: ErrImagePull");
    eventually(&format!("{pod} backs off"), || (waiting(cluster, pod).0 == "ImagePullBackOff").then_some(()));
    let message = waiting(cluster, pod).1;
    assert!(message.starts_with(&format!("Back-off pulling image {image:?}: ErrImagePull:")), "{message}");
    event(cluster, pod, "BackOff", &format!("Back-off pulling image {image:?}"));
    event(cluster, pod, "Failed", "Error: ImagePullBackOff");
}

fn ready(cluster: &Cluster, pod: &str) {
    cluster.ok(&["wait", "--for=condition=Ready", &format!("pod/{pod}"), "--timeout=90s"]);
}

#[test]
fn images_come_by_tls_from_closed_registries_and_others_say_why_not() {
    let (trusted, stranger) = (Authority::new("trusted"), Authority::new("stranger"));
    let storage = scratch("registry");
    let trust = storage.join("trusted.pem");
    fs::write(&trust, trusted.certificate()).unwrap();
    let cluster = Cluster::start_in(vec![("SSL_CERT_FILE", trust)]);
    let digest = fill(&cluster, &storage);
    fs::write(storage.join("passwords"), PASSWORDS).unwrap();
    let by_password = json!({"htpasswd": {"realm": "test", "path": storage.join("passwords")}});
    let tokens = TokenServer::start(&cluster.host, &storage);
    let basic = serve(&cluster, &storage, 5443, &trusted, &by_password);
    let _bearer = serve(&cluster, &storage, 5444, &trusted, &tokens.login());
    let _untrusted = serve(&cluster, &storage, 5445, &stranger, &by_password);
    for (name, registry, password) in [
        ("basic", format!("{ADDRESS}:5443"), "secret"),
        ("bearer", format!("https://{ADDRESS}:5444"), "secret"),
        ("wrong-basic", format!("{ADDRESS}:5443"), "guess"),
        ("wrong-bearer", format!("{ADDRESS}:5444"), "guess"),
    ] {
        secret(&cluster, name, &registry, password);
    }
    let by_tag = |port: u16| format!("{ADDRESS}:{port}/team/web:v1");

    pod(&cluster, "basic", &by_tag(5443), "basic");
    pod(&cluster, "bearer", &by_tag(5444), "bearer");
    pod(&cluster, "digest", &format!("{ADDRESS}:5444/team/web@{digest}"), "bearer");
    let failing = [
        ("anonymous", by_tag(5443), "", "pull access denied"),
        ("wrong-basic", by_tag(5443), "wrong-basic", "pull access denied"),
        ("wrong-bearer", by_tag(5444), "wrong-bearer", "pull access denied"),
        ("untrusted", by_tag(5445), "", "UnknownIssuer"),
        ("absent", format!("{ADDRESS}:5443/team/absent:v1"), "basic", "not found"),
        ("down", by_tag(5446), "", "refused"),
    ];
    for (name, image, secret, _) in &failing {
        pod(&cluster, name, image, secret);
    }
    for name in ["basic", "bearer", "digest"] {
        ready(&cluster, name);
        let answer = cluster.ok(&["exec", name, "--", "cat", "/www/index.html", "/www/second"]);
        assert_eq!(answer, format!("{name} platform\nzstd\n"), "both layers, of the image for this platform");
    }
    let pulled = event(&cluster, "basic", "Pulled", "Successfully pulled image");
    assert!(pulled.contains("including waiting). Image size: "), "{pulled}");
    let id = cluster.ok(&["get", "pod", "digest", "-o", "jsonpath={.status.containerStatuses[0].imageID}"]);
    assert!(id.ends_with(&format!("/team/web@{digest}")), "{id}");
    for (name, image, _, why) in &failing {
        backs_off(&cluster, name, image, why);
    }

    drop(basic);
    policies_decide_whether_a_registry_is_asked(&cluster, &by_tag(5443));
    for name in ["basic", "bearer", "digest"] {
        let restarts = "jsonpath={.status.containerStatuses[0]['ready','restartCount']}";
        assert_eq!(cluster.ok(&["get", "pod", name, "-o", restarts]), "true 0");
    }
}

/// The image is here, its registry is gone.
fn policies_decide_whether_a_registry_is_asked(cluster: &Cluster, present: &str) {
    for (name, image, policy) in [
        ("if-not-present", present, "IfNotPresent"),
        ("never", present, "Never"),
        ("always", present, "Always"),
        ("never-absent", &*image("absent:v1"), "Never"),
    ] {
        cluster.ok(&["run", name, &format!("--image={image}"), &format!("--image-pull-policy={policy}")]);
    }
    ready(cluster, "if-not-present");
    ready(cluster, "never");
    let present_message = "already present on machine and can be accessed by the pod";
    event(cluster, "if-not-present", "Pulled", present_message);
    backs_off(cluster, "always", present, "refused");
    let never =
        event(cluster, "never-absent", "ErrImageNeverPull", "is not present with pull policy of Never");
    assert!(never.starts_with(&format!("Container image \"{REGISTRY}/test/absent:v1\"")), "{never}");
    assert_eq!(waiting(cluster, "never-absent").0, "ErrImageNeverPull");
}

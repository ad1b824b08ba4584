//! Images from a real registry: Debian's `docker-registry` on loopback, filled by skopeo.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cri::{Code, Runtime, Status, v1};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::image::Recipe;
use crate::machine::{Machine, PATIENCE, container};

/// A registry that ends with the test.
struct Registry {
    process: Child,
    address: String,
    directory: PathBuf,
}

impl Registry {
    fn start(directory: &Path, extra: &str) -> Self {
        // The registry cannot choose a free port itself: one is found for it.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = directory.join("registry.yml");
        let data = directory.join("registry");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp:\n  addr: {address}\n{extra}",
            data.display()
        );
        std::fs::write(&config, text).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed (apt-get install docker-registry)");
        let registry = Self { process, address, directory: directory.to_owned() };
        let start = Instant::now();
        while TcpStream::connect(&registry.address).is_err() {
            assert!(start.elapsed() < PATIENCE, "the registry answers");
            std::thread::sleep(Duration::from_millis(10));
        }
        registry
    }

    fn push(&self, name: &str, credentials: Option<&str>) {
        let archive = self.directory.join("push.tar");
        Recipe::default().docker_archive(&archive);
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["--insecure-policy", "copy", "-q", "--dest-tls-verify=false"]);
        if let Some(credentials) = credentials {
            skopeo.args(["--dest-creds", credentials]);
        }
        let status = skopeo
            .arg(format!("docker-archive:{}", archive.display()))
            .arg(format!("docker://{}/{name}", self.address))
            .status()
            .expect("skopeo is installed (apt-get install skopeo)");
        assert!(status.success());
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

async fn pull(machine: &Machine, name: &str, auth: Option<v1::AuthConfig>) -> Result<String, Status> {
    let image = Some(v1::ImageSpec { image: name.into(), ..Default::default() });
    let request = v1::PullImageRequest { image, auth, sandbox_config: None };
    Ok(machine.runtime().pull_image(request).await?.image_ref)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulled_image_runs_and_is_pulled_once_by_many() {
    let machine = Machine::without_image().await;
    let registry = Registry::start(&machine.root, "");
    registry.push("some/box:1", None);
    let name = format!("{}/some/box:1", registry.address);
    let pulls = futures::future::join_all((0..4).map(|_| pull(&machine, &name, None))).await;
    let ids: Vec<String> = pulls.into_iter().map(Result::unwrap).collect();
    assert!(ids.iter().all(|id| id == &ids[0] && id.starts_with("sha256:")));
    let list = machine.runtime().list_images(v1::ListImagesRequest::default()).await.unwrap().images;
    assert_eq!((list.len(), &list[0].repo_tags[..]), (1, &[name.clone()][..]));
    let temporary = std::fs::read_dir(machine.root.join("runtime/images/tmp")).unwrap().count();
    assert_eq!(temporary, 0);

    let by_digest = pull(&machine, &list[0].repo_digests[0], None).await.unwrap();
    assert_eq!(by_digest, ids[0]);
    let sandbox = machine.sandbox().await;
    let mut config = container(&[]);
    config.image = Some(v1::ImageSpec { image: by_digest, ..Default::default() });
    assert_eq!(machine.script(&sandbox, config).await.1, "default\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_what_is_wrong() {
    let machine = Machine::without_image().await;
    let registry = Registry::start(&machine.root, "");
    let missing = pull(&machine, &format!("{}/no/such:1", registry.address), None).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert!(
        missing.message().starts_with("failed to pull and unpack image")
            && missing.message().ends_with("not found")
    );
    let down = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = pull(&machine, &format!("{down}/a:1"), None).await.unwrap_err();
    assert!(error.message().contains("refused"), "{error}");
    assert_eq!(pull(&machine, "Bad Name", None).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_open_a_closed_registry_and_only_for_those_who_have_them() {
    let machine = Machine::without_image().await;
    let passwords = machine.root.join("htpasswd");
    // "user" with the password "secret".
    let hashed = "user:$2b$04$BErBjUKIgk3DcQin5lUKpOeswP7r7.jfyTAslWz3rRT66C7J4BDUm\n";
    std::fs::write(&passwords, hashed).unwrap();
    let extra = format!("auth:\n  htpasswd: {{realm: test, path: {}}}\n", passwords.display());
    let registry = Registry::start(&machine.root, &extra);
    registry.push("closed:1", Some("user:secret"));
    let name = format!("{}/closed:1", registry.address);
    let good = v1::AuthConfig { username: "user".into(), password: "secret".into(), ..Default::default() };
    pull(&machine, &name, Some(good)).await.unwrap();
    for auth in [
        None,
        Some(v1::AuthConfig { username: "user".into(), password: "wrong".into(), ..Default::default() }),
    ] {
        let error = pull(&machine, &name, auth).await.unwrap_err();
        assert!(error.message().contains("pull access denied"), "{error}");
    }
    let encoded = v1::AuthConfig { auth: "dXNlcjpzZWNyZXQ=".into(), ..Default::default() };
    pull(&machine, &name, Some(encoded)).await.unwrap();
}

/// A registry that means no good: it answers each path with what `answer` gives, and says nothing else.
struct Liar {
    address: String,
}

impl Liar {
    fn start(answer: impl Fn(&str) -> Option<Box<dyn Iterator<Item = Vec<u8>>>> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // Ends with the process of the tests; it holds nothing but its port.
        std::thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                let mut lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
                let request = lines.next().unwrap_or_default();
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let body = answer(request.split(' ').nth(1).unwrap_or_default());
                let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
                // The client closes the connection when it has enough.
                write!(connection, "HTTP/1.1 {status}\r\nConnection: close\r\n\r\n").ok();
                body.into_iter().flatten().try_for_each(|piece| connection.write_all(&piece)).ok();
            }
        });
        Self { address }
    }
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

fn described(content: &[u8]) -> serde_json::Value {
    json!({"digest": digest(content), "size": content.len()})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_registry_sends_is_bounded_and_checked() {
    let layer = b"a layer".to_vec();
    let config = json!({"rootfs": {"diff_ids": [digest(&layer)]}}).to_string().into_bytes();
    let many = json!({"rootfs": {"diff_ids": vec![digest(&layer); 501]}}).to_string().into_bytes();
    let manifest = |config: &[u8], layers: usize| {
        let layers = vec![described(b"a layer"); layers];
        json!({"schemaVersion": 2, "config": described(config), "layers": layers}).to_string().into_bytes()
    };
    let (honest, tall) = (manifest(&config, 1), manifest(&many, 501));
    let (of_config, of_many, of_layer) = (digest(&config), digest(&many), digest(&layer));
    let liar = Liar::start(move |path| {
        let once =
            |content: &[u8]| Box::new(std::iter::once(content.to_vec())) as Box<dyn Iterator<Item = _>>;
        Some(match path.split('/').collect::<Vec<_>>()[..] {
            ["", "v2", ""] => once(b"{}"),
            ["", "v2", "endless", "manifests", _] => Box::new(std::iter::repeat_with(|| vec![b' '; 1 << 20])),
            ["", "v2", "tall", "manifests", _] => once(&tall),
            ["", "v2", _, "manifests", _] => once(&honest),
            ["", "v2", "other", "blobs", _] => once(&vec![b'x'; config.len()]),
            ["", "v2", _, "blobs", asked] if asked == of_config => once(&config),
            ["", "v2", _, "blobs", asked] if asked == of_many => once(&many),
            ["", "v2", "endless-layer", "blobs", asked] if asked == of_layer => {
                Box::new(std::iter::repeat_with(|| vec![0; 1 << 20]))
            }
            ["", "v2", "short-layer", "blobs", _] => once(b"a"),
            _ => return None,
        })
    });
    let machine = Machine::without_image().await;
    for (name, expected) in [
        ("endless:1", "at most 4194304 are taken"),
        (&*format!("asked@{}", digest(b"something else")), "was expected"),
        ("other:1", "sha256:"),
        ("endless-layer:1", "more came than the 7 bytes that were declared"),
        ("short-layer:1", "sha256:"),
        ("no-layer:1", "failed to copy"),
        ("tall:1", "at most 500 are taken"),
    ] {
        let error = pull(&machine, &format!("{}/{name}", liar.address), None).await.unwrap_err();
        assert!(error.message().contains(expected), "{name}: {error}");
    }
    let list = machine.runtime().list_images(v1::ListImagesRequest::default()).await.unwrap().images;
    assert_eq!(list, []);
    for kept in ["images/tmp", "layers"] {
        assert_eq!(std::fs::read_dir(machine.root.join("runtime").join(kept)).unwrap().count(), 0, "{kept}");
    }
}

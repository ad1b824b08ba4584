//! Against a plugin of a few lines behind a real socket; `tests/encryption.rs` has one in a process of its own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use store::{Key, Options, Precondition, Store, Value, Write};
use tokio::net::UnixListener;

use super::*;
use crate::encryption::Encryption;
use crate::encryption::config::Provider;

const PLACE: &[u8] = b"/secrets/default/a";

/// A plugin: its key turns every byte around.
#[derive(Default)]
struct Own {
    is_mute: AtomicBool,
    /// It does not decrypt any more.
    refuses: AtomicBool,
    decryptions: AtomicU32,
    /// All calls.
    calls: AtomicU32,
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    /// The version, or what was encrypted or decrypted.
    #[prost(bytes = "vec", tag = "1")]
    first: Vec<u8>,
    /// The health, or the key.
    #[prost(string, tag = "2")]
    second: String,
    #[prost(string, tag = "3")]
    third: String,
}

#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(bytes = "vec", tag = "1")]
    text: Vec<u8>,
}

impl Own {
    /// `None` for a refusal.
    async fn answer(&self, method: &str, body: &[u8]) -> Option<Answer> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        // Behind a byte about compression and the length.
        let turned = Question::decode(&body[5..]).unwrap().text.iter().map(|byte| !byte).collect();
        let answer = match method {
            "Status" => Answer { first: b"v2".to_vec(), second: "ok".to_owned(), third: "key".to_owned() },
            "Encrypt" => Answer { first: turned, second: "key".to_owned(), ..Answer::default() },
            _ => {
                self.decryptions.fetch_add(1, Ordering::Relaxed);
                if self.is_mute.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                if self.refuses.load(Ordering::Relaxed) {
                    return None;
                }
                Answer { first: turned, ..Answer::default() }
            }
        };
        Some(answer)
    }

    async fn call(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<impl http_body::Body<Data = Bytes, Error = std::io::Error>>, hyper::Error> {
        let (parts, body) = request.into_parts();
        let method = parts.uri.path().rsplit('/').next().unwrap();
        let answer = self.answer(method, &body.collect().await?.to_bytes()).await;
        // Of a key that was disabled: failed precondition.
        let status = if answer.is_some() { "0" } else { "9" };
        let data = answer.map(|answer| {
            let message = answer.encode_to_vec();
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            Frame::data([&[0][..], &length, &message].concat().into())
        });
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
        let frames = data.into_iter().chain([Frame::trailers(trailers)]);
        let response = Response::builder().header("content-type", "application/grpc");
        Ok(response.body(StreamBody::new(stream::iter(frames.map(Ok)))).unwrap())
    }
}

/// Serves for as long as the runtime of the test.
fn serve(own: &Arc<Own>, folder: &Path) -> PathBuf {
    let path = folder.join("kms.sock");
    let (listener, own) = (UnixListener::bind(&path).unwrap(), own.clone());
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let own = own.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| own.clone().call(request));
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                server.serve_connection(TokioIo::new(connection), service).await.ok();
            });
        }
    });
    path
}

/// As in a file. Metrics are the process's: a test that looks at them has a name of its own.
fn provider(name: &str, path: &Path, timeout: &str) -> String {
    format!(
        "{{kms: {{apiVersion: v2, name: {name}, timeout: {timeout}, endpoint: 'unix://{}'}}}}",
        path.display()
    )
}

async fn connect(name: &str, path: &Path, timeout: &str) -> Arc<Plugin> {
    let provider: Provider = serde_saphyr::from_str(&provider(name, path, timeout)).unwrap();
    Plugin::connect(&provider.kms.unwrap()).await.unwrap()
}

/// Opens where that may wait.
async fn open(plugin: &Arc<Plugin>, stored: &[u8]) -> Result<Vec<u8>, String> {
    let (plugin, stored) = (plugin.clone(), stored.to_vec());
    let opening = tokio::task::spawn_blocking(move || plugin.open(PLACE, &stored));
    opening.await.unwrap().map(|(object, _)| object)
}

/// Enough for a machine that has much else to do.
const LONG: &str = "60s";

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_does_not_answer_is_not_asked_again_for_each_object() {
    let (folder, own) = (tempfile::tempdir().unwrap(), Arc::new(Own::default()));
    let path = serve(&own, folder.path());
    let mut sealed = Vec::new();
    for _ in 0..5 {
        // Each start of a server makes a seed of its own.
        sealed.push(connect("silent", &path, LONG).await.seal(PLACE, b"object").unwrap().0);
    }
    // It is well, as far as it says in time; what follows is about its silence alone.
    let plugin = loop {
        let plugin = connect("silent", &path, "1s").await;
        if plugin.failure().is_none() {
            break plugin;
        }
    };
    own.is_mute.store(true, Ordering::Relaxed);
    for stored in &sealed {
        let error = open(&plugin, stored).await.unwrap_err();
        assert!(
            error.contains("failed to decrypt DEK, error: rpc error: code = DeadlineExceeded"),
            "{error}"
        );
    }
    assert_eq!(own.decryptions.load(Ordering::Relaxed), 1);
    let text = prometheus::TextEncoder::new().encode_to_string(&prometheus::gather()).unwrap();
    let silent = "apiserver_envelope_encryption_kms_operations_latency_seconds_count{grpc_status_code=\"DeadlineExceeded\",\
                  method_name=\"/v2.KeyManagementService/Decrypt\",provider_name=\"silent\"} 1";
    assert!(text.contains(silent), "{text}");

    own.is_mute.store(false, Ordering::Relaxed);
    let plugin = connect("silent", &path, LONG).await;
    assert_eq!(open(&plugin, &sealed[3]).await.unwrap(), b"object");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_that_was_refused_is_not_asked_for_again_for_each_object() {
    let (folder, own) = (tempfile::tempdir().unwrap(), Arc::new(Own::default()));
    let path = serve(&own, folder.path());
    let writer = connect("strict", &path, LONG).await;
    let other = connect("strict", &path, LONG).await.seal(PLACE, b"object").unwrap().0;
    let plugin = connect("strict", &path, LONG).await;
    own.refuses.store(true, Ordering::Relaxed);
    for _ in 0..5 {
        let stored = writer.seal(PLACE, b"object").unwrap().0;
        let error = open(&plugin, &stored).await.unwrap_err();
        assert!(error.contains("code = FailedPrecondition"), "{error}");
    }
    assert_eq!(own.decryptions.load(Ordering::Relaxed), 1);
    own.refuses.store(false, Ordering::Relaxed);
    assert_eq!(open(&plugin, &other).await.unwrap(), b"object", "another seed is asked for");
}

const AES: &str = "{aesgcm: {keys: [{name: one, secret: AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=}]}}";

fn write(file: &Path, providers: &[&str]) {
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
         - resources: [secrets]\n  providers: [{}]\n",
        providers.join(", ")
    );
    std::fs::write(file, text).unwrap();
}

async fn open_store(encryption: &Arc<Encryption>) -> Store {
    let options = Options { seal: encryption.clone(), ..Options::default() };
    Store::open(store::memory::new(), options).await.unwrap()
}

fn secret() -> Key {
    Key::new("", "secrets", "default", "a")
}

async fn put(store: &Store) {
    let value = Write::Put(Value::whole(b"object"[..].into()));
    store.commit(secret(), Precondition::Any, value).await.unwrap();
}

#[tokio::test]
async fn a_plugin_is_not_asked_again_because_of_the_same_refused_file() {
    let (folder, own) = (tempfile::tempdir().unwrap(), Arc::new(Own::default()));
    let (path, file) = (serve(&own, folder.path()), folder.path().join("encryption.yaml"));
    write(&file, &[AES]);
    let encryption = Encryption::load(&file, true).await.unwrap();
    let store = open_store(&encryption).await;
    put(&store).await;
    write(&file, &[&provider("dear", &path, LONG)]);
    let mut candidate = None;
    for _ in 0..3 {
        let refused = encryption.reload(&file, &mut candidate, &store).await.unwrap_err();
        assert!(refused.contains("it lacks what 1 objects are encrypted with"), "{refused}");
    }
    assert_eq!(own.calls.load(Ordering::Relaxed), 2, "one status, one seed");
    store.commit(secret(), Precondition::Any, Write::Delete(Value::whole(Bytes::new()))).await.unwrap();
    assert_eq!(encryption.reload(&file, &mut candidate, &store).await, Ok(true));
    assert_eq!(own.calls.load(Ordering::Relaxed), 3, "whether it is still well");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_sealed_that_is_gone_for_good_is_rescued_from_memory() {
    let (folder, own) = (tempfile::tempdir().unwrap(), Arc::new(Own::default()));
    let path = serve(&own, folder.path());
    let (gone, stranger) =
        (provider("gone", &path, LONG), provider("stranger", Path::new("/nowhere/kms.sock"), LONG));
    let file = folder.path().join("encryption.yaml");
    let write = |providers: &[&str]| write(&file, providers);
    write(&[&gone]);
    let encryption = Encryption::load(&file, true).await.unwrap();
    let store = open_store(&encryption).await;
    let put = async || put(&store).await;
    put().await;
    std::fs::remove_file(&path).unwrap();

    let mut candidate = None;
    let mut change = async |providers: &[&str]| {
        write(providers);
        encryption.reload(&file, &mut candidate, &store).await
    };
    let refused = change(&[AES]).await.unwrap_err();
    assert!(refused.contains("it lacks what 1 objects are encrypted with"), "{refused}");
    for refused in [change(&[AES, &gone, &stranger]).await, change(&[&stranger, &gone]).await] {
        let refused = refused.unwrap_err();
        assert!(refused.contains("KMS Provider stranger") && !refused.contains("gone"), "{refused}");
    }
    assert_eq!(change(&[AES, &gone]).await, Ok(true), "it only reads, and was there before");
    put().await;
    assert_eq!(change(&[AES]).await, Ok(true), "nothing needs it any more");
    assert_eq!(store.get(&secret()).unwrap().bytes, b"object"[..]);
}

#[tokio::test]
async fn a_plugin_that_is_not_there_is_named() {
    let plugin = connect("absent", Path::new("/nowhere/kms.sock"), LONG).await;
    let error = plugin.seal(PLACE, b"object").unwrap_err();
    assert!(error.starts_with("got unexpected nil transformer: failed to perform status"), "{error}");
    assert!(!plugin.look().await);
}

//! Snapshots in files and in a real S3-compatible server (`s3s-fs`, on loopback), through the commands' own functions.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use store::{Engine, Key, Options, Precondition, Store, Value, Write};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::location::{Location, Sink};
use super::*;
use crate::store::StorePlace;

/// An S3 server with one bucket, `backups`, for as long as the runtime of the test.
async fn s3(folder: &Path) -> SocketAddr {
    std::fs::create_dir(folder.join("backups")).unwrap();
    let mut service = S3ServiceBuilder::new(FileSystem::new(folder).unwrap());
    service.set_auth(SimpleAuth::from_single("user", "secret"));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let server = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let (server, service) = (server.clone(), service.clone());
            tokio::spawn(async move {
                drop(server.serve_connection(hyper_util::rt::TokioIo::new(connection), service).await);
            });
        }
    });
    address
}

fn s3_location(server: SocketAddr, secret: &str, path: &str) -> Location {
    let settings = [
        ("AWS_ENDPOINT", format!("http://{server}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", "user".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_MAX_ATTEMPTS", "1".to_owned()),
        ("HOME", "/nowhere".to_owned()),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value)).into_iter();
    Location::parse_with(&format!("s3://backups/{path}"), settings).unwrap()
}

/// A store of incompressible values.
async fn store(objects: usize, size: usize) -> Store {
    let store = Store::open(store::memory::new(), Options::default()).await.unwrap();
    for number in 0..objects {
        let key = Key::new("", "configmaps", "default", &format!("n{number:05}"));
        let value = Value::whole((0..size).map(|_| rand::random::<u8>()).collect());
        store.commit(key, Precondition::Any, Write::Put(value)).await.unwrap();
    }
    store
}

async fn save(store: &Store, to: &Location) -> anyhow::Result<()> {
    to.fill(&CancellationToken::new(), async |sink| {
        store.save(sink, None).await?;
        Ok(())
    })
    .await
}

/// So many bytes, which are no snapshot.
async fn write(to: &Location, size: usize, cancel: &CancellationToken) -> anyhow::Result<Sink> {
    to.fill(cancel, |sink| put(sink, size)).await
}

async fn put(mut sink: Sink, size: usize) -> anyhow::Result<Sink> {
    tokio::task::spawn_blocking(move || Ok(sink.write_all(&vec![1; size]).map(|()| sink)?)).await?
}

async fn objects_restored(from: &Location, data: &Path) -> anyhow::Result<usize> {
    restore::run(from.clone(), data, StorePlace::Embedded, None).await?;
    let engine: Engine = store::fjall::open(data.join("store"))?;
    let store = Store::open(engine, Options::default()).await?;
    let count = store.snapshot(&store::Range::resource("", "configmaps")).len();
    store.close().await;
    Ok(count)
}

fn text(error: anyhow::Error) -> String {
    format!("{error:#}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_goes_to_s3_in_parts_and_comes_back() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let server = s3(folder.path()).await;
    let store = store(40, 1 << 20).await;
    let place = s3_location(server, "secret", "cluster/a.snapshot");
    save(&store, &place).await.unwrap();
    assert_eq!(objects_restored(&place, &folder.path().join("data")).await.unwrap(), 40);
    let again = text(save(&store, &place).await.unwrap_err());
    assert!(again.contains("it exists already"), "{again}");

    // One that is given up leaves nothing.
    let other = s3_location(server, "secret", "cluster/b.snapshot");
    let never = CancellationToken::new();
    let given_up = other.fill(&never, async |sink| -> anyhow::Result<()> {
        put(sink, 20 << 20).await?;
        anyhow::bail!("there is no more")
    });
    assert!(text(given_up.await.unwrap_err()).contains("there is no more"));
    assert_eq!(unfinished_uploads(folder.path()), 0);
    save(&store, &s3_location(server, "secret", "cluster/deeper/c.snapshot")).await.unwrap();
    let folder = s3_location(server, "secret", "cluster/");
    let found = folder.list().await.unwrap();
    assert_eq!(found.iter().map(|found| &*found.name).collect::<Vec<_>>(), ["a.snapshot"]);
    assert_eq!(found[0].header.as_ref().unwrap().revision, store.revision());
    folder.child("a.snapshot").remove().await.unwrap();
    assert!(folder.list().await.unwrap().is_empty());
    store.close().await;
}

/// The uploads that the server has begun and not finished: the client library cannot list them, the server's folder can.
fn unfinished_uploads(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().contains("upload")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_sent_only_of_what_is_large_and_taken_back_when_it_is_broken_off() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let server = s3(folder.path()).await;
    for (size, has_parts) in [(1 << 20, false), (9 << 20, true)] {
        let cancel = CancellationToken::new();
        let place = s3_location(server, "secret", "a.snapshot");
        let filled = place.fill(&cancel, async |sink| {
            let sink = put(sink, size).await?;
            assert_eq!(unfinished_uploads(folder.path()) > 0, has_parts, "{size} bytes");
            cancel.cancel();
            put(sink, 1).await
        });
        assert!(text(filled.await.err().unwrap()).contains("broken off"));
        assert_eq!(unfinished_uploads(folder.path()), 0, "{size} bytes");
        assert!(place.open().await.is_err());
    }
}

/// Everything that is sent after the first connection is swallowed, as by a network that was cut.
async fn swallowing(server: SocketAddr) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, cut) = (listener.local_addr().unwrap(), CancellationToken::new());
    let is_cut = cut.clone();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let is_cut = is_cut.clone();
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    copied = tokio::io::copy_bidirectional(&mut near, &mut far) => return drop(copied),
                    () = is_cut.cancelled() => {}
                }
                std::future::pending::<()>().await;
            });
        }
    });
    (address, cut)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_s3_that_does_not_answer_is_broken_off() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let (server, cut) = swallowing(s3(folder.path()).await).await;
    let cancel = CancellationToken::new();
    let place = s3_location(server, "secret", "a.snapshot");
    let filled = place.fill(&cancel, async |sink| {
        cut.cancel();
        let writing = tokio::spawn(put(sink, 32 << 20));
        cancel.cancel();
        writing.await?
    });
    assert!(text(filled.await.err().unwrap()).contains("broken off"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_to_s3_meanwhile_is_not_overwritten() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let server = s3(folder.path()).await;
    for (name, size) in [("small", 100), ("large", 20 << 20)] {
        let place = s3_location(server, "secret", name);
        let path = folder.path().join("backups").join(name);
        let cancel = CancellationToken::new();
        let filled = place.fill(&cancel, async |sink| {
            std::fs::write(&path, "theirs").unwrap();
            put(sink, size).await
        });
        let refused = text(filled.await.err().unwrap());
        assert!(refused.contains("it exists already"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_that_refuses_or_is_not_there_is_named() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let server = s3(folder.path()).await;
    let wrong = s3_location(server, "another", "a.snapshot");
    let refused = text(write(&wrong, 1, &CancellationToken::new()).await.err().unwrap());
    assert!(refused.contains("cannot save to s3://backups/a.snapshot"), "{refused}");
    let missing = text(s3_location(server, "secret", "none.snapshot").open().await.err().unwrap());
    assert!(missing.contains("cannot read s3://backups/none.snapshot"), "{missing}");
    assert!(text(Location::parse("s3:///x").unwrap_err()).contains("names no bucket"));
    let plain = [("AWS_ENDPOINT".to_owned(), format!("http://{server}"))].into_iter();
    let plain = text(Location::parse_with("s3://backups/a", plain).unwrap_err());
    assert!(plain.contains("AWS_ALLOW_HTTP=true"), "{plain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_written_whole_or_not_at_all_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(3, 100).await;
    let path = folder.path().join("a.snapshot");
    let place = Location::parse(path.to_str().unwrap()).unwrap();
    save(&store, &place).await.unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&path.metadata().unwrap()) & 0o777, 0o600);
    assert!(text(save(&store, &place).await.unwrap_err()).contains("it exists already"));

    let other = folder.path().join("b.snapshot");
    let place = Location::File(other.clone());
    // Somebody else's comes first.
    let never = CancellationToken::new();
    let filled = place.fill(&never, async |_| Ok(std::fs::write(&other, "theirs")?));
    assert!(text(filled.await.unwrap_err()).contains("exists"));
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "theirs");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
    let listed = Location::File(folder.path().to_owned()).list().await.unwrap();
    assert!(listed[0].header.is_ok() && listed[1].header.is_err());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_changes_nothing_unless_the_snapshot_is_whole_and_the_target_empty() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(30, 50_000).await;
    let path = folder.path().join("a.snapshot");
    let place = Location::File(path.clone());
    save(&store, &place).await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    let data = folder.path().join("data");
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    for (bytes, expected) in
        [(&whole[..whole.len() - 9], "cut short"), (&altered, "damaged"), (b"PK", "no snapshot")]
    {
        std::fs::write(&path, bytes).unwrap();
        let error = text(objects_restored(&place, &data).await.unwrap_err());
        assert!(error.contains(expected) && error.contains("a.snapshot"), "{error}");
        assert!(!data.exists());
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(objects_restored(&place, &data).await.unwrap(), 30);
    let again = text(objects_restored(&place, &data).await.unwrap_err());
    assert!(again.contains("not empty") && again.contains("data"), "{again}");
    store.close().await;
}

#[test]
fn a_passphrase_file_is_read_without_its_line_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let read = |text: &str| {
        std::fs::write(file.path(), text).unwrap();
        PassphraseFile { path: Some(file.path().to_owned()) }.read()
    };
    assert!(read("twelve bytes\n").unwrap().is_some());
    let error = text(read("eleven byte\n").unwrap_err());
    assert!(error.contains("holds 11 bytes"), "{error}");
    assert!(PassphraseFile::default().read().unwrap().is_none());
}

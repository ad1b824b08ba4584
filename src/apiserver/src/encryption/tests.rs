use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use store::{Options, Precondition, Store, Value, Write};

use super::cipher::{Cbc, Cipher, Gcm, SecretBox};
use super::*;

const OBJECT: &[u8] = br#"{"kind":"Secret"}"#;
const PLACE: &[u8] = b"/secrets/default/a";

/// What upstream's transformers made of it opens, and what is made of it here opens again, but not if a bit is changed.
fn opens(cipher: &dyn Cipher, upstream: &str, authenticates: bool) {
    let stored = STANDARD.decode(upstream).unwrap();
    assert_eq!(cipher.open(PLACE, &stored).unwrap(), OBJECT);
    let sealed = cipher.seal(PLACE, OBJECT, &[9; 24]).unwrap();
    assert_eq!(sealed.len(), stored.len());
    assert_eq!(cipher.open(PLACE, &sealed).unwrap(), OBJECT);
    for cut in 0..sealed.len() {
        assert!(cipher.open(PLACE, &sealed[..cut]).is_err(), "cut at {cut}");
    }
    for at in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        let opened = cipher.open(PLACE, &damaged);
        assert!(opened.as_ref().is_ok_and(|object| object != OBJECT) || opened.is_err(), "byte {at}");
        assert!(!authenticates || opened.is_err(), "byte {at}");
    }
}

#[test]
fn what_upstream_encrypted_can_be_read() {
    let gcm = |size| Gcm::new(&vec![7; size]).unwrap();
    opens(&gcm(16), "E9ziD0KNDDzjudCEkcBE30DqCKOHXphd72nfObm6yvRJ9hcOvfgFPg5znrN3", true);
    opens(&gcm(24), "haNWNXiTHZMNkuQU18V1wd09m7peo0p0H7U23SySXaEXwACfxEWvYn0ouzbF", true);
    opens(&gcm(32), "n3l5NP6At3nsVWOoB180PYJdJLjCIuxgqSkuxXcmXwWniOIPjrVP4Eki3JJ3", true);
    let cbc = |size| Cbc::new(&vec![7; size]).unwrap();
    opens(&cbc(16), "GgSw2tfrJ7Zvojp43SEXTXJYpK1qA+MjZQhDGy7jj3qcSVAGUECkbcHhDfaTaqha", false);
    opens(&cbc(24), "TlSSBkZ/O2/1Uf6918mp/EP5x5tkQyRXN2pJfBxP1EpQGtzETLokULDwbJeUNmmW", false);
    opens(&cbc(32), "B/Xdgyv+VB19lgu+sSRE4J+olQdSE94eY1CYn33H1ZJ/Rk7JwbrPpAOuBJIrOQw6", false);
    let secretbox = "Zyuy++E4eRSLDUI6SsG9ZYYnnkksKsihkgpCCQhDRLCv646fyhtreLc33MTxU+a0f0MJ1JARHGaf";
    opens(&SecretBox::new(&[7; 32]).unwrap(), secretbox, true);
}

#[test]
fn what_is_encrypted_with_aes_gcm_belongs_to_its_place() {
    let cipher = Gcm::new(&[7; 32]).unwrap();
    let sealed = cipher.seal(PLACE, OBJECT, &[9; 24]).unwrap();
    assert_eq!(
        cipher.open(b"/secrets/default/b", &sealed).unwrap_err(),
        "cipher: message authentication failed"
    );
}

/// A configuration file, gone with the value.
struct File(tempfile::NamedTempFile);

impl File {
    fn new(text: &str) -> Self {
        let file = Self(tempfile::NamedTempFile::new().unwrap());
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// The lines below `resources`, in a file.
fn configuration(rules: &str) -> String {
    format!("apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n{rules}")
}

async fn load(rules: &str) -> Result<Arc<Encryption>, String> {
    let file = File::new(&configuration(rules));
    Encryption::load(file.path(), false).await.map_err(|error| error.to_string())
}

/// The base64 of 32 bytes.
const ONE: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const TWO: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn aes(kind: &str, keys: &[(&str, &str)]) -> String {
    let keys = keys.iter().map(|(name, secret)| format!("{{name: {name}, secret: {secret}}}"));
    format!("{{{kind}: {{keys: [{}]}}}}", keys.collect::<Vec<_>>().join(", "))
}

fn rule(resources: &str, providers: &[&str]) -> String {
    format!("- resources: [{resources}]\n  providers: [{}]\n", providers.join(", "))
}

fn key(resource: &str) -> Key {
    Key::new("", resource, "default", "a")
}

#[tokio::test]
async fn the_first_provider_writes_and_all_read() {
    let (cbc, gcm) = (aes("aescbc", &[("one", ONE)]), aes("aesgcm", &[("two", TWO)]));
    let before = load(&rule("secrets", &[&cbc])).await.unwrap();
    let after = load(&rule("secrets", &[&gcm, &cbc, "{identity: {}}"])).await.unwrap();
    let old = before.seal(&key("secrets"), OBJECT).unwrap().unwrap();
    assert!(old.bytes.starts_with(b"k8s:enc:aescbc:v1:one:"));
    let new = after.seal(&key("secrets"), OBJECT).unwrap().unwrap();
    assert!(new.bytes.starts_with(b"k8s:enc:aesgcm:v1:two:"));
    assert_eq!(after.current(&key("secrets")), Some(new.by.clone()));
    for (stored, by) in [(old.bytes, Some(old.by)), (new.bytes, Some(new.by)), (OBJECT.into(), None)] {
        let opened = after.open(&key("secrets"), stored).unwrap();
        assert_eq!((&*opened.object, opened.by), (OBJECT, by));
    }
}

#[tokio::test]
async fn keys_of_one_name_are_told_apart() {
    let (one, two) = (aes("aesgcm", &[("key", ONE)]), aes("aesgcm", &[("key", TWO)]));
    let before = load(&rule("secrets", &[&one])).await.unwrap();
    let after = load(&rule("secrets", &[&two, &one])).await.unwrap();
    let old = before.seal(&key("secrets"), OBJECT).unwrap().unwrap();
    let opened = after.open(&key("secrets"), old.bytes).unwrap();
    assert_ne!(opened.by, after.current(&key("secrets")));
}

#[tokio::test]
async fn what_cannot_be_decrypted_is_refused_in_upstreams_words() {
    let (one, two) = (aes("aesgcm", &[("key", ONE)]), aes("aesgcm", &[("key", TWO)]));
    let sealed =
        load(&rule("secrets", &[&one])).await.unwrap().seal(&key("secrets"), OBJECT).unwrap().unwrap();
    let check = async |rules: String, why: &str| {
        let error = load(&rules).await.unwrap().open(&key("secrets"), sealed.bytes.clone()).unwrap_err();
        assert_eq!(error, why);
    };
    check(rule("secrets", &[&two]), "cipher: message authentication failed").await;
    check(
        rule("secrets", &[&aes("aesgcm", &[("other", ONE)])]),
        "no matching key was found for the provided AES transformer",
    )
    .await;
    check(rule("secrets", &[&aes("secretbox", &[("key", ONE)])]), "no matching prefix found").await;
    check(rule("secrets", &["{identity: {}}"]), "no matching prefix found").await;
    check(rule("configmaps", &[&one]), "identity transformer tried to read encrypted data").await;
}

#[tokio::test]
async fn what_is_encrypted_and_decrypted_is_counted() {
    let encryption = load(&rule("things.example.com", &[&aes("aesgcm", &[("one", ONE)])])).await.unwrap();
    let key = Key::new("example.com", "things", "default", "a");
    let sealed = encryption.seal(&key, OBJECT).unwrap().unwrap();
    encryption.open(&key, sealed.bytes).unwrap();
    encryption.open(&key, OBJECT.into()).unwrap_err();
    let text = prometheus::TextEncoder::new().encode_to_string(&prometheus::gather()).unwrap();
    for (status, way, prefix) in [
        ("OK", "to_storage", "k8s:enc:aesgcm:v1:"),
        ("OK", "from_storage", "k8s:enc:aesgcm:v1:"),
        ("Unknown", "from_storage", "unknown"),
    ] {
        let line = format!(
            "apiserver_storage_transformation_operations_total{{resource=\"things.example.com\",status=\"{status}\",\
             transformation_type=\"{way}\",transformer_prefix=\"{prefix}\"}} 1"
        );
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
    assert!(text.contains("apiserver_storage_transformation_duration_seconds_count"));
}

#[tokio::test]
async fn the_most_particular_rule_counts() {
    let rules = [
        rule("secrets", &[&aes("aesgcm", &[("one", ONE)])]),
        rule("'*.apps'", &[&aes("aescbc", &[("two", TWO)])]),
        rule("'*.*'", &["{identity: {}}", &aes("secretbox", &[("one", ONE)])]),
    ];
    let encryption = load(&rules.concat()).await.unwrap();
    let by = |group: &str, resource: &str| {
        let sealed = encryption.seal(&Key::new(group, resource, "default", "a"), OBJECT).unwrap();
        sealed.map(|sealed| sealed.by.split(':').nth(2).unwrap().to_owned())
    };
    assert_eq!(by("", "secrets").as_deref(), Some("aesgcm"));
    assert_eq!(by("apps", "deployments").as_deref(), Some("aescbc"));
    assert_eq!(by("", "configmaps"), None);
}

#[tokio::test]
async fn configurations_are_refused_in_upstreams_words() {
    async fn check(rules: &str, why: &str) {
        let Err(error) = load(rules).await else { panic!("accepted, but {why}") };
        assert!(error.contains(why), "{error}\n  not: {why}");
    }
    let own = aes("aesgcm", &[("one", ONE)]);
    let parse = "error while parsing file: ";
    check("", &format!("{parse}resources: Required value: at least one resources is required")).await;
    check(
        &rule("", &[&own]),
        "resources[0].resources: Required value: at least one resources[0].resources is required",
    )
    .await;
    check(&rule("secrets", &[]), "resources[0].providers: Required value").await;
    check(
        &rule("secrets", &[&aes("aescbc", &[("one", "c2hvcnQ=")])]),
        "resources[0].providers[0].aescbc.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the \
         expected length, got 5, expected one of [16 24 32]",
    )
    .await;
    check(
        &rule("secrets", &[&aes("secretbox", &[("one", "?")])]),
        "Invalid value: \"REDACTED\": secrets must be base64 encoded",
    )
    .await;
    check(&rule("secrets, Secrets", &[&own]), "resource name should not contain capital letters").await;
    check(&rule("'*'", &[&own]), "use '*.' to encrypt all the resources from core API group").await;
    check(&rule("secrets, '*.*'", &[&own]), "using overlapping resources such as 'secrets' and '*.'").await;
    check(&rule("secrets, secrets", &[&own]), "the same resource cannot be specified multiple times").await;
    check(
        &[rule("'*.'", &[&own]), rule("secrets", &[&own])].concat(),
        "error while building transformers: resource \"secrets\" is masked by earlier rule \"*.\"",
    )
    .await;
    check(&rule("secrets", &["{kms: {name: a, endpoint: 'http://a'}}"]), "unsupported scheme \"http\"").await;
    check(&rule("secrets", &["{kms: {name: a, endpoint: 'unix:///a'}}"]), "KMSv1 is deprecated").await;
    check(
        &rule("secrets", &["{kms: {apiVersion: v2, name: 'a:b', endpoint: 'unix:///a'}}"]),
        "must not contain ':'",
    )
    .await;
    check(&rule("secrets", &["{unknown: {}}"]), "error decoding encryption provider configuration file")
        .await;
}

#[tokio::test]
async fn the_history_is_encrypted_and_can_be_read() {
    let engine = store::memory::new();
    let encryption = load(&rule("secrets", &[&aes("secretbox", &[("key", ONE)])])).await.unwrap();
    // Nothing of the past is kept in memory.
    let options = Options { seal: encryption, ring: 0, ..Options::default() };
    let store = Store::open(engine.clone(), options).await.unwrap();
    let put = async |object: &'static [u8]| {
        let value = Write::Put(Value::whole(object.into()));
        store.commit(key("secrets"), Precondition::Any, value).await.unwrap().entry.revision
    };
    let first = put(OBJECT).await;
    put(b"{}").await;
    let past = store.get_at(&key("secrets"), first).await.unwrap().unwrap();
    assert_eq!(past.bytes, OBJECT);
    assert!(matches!(&past.sealing, Sealing::By(name) if name.starts_with("k8s:enc:secretbox:v1:key:")));
    let mut watch = store.watch(store::Range::resource("", "secrets"), first - 1).unwrap();
    let store::Item::Events(events) = watch.next().await.unwrap() else { panic!("no events") };
    assert_eq!(events.first().unwrap().entry.bytes, OBJECT);
    let stored: Vec<u8> = engine.snapshot().scan(b"", b"\xff").flat_map(|pair| pair.unwrap().1).collect();
    assert!(!stored.windows(OBJECT.len()).any(|bytes| bytes == OBJECT));
}

#[tokio::test]
async fn an_entry_that_cannot_be_decrypted_harms_no_other_and_opens_with_its_key() {
    let engine = store::memory::new();
    let file = File::new(&configuration(&rule("secrets", &[&aes("aesgcm", &[("key", ONE)])])));
    let put = async |store: &Store, resource: &str| {
        let value = Write::Put(Value::whole(OBJECT.into()));
        store.commit(key(resource), Precondition::Absent, value).await.unwrap();
    };
    let encryption = Encryption::load(file.path(), false).await.unwrap();
    let options = Options { seal: encryption, ..Options::default() };
    let store = Store::open(engine.clone(), options).await.unwrap();
    put(&store, "secrets").await;
    put(&store, "configmaps").await;
    store.close().await;

    let stored: Vec<u8> = engine.snapshot().scan(b"d/", b"d0").flat_map(|pair| pair.unwrap().1).collect();
    assert_eq!(stored.windows(OBJECT.len()).filter(|bytes| *bytes == OBJECT).count(), 1, "of the config map");

    std::fs::write(file.path(), configuration(&rule("secrets", &[&aes("aesgcm", &[("key", TWO)])]))).unwrap();
    let encryption = Encryption::load(file.path(), true).await.unwrap();
    let options = Options { seal: encryption.clone(), ..Options::default() };
    let store = Store::open(engine, options).await.unwrap();
    assert_eq!(store.get(&key("configmaps")).unwrap().bytes, OBJECT);
    let unreadable = store.get(&key("secrets")).unwrap();
    assert!(unreadable.bytes.is_empty());
    assert_eq!(
        readable(&unreadable).unwrap_err().message(),
        "Internal error occurred: cipher: message authentication failed"
    );
    let listed = all_readable(&store.snapshot(&store::Range::resource("", "secrets"))).unwrap_err();
    assert!(
        listed.message().contains("unable to transform key \"/secrets/default/a\""),
        "{}",
        listed.message()
    );
    all_readable(&store.snapshot(&store::Range::resource("", "configmaps"))).unwrap();

    assert_eq!(gauge(&store, "coxswain_store_unreadable_objects").await, 1.0);
    assert_eq!(gauge(&store, "coxswain_store_stale_objects").await, 0.0);

    // The configuration gets the key back.
    let both = rule("secrets", &[&aes("aesgcm", &[("new", TWO), ("key", ONE)])]);
    std::fs::write(file.path(), configuration(&both)).unwrap();
    tokio::time::pause();
    let following = tokio::spawn(encryption.follow(store.clone()));
    let entry = loop {
        let entry = store.get(&key("secrets")).unwrap();
        if readable(&entry).is_ok() {
            break entry;
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    };
    following.abort();
    assert_eq!((&*entry.bytes, entry.revision), (OBJECT, unreadable.revision));
    assert!(store.is_stale(&entry), "it is to be written with the new key");
    assert_eq!(gauge(&store, "coxswain_store_unreadable_objects").await, 0.0);
    assert_eq!(gauge(&store, "coxswain_store_stale_objects").await, 1.0);
    all_readable(&store.snapshot(&store::Range::resource("", "secrets"))).unwrap();
}

async fn gauge(store: &Store, name: &str) -> f64 {
    let families = store.metrics().await;
    let family = families.iter().find(|family| family.get_name() == name).unwrap();
    family.get_metric()[0].get_gauge().get_value()
}

/// A store whose configuration changes.
struct Changing {
    file: File,
    encryption: Arc<Encryption>,
    store: Store,
    candidate: Option<follow::Candidate>,
}

impl Changing {
    async fn new(rules: &str) -> Self {
        let file = File::new(&configuration(rules));
        let encryption = Encryption::load(file.path(), true).await.unwrap();
        let options = Options { seal: encryption.clone(), ..Options::default() };
        let store = Store::open(store::memory::new(), options).await.unwrap();
        Self { file, encryption, store, candidate: None }
    }

    async fn change(&mut self, rules: &str) -> Result<bool, String> {
        std::fs::write(self.file.path(), configuration(rules)).unwrap();
        self.encryption.reload(self.file.path(), &mut self.candidate, &self.store).await
    }

    async fn write(&self, key: &Key) {
        let value = Write::Put(Value::whole(OBJECT.into()));
        self.store.commit(key.clone(), Precondition::Any, value).await.unwrap();
    }

    /// The name of the key that writes.
    fn writes_with(&self) -> String {
        self.encryption.current(&key("secrets")).unwrap().split(':').nth(4).unwrap().to_owned()
    }
}

fn secrets(keys: &[(&str, &str)]) -> String {
    rule("secrets", &[&aes("aesgcm", keys)])
}

#[tokio::test]
async fn a_changed_configuration_is_not_used_while_it_would_lose_something() {
    let mut changing = Changing::new(&secrets(&[("one", ONE)])).await;
    changing.write(&key("secrets")).await;
    let refused = changing.change(&secrets(&[("two", TWO)])).await.unwrap_err();
    assert!(refused.contains("among them /secrets/default/a"), "a restart could not read it: {refused}");
    let dead = "{kms: {apiVersion: v2, name: vault, endpoint: 'unix:///nowhere/kms.sock'}}";
    let refused = changing.change(&rule("secrets", &[dead, &aes("aesgcm", &[("one", ONE)])])).await;
    assert!(refused.unwrap_err().contains("KMS Provider vault"), "nothing could be written");
    assert_eq!(changing.writes_with(), "one");
    assert_eq!(changing.change(&secrets(&[("two", TWO), ("one", ONE)])).await, Ok(true));
    assert_eq!(changing.writes_with(), "two");
    changing.write(&key("secrets")).await;
    assert_eq!(changing.change(&secrets(&[("two", TWO)])).await, Ok(true));
    assert_eq!(changing.change(&secrets(&[("three", ONE), ("two", TWO)])).await, Ok(true));
    assert_eq!(changing.writes_with(), "three", "what nothing is stored with is let go");
    assert_eq!(changing.change(&secrets(&[("three", ONE), ("two", TWO)])).await, Ok(false), "as before");
}

#[tokio::test]
async fn what_clients_cannot_reach_is_encrypted_anew_by_the_server() {
    let mut changing = Changing::new(&secrets(&[("one", ONE)])).await;
    let port = Key::new("coxswain.io", "nodeports", "", "30500");
    let keys = Key::new("coxswain.io", "pki", "", "cluster");
    for key in [&port, &keys] {
        changing.write(key).await;
    }
    assert_eq!(changing.change(&secrets(&[("two", TWO), ("one", ONE)])).await, Ok(true));
    let refused = changing.change(&secrets(&[("two", TWO)])).await.unwrap_err();
    assert!(refused.contains("it lacks what 2 objects are encrypted with"), "{refused}");

    let before = [&port, &keys].map(|key| changing.store.get(key).unwrap());
    let stale = anew::stale(&changing.store).await;
    assert_eq!(stale.len(), 2);
    // Somebody is quicker, with one of them.
    changing.write(&port).await;
    assert!(anew::write(&changing.store, stale).await);
    for before in before {
        let now = changing.store.get(&before.key).unwrap();
        assert_eq!((now.revision > before.revision, &now.bytes), (true, &before.bytes));
        assert!(!changing.store.is_stale(&now));
    }
    assert_eq!(gauge(&changing.store, "coxswain_store_stale_objects").await, 0.0);
    let revision = changing.store.revision();
    assert!(anew::write(&changing.store, anew::stale(&changing.store).await).await);
    assert_eq!(changing.store.revision(), revision, "what is fresh is left alone");
    assert_eq!(changing.change(&secrets(&[("two", TWO)])).await, Ok(true));
}

/// Seals with the old rules until it is let go, as a sequencer does that was interrupted.
struct Slow {
    encryption: Arc<Encryption>,
    began: std::sync::mpsc::Sender<()>,
    goes_on: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
    is_slow: std::sync::atomic::AtomicBool,
}

impl Seal for Slow {
    fn seal(&self, key: &Key, object: &[u8]) -> Result<Option<Sealed>, String> {
        let sealed = self.encryption.seal(key, object);
        if self.is_slow.swap(false, std::sync::atomic::Ordering::Relaxed) {
            self.began.send(()).unwrap();
            self.goes_on.lock().unwrap().recv().unwrap();
        }
        sealed
    }

    fn current(&self, key: &Key) -> Option<Arc<str>> {
        self.encryption.current(key)
    }

    fn open(&self, key: &Key, stored: Bytes) -> Result<Opened, String> {
        self.encryption.open(key, stored)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_on_its_way_while_the_keys_changed_is_written_again() {
    let file = File::new(&configuration(&secrets(&[("one", ONE)])));
    let encryption = Encryption::load(file.path(), true).await.unwrap();
    let ((began, has_begun), (go_on, goes_on)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let slow = Slow { encryption: encryption.clone(), began, goes_on: goes_on.into(), is_slow: true.into() };
    let options = Options { seal: Arc::new(slow), ..Options::default() };
    let store = Store::open(store::memory::new(), options).await.unwrap();
    let writing = tokio::spawn({
        let store = store.clone();
        let value = Write::Put(Value::whole(OBJECT.into()));
        async move { store.commit(key("secrets"), Precondition::Absent, value).await.unwrap().entry }
    });
    tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();

    std::fs::write(file.path(), configuration(&secrets(&[("two", TWO)]))).unwrap();
    let reloading = tokio::spawn({
        let (encryption, store, path) = (encryption.clone(), store.clone(), file.path().to_owned());
        async move { encryption.reload(&path, &mut None, &store).await }
    });
    // The new rules are in use, and the write is not yet published.
    while encryption.current(&key("secrets")).unwrap().split(':').nth(4) != Some("two") {
        tokio::task::yield_now().await;
    }
    assert!(store.get(&key("secrets")).is_none());
    go_on.send(()).unwrap();
    let written = writing.await.unwrap();
    assert!(store.is_stale(&written));
    assert_eq!(reloading.await.unwrap(), Ok(true));
    let now = store.get(&key("secrets")).unwrap();
    assert_eq!((now.revision > written.revision, &now.bytes), (true, &written.bytes));
    assert!(!store.is_stale(&now));
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_said_without_its_keys() {
    async fn check(rules: &str, why: &str) {
        let Err(error) = load(rules).await else { panic!("accepted: {rules}") };
        assert!(error.contains(why) && !error.contains(&ONE[..12]), "{error}\n  not: {why}");
    }
    let keys = |keys: String| rule("secrets", &[&format!("{{aesgcm: {{keys: {keys}}}}}")]);
    check(&keys(format!("[{{name: a, secret:{ONE}}}]")), "line 5, column").await;
    check(&keys(format!("[{{name: a, secert: {ONE}}}]")), "unknown field, expected one of name, secret")
        .await;
    check(&keys(format!("[{{name: a, {ONE}: b}}]")), "unknown field, expected one of name, secret").await;
    check(&keys(ONE.to_owned()), "line 5, column").await;
    check(&keys(format!("[{ONE}]")), "line 5, column").await;
    check(&keys(format!("[{{name: a, secret: [{ONE}]}}]")), "line 5, column").await;
    check(&keys(format!("[{{name: a, {ONE}: b, {ONE}: b}}]")), "line 5, column").await;
    check(&keys(format!("[{{name: a, secret: {ONE}")), "line ").await;
    let block =
        "- resources: [secrets]\n  providers:\n  - aesgcm:\n      keys:\n      - name: a\n        secret:";
    check(&format!("{block}{ONE}\n"), "line ").await;
    check(&format!("{block} \"{ONE}\n"), "line ").await;
    check(&format!("{block} {ONE}: b\n"), "line ").await;
    check(&format!("{block} &{ONE} *{ONE}\n"), "line ").await;
}

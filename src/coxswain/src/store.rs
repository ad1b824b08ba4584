//! Where the cluster keeps its state: what the flags say, and the store opened accordingly.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use store::tikv::{Place, Survey, Tls};
use store::{OpenError, Options, Peer, Store, fjall, tikv};

use crate::datadir::DataDir;
use crate::pki::write_private;

/// What begins every key in TiKV unless told otherwise.
const PREFIX: &str = "coxswain/";
/// The file in the data directory that says where the state is, where that is elsewhere.
const ELSEWHERE: &str = "store-elsewhere";

/// Which engine holds the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The data directory of this server.
    #[default]
    Embedded,
    /// A TiKV cluster, which other servers may share.
    Tikv,
}

/// The flags about the store; in the config file they stand under `store`.
#[derive(Args, Deserialize, Default, Debug)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct StoreOptions {
    /// Where the cluster's state is kept: embedded (in the data directory) or tikv [default: embedded]
    #[arg(long = "store", value_name = "KIND")]
    kind: Option<Kind>,
    /// host:port of TiKV's placement drivers, separated by commas
    #[arg(long = "store-endpoints", value_name = "PD", value_delimiter = ',')]
    endpoints: Option<Vec<String>>,
    /// The authority of TiKV's certificates; a PEM file, given together with --store-cert and --store-key
    #[arg(long = "store-ca", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate that this server shows TiKV; a PEM file
    #[arg(long = "store-cert", value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its key; a PEM file
    #[arg(long = "store-key", value_name = "FILE")]
    key: Option<PathBuf>,
    /// What begins the keys of this cluster in TiKV; servers with the same prefix are one cluster [default: coxswain/]
    #[arg(long = "store-prefix", value_name = "PREFIX")]
    prefix: Option<String>,
    /// The port at which other servers of the cluster reach this one's store [default: any that is free]
    #[arg(long = "store-peer-port", value_name = "PORT")]
    peer_port: Option<u16>,
}

impl StoreOptions {
    /// These, and the file's where there is none.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            kind: self.kind.or(file.kind),
            endpoints: self.endpoints.or(file.endpoints),
            ca: self.ca.or(file.ca),
            cert: self.cert.or(file.cert),
            key: self.key.or(file.key),
            prefix: self.prefix.or(file.prefix),
            peer_port: self.peer_port.or(file.peer_port),
        }
    }

    /// The same, about TiKV whether that is said or not.
    pub(crate) fn in_tikv(self) -> Self {
        Self { kind: Some(Kind::Tikv), ..self }
    }

    /// Whether they say which of the clusters in TiKV is meant.
    pub(crate) fn names_prefix(&self) -> bool {
        self.prefix.is_some()
    }

    /// Whether they say where TiKV is.
    pub(crate) fn names_tikv(&self) -> bool {
        self.endpoints.is_some()
    }

    /// # Errors
    /// Flags that do not go together, in one line.
    pub(crate) fn resolve(self) -> anyhow::Result<StorePlace> {
        if self.kind.unwrap_or_default() == Kind::Embedded {
            let others =
                [self.endpoints.is_some(), self.ca.is_some(), self.cert.is_some(), self.key.is_some()];
            let has_others = others.contains(&true) || self.prefix.is_some() || self.peer_port.is_some();
            ensure!(!has_others, "the flags --store-… are about TiKV: add --store tikv, or leave them out");
            return Ok(StorePlace::Embedded);
        }
        let endpoints = self.endpoints.unwrap_or_default();
        ensure!(!endpoints.is_empty(), "--store tikv needs --store-endpoints: host:port of at least one PD");
        let tls = match (self.ca, self.cert, self.key) {
            (None, None, None) => None,
            (Some(ca), Some(certificate), Some(key)) => Some(Tls { ca, certificate, key }),
            _ => anyhow::bail!("--store-ca, --store-cert and --store-key are needed together"),
        };
        let prefix = self.prefix.unwrap_or_else(|| PREFIX.to_owned());
        ensure!(!prefix.is_empty(), "--store-prefix must not be empty: every key in TiKV would be ours");
        let place = Place { endpoints, prefix, tls };
        Ok(StorePlace::Tikv { place, peer_port: self.peer_port.unwrap_or(0) })
    }
}

/// Where the state is.
#[derive(Clone, Debug)]
pub(crate) enum StorePlace {
    Embedded,
    Tikv {
        place: Place,
        /// 0 for any that is free.
        peer_port: u16,
    },
}

impl StorePlace {
    /// Whether other servers may have it open, too.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Tikv { .. })
    }

    /// Leaves a note in the data directory for `coxswain reset`, which knows none of the flags.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn note(&self, data: &DataDir) -> anyhow::Result<()> {
        let path = data.join(ELSEWHERE);
        match self {
            Self::Embedded if !path.exists() => Ok(()),
            Self::Embedded => {
                std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
            }
            Self::Tikv { place: Place { endpoints, prefix, .. }, .. } => {
                let note = format!(
                    "under the prefix {prefix:?} in TiKV (placement drivers {})",
                    endpoints.join(", ")
                );
                write_private(&path, note.as_bytes())
            }
        }
    }

    /// Opens the store, or joins the servers that have it open. `address` is how they reach this one.
    ///
    /// # Errors
    /// Why it cannot be opened, with the place.
    pub(crate) async fn open(
        &self,
        data: &DataDir,
        address: IpAddr,
        options: Options,
    ) -> anyhow::Result<Store> {
        match self {
            Self::Embedded => {
                tell_of_a_lost_store(data);
                let directory = data.private("store")?;
                let context = || format!("cannot open the store in {}", directory.display());
                let engine = fjall::open(&directory).with_context(context)?;
                Store::open(engine, options).await.with_context(context)
            }
            Self::Tikv { place, peer_port } => {
                let context = || format!("cannot open the store {:?} in TiKV", place.prefix);
                let connecting = place.clone();
                let engine = tokio::task::spawn_blocking(move || {
                    let engine = tikv::open(&connecting)?;
                    if tikv::is_new(&engine)? {
                        tell_of_founding(&connecting);
                    }
                    Ok::<_, OpenError>(engine)
                });
                let engine = engine.await?;
                let bind = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), *peer_port);
                let peer = Peer { bind, advertise: address };
                Store::join(engine.with_context(context)?, options, peer).await.with_context(context)
            }
        }
    }
}

/// Where the state of the cluster in a data directory is, if elsewhere.
pub(crate) fn elsewhere(data: &Path) -> Option<String> {
    std::fs::read_to_string(data.join(ELSEWHERE)).ok()
}

/// A disk that is not mounted makes an empty cluster of one that was full, and its nodes would end all pods.
fn tell_of_a_lost_store(data: &DataDir) {
    if has_lost_its_store(data.path()) {
        tracing::warn!(
            "a NEW CLUSTER begins in {}: it holds no state, but a server ran here before ({KUBECONFIG} is there). If that is \
             not meant, stop this server, move the new state away, and bring back what was there or restore a snapshot \
             (`coxswain snapshot restore`)",
            data.join("store").display()
        );
    }
}

/// What every server leaves in its data directory.
const KUBECONFIG: &str = "kubeconfig";

fn has_lost_its_store(data: &Path) -> bool {
    data.join(KUBECONFIG).exists() && !data.join("store/acknowledged").exists()
}

/// A prefix that was mistyped begins an empty cluster, too; whoever did that is to see it at once.
fn tell_of_founding(place: &Place) {
    // Whatever is wrong with others' keys does not keep this one from beginning.
    let others = match tikv::survey(place) {
        Ok(survey) => others(&survey),
        Err(error) => format!("what cannot be said: {error}"),
    };
    tracing::warn!(
        "a NEW CLUSTER begins under --store-prefix {:?}, where nothing was stored; this TiKV has these: {others}. If one of \
         them was meant, stop this server and name it (`coxswain store ls` shows them)",
        place.prefix
    );
}

fn others(survey: &Survey) -> String {
    let others: Vec<String> = survey.stores.iter().map(|found| format!("{:?}", found.prefix)).collect();
    let others = if others.is_empty() { "no other".to_owned() } else { others.join(", ") };
    let more = if survey.is_complete { "" } else { ", and perhaps more" };
    others + more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: StoreOptions,
    }

    fn check(line: &str, expected: Result<&str, &str>) {
        let line = <Line as clap::Parser>::try_parse_from(line.split(' ')).unwrap();
        match (line.options.resolve(), expected) {
            (Ok(place), Ok(expected)) => assert_eq!(format!("{place:?}"), expected),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (resolved, expected) => panic!("{resolved:?} is not {expected:?}"),
        }
    }

    #[test]
    fn a_data_directory_that_had_a_store_and_has_none_is_told_from_a_new_one() {
        let data = tempfile::tempdir().unwrap();
        assert!(!has_lost_its_store(data.path()), "a new one");
        std::fs::write(data.path().join(KUBECONFIG), "").unwrap();
        assert!(has_lost_its_store(data.path()));
        std::fs::create_dir(data.path().join("store")).unwrap();
        assert!(has_lost_its_store(data.path()), "where something was to be mounted");
        std::fs::write(data.path().join("store/acknowledged"), "").unwrap();
        assert!(!has_lost_its_store(data.path()));
    }

    #[test]
    fn flags_about_the_store_say_where_it_is_or_what_is_missing() {
        check("x", Ok("Embedded"));
        check("x --store embedded", Ok("Embedded"));
        check(
            "x --store tikv --store-endpoints a:1,b:2 --store-prefix p/",
            Ok(
                "Tikv { place: Place { endpoints: [\"a:1\", \"b:2\"], prefix: \"p/\", tls: None }, peer_port: 0 }",
            ),
        );
        check("x --store tikv", Err("--store-endpoints"));
        check("x --store-prefix p/", Err("--store tikv"));
        check("x --store tikv --store-endpoints a:1 --store-ca f", Err("needed together"));
        check("x --store tikv --store-endpoints a:1 --store-prefix=", Err("must not be empty"));
    }
}

//! A sandbox: namespaces held by a monitor process, an address in the pod network, and what its containers share. One
//! directory each, `sandboxes/<id>`: `sandbox.json` (the record), `netns` (the pinned network namespace), `shm`, `hostname`,
//! `resolv.conf`, `monitor.sock`. The record is written before anything is made, so that everything can be found again.

pub(crate) mod life;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use cri::v1;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;
use crate::monitor::Monitor;
use crate::process::Identity;

const RECORD_FILE: &str = "sandbox.json";
pub(crate) const NETNS: &str = "netns";
pub(crate) const SHM: &str = "shm";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    #[serde(with = "crate::wire")]
    pub(crate) config: v1::PodSandboxConfig,
    pub(crate) runtime_handler: String,
    pub(crate) created_at_ns: i64,
    /// The boot that its processes and mounts belong to.
    pub(crate) boot_id: String,
    pub(crate) ips: Vec<IpAddr>,
    /// `PID TICKS` of the monitor; empty until it runs.
    pub(crate) monitor: String,
    pub(crate) is_stopped: bool,
}

pub(crate) struct Sandbox {
    pub(crate) id: String,
    pub(crate) directory: PathBuf,
    record: Mutex<Record>,
    monitor: Mutex<Option<Arc<Monitor>>>,
    /// One stop or removal at a time.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Sandbox {
    pub(crate) fn create(directory: PathBuf, record: Record) -> Result<Self> {
        files::write_json(&directory.join(RECORD_FILE), &record)?;
        Ok(Self::new(directory, record))
    }

    /// A sandbox of an earlier runtime process; `None` if its creation had not begun.
    pub(crate) fn load(directory: PathBuf) -> Result<Option<Self>> {
        let record = files::read_json::<Record>(&directory.join(RECORD_FILE))?;
        Ok(record.map(|record| Self::new(directory, record)))
    }

    fn new(directory: PathBuf, record: Record) -> Self {
        let id = record.id.clone();
        Self {
            id,
            directory,
            record: Mutex::new(record),
            monitor: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn record(&self) -> Record {
        self.record.lock().expect("no panic while held").clone()
    }

    /// Changes the record, on disk first.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Record)) -> Result<()> {
        let mut record = self.record.lock().expect("no panic while held");
        let mut changed = record.clone();
        change(&mut changed);
        files::write_json(&self.directory.join(RECORD_FILE), &changed)?;
        *record = changed;
        Ok(())
    }

    pub(crate) fn set_monitor(&self, monitor: Option<Arc<Monitor>>) {
        *self.monitor.lock().expect("no panic while held") = monitor;
    }

    pub(crate) fn has_monitor(&self) -> bool {
        self.monitor.lock().expect("no panic while held").is_some()
    }

    /// The connection to its monitor, if it is ready.
    pub(crate) fn monitor(&self) -> Result<Arc<Monitor>> {
        let monitor = self.monitor.lock().expect("no panic while held").clone();
        monitor.ok_or_else(|| Error::Precondition(format!("sandbox {:?} is not running", self.id)))
    }

    /// The process that its monitor is, or was.
    pub(crate) fn monitor_identity(&self) -> Option<Identity> {
        self.record().monitor.parse().ok()
    }

    pub(crate) fn state(&self) -> v1::PodSandboxState {
        let is_stopped = self.record.lock().expect("no panic while held").is_stopped;
        if !is_stopped && self.has_monitor() {
            v1::PodSandboxState::SandboxReady
        } else {
            v1::PodSandboxState::SandboxNotready
        }
    }

    /// The entry of a list.
    pub(crate) fn summary(&self) -> v1::PodSandbox {
        let record = self.record();
        v1::PodSandbox {
            id: record.id,
            metadata: record.config.metadata,
            state: self.state() as i32,
            created_at: record.created_at_ns,
            labels: record.config.labels,
            annotations: record.config.annotations,
            runtime_handler: record.runtime_handler,
        }
    }

    pub(crate) fn status(&self) -> v1::PodSandboxStatus {
        let record = self.record();
        let mut ips = record.ips.iter().map(ToString::to_string);
        let network = v1::PodSandboxNetworkStatus {
            ip: ips.next().unwrap_or_default(),
            additional_ips: ips.map(|ip| v1::PodIp { ip }).collect(),
        };
        let namespaces = v1::Namespace { options: Some(namespace_options(&record.config)) };
        v1::PodSandboxStatus {
            id: record.id,
            metadata: record.config.metadata,
            state: self.state() as i32,
            created_at: record.created_at_ns,
            network: Some(network),
            linux: Some(v1::LinuxPodSandboxStatus { namespaces: Some(namespaces) }),
            labels: record.config.labels,
            annotations: record.config.annotations,
            runtime_handler: record.runtime_handler,
        }
    }
}

/// Which namespaces a sandbox asks for. Without options, containers do not share processes.
pub(crate) fn namespace_options(config: &v1::PodSandboxConfig) -> v1::NamespaceOption {
    let security = config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    security.and_then(|security| security.namespace_options.clone()).unwrap_or_else(|| v1::NamespaceOption {
        pid: v1::NamespaceMode::Container as i32,
        ..v1::NamespaceOption::default()
    })
}

/// Whether an option says that the machine's namespace is to be used.
pub(crate) fn is_node(mode: i32) -> bool {
    mode == v1::NamespaceMode::Node as i32
}

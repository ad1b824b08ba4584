//! A container: its record on disk, its state, and the steps of its life. One directory each, `containers/<id>`:
//!
//! | file | by whom | what |
//! |---|---|---|
//! | `container.json` | runtime | the request and what was derived from it; written once |
//! | `config.json`, `rootfs`, `upper`, `work` | runtime | the OCI bundle |
//! | `pid`, `exit` | monitor | process and start, exit code and time |
//! | `outcome.json` | runtime | why it ended, where `exit` does not tell |
//!
//! The state is what these files say, so a new runtime process knows it too.

mod create;
pub(crate) mod life;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cri::v1;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub(crate) use self::create::create;
pub(crate) use self::state::{Outcome, State};
use crate::error::{Error, Result};
use crate::files;

const RECORD_FILE: &str = "container.json";

/// What is known of a container from its creation on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) sandbox: String,
    #[serde(with = "crate::wire")]
    pub(crate) config: v1::ContainerConfig,
    pub(crate) image_id: String,
    pub(crate) image_ref: String,
    /// What people call the image: the name that was asked for, where it has that one, or else one of its tags.
    #[serde(default)]
    pub(crate) image_name: String,
    /// The chain IDs of the layers that it stands on.
    pub(crate) layers: Vec<String>,
    /// The full path of its log; empty for none.
    pub(crate) log_path: String,
    pub(crate) created_at_ns: i64,
    pub(crate) stop_signal: i32,
    pub(crate) cgroup_path: String,
    #[serde(with = "crate::wire")]
    pub(crate) user: v1::LinuxContainerUser,
}

pub(crate) struct Container {
    pub(crate) record: Record,
    pub(crate) directory: PathBuf,
    state: watch::Sender<State>,
    /// Limits changed since its creation.
    resources: Mutex<Option<v1::LinuxContainerResources>>,
    /// Held while it is started, and for what must not overlap with that.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Container {
    /// A new container whose directory is prepared; the record makes it exist.
    pub(crate) fn create(directory: PathBuf, record: Record) -> Result<Self> {
        files::write_json(&directory.join(RECORD_FILE), &record)?;
        Ok(Self::with_state(directory, record, State::Created))
    }

    /// A container of an earlier runtime process; `None` if its creation was not finished.
    pub(crate) fn load(directory: PathBuf) -> Result<Option<Self>> {
        let Some(record) = files::read_json::<Record>(&directory.join(RECORD_FILE))? else { return Ok(None) };
        let state = State::read(&directory)?;
        Ok(Some(Self::with_state(directory, record, state)))
    }

    fn with_state(directory: PathBuf, record: Record, state: State) -> Self {
        let (state, _) = watch::channel(state);
        Self { record, directory, state, resources: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    pub(crate) fn set_running(&self, started: crate::monitor::Started) {
        self.state.send_replace(State::Running { identity: started.identity, started_at_ns: started.at_ns });
    }

    /// Writes down why it ended and changes the state.
    pub(crate) fn set_exited(&self, outcome: Outcome) -> Result<()> {
        let written = files::write_json(&self.directory.join(state::OUTCOME_FILE), &outcome);
        self.state.send_replace(State::Exited(outcome));
        written
    }

    /// Whether a runtime has seen to its end.
    pub(crate) fn is_settled(&self) -> bool {
        self.directory.join(state::OUTCOME_FILE).exists()
    }

    /// Waits until it is not running.
    pub(crate) async fn wait_exited(&self) {
        let mut changes = self.state.subscribe();
        // The sender lives as long as we do.
        drop(changes.wait_for(|state| !matches!(state, State::Running { .. })).await);
    }

    pub(crate) fn set_resources(&self, resources: v1::LinuxContainerResources) {
        *self.resources.lock().expect("no panic while held") = Some(resources);
    }

    /// The process that runs in it.
    pub(crate) fn running(&self) -> Result<crate::process::Identity> {
        match self.state() {
            State::Running { identity, .. } => Ok(identity),
            other => Err(Error::Precondition(format!("container is in {} state", other.name()))),
        }
    }

    /// The entry of a list.
    pub(crate) fn summary(&self) -> v1::Container {
        let config = &self.record.config;
        v1::Container {
            id: self.record.id.clone(),
            pod_sandbox_id: self.record.sandbox.clone(),
            metadata: config.metadata.clone(),
            image: config.image.clone(),
            image_ref: self.record.image_ref.clone(),
            image_id: self.record.image_id.clone(),
            state: self.state().code() as i32,
            created_at: self.record.created_at_ns,
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        }
    }

    pub(crate) fn status(&self) -> v1::ContainerStatus {
        let (config, state) = (&self.record.config, self.state());
        let changed = self.resources.lock().expect("no panic while held").clone();
        let linux = changed.or_else(|| config.linux.as_ref().and_then(|linux| linux.resources.clone()));
        let mut image = config.image.clone();
        if let Some(image) = image.as_mut().filter(|_| !self.record.image_name.is_empty()) {
            image.image.clone_from(&self.record.image_name);
        }
        let mut status = v1::ContainerStatus {
            id: self.record.id.clone(),
            metadata: config.metadata.clone(),
            state: state.code() as i32,
            created_at: self.record.created_at_ns,
            image,
            image_ref: self.record.image_ref.clone(),
            image_id: self.record.image_id.clone(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            mounts: config.mounts.clone(),
            log_path: self.record.log_path.clone(),
            resources: Some(v1::ContainerResources { linux, ..Default::default() }),
            user: Some(v1::ContainerUser { linux: Some(self.record.user.clone()) }),
            ..v1::ContainerStatus::default()
        };
        match state {
            State::Created => {}
            State::Running { started_at_ns, .. } => status.started_at = started_at_ns,
            State::Exited(outcome) => {
                status.started_at = outcome.started_at_ns;
                status.finished_at = outcome.finished_at_ns;
                status.exit_code = outcome.code;
                status.reason = outcome.reason;
                status.message = outcome.message;
            }
        }
        status
    }
}

/// The chain IDs of the layers that the containers under `root` stand on.
pub(crate) fn layers_in_use(root: &Path) -> Result<Vec<String>> {
    let directory = root.join("containers");
    let mut layers = Vec::new();
    for name in files::names_in(&directory)? {
        let record: Option<Record> = files::read_json(&directory.join(name).join(RECORD_FILE))?;
        layers.extend(record.into_iter().flat_map(|record| record.layers));
    }
    Ok(layers)
}

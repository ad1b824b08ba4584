//! Taking over what an earlier runtime process left, and listening to monitors from then on.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::container::{Container, State, life as containers};
use crate::core::Core;
use crate::error::Result;
use crate::monitor::{Monitor, Notice};
use crate::process::Identity;
use crate::sandbox::{Sandbox, life as sandboxes};
use crate::{files, snapshots};

/// How long a monitor that lives may be out of reach: while the machine is short of descriptors, say.
const CONNECT_TRIES: u32 = 100;
const CONNECT_PAUSE: Duration = Duration::from_millis(100);
/// How long a monitor may take to tell of a process that is gone.
const EXIT_PATIENCE: Duration = Duration::from_secs(5);

/// Fills the tables from disk. Monitors are connected before states are read: whatever ends later is heard of.
pub(crate) async fn adopt(core: &Arc<Core>) -> Result<()> {
    for id in files::names_in(&core.config.root.join("sandboxes"))? {
        let directory = core.sandbox_dir(&id);
        let Some(sandbox) = Sandbox::load(directory.clone())? else {
            snapshots::unmount(&directory.join(crate::sandbox::SHM))?;
            files::remove_tree(&directory)?;
            continue;
        };
        let record = sandbox.record();
        if !record.is_stopped && record.boot_id == core.boot_id {
            sandbox.set_monitor(connect(core, &sandbox).await);
        }
        core.sandboxes.insert(&id, Arc::new(sandbox));
    }
    for id in files::names_in(&core.config.root.join("containers"))? {
        adopt_container(core, &id).await?;
    }
    Ok(())
}

/// The connection to a sandbox's monitor, if there is one. Without it the containers are ended: no failure but the monitor's own
/// end may lead to that at once.
async fn connect(core: &Core, sandbox: &Sandbox) -> Option<Arc<Monitor>> {
    for _ in 0..CONNECT_TRIES {
        let error = match Monitor::connect(&sandbox.directory, &sandbox.id, core.notices.clone()).await {
            Ok(monitor) => return Some(monitor),
            Err(error) => error,
        };
        tracing::warn!(sandbox = sandbox.id, %error, "its monitor does not answer");
        if !sandbox.monitor_identity().is_some_and(Identity::is_alive) {
            return None;
        }
        tokio::time::sleep(CONNECT_PAUSE).await;
    }
    tracing::error!(
        sandbox = sandbox.id,
        "its monitor lives but cannot be reached; its containers are ended"
    );
    None
}

async fn adopt_container(core: &Arc<Core>, id: &str) -> Result<()> {
    let directory = core.container_dir(id);
    let Some(container) = Container::load(directory.clone())? else {
        return containers::discard(&directory);
    };
    let container = Arc::new(container);
    core.containers.insert(id, Arc::clone(&container));
    let has_monitor =
        core.sandboxes.find(&container.record.sandbox).is_ok_and(|sandbox| sandbox.has_monitor());
    match container.state() {
        State::Running { .. } if !has_monitor => containers::abandon(core, &container).await,
        State::Running { identity, .. } if !identity.is_alive() => {
            tokio::spawn(await_exit(Arc::downgrade(core), container));
        }
        State::Exited(_) => containers::settle(core, &container).await,
        State::Created | State::Running { .. } => {}
    }
    Ok(())
}

/// Its process is gone: the monitor is about to say so, or it could not write that down while nobody was there to hear it.
async fn await_exit(core: Weak<Core>, container: Arc<Container>) {
    let told = tokio::time::timeout(EXIT_PATIENCE, container.wait_exited()).await;
    let (Err(_), Some(core)) = (told, core.upgrade()) else { return };
    if let Ok(State::Exited(outcome)) = State::read(&container.directory) {
        return containers::finish(&core, &container, outcome.code, outcome.finished_at_ns).await;
    }
    tracing::warn!(container = container.record.id, "how it ended is not known");
    containers::abandon(&core, &container).await;
}

/// Acts on what monitors say, until the runtime is dropped. Each exit has its own task: one slow clean-up must not
/// hold up the others.
pub(crate) async fn listen(core: Weak<Core>, mut notices: mpsc::UnboundedReceiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        let Some(core) = core.upgrade() else { return };
        match notice {
            Notice::Exited { container, code, at_ns } => {
                if let Ok(container) = core.containers.find(&container) {
                    tokio::spawn(async move { containers::finish(&core, &container, code, at_ns).await });
                }
            }
            Notice::Gone { sandbox } => {
                tokio::spawn(async move { sandboxes::lose_monitor(&core, &sandbox).await });
            }
        }
    }
}

//! Taking over what an earlier runtime process left, and listening to monitors from then on.

use std::sync::{Arc, Weak};

use tokio::sync::mpsc;

use crate::container::{Container, State, life as containers};
use crate::core::Core;
use crate::error::Result;
use crate::monitor::{Monitor, Notice};
use crate::sandbox::{Sandbox, life as sandboxes};
use crate::{files, snapshots};

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
            match Monitor::connect(&directory, &id, core.notices.clone()).await {
                Ok(monitor) => sandbox.set_monitor(Some(monitor)),
                Err(e) => tracing::warn!(sandbox = id, error = %e, "its monitor does not answer"),
            }
        }
        core.sandboxes.insert(&id, Arc::new(sandbox));
    }
    for id in files::names_in(&core.config.root.join("containers"))? {
        adopt_container(core, &id).await?;
    }
    Ok(())
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
        State::Exited(_) => containers::settle(core, &container).await,
        _ => {}
    }
    Ok(())
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

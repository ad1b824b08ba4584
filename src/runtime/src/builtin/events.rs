//! What happens to containers, as it happens.

use cri::{Events, Status};
use futures::StreamExt;
use tokio::sync::broadcast;

use super::BuiltIn;

pub(super) async fn events(runtime: &BuiltIn) -> Result<Events, Status> {
    let events = futures::stream::unfold(runtime.core.subscribe(), |mut events| async move {
        match events.recv().await {
            Ok(event) => Some((Ok(event), events)),
            Err(broadcast::error::RecvError::Lagged(count)) => {
                Some((Err(Status::data_loss(format!("{count} events were lost"))), events))
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    });
    Ok(events.boxed())
}

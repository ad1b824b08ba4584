//! The way of every object into the store, one line a stage. The order matters: what is stored has been defaulted before
//! anybody judged it, and nothing changes it after validation.
//!
//! The writing verbs (and what `special` writes) come here with an [`Intent`]; the store's answer goes back as [`Written`].
//! Knows no kind: kinds are asked through their descriptor.

mod commit;
mod current;
mod decode;
pub(crate) mod document;
mod intent;
mod patch;
mod prepare;
mod validate;
mod yaml;

use machinery::Status;

use crate::admission;
use crate::special::service_addresses::reserve;

pub(crate) use commit::{refused, with_revision};
pub(crate) use intent::{Draft, Intent, Old, Source, View, Written};
pub(crate) use patch::{Patch, PatchKind};

/// Writes an object. Starts over where somebody else wrote in between; each time round somebody has got further, and the
/// request's deadline ends it.
pub(crate) async fn write(mut intent: Intent<'_>) -> Result<Written, Status> {
    loop {
        let current = current::read(&intent)?;
        let mut draft = decode::decode(&mut intent, current)?;
        intent.kind.set_defaults(&mut draft.new);
        prepare::prepare(&intent, &mut draft)?;
        admission::admit(&intent, &mut draft).await?;
        validate::validate(&intent, &mut draft)?;
        admission::validate(&intent, &draft).await?;
        let Some(reservation) = reserve(&intent, &draft).await? else { continue };
        let addresses = &intent.call.server.addresses;
        match commit::commit(&mut intent, draft).await {
            Ok(Some(written)) => {
                addresses.settle(reservation).await;
                return Ok(written);
            }
            // The next time round another name or other addresses may be chosen.
            Ok(None) => addresses.withdraw(reservation).await,
            // After a failure of the server's the object may be stored after all.
            Err(status) if status.code() < 500 => {
                addresses.withdraw(reservation).await;
                return Err(status);
            }
            Err(status) => return Err(status),
        }
    }
}

//! PATCH: an object, its status or its scale changed in one of the patch languages.

use api::Subresource;
use http::{Response, StatusCode};
use machinery::Status;

use super::options::{self, WriteOptions};
use super::update::intent;
use super::{Target, respond, scale};
use crate::body::{self, Body};
use crate::negotiate;
use crate::write::{PatchKind, Source, write};

/// Changes what the request names as the body says.
pub(crate) async fn patch(target: Target, body: Body) -> Result<Response<Body>, Status> {
    let kind = PatchKind::read(target.call.content_type())?;
    let accept = negotiate::resource(&target.call, &target.kind)?;
    let options = WriteOptions::read(&target.call.query, options::PATCH)?;
    let body = body::read(body).await?;
    if target.subresource == Some(Subresource::Scale) {
        return scale::patch(&target, options, kind, &body).await;
    }
    let written = write(intent(&target, options, Source::Patch(kind, body))).await?;
    respond(&target, &accept, StatusCode::OK, &written)
}

//! From a request's description to the function that serves it.
//!
//! Three tables: paths that are no resources, what is special about a resource (`special`), and the verbs, which are the
//! same for every kind.

use http::{Method, Request, Response};
use machinery::Status;
use machinery::status::Details;

use crate::body::Body;
use crate::call::Call;
use crate::verbs::Target;
use crate::{discovery, health, metrics, negotiate, openapi, special, verbs, version};

/// Serves an authorized request.
pub(crate) async fn dispatch(call: Call, body: Body) -> Result<Response<Body>, Status> {
    if !call.info.is_resource {
        return match call.server.operations.get(&*call.info.path).cloned() {
            Some(operation) => Ok(operation.answer(Request::from_parts(call.parts, body))),
            None if call.info.path == metrics::PATH && is_read(&call) => metrics::answer(&call).await,
            None => path(&call),
        };
    }
    let info = &call.info;
    if info.version.is_empty() || info.path.starts_with("//") {
        return Ok(negotiate::page_not_found());
    }
    if info.verb_in_path && !is_watched(&call) {
        return Err(Status::page_not_found());
    }
    catch_up(&call).await?;
    if let Some(handler) = special::find(info)? {
        return handler(call, body).await;
    }
    let Some(kind) = call.server.registry.find(&info.group, &info.version, &info.resource).cloned() else {
        return discovery::nothing_here(&call);
    };
    let target = Target::new(call, kind)?;
    if !target.is_served() || *target.call.method() == Method::HEAD {
        return Err(method_not_allowed());
    }
    negotiate::check_route(&target.call)?;
    if let Some(warning) = target.kind.deprecation {
        target.call.warn(warning);
    }
    match &*target.call.info.verb {
        "get" => verbs::get::get(target).await,
        "list" => verbs::list::list(target).await,
        "watch" => verbs::watch::watch(target).await,
        "create" => verbs::create::create(target, body).await,
        "update" => verbs::update::update(target, body).await,
        "patch" => verbs::patch::patch(target, body).await,
        "delete" => verbs::delete::delete(target, body).await,
        "deletecollection" => verbs::deletecollection::delete_collection(target, body).await,
        _ => Err(method_not_allowed()),
    }
}

/// Where several servers share the store, one that follows must not answer from before what another has answered, unless
/// the client says how old the answer may be.
async fn catch_up(call: &Call) -> Result<(), Status> {
    if !call.query.text("resourceVersion").is_empty() {
        return Ok(());
    }
    call.server.store.catch_up().await.map_err(|error| {
        tracing::warn!(%error, "catching up with the other servers");
        Status::service_unavailable("the server cannot reach its store")
    })
}

/// Whether there is a path with `watch` in it for what the request names: not for subresources, nor for what is never
/// stored.
fn is_watched(call: &Call) -> bool {
    let info = &call.info;
    let kind = call.server.registry.find(&info.group, &info.version, &info.resource);
    info.subresource.is_empty() && kind.is_none_or(|kind| kind.verbs.iter().any(|verb| verb == "watch"))
}

fn is_read(call: &Call) -> bool {
    matches!(*call.method(), Method::GET | Method::HEAD)
}

fn path(call: &Call) -> Result<Response<Body>, Status> {
    // What is served must be what was authorized: only the slashes that a path may have are taken off.
    let path = call.info.path.as_str();
    let bare = path.strip_prefix('/').unwrap_or(path);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let pieces: Vec<&str> = bare.split('/').collect();
    if path != "/" && pieces.contains(&"") {
        return Ok(negotiate::page_not_found());
    }
    if let ["healthz" | "livez" | "readyz", ..] = pieces.as_slice() {
        // Upstream's checks do not look at the method.
        return health::answer(call, &pieces);
    }
    if !is_read(call) {
        return if pieces == ["version"] || discovery::has(call, &pieces) {
            Err(method_not_allowed())
        } else {
            discovery::nothing_here(call)
        };
    }
    match pieces.as_slice() {
        ["version"] => version::answer(call),
        ["openapi", "v2"] => openapi::v2::answer(call),
        ["openapi", "v3", document @ ..] => openapi::v3::answer(call, document),
        [".well-known", "openid-configuration"] => special::openid::configuration(call),
        ["openid", "v1", "jwks"] => special::openid::keys(call),
        _ => discovery::answer(call, &pieces),
    }
}

/// 405. Upstream's router says no more than that.
pub(crate) fn method_not_allowed() -> Status {
    let message = "the server does not allow this method on the requested resource";
    Status::failure(405, "MethodNotAllowed", message).with_details(Details::default())
}

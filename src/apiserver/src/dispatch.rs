//! From a request's description to the function that serves it.
//!
//! Three tables: paths that are no resources, what is special about a resource (`special`), and the verbs, which are the
//! same for every kind.

use http::{Method, Response};
use machinery::Status;
use machinery::gvk::GroupResource;

use crate::body::Body;
use crate::call::Call;
use crate::verbs::Target;
use crate::{discovery, health, openapi, special, verbs, version};

/// Serves an authorized request.
pub(crate) async fn dispatch(call: Call, body: Body) -> Result<Response<Body>, Status> {
    if !call.info.is_resource {
        return path(&call);
    }
    let info = &call.info;
    if let Some(handler) = special::find(info)? {
        return handler(call, body).await;
    }
    let Some(kind) = call.server.registry.find(&info.group, &info.version, &info.resource).cloned() else {
        return Err(Status::page_not_found());
    };
    let target = Target::new(call, kind)?;
    if !target.is_served() {
        return Err(method_not_allowed(&target));
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
        _ => Err(method_not_allowed(&target)),
    }
}

fn path(call: &Call) -> Result<Response<Body>, Status> {
    // What is served must be what was authorized: only the slashes that a path may have are taken off.
    let path = call.info.path.as_str();
    let bare = path.strip_prefix('/').unwrap_or(path);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let pieces: Vec<&str> = bare.split('/').collect();
    if path != "/" && pieces.contains(&"") {
        return Err(Status::page_not_found());
    }
    if !matches!(*call.method(), Method::GET | Method::HEAD) {
        return Err(Status::page_not_found());
    }
    match pieces.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => health::answer(call, &pieces),
        ["version"] => version::answer(call),
        ["openapi", "v2"] => openapi::v2::answer(call),
        ["openapi", "v3", document @ ..] => openapi::v3::answer(call, document),
        [".well-known", "openid-configuration"] => special::openid::configuration(call),
        ["openid", "v1", "jwks"] => special::openid::keys(call),
        _ => discovery::answer(call, &pieces),
    }
}

fn method_not_allowed(target: &Target) -> Status {
    let info = &target.call.info;
    let resource = GroupResource::new(&*info.group, &*info.resource);
    Status::method_not_supported(&resource, target.call.method().as_str())
        .with_message("the server does not allow this method on the requested resource")
}

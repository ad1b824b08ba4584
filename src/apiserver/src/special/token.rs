//! `serviceaccounts/token`: a signed token for a service account, bound to a pod, a node or a secret if asked for.

use http::{Response, StatusCode};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestStatus};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::jiff::SignedDuration;
use machinery::gvk::{GroupKind, GroupResource, GroupVersion};
use machinery::{Status, meta};
use store::{Entry, Key};

use crate::admission::{self, Attributes, Operation};
use crate::body::{self, Body};
use crate::call::Call;
use crate::chain::authenticate::service_account_token::{Audiences, Claims, Private, Reference};
use crate::negotiate;
use crate::verbs::options::WriteOptions;
use crate::write::document;

const GROUP: &str = "authentication.k8s.io";
/// Upstream's mark of tokens for pods: they are asked for with this and live a year, with a warning after it.
const WARN_ONLY_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 60 * 60;

/// Answers a TokenRequest.
pub(super) async fn create(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let accept = negotiate::plain(&call)?;
    let options = WriteOptions::read(&call.query, "CreateOptions")?;
    let kind = call.server.registry.body("TokenRequest").clone();
    let body = document::to_json(&call, &kind.gvk, body::read(body).await?)?;
    let mut object = kind.decode(&document::read(&call, &kind, options.field_validation, &body)?)?;
    kind.set_defaults(&mut object);
    document::check_namespace(object.meta_mut(), &call.info.namespace)?;
    // Before the server fills in: which audiences were left to it matters.
    judge(&call, &object, options.dry_run).await?;
    let (account, entry) = account(&call)?;
    let request = object.downcast_mut::<TokenRequest>().expect("decoded as a token request");
    complete(&call, request, &account)?;
    let errors = kind.validate_create(&object);
    let errors = errors.into_iter().filter(|error| error.path.as_str().starts_with("spec")).collect();
    Status::check(&GroupKind::new(GROUP, "TokenRequest"), "", &errors)?;
    let request = object.downcast_mut::<TokenRequest>().expect("decoded as a token request");
    let bound = bind(&call, request)?;
    let (token, expires) = sign(&call, request, &entry, bound)?;
    request.status = Some(TokenRequestStatus { token: Some(token), expiration_timestamp: Some(expires) });
    Ok(negotiate::document(&call, &accept, StatusCode::CREATED, kind.encode_whole(&object).into()))
}

fn account(call: &Call) -> Result<(ServiceAccount, std::sync::Arc<Entry>), Status> {
    let (namespace, name) = (call.info.namespace.as_str(), call.info.name.as_str());
    let entry = call.server.store.get(&Key::new("", "serviceaccounts", namespace, name));
    let entry = entry.ok_or_else(|| Status::not_found(&GroupResource::new("", "serviceaccounts"), name))?;
    let account = serde_json::from_slice(&entry.bytes).map_err(Status::internal)?;
    Ok((account, entry))
}

/// Fills in what the request leaves to the server; name, namespace and uid must be the account's where they are given.
fn complete(call: &Call, request: &mut TokenRequest, account: &ServiceAccount) -> Result<(), Status> {
    use machinery::field::{Error, Path};
    let path = Path::new("metadata");
    let name = &call.info.name;
    let own = &mut request.metadata;
    let check = |field: &str, given: &Option<String>, wanted: &Option<String>| match given {
        Some(given) if !given.is_empty() && Some(given) != wanted.as_ref() => {
            let detail = format!("must match the service account {field} if specified");
            let errors = [Error::invalid(&path.child(field), given, detail)];
            Err(Status::invalid(&GroupKind::new(GROUP, "TokenRequest"), name, &errors))
        }
        _ => Ok(()),
    };
    check("name", &own.name, &account.metadata.name)?;
    let uid = account.metadata.uid.as_deref().unwrap_or_default();
    if let Some(given) = own.uid.as_deref().filter(|given| !given.is_empty() && *given != uid) {
        let why = format!(
            "the UID in the token request ({given}) does not match the UID of the service account ({uid})"
        );
        return Err(Status::conflict(&GroupResource::new(GROUP, "TokenRequest"), name, why));
    }
    own.name.clone_from(&account.metadata.name);
    own.namespace.clone_from(&account.metadata.namespace);
    own.uid.clone_from(&account.metadata.uid);
    own.creation_timestamp = Some(meta::whole_seconds(call.now));
    let audiences = request.spec.get_or_insert_default().audiences.get_or_insert_default();
    if audiences.is_empty() {
        audiences.extend_from_slice(call.server.tokens.api_audiences());
    }
    request.status = None;
    Ok(())
}

async fn judge(call: &Call, object: &api::Object, dry_run: bool) -> Result<(), Status> {
    let kind = call.server.registry.of::<ServiceAccount>();
    let attributes = Attributes {
        call,
        kind,
        operation: Operation::Create,
        subresource: "token",
        namespace: &call.info.namespace,
        name: &call.info.name,
        dry_run,
    };
    admission::judge(&attributes, Some(object)).await
}

#[derive(Default)]
struct Bound {
    pod: Option<Reference>,
    node: Option<Reference>,
    secret: Option<Reference>,
}

fn bind(call: &Call, request: &TokenRequest) -> Result<Bound, Status> {
    let reference = request.spec.as_ref().and_then(|spec| spec.bound_object_ref.as_ref());
    let Some(reference) = reference else { return Ok(Bound::default()) };
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let version = text(&reference.api_version);
    let kind = GroupVersion::parse(&version).unwrap_or_default().with_kind(text(&reference.kind));
    let namespace = call.info.namespace.as_str();
    // Of whatever version: upstream looks at the group alone.
    let (entry, bound) = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => {
            let entry = referenced(call, reference, "pods", namespace)?;
            let bound = bind_pod(call, &entry)?;
            (entry, bound)
        }
        ("", "Node") => {
            let entry = referenced(call, reference, "nodes", "")?;
            let node = Some(reference_to(&entry));
            (entry, Bound { node, ..Bound::default() })
        }
        ("", "Secret") => {
            let entry = referenced(call, reference, "secrets", namespace)?;
            let secret = Some(reference_to(&entry));
            (entry, Bound { secret, ..Bound::default() })
        }
        _ => return Err(Status::bad_request(format!("cannot bind token to object of type {kind}"))),
    };
    check_uid(reference, &entry)?;
    Ok(bound)
}

fn bind_pod(call: &Call, entry: &Entry) -> Result<Bound, Status> {
    let pod: Pod = serde_json::from_slice(&entry.bytes).map_err(Status::internal)?;
    let spec = pod.spec.unwrap_or_default();
    let name = &call.info.name;
    if spec.service_account_name.as_deref() != Some(name.as_str()) {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {name:?} to pod running with different serviceaccount name."
        )));
    }
    let node = spec.node_name.filter(|node| !node.is_empty()).map(|node| {
        let uid = call.server.store.get(&Key::new("", "nodes", "", &node));
        Reference { name: node, uid: uid.map(|entry| entry.attributes.uid.to_string()).unwrap_or_default() }
    });
    Ok(Bound { pod: Some(reference_to(entry)), node, secret: None })
}

fn reference_to(entry: &Entry) -> Reference {
    Reference { name: entry.key.name().to_owned(), uid: entry.attributes.uid.to_string() }
}

fn referenced(
    call: &Call,
    reference: &BoundObjectReference,
    resource: &str,
    namespace: &str,
) -> Result<std::sync::Arc<Entry>, Status> {
    let name = reference.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(Status::bad_request("Name parameter required."));
    }
    let entry = call.server.store.get(&Key::new("", resource, namespace, name));
    entry.ok_or_else(|| Status::not_found(&GroupResource::new("", resource), name))
}

/// What was bound to must be what the reference means, where it names a uid.
fn check_uid(reference: &BoundObjectReference, entry: &Entry) -> Result<(), Status> {
    match reference.uid.as_deref() {
        Some(uid) if !uid.is_empty() && *uid != *entry.attributes.uid => {
            let kind = reference.kind.as_deref().unwrap_or_default();
            Err(Status::conflict(
                &GroupResource::new("", kind),
                entry.key.name(),
                format!(
                    "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
                ),
            ))
        }
        _ => Ok(()),
    }
}

fn sign(
    call: &Call,
    request: &TokenRequest,
    account: &Entry,
    bound: Bound,
) -> Result<(String, k8s_openapi::apimachinery::pkg::apis::meta::v1::Time), Status> {
    let now = call.now.as_second();
    let spec = request.spec.clone().unwrap_or_default();
    let asked = spec.expiration_seconds.unwrap_or(WARN_ONLY_SECONDS);
    let audiences = spec.audiences.unwrap_or_default();
    let api = call.server.tokens.api_audiences();
    let for_api = audiences.iter().all(|audience| api.contains(audience));
    let extends = bound.pod.is_some() && asked == WARN_ONLY_SECONDS && for_api;
    let claims = Claims {
        aud: Audiences::Several(audiences),
        exp: now + if extends { EXTENDED_SECONDS } else { asked },
        iat: now,
        nbf: now,
        iss: call.server.tokens.issuer().to_owned(),
        jti: meta::new_uid(),
        sub: format!("system:serviceaccount:{}:{}", account.key.namespace(), account.key.name()),
        kubernetes: Private {
            namespace: account.key.namespace().to_owned(),
            node: bound.node,
            pod: bound.pod,
            secret: bound.secret,
            serviceaccount: reference_to(account),
            warnafter: extends.then_some(now + asked),
        },
    };
    let token = call.server.tokens.sign(&claims);
    let token = token.map_err(|error| Status::internal(format!("failed to generate token: {error}")))?;
    let expires = call.now.saturating_add(SignedDuration::from_secs(asked)).unwrap_or(call.now);
    Ok((token, meta::whole_seconds(expires)))
}

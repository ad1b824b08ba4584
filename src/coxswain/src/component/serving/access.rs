//! Who asks, and may they, of a component's pages.
//!
//! Client certificates count if the authority vouches for them that the API server publishes in ConfigMap
//! `kube-system/extension-apiserver-authentication`; tokens are reviewed by it; whoever has neither is anonymous. What a
//! user may see, it is asked ([`Delegation`]).

use std::time::Duration;

use apiserver::{MASTERS, Peer, PeerVerifier, User};
use client::{Delegation, Holds, Informer, Selection};
use http::header::AUTHORIZATION;
use http::{Method, Request};
use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use machinery::Status;
use machinery::gvk::GroupResource;
use rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::server::addons::authentication;

/// How long an answer of the API server holds: upstream's defaults (`CacheTTL`, `AllowCacheTTL` and `DenyCacheTTL` in
/// `apiserver/pkg/server/options/{authentication,authorization}.go`).
const HOLDS: Duration = Duration::from_secs(10);
/// What everybody may see: a load balancer or a kubelet that probes has no credentials.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/livez"];

/// Asks the API server.
pub(super) struct Access {
    /// The authority of client certificates.
    published: Informer<ConfigMap>,
    delegation: Delegation,
}

impl Access {
    /// Follows the authority until `cancel`.
    pub(super) fn new(client: Client, cancel: CancellationToken) -> Self {
        let fields = Some(format!("metadata.name={}", authentication::NAME));
        let selection = Selection { fields, ..Selection::default() };
        let published = Informer::start(client.clone(), Some(authentication::NAMESPACE), selection, cancel);
        let holds = Holds { user: HOLDS, allowed: HOLDS, denied: HOLDS };
        Self { published, delegation: Delegation::new(client, holds) }
    }

    /// Whom the certificate of a connection names.
    pub(super) fn peer(&self, chain: Option<&[CertificateDer<'_>]>) -> Peer {
        if chain.is_none_or(<[_]>::is_empty) {
            return Peer::Nobody;
        }
        let map = self.published.get(authentication::NAMESPACE, authentication::NAME);
        let authority = map.as_ref().and_then(|map| map.data.as_ref()?.get(authentication::CLIENT_CA));
        let Some(authority) = authority else {
            return Peer::Refused("the API server publishes no authority of clients".to_owned());
        };
        match PeerVerifier::new(authority.as_bytes()) {
            Ok(verifier) => verifier.judge(chain),
            Err(error) => Peer::Refused(error.to_string()),
        }
    }

    /// Lets a request pass, or says why not.
    pub(super) async fn check<B>(&self, peer: &Peer, request: &Request<B>) -> Result<(), Status> {
        let user = self.user(peer, bearer(request)).await?;
        let path = request.uri().path();
        let is_master = user.groups.iter().flatten().any(|group| group == MASTERS);
        if is_master || OPEN.contains(&path) {
            return Ok(());
        }
        let verb = verb(request.method());
        let attributes = NonResourceAttributes { verb: Some(verb.clone()), path: Some(path.to_owned()) };
        let action = SubjectAccessReviewSpec {
            non_resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        if self.delegation.may(&user, action).await.map_err(|error| failed(&error))? {
            return Ok(());
        }
        let name = user.username.unwrap_or_default();
        let why = format!("User {name:?} cannot {verb} path {path:?}");
        Err(Status::forbidden(&GroupResource::default(), "", why))
    }

    async fn user(&self, peer: &Peer, token: Option<&str>) -> Result<UserInfo, Status> {
        match (peer, token) {
            (Peer::Known(user), _) => Ok(info(user.as_ref().clone())),
            (_, Some(token)) => {
                let user = self.delegation.user(token).await.map_err(|error| failed(&error))?;
                user.ok_or_else(|| Status::unauthorized("Unauthorized"))
            }
            (Peer::Refused(why), None) => {
                warn!(why, "a client's certificate is refused");
                Err(Status::unauthorized("Unauthorized"))
            }
            (Peer::Nobody, None) => Ok(info(User::anonymous())),
        }
    }
}

/// A user in the words of reviews.
fn info(User { name, uid, groups, extra }: User) -> UserInfo {
    UserInfo { username: Some(name), uid: Some(uid), groups: Some(groups), extra: Some(extra) }
}

fn bearer<B>(request: &Request<B>) -> Option<&str> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What is asked for on a path that is no resource: the method in small letters.
fn verb(method: &Method) -> String {
    method.as_str().to_ascii_lowercase()
}

fn failed(error: &kube::Error) -> Status {
    warn!(%error, "the API server could not be asked who may see this");
    Status::internal("the API server could not be asked")
}

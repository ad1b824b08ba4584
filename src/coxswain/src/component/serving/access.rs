//! Who asks, and may they: delegated to the API server, as upstream's components do it
//! (`apiserver/pkg/server/options/{authentication,authorization}.go`).
//!
//! Client certificates count if the authority vouches for them that the API server publishes in ConfigMap
//! `kube-system/extension-apiserver-authentication`; tokens are reviewed by it; whoever has neither is anonymous. What a
//! user may see, it is asked. Its answers hold for some seconds ([`Answers`]): however often somebody asks here, it is asked
//! seldom.

use apiserver::{MASTERS, Peer, PeerVerifier, User};
use client::{Informer, Selection};
use http::header::AUTHORIZATION;
use http::{Method, Request};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Client};
use machinery::Status;
use machinery::gvk::GroupResource;
use rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::answers::Answers;
use crate::server::addons::authentication;

/// What everybody may see: a load balancer or a kubelet that probes has no credentials.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/livez"];

/// Asks the API server.
pub(super) struct Access {
    client: Client,
    /// The authority of client certificates.
    published: Informer<ConfigMap>,
    /// Whom tokens stand for; `None` where for nobody.
    users: Answers<Option<User>>,
    /// Whether somebody may do something.
    permissions: Answers<bool>,
}

impl Access {
    /// Follows the authority until `cancel`.
    pub(super) fn new(client: Client, cancel: CancellationToken) -> Self {
        let fields = Some(format!("metadata.name={}", authentication::NAME));
        let selection = Selection { fields, ..Selection::default() };
        let published = Informer::start(client.clone(), Some(authentication::NAMESPACE), selection, cancel);
        Self { client, published, users: Answers::default(), permissions: Answers::default() }
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
        if user.is_in(MASTERS) || OPEN.contains(&path) {
            return Ok(());
        }
        let verb = verb(request.method());
        if self.may(&user, &verb, path).await? {
            return Ok(());
        }
        let why = format!("User {:?} cannot {verb} path {path:?}", user.name);
        Err(Status::forbidden(&GroupResource::default(), "", why))
    }

    async fn user(&self, peer: &Peer, token: Option<&str>) -> Result<User, Status> {
        match (peer, token) {
            (Peer::Known(user), _) => Ok(user.as_ref().clone()),
            (_, Some(token)) => self.user_of(token).await,
            (Peer::Refused(why), None) => {
                warn!(why, "a client's certificate is refused");
                Err(Status::unauthorized("Unauthorized"))
            }
            (Peer::Nobody, None) => Ok(User::anonymous()),
        }
    }

    async fn user_of(&self, token: &str) -> Result<User, Status> {
        let user = self.users.of(token.as_bytes(), self.review_token(token)).await?;
        user.ok_or_else(|| Status::unauthorized("Unauthorized"))
    }

    async fn review_token(&self, token: &str) -> Result<Option<User>, Status> {
        let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews = Api::<TokenReview>::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await.map_err(|error| failed(&error))?;
        let status = answer.status.filter(|status| status.authenticated == Some(true));
        Ok(status.and_then(|status| status.user).map(|user| User {
            name: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        }))
    }

    async fn may(&self, user: &User, verb: &str, path: &str) -> Result<bool, Status> {
        let attributes = NonResourceAttributes { verb: Some(verb.to_owned()), path: Some(path.to_owned()) };
        let spec = SubjectAccessReviewSpec {
            user: Some(user.name.clone()),
            uid: Some(user.uid.clone()),
            groups: Some(user.groups.clone()),
            extra: Some(user.extra.clone()),
            non_resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        // All that is asked is in there, in an order that is always the same.
        let question = serde_json::to_vec(&spec).expect("a review is JSON");
        self.permissions.of(&question, self.review_access(spec)).await
    }

    async fn review_access(&self, spec: SubjectAccessReviewSpec) -> Result<bool, Status> {
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let reviews = Api::<SubjectAccessReview>::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await.map_err(|error| failed(&error))?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
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

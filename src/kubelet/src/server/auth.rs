//! Who asks, and may they: client certificate or bearer token, then a review by the API server.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use axum::{
    extract::Request,
    http::{Method, StatusCode, header},
};
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, api::PostParams};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Error;

/// How long an answer of the API server holds.
const ALLOWED_FOR: Duration = Duration::from_secs(300);
const DENIED_FOR: Duration = Duration::from_secs(30);
const MAX_ANSWERS: usize = 1024;

/// A user as the API server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct User {
    name: String,
    groups: Vec<String>,
}

/// Who is at the other end of a connection, as far as TLS says.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer(Option<User>);

impl Peer {
    /// The user of a verified client certificate: common name and organizations.
    pub(super) fn of(connection: &rustls::ServerConnection) -> Self {
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        Self(certificate.and_then(|der| user_of(der)))
    }
}

fn user_of(der: &[u8]) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok().map(str::to_owned));
    Some(User { name, groups: groups.chain(["system:authenticated".to_owned()]).collect() })
}

/// What of a request decides whether it may pass.
pub(super) struct Asked {
    method: Method,
    path: String,
    token: Option<String>,
}

impl Asked {
    pub(super) fn of(request: &Request) -> Self {
        let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            token: header.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned),
        }
    }
}

type Question = (User, String, String);

/// Asks the API server and remembers what it said.
pub(super) struct Authorizer {
    client: kube::Client,
    node: String,
    answers: Mutex<HashMap<Question, (bool, Instant)>>,
}

impl Authorizer {
    pub(super) fn new(client: kube::Client, node: String) -> Self {
        Self { client, node, answers: Mutex::default() }
    }

    /// Lets the request pass, or says why not.
    pub(super) async fn check(&self, peer: &Peer, asked: &Asked) -> Result<(), Error> {
        let user = match &peer.0 {
            Some(user) => user.clone(),
            None => self.token_user(asked.token.as_deref()).await?,
        };
        let verb = verb(&asked.method);
        let mut subresources = subresources(&asked.path);
        for subresource in subresources.clone() {
            if self.may(&user, verb, subresource).await? {
                return Ok(());
            }
        }
        let last = subresources.pop().unwrap_or("proxy");
        let text = format!("Forbidden (user={}, verb={verb}, resource=nodes, subresource={last})", user.name);
        Err(Error(StatusCode::FORBIDDEN, text))
    }

    async fn token_user(&self, token: Option<&str>) -> Result<User, Error> {
        let unauthorized = || Error(StatusCode::UNAUTHORIZED, "Unauthorized".into());
        let token = token.ok_or_else(unauthorized)?;
        let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews = Api::<TokenReview>::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await.map_err(failed)?;
        let status = answer.status.filter(|status| status.authenticated == Some(true));
        let user = status.and_then(|status| status.user).ok_or_else(unauthorized)?;
        Ok(User { name: user.username.unwrap_or_default(), groups: user.groups.unwrap_or_default() })
    }

    async fn may(&self, user: &User, verb: &str, subresource: &str) -> Result<bool, Error> {
        let question = (user.clone(), verb.to_owned(), subresource.to_owned());
        let known = self.answers().get(&question).copied();
        if let Some((allowed, _)) = known.filter(|(_, until)| *until > Instant::now()) {
            return Ok(allowed);
        }
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            version: Some("v1".into()),
            resource: Some("nodes".into()),
            subresource: Some(subresource.to_owned()),
            name: Some(self.node.clone()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(user.name.clone()),
            groups: Some(user.groups.clone()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let reviews = Api::<SubjectAccessReview>::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await.map_err(failed)?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        let until = Instant::now() + if allowed { ALLOWED_FOR } else { DENIED_FOR };
        let mut answers = self.answers();
        if answers.len() >= MAX_ANSWERS {
            answers.clear();
        }
        answers.insert(question, (allowed, until));
        Ok(allowed)
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, HashMap<Question, (bool, Instant)>> {
        self.answers.lock().expect("no panic happens while the answers are locked")
    }
}

fn failed(error: kube::Error) -> Error {
    Error::internal(format!("the API server could not be asked: {error}"))
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// The subresources of `nodes` of which any one lets a request for `path` pass.
fn subresources(path: &str) -> Vec<&'static str> {
    let is =
        |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let fine = [("/pods", "pods"), ("/healthz", "healthz")];
    let fine = fine.into_iter().find(|(prefix, _)| is(prefix)).map(|(_, subresource)| subresource);
    fine.into_iter().chain(["proxy"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: &[&str]) {
        assert_eq!(subresources(path), expected, "{path}");
    }

    #[test]
    fn a_path_is_a_subresource_of_the_node() {
        check("/pods", &["pods", "proxy"]);
        check("/podsx", &["proxy"]);
        check("/healthz/ping", &["healthz", "proxy"]);
        check("/exec/default/web/c", &["proxy"]);
        check("/containerLogs/default/web/c", &["proxy"]);
    }
}

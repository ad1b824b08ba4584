//! Who asks, and may they: client certificate or bearer token, then a review by the API server.

use std::time::Duration;

use axum::{
    extract::Request,
    http::{Method, StatusCode, header},
};
use client::{Delegation, Holds};
use k8s_openapi::api::{
    authentication::v1::UserInfo,
    authorization::v1::{ResourceAttributes, SubjectAccessReviewSpec},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Error;

/// How long an answer of the API server holds: upstream's defaults of the kubelet for permissions. Tokens are reviewed each
/// time, so that one that was taken back is refused at once.
const HOLDS: Holds =
    Holds { user: Duration::ZERO, allowed: Duration::from_secs(300), denied: Duration::from_secs(30) };

/// Who is at the other end of a connection, as far as TLS says.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer(Option<UserInfo>);

impl Peer {
    /// The user of a verified client certificate: common name and organizations.
    pub(super) fn of(connection: &rustls::ServerConnection) -> Self {
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        Self(certificate.and_then(|der| user_of(der)))
    }
}

fn user_of(der: &[u8]) -> Option<UserInfo> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok().map(str::to_owned));
    let groups = groups.chain(["system:authenticated".to_owned()]).collect();
    Some(UserInfo { username: Some(name), groups: Some(groups), ..UserInfo::default() })
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

/// Asks the API server.
pub(super) struct Authorizer {
    delegation: Delegation,
    node: String,
}

impl Authorizer {
    pub(super) fn new(client: kube::Client, node: String) -> Self {
        Self { delegation: Delegation::new(client, HOLDS), node }
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
        let name = user.username.unwrap_or_default();
        let text = format!("Forbidden (user={name}, verb={verb}, resource=nodes, subresource={last})");
        Err(Error(StatusCode::FORBIDDEN, text))
    }

    async fn token_user(&self, token: Option<&str>) -> Result<UserInfo, Error> {
        let unauthorized = || Error(StatusCode::UNAUTHORIZED, "Unauthorized".into());
        let token = token.ok_or_else(unauthorized)?;
        self.delegation.user(token).await.map_err(failed)?.ok_or_else(unauthorized)
    }

    async fn may(&self, user: &UserInfo, verb: &str, subresource: &str) -> Result<bool, Error> {
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            version: Some("v1".into()),
            resource: Some("nodes".into()),
            subresource: Some(subresource.to_owned()),
            name: Some(self.node.clone()),
            ..ResourceAttributes::default()
        };
        let action = SubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        self.delegation.may(user, action).await.map_err(failed)
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

//! Controllers as service accounts of `kube-system`, so that RBAC says what each may do: clients whose requests bear a token
//! of the account, asked for by the kubeconfig's user when it is first needed, again before it ends, and again when the API
//! server takes it no more (upstream `controller-manager/pkg/clientbuilder`).

use std::sync::Arc;

use anyhow::Context;
use client::answer;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{ObjectMeta, PostParams};
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Api, Client};
use tokio::sync::Mutex;
use tower::BoxError;

use crate::component;

const NAMESPACE: &str = "kube-system";
/// How long a token is asked for; it is replaced when four fifths of that are over.
const SECONDS: i64 = 3600;

/// Makes the clients.
pub(super) struct Accounts {
    /// Knows the server, and nobody there.
    stranger: Client,
    accounts: Api<ServiceAccount>,
}

/// The token of one account.
struct Token {
    account: String,
    accounts: Api<ServiceAccount>,
    present: Mutex<Option<Present>>,
}

struct Present {
    header: HeaderValue,
    renewed_at: Timestamp,
}

impl Accounts {
    /// Clients of the server that `config` names, with tokens that `client` may ask for.
    ///
    /// # Errors
    /// No client can be made of the configuration.
    pub(super) fn new(config: &kube::Config, client: Client) -> anyhow::Result<Self> {
        let mut stranger = config.clone();
        stranger.auth_info = AuthInfo::default();
        let stranger =
            component::connect(stranger).context("cannot connect without the kubeconfig's user")?;
        Ok(Self { stranger, accounts: Api::namespaced(client, NAMESPACE) })
    }

    /// A client as the service account.
    pub(super) fn client(&self, account: &str) -> Client {
        let (account, accounts) = (account.to_owned(), self.accounts.clone());
        let token = Arc::new(Token { account, accounts, present: Mutex::default() });
        let stranger = self.stranger.clone();
        let service = tower::service_fn(move |mut request: Request<Body>| {
            let (token, stranger) = (token.clone(), stranger.clone());
            async move {
                let shown = token.header().await?;
                request.headers_mut().insert(AUTHORIZATION, shown.clone());
                let answer = stranger.send(request).await?;
                // Its account was deleted, or the key changed: whoever asked tries again, with another.
                if answer.status() == StatusCode::UNAUTHORIZED {
                    token.forget(&shown).await;
                }
                Ok::<_, BoxError>(answer)
            }
        });
        Client::new(service, "default")
    }
}

impl Token {
    async fn header(&self) -> Result<HeaderValue, BoxError> {
        let mut present = self.present.lock().await;
        let now = Timestamp::now();
        if let Some(present) = present.as_ref().filter(|present| now < present.renewed_at) {
            return Ok(present.header.clone());
        }
        let next = self.request(now).await?;
        Ok(present.insert(next).header.clone())
    }

    /// Asks for another token next time, unless somebody has already.
    async fn forget(&self, refused: &HeaderValue) {
        self.present.lock().await.take_if(|present| present.header == *refused);
    }

    async fn request(&self, now: Timestamp) -> Result<Present, BoxError> {
        let granted = match self.ask().await {
            Err(error) if answer::is_not_found(&error) => {
                self.create().await?;
                self.ask().await?
            }
            granted => granted?,
        };
        let status = granted.status.unwrap_or_default();
        let (Some(token), Some(end)) = (status.token, status.expiration_timestamp) else {
            return Err("the answer to a request for a token has none".into());
        };
        let mut header = HeaderValue::try_from(format!("Bearer {token}"))?;
        header.set_sensitive(true);
        let left = end.0.duration_since(now);
        Ok(Present { header, renewed_at: now + left.max(SignedDuration::ZERO) * 4 / 5 })
    }

    async fn ask(&self) -> kube::Result<TokenRequest> {
        let spec = TokenRequestSpec { expiration_seconds: Some(SECONDS), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        self.accounts.create_token_request(&self.account, &PostParams::default(), &request).await
    }

    async fn create(&self) -> kube::Result<()> {
        let metadata = ObjectMeta { name: Some(self.account.clone()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        match self.accounts.create(&PostParams::default(), &account).await {
            Err(error) if !answer::is_already_exists(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

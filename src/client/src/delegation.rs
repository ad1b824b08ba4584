//! Who asks, and may they: delegated to the API server by whoever serves pages of its own, as upstream's kubelet and components
//! do it (`apiserver/pkg/server/options/{authentication,authorization}.go`).
//!
//! Tokens are reviewed by it, and what a user may do, it is asked. Its answers hold for a while: however often somebody asks
//! here, it is asked seldom. What a client certificate proves is the caller's business.

mod answers;

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

use answers::Answers;

/// How long answers hold; not at all where it is zero. Errors never do.
#[derive(Clone, Copy, Debug)]
pub struct Holds {
    /// Whom a token stands for, or that it stands for nobody.
    pub user: Duration,
    /// That somebody may do something.
    pub allowed: Duration,
    /// That they may not.
    pub denied: Duration,
}

/// Asks the API server, and remembers what it said.
pub struct Delegation {
    client: Client,
    holds: Holds,
    users: Answers<Option<UserInfo>>,
    permissions: Answers<bool>,
}

impl Delegation {
    /// Asks by a client that may create reviews (`system:auth-delegator`).
    pub fn new(client: Client, holds: Holds) -> Self {
        Self { client, holds, users: Answers::default(), permissions: Answers::default() }
    }

    /// Whom a bearer token stands for; `None` where for nobody.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub async fn user(&self, token: &str) -> kube::Result<Option<UserInfo>> {
        self.users.of(token.as_bytes(), |_| self.holds.user, self.review_token(token)).await
    }

    /// Whether a user may do what `action` says; who it is, is filled in here.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub async fn may(&self, user: &UserInfo, action: SubjectAccessReviewSpec) -> kube::Result<bool> {
        let UserInfo { username, uid, groups, extra } = user.clone();
        let spec = SubjectAccessReviewSpec { user: username, uid, groups, extra, ..action };
        // All that is asked is in there, in an order that is always the same.
        let question = serde_json::to_vec(&spec).expect("a review is JSON");
        let holds = |allowed: &bool| if *allowed { self.holds.allowed } else { self.holds.denied };
        self.permissions.of(&question, holds, self.review_access(spec)).await
    }

    async fn review_token(&self, token: &str) -> kube::Result<Option<UserInfo>> {
        let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews = Api::<TokenReview>::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await?;
        let status = answer.status.filter(|status| status.authenticated == Some(true));
        Ok(status.and_then(|status| status.user))
    }

    async fn review_access(&self, spec: SubjectAccessReviewSpec) -> kube::Result<bool> {
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let reviews = Api::<SubjectAccessReview>::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

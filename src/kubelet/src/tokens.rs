//! Service account tokens for pods, from the TokenRequest API, kept until they should be renewed.

use std::{collections::HashMap, sync::Mutex};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{Pod, ServiceAccount},
};
use kube::{Api, api::PostParams};

use crate::pod;

/// A token is renewed after this long, however long it is valid.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

/// However short it is valid, a token is not renewed more often than this.
const MIN_AGE: SignedDuration = SignedDuration::from_mins(1);

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub token: String,
    pub refresh_at: Timestamp,
}

/// Pod uid, audience, seconds asked for.
type Key = (String, Option<String>, i64);

pub(crate) struct Tokens {
    client: kube::Client,
    known: Mutex<HashMap<Key, Token>>,
}

impl Tokens {
    pub(crate) fn new(client: kube::Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// The token of the pod's service account for `audience` (the API server's own if none), bound to the pod.
    pub(crate) async fn get(
        &self,
        pod: &Pod,
        audience: Option<&str>,
        seconds: i64,
    ) -> Result<Token, kube::Error> {
        let key = (pod::uid(pod).to_owned(), audience.map(str::to_owned), seconds);
        let now = Timestamp::now();
        if let Some(token) = self.known().get(&key).filter(|token| token.refresh_at > now) {
            return Ok(token.clone());
        }
        let token = self.request(pod, audience, seconds, now).await?;
        self.known().insert(key, token.clone());
        Ok(token)
    }

    /// Forgets the tokens of a pod that is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.known().retain(|(of, ..), _| of != uid);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Token>> {
        self.known.lock().expect("no panic happens while the tokens are locked")
    }

    async fn request(
        &self,
        pod: &Pod,
        audience: Option<&str>,
        seconds: i64,
        now: Timestamp,
    ) -> Result<Token, kube::Error> {
        let accounts = Api::<ServiceAccount>::namespaced(self.client.clone(), pod::namespace(pod));
        let account = pod::spec(pod).service_account_name.as_deref().filter(|name| !name.is_empty());
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: audience.map(|audience| vec![audience.to_owned()]),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Pod".into()),
                    name: pod.metadata.name.clone(),
                    uid: pod.metadata.uid.clone(),
                }),
                expiration_seconds: Some(seconds),
            }),
            ..TokenRequest::default()
        };
        let name = account.unwrap_or("default");
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        let granted = answer.spec.and_then(|spec| spec.expiration_seconds).unwrap_or(seconds);
        let status = answer.status.unwrap_or_default();
        let expires =
            status.expiration_timestamp.map_or(now + SignedDuration::from_secs(granted), |time| time.0);
        Ok(Token { token: status.token.unwrap_or_default(), refresh_at: refresh_at(expires, granted, now) })
    }
}

/// A token is renewed when a fifth of its time is left.
fn refresh_at(expires: Timestamp, seconds: i64, now: Timestamp) -> Timestamp {
    let early = SignedDuration::from_secs(seconds / 5);
    (expires - early).min(now + MAX_AGE).max(now + MIN_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_with_a_fifth_of_its_time_left_and_daily_at_least() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let after = |seconds: i64| {
            let expires = now + SignedDuration::from_secs(seconds);
            refresh_at(expires, seconds, now).duration_since(now).as_secs()
        };
        assert_eq!(after(3600), 2880);
        assert_eq!(after(365 * 86_400), 86_400);
        assert_eq!(after(0), 60);
    }
}

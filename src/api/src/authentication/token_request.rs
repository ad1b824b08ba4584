//! TokenRequest: the body of `serviceaccounts/…/token` (upstream: `ValidateTokenRequest`).

use k8s_openapi::api::authentication::v1::TokenRequest;
use machinery::field::{Error, ErrorList, Path};

use crate::kind::{CREATE_ONLY, Kind};

const MIN_SECONDS: i64 = 10 * 60;
const MAX_SECONDS: i64 = 1 << 32;

impl Kind for TokenRequest {
    const SINGULAR: &'static str = "tokenrequest";
    const NAMESPACED: bool = true;
    const VERBS: &'static [&'static str] = CREATE_ONLY;

    fn set_defaults(&mut self) {
        self.spec.get_or_insert_default().expiration_seconds.get_or_insert(60 * 60);
    }

    fn validate(&self) -> ErrorList {
        let path = Path::new("spec.expirationSeconds");
        let seconds = self.spec.as_ref().and_then(|spec| spec.expiration_seconds).unwrap_or_default();
        let detail = match seconds {
            ..MIN_SECONDS => "may not specify a duration less than 10 minutes",
            MIN_SECONDS..=MAX_SECONDS => return vec![],
            _ => "may not specify a duration larger than 2^32 seconds",
        };
        vec![Error::invalid(&path, seconds, detail)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::errors_of;

    #[test]
    fn a_token_lives_an_hour_unless_told_otherwise() {
        errors_of::<TokenRequest>("{}", &[]);
        errors_of::<TokenRequest>(
            r#"{"spec":{"audiences":[],"expirationSeconds":599}}"#,
            &["spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"],
        );
    }
}

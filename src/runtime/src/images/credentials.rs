//! How to log in at a registry: from a CRI request to the client's terms.

use oci_client::secrets::RegistryAuth;

use crate::error::{Error, Result};

/// How to log in at a registry, as a CRI request gives it; all empty is anonymous.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: String,
    /// `username:password` in base64, instead of the two.
    pub(crate) auth: String,
    pub(crate) registry_token: String,
    /// A refresh token of OAuth 2.
    pub(crate) identity_token: String,
}

impl Credentials {
    pub(super) fn to_auth(&self) -> Result<RegistryAuth> {
        use base64::Engine;
        if !self.identity_token.is_empty() {
            return Err(Error::Unsupported("identity tokens are not supported by this runtime".to_owned()));
        }
        if !self.registry_token.is_empty() {
            return Ok(RegistryAuth::Bearer(self.registry_token.clone()));
        }
        if !self.username.is_empty() {
            return Ok(RegistryAuth::Basic(self.username.clone(), self.password.clone()));
        }
        if self.auth.is_empty() {
            return Ok(RegistryAuth::Anonymous);
        }
        base64::engine::general_purpose::STANDARD
            .decode(&self.auth)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| {
                text.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
            })
            .map(|(name, password)| RegistryAuth::Basic(name, password.trim_end_matches('\0').to_owned()))
            .ok_or_else(|| Error::Invalid("invalid decoded auth in pull credentials".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_kind_that_is_not_built_are_refused() {
        let credentials = |identity_token: &str| Credentials {
            username: "user".into(),
            identity_token: identity_token.into(),
            ..Credentials::default()
        };
        assert!(matches!(credentials("").to_auth(), Ok(RegistryAuth::Basic(..))));
        let refused = credentials("token").to_auth().unwrap_err();
        assert_eq!(refused.to_string(), "identity tokens are not supported by this runtime");
    }
}

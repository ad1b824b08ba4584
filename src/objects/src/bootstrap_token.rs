//! Questions about bootstrap tokens, which are Secrets of a type of their own in `kube-system` (upstream
//! `cluster-bootstrap/util/{tokens,secrets}`).

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

/// The type of the Secrets.
pub const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
/// What a Secret's name begins with; the token's id follows.
pub const SECRET_PREFIX: &str = "bootstrap-token-";
/// Where the Secrets are.
pub const NAMESPACE: &str = "kube-system";
/// What the name of a token's user begins with; the token's id follows.
pub const USER_PREFIX: &str = "system:bootstrap:";
/// The group of all who come with such a token.
pub const GROUP: &str = "system:bootstrappers";

/// Keys of the Secret's data.
pub mod key {
    /// The public part.
    pub const ID: &str = "token-id";
    /// The secret part.
    pub const SECRET: &str = "token-secret";
    /// RFC 3339; without it the token lives for ever.
    pub const EXPIRATION: &str = "expiration";
    /// For people.
    pub const DESCRIPTION: &str = "description";
    /// More groups, separated by commas.
    pub const EXTRA_GROUPS: &str = "auth-extra-groups";
    /// `true` where the token signs `cluster-info`.
    pub const SIGNING: &str = "usage-bootstrap-signing";
    /// `true` where the token authenticates.
    pub const AUTHENTICATION: &str = "usage-bootstrap-authentication";
}

/// Id and secret of a token `id.secret` of the right form.
pub fn split(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    (is_id(id) && secret.len() == 16 && secret.bytes().all(is_letter)).then_some((id, secret))
}

/// Whether a text has the form of a token's id.
pub fn is_id(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(is_letter)
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// A value of the Secret, empty where there is none or it is no text.
pub fn value<'a>(secret: &'a Secret, key: &str) -> &'a str {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    value.and_then(|value| std::str::from_utf8(&value.0).ok()).unwrap_or_default()
}

/// Whether the Secret is meant as a bootstrap token.
pub fn is_token(secret: &Secret) -> bool {
    secret.type_.as_deref() == Some(SECRET_TYPE) && secret.metadata.namespace.as_deref() == Some(NAMESPACE)
}

/// Until when a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It has no end.
    Never,
    /// It ends then.
    At(Timestamp),
    /// It has ended, or says something unreadable, which counts the same.
    Past,
}

/// Until when the token is good, as of `now`.
pub fn expiry(secret: &Secret, now: Timestamp) -> Expiry {
    match value(secret, key::EXPIRATION) {
        "" => Expiry::Never,
        text => match text.parse::<Timestamp>() {
            Ok(end) if end > now => Expiry::At(end),
            _ => Expiry::Past,
        },
    }
}

/// The groups of those who come with the token, sorted.
///
/// # Errors
/// The first name that no bootstrap group may have.
pub fn groups(secret: &Secret) -> Result<Vec<String>, String> {
    let mut groups = BTreeSet::from([GROUP.to_owned()]);
    let extra = value(secret, key::EXTRA_GROUPS);
    for group in extra.split(',').filter(|_| !extra.is_empty()) {
        if !is_group(group) {
            return Err(format!("bootstrap group {group:?} is invalid"));
        }
        groups.insert(group.to_owned());
    }
    Ok(groups.into_iter().collect())
}

fn is_group(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("system:bootstrappers:") else { return false };
    let fits = |byte: u8| is_letter(byte) || byte == b':' || byte == b'-';
    rest.len() <= 256 && rest.bytes().all(fits) && rest.bytes().last().is_some_and(is_letter)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn secret(data: &[(&str, &str)]) -> Secret {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), ByteString((*value).into())));
        Secret { data: Some(data.collect()), ..Secret::default() }
    }

    #[test]
    fn a_token_is_six_letters_a_dot_and_sixteen() {
        assert_eq!(split("abc123.0123456789abcdef"), Some(("abc123", "0123456789abcdef")));
        for wrong in
            ["", "abc123", "abc123.0123456789abcde", "ABC123.0123456789abcdef", "abc12.30123456789abcdef"]
        {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_read_has_expired() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let check = |text: &str, expected: Expiry| {
            assert_eq!(expiry(&secret(&[(key::EXPIRATION, text)]), now), expected, "{text}");
        };
        check("", Expiry::Never);
        check("2026-01-01T01:00:00+01:00", Expiry::Past);
        check("2026-01-01T00:00:01Z", Expiry::At("2026-01-01T00:00:01Z".parse().unwrap()));
        check("tomorrow", Expiry::Past);
    }

    #[test]
    fn groups_are_bootstrappers_only() {
        assert_eq!(groups(&secret(&[])).unwrap(), [GROUP]);
        let two = secret(&[(key::EXTRA_GROUPS, "system:bootstrappers:b,system:bootstrappers:a")]);
        assert_eq!(groups(&two).unwrap(), [GROUP, "system:bootstrappers:a", "system:bootstrappers:b"]);
        groups(&secret(&[(key::EXTRA_GROUPS, "system:masters")])).unwrap_err();
        groups(&secret(&[(key::EXTRA_GROUPS, "system:bootstrappers:")])).unwrap_err();
    }
}

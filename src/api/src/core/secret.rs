//! Secret (upstream: `pkg/registry/core/secret`, `ValidateSecret`).

mod tls;

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::json;
use machinery::table::Column;
use serde_json::Value;

use super::data;
use crate::kind::{Context, Kind, Selectable};
use crate::{cells, checks};

const OPAQUE: &str = "Opaque";
const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

impl Kind for Secret {
    const SINGULAR: &'static str = "secret";
    const NAMESPACED: bool = true;
    const FIELDS: &'static [Selectable] = &[Selectable::new("type", &[&["type"]])];

    /// `stringData` is for writing only: it goes into `data` and is never stored.
    fn set_defaults(&mut self) {
        if let Some(text) = self.string_data.take().filter(|text| !text.is_empty()) {
            let encoded = text.into_iter().map(|(key, value)| (key, ByteString(value.into_bytes())));
            self.data.get_or_insert_default().extend(encoded);
        }
        if self.type_.as_deref().unwrap_or_default().is_empty() {
            self.type_ = Some(OPAQUE.to_owned());
        }
    }

    fn validate(&self) -> ErrorList {
        let path = Path::new("data");
        let mut errors = data::keys(self.data.as_ref(), &path);
        if data::size(self.data.as_ref(), |value| value.0.len()) > data::MAX_SIZE {
            errors.push(Error::too_long(&path, data::MAX_SIZE));
        }
        errors.extend(self.validate_type(&path));
        errors
    }

    fn prepare_for_update(&mut self, old: &Self, _cx: &Context) {
        if self.type_.as_deref().unwrap_or_default().is_empty() {
            self.type_ = old.type_.clone();
        }
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        let type_ = checks::immutable(&self.type_, &old.type_, &Path::new("type"));
        errors.extend(type_.into_iter().map(Error::named));
        if old.immutable == Some(true) {
            errors.extend(data::immutable(self.immutable == Some(true), "immutable"));
            errors.extend(data::immutable(self.data == old.data, "data"));
        }
        errors.extend(checks::metadata(self));
        errors.extend(self.validate());
        errors
    }

    fn warnings(&self, _old: Option<&Self>) -> Vec<String> {
        if self.type_.as_deref() != Some("kubernetes.io/tls") {
            return vec![];
        }
        let entry = |key| self.entry(key).unwrap_or_default();
        tls::warning(entry("tls.crt"), entry("tls.key")).into_iter().collect()
    }

    fn columns() -> Vec<Column> {
        vec![
            cells::name(),
            cells::column("Type", "string", "What the data is for."),
            cells::column("Data", "string", "Number of entries."),
            cells::age(),
        ]
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        vec![
            cells::name_of(&self.metadata),
            cells::text(self.type_.as_deref()),
            Value::from(self.data.as_ref().map_or(0, BTreeMap::len)),
            cells::age_of(&self.metadata, now),
        ]
    }
}

trait Typed {
    fn validate_type(&self, data: &Path) -> ErrorList;
    fn entry(&self, key: &str) -> Option<&[u8]>;
}

impl Typed for Secret {
    fn validate_type(&self, data: &Path) -> ErrorList {
        let missing = |key: &str| {
            self.entry(key).is_none().then(|| Error::required(&data.key(key), "")).into_iter().collect()
        };
        match self.type_.as_deref().unwrap_or_default() {
            "kubernetes.io/service-account-token" => service_account_name(self),
            "kubernetes.io/dockercfg" => json_entry(self.entry(".dockercfg"), &data.key(".dockercfg")),
            "kubernetes.io/dockerconfigjson" => {
                json_entry(self.entry(".dockerconfigjson"), &data.key(".dockerconfigjson"))
            }
            "kubernetes.io/basic-auth"
                if self.entry("username").is_none() && self.entry("password").is_none() =>
            {
                ["username", "password"].map(|key| Error::required(&data.key(key), "")).into()
            }
            "kubernetes.io/ssh-auth" if self.entry("ssh-privatekey").is_none_or(<[u8]>::is_empty) => {
                vec![Error::required(&data.key("ssh-privatekey"), "")]
            }
            "kubernetes.io/tls" => {
                let mut errors: ErrorList = missing("tls.crt");
                errors.extend(missing("tls.key"));
                errors
            }
            _ => vec![],
        }
    }

    fn entry(&self, key: &str) -> Option<&[u8]> {
        self.data.as_ref()?.get(key).map(|value| value.0.as_slice())
    }
}

fn service_account_name(secret: &Secret) -> ErrorList {
    let annotations = secret.metadata.annotations.as_ref();
    if annotations.and_then(|all| all.get(SERVICE_ACCOUNT_NAME)).is_some_and(|name| !name.is_empty()) {
        return vec![];
    }
    vec![Error::required(&Path::new("metadata.annotations").key(SERVICE_ACCOUNT_NAME), "")]
}

/// Registry credentials must be a JSON object; what they contain is not shown.
fn json_entry(bytes: Option<&[u8]>, path: &Path) -> ErrorList {
    let Some(bytes) = bytes else { return vec![Error::required(path, "")] };
    match json::parse(bytes) {
        Ok(parsed) if parsed.tree.as_object().is_some() || parsed.tree.is_null() => vec![],
        Ok(parsed) => {
            let kind = parsed.tree.go_kind();
            let detail =
                format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}");
            vec![Error::invalid(path, REDACTED, detail)]
        }
        Err(error) => vec![Error::invalid(path, REDACTED, error.to_string())],
    }
}

const REDACTED: &str = "<secret contents redacted>";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{defaulted, errors_of, errors_of_update};

    #[test]
    fn string_data_goes_into_data() {
        defaulted::<Secret>(
            r#"{"stringData":{"a":"x"},"data":{"a":"eQ==","b":"eQ=="}}"#,
            r#"{"data":{"a":"eA==","b":"eQ=="},"type":"Opaque"}"#,
        );
    }

    #[test]
    fn each_type_has_its_entries() {
        let check = errors_of::<Secret>;
        check(r#"{"type":"example.com/any"}"#, &[]);
        check(
            r#"{"type":"kubernetes.io/tls"}"#,
            &["data[tls.crt]: Required value", "data[tls.key]: Required value"],
        );
        check(r#"{"type":"kubernetes.io/ssh-auth"}"#, &["data[ssh-privatekey]: Required value"]);
        check(
            r#"{"type":"kubernetes.io/basic-auth"}"#,
            &["data[username]: Required value", "data[password]: Required value"],
        );
        check(r#"{"type":"kubernetes.io/basic-auth","stringData":{"password":"x"}}"#, &[]);
        check(r#"{"type":"kubernetes.io/dockercfg"}"#, &["data[.dockercfg]: Required value"]);
        check(r#"{"type":"kubernetes.io/dockerconfigjson","stringData":{".dockerconfigjson":"{}"}}"#, &[]);
        check(
            r#"{"type":"kubernetes.io/service-account-token"}"#,
            &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        );
    }

    #[test]
    fn the_type_cannot_change() {
        errors_of_update::<Secret>(r#"{"type":"a/b"}"#, r#"{"type":"a/b"}"#, &[]);
        errors_of_update::<Secret>(
            r#"{"type":"a/b"}"#,
            r#"{"type":"a/c"}"#,
            &["type: Invalid value: \"a/c\": field is immutable"],
        );
    }
}

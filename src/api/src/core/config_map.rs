//! ConfigMap (upstream: `pkg/registry/core/configmap`, `ValidateConfigMap`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::table::Column;
use serde_json::Value;

use super::data;
use crate::kind::Kind;
use crate::{cells, checks};

impl Kind for ConfigMap {
    const SINGULAR: &'static str = "configmap";
    const SHORT_NAMES: &'static [&'static str] = &["cm"];
    const NAMESPACED: bool = true;

    fn validate(&self) -> ErrorList {
        let mut errors = data::keys(self.data.as_ref(), &Path::new("data"));
        for key in self.data.iter().flatten().map(|(key, _)| key) {
            if self.binary_data.as_ref().is_some_and(|binary| binary.contains_key(key)) {
                let detail = "duplicate of key present in binaryData";
                errors.push(Error::invalid(&Path::new("data").key(key), key.as_str(), detail));
            }
        }
        errors.extend(data::keys(self.binary_data.as_ref(), &Path::new("binaryData")));
        let size = data::size(self.data.as_ref(), String::len)
            + data::size(self.binary_data.as_ref(), |value| value.0.len());
        if size > data::MAX_SIZE {
            errors.push(Error::too_long(&Path::root(), data::MAX_SIZE));
        }
        errors
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        if old.immutable == Some(true) {
            errors.extend(data::immutable(self.immutable == Some(true), "immutable"));
            errors.extend(data::immutable(self.data == old.data, "data"));
            errors.extend(data::immutable(self.binary_data == old.binary_data, "binaryData"));
        }
        errors.extend(checks::metadata(self));
        errors.extend(self.validate());
        errors
    }

    fn columns() -> Vec<Column> {
        vec![cells::name(), cells::column("Data", "string", "Number of entries."), cells::age()]
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        let count =
            self.data.as_ref().map_or(0, BTreeMap::len) + self.binary_data.as_ref().map_or(0, BTreeMap::len);
        vec![cells::name_of(&self.metadata), Value::from(count), cells::age_of(&self.metadata, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{errors_of, errors_of_update, object};

    #[test]
    fn keys_and_size_are_checked() {
        errors_of::<ConfigMap>(r#"{"data":{"a.b":"x"}}"#, &[]);
        errors_of::<ConfigMap>(
            r#"{"data":{"a":"x"},"binaryData":{"a":"eA=="}}"#,
            &["data[a]: Invalid value: \"a\": duplicate of key present in binaryData"],
        );
        errors_of::<ConfigMap>(
            r#"{"data":{"..":"x"}}"#,
            &["data[..]: Invalid value: \"..\": must not be '..'"],
        );
        let big = "x".repeat(data::MAX_SIZE + 1);
        errors_of::<ConfigMap>(
            &format!(r#"{{"data":{{"a":"{big}"}}}}"#),
            &["<nil>: Too long: may not be more than 1048576 bytes"],
        );
    }

    #[test]
    fn an_immutable_map_stays_as_it_is() {
        let old = r#"{"immutable":true,"data":{"a":"x"}}"#;
        errors_of_update::<ConfigMap>(old, old, &[]);
        errors_of_update::<ConfigMap>(
            old,
            r#"{"data":{"a":"y"}}"#,
            &[
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ],
        );
    }

    #[test]
    fn the_table_counts_entries() {
        let map: ConfigMap = object(r#"{"metadata":{"name":"m"},"data":{"a":""},"binaryData":{"b":""}}"#);
        assert_eq!(map.row(Timestamp::UNIX_EPOCH)[..2], [Value::from("m"), Value::from(2)]);
    }
}

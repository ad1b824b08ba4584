//! What upstream says of types and fields, compressed into the program by `build.rs`.
//!
//! Records `type 0x1f field 0x1f text 0x1e`; the type's own text has an empty field.

use std::collections::HashMap;

/// Unpacked descriptions; about a megabyte, so made per document and dropped with it.
pub(super) struct Descriptions(String);

/// Descriptions to look up: by type and field, the empty field being the type itself.
pub(super) struct Index<'a>(HashMap<(&'a str, &'a str), &'a str>);

impl Descriptions {
    /// Unpacks them.
    pub(super) fn load() -> Descriptions {
        let compressed = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.zst"));
        let bytes = zstd::decode_all(&compressed[..]).expect("build.rs compressed it");
        Descriptions(String::from_utf8(bytes).expect("build.rs wrote text"))
    }

    /// Makes them findable.
    pub(super) fn index(&self) -> Index<'_> {
        let records = self.0.split_terminator('\u{1e}').filter_map(|record| {
            let (name, rest) = record.split_once('\u{1f}')?;
            let (field, text) = rest.split_once('\u{1f}')?;
            Some(((name, field), text))
        });
        Index(records.collect())
    }
}

impl Index<'_> {
    /// The description of a type.
    pub(super) fn of_type(&self, name: &str) -> Option<&str> {
        self.of_field(name, "")
    }

    /// The description of a field.
    pub(super) fn of_field(&self, name: &str, field: &str) -> Option<&str> {
        self.0.get(&(name, field)).copied()
    }
}

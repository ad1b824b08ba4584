//! Objects as tables, for people.
//!
//! Columns and rows come from the kinds, objects from the store as bytes; the result is the `meta.k8s.io/v1` Table that
//! `kubectl get` asks for. Never parses an object.

mod duration;

use serde_json::Value;

use crate::json::{Object, Tree};

pub use duration::{human, human_short};

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// The OpenAPI type of its cells, such as `string` or `integer`.
    pub type_: String,
    /// The OpenAPI format; `name` marks the column that names the object.
    pub format: String,
    /// What the column shows.
    pub description: String,
    /// 0 for columns that are always shown, more for those that a wide table shows.
    pub priority: i32,
}

impl Column {
    /// A column that is always shown.
    pub fn new(name: &str, type_: &str, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            type_: type_.to_owned(),
            format: String::new(),
            description: description.to_owned(),
            priority: 0,
        }
    }

    /// The same, marked as the one that names the object.
    #[must_use]
    pub fn naming(self) -> Self {
        Self { format: "name".to_owned(), ..self }
    }

    /// The same, shown in wide tables only.
    #[must_use]
    pub fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }
}

/// A row of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// One value per column.
    pub cells: Vec<Value>,
    /// Marks rows that a table may hide or strike; `Completed` for pods that have ended.
    pub conditions: Vec<RowCondition>,
}

/// A mark on a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowCondition {
    /// What it is, such as `Completed`.
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// A word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

impl From<Vec<Value>> for Row {
    fn from(cells: Vec<Value>) -> Self {
        Self { cells, conditions: Vec::new() }
    }
}

/// What of the object a row carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata, as a `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl IncludeObject {
    /// Reads the `includeObject` parameter; `None` for a value that it may not have.
    pub fn parse(parameter: &str) -> Option<Self> {
        match parameter {
            "None" => Some(Self::None),
            "" | "Metadata" => Some(Self::Metadata),
            "Object" => Some(Self::Object),
            _ => None,
        }
    }
}

/// The version of `meta.k8s.io` in which tables and metadata are answered; they differ in name only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetaVersion {
    /// `meta.k8s.io/v1`
    #[default]
    V1,
    /// `meta.k8s.io/v1beta1`
    V1Beta1,
}

impl MetaVersion {
    /// Group and version as objects say them.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// The list metadata that a table shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListMeta {
    /// The revision of the list, or of the one object.
    pub resource_version: String,
    /// Where the next page starts; empty at the end.
    pub continue_token: String,
    /// How many objects follow this page, if known.
    pub remaining_item_count: Option<i64>,
}

/// Writes a Table row by row, so that a long list needs no second copy in memory.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    rows: usize,
    version: MetaVersion,
}

impl Writer {
    /// Begins a table. Watch events say `null` for the columns after the first one.
    pub fn new(version: MetaVersion, meta: &ListMeta, columns: Option<&[Column]>) -> Self {
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(
            format!(r#"{{"kind":"Table","apiVersion":"{}","metadata":"#, version.api_version()).as_bytes(),
        );
        meta.tree().write(&mut out);
        out.extend_from_slice(br#","columnDefinitions":"#);
        let columns = columns.map(|columns| Tree::Array(columns.iter().map(Column::tree).collect()));
        columns.unwrap_or_default().write(&mut out);
        out.extend_from_slice(br#","rows":["#);
        Self { out, rows: 0, version }
    }

    /// Adds a row. `object` is the JSON to include: the whole object, or its metadata for
    /// [`IncludeObject::Metadata`]; `None` includes nothing.
    pub fn row(&mut self, row: &Row, object: Option<Included<'_>>) {
        if self.rows > 0 {
            self.out.push(b',');
        }
        self.rows += 1;
        self.out.extend_from_slice(br#"{"cells":"#);
        Tree::Array(row.cells.iter().map(Tree::from_value).collect()).write(&mut self.out);
        if !row.conditions.is_empty() {
            self.out.extend_from_slice(br#","conditions":"#);
            Tree::Array(row.conditions.iter().map(RowCondition::tree).collect()).write(&mut self.out);
        }
        self.out.extend_from_slice(br#","object":"#);
        self.include(object);
        self.out.push(b'}');
    }

    fn include(&mut self, object: Option<Included<'_>>) {
        match object {
            None => self.out.extend_from_slice(b"null"),
            Some(Included::Object(bytes)) => self.out.extend_from_slice(bytes),
            Some(Included::Metadata(bytes)) => {
                partial_metadata(self.version, bytes, &mut self.out);
            }
        }
    }

    /// Takes what has been written so far, for a response that is sent in pieces.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Ends the table and gives its (remaining) bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(b"]}");
        self.out
    }
}

/// What a row carries of its object, as JSON bytes.
#[derive(Clone, Copy, Debug)]
pub enum Included<'a> {
    /// The value of `metadata`.
    Metadata(&'a [u8]),
    /// The object.
    Object(&'a [u8]),
}

/// Writes the PartialObjectMetadata around an object's metadata, as JSON.
pub fn partial_metadata(version: MetaVersion, metadata: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"kind":"PartialObjectMetadata","apiVersion":""#);
    out.extend_from_slice(version.api_version().as_bytes());
    out.extend_from_slice(br#"","metadata":"#);
    out.extend_from_slice(metadata);
    out.push(b'}');
}

impl ListMeta {
    /// The metadata in JSON, without what is empty.
    pub fn tree(&self) -> Tree<'_> {
        let mut object = Object::default();
        if !self.resource_version.is_empty() {
            object.insert("resourceVersion", Tree::from(&*self.resource_version));
        }
        if !self.continue_token.is_empty() {
            object.insert("continue", Tree::from(&*self.continue_token));
        }
        if let Some(count) = self.remaining_item_count {
            object.insert("remainingItemCount", Tree::Int(count));
        }
        Tree::Object(object)
    }
}

impl Column {
    fn tree(&self) -> Tree<'_> {
        let mut object = Object::with_capacity(5);
        object.insert("name", Tree::from(&*self.name));
        object.insert("type", Tree::from(&*self.type_));
        object.insert("format", Tree::from(&*self.format));
        object.insert("description", Tree::from(&*self.description));
        object.insert("priority", Tree::Int(self.priority.into()));
        Tree::Object(object)
    }
}

impl RowCondition {
    fn tree(&self) -> Tree<'_> {
        let mut object = Object::with_capacity(4);
        object.insert("type", Tree::from(&*self.type_));
        object.insert("status", Tree::from(&*self.status));
        for (key, text) in [("reason", &self.reason), ("message", &self.message)] {
            if !text.is_empty() {
                object.insert(key, Tree::from(&**text));
            }
        }
        Tree::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_assembled_around_object_bytes() {
        let columns = [Column::new("Name", "string", "d").naming()];
        let meta = ListMeta { resource_version: "7".to_owned(), ..ListMeta::default() };
        let mut writer = Writer::new(MetaVersion::V1, &meta, Some(&columns));
        let object = br#"{"name":"a"}"#;
        writer.row(&vec![Value::from("a")].into(), Some(Included::Metadata(object)));
        writer.row(&vec![Value::from(1)].into(), Some(Included::Object(b"{}")));
        writer.row(&Row::default(), None);
        let text = String::from_utf8(writer.finish()).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7"},"columnDefinitions":"#,
                r#"[{"name":"Name","type":"string","format":"name","description":"d","priority":0}],"rows":["#,
                r#"{"cells":["a"],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"a"}}},"#,
                r#"{"cells":[1],"object":{}},{"cells":[],"object":null}]}"#
            )
        );
    }
}

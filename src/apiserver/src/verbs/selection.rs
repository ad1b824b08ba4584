//! Label and field selectors of a request, and what they say about an entry.
//!
//! They look only at the entry's key and at what the store extracted when it came in; no object is parsed.

use api::Descriptor;
use machinery::Status;
use machinery::selector::{field, label};
use store::Entry;

use crate::query::Query;

/// Which objects a list, watch or collection delete is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    labels: label::Selector,
    /// (name as extracted, value, equal)
    fields: Vec<(String, String, bool)>,
}

impl Selection {
    /// Reads `labelSelector` and `fieldSelector`.
    pub(crate) fn read(query: &Query, kind: &Descriptor) -> Result<Selection, Status> {
        let labels = label::Selector::parse(query.text("labelSelector"))
            .map_err(|error| Status::bad_request(error.to_string()))?;
        let fields = field::Selector::parse(query.text("fieldSelector"))
            .map_err(|error| Status::bad_request(error.to_string()))?;
        let fields = fields.requirements().iter().map(|one| {
            let name = kind.field_label(&one.field).map_err(Status::bad_request)?;
            Ok((name.to_owned(), one.value.clone(), one.equal))
        });
        Ok(Selection { labels, fields: fields.collect::<Result<_, Status>>()? })
    }

    /// Whether it selects everything.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Narrows it to one name, which the request's path has.
    pub(crate) fn require_name(&mut self, name: &str) {
        self.fields.push(("metadata.name".to_owned(), name.to_owned(), true));
    }

    /// The one name that it selects, if it selects by name.
    pub(crate) fn name(&self) -> Option<&str> {
        let by_name = |(name, _, equal): &&(String, String, bool)| *equal && name == "metadata.name";
        self.fields.iter().find(by_name).map(|(_, value, _)| value.as_str())
    }

    /// Whether an entry is meant.
    pub(crate) fn matches(&self, entry: &Entry) -> bool {
        self.fields.iter().all(|(name, value, equal)| (find(entry, name) == value) == *equal)
            && (self.labels.is_empty() || self.labels.matches(|key| get(&entry.attributes.labels, key)))
    }
}

fn get<'a>(sorted: &'a [(Box<str>, Box<str>)], name: &str) -> Option<&'a str> {
    let at = sorted.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
    Some(&sorted[at].1)
}

/// A selectable field; empty where the object has none of that name. Those that the key says are not extracted.
fn find<'a>(entry: &'a Entry, name: &str) -> &'a str {
    match name {
        "metadata.name" => entry.key.name(),
        "metadata.namespace" => entry.key.namespace(),
        name => get(&entry.attributes.fields, name).unwrap_or_default(),
    }
}

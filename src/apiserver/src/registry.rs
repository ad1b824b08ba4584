//! Which kinds are served: from (group, version, resource) to the kind's descriptor.
//!
//! Filled from `api::builtin()`; asked by dispatch, discovery, OpenAPI and the store's extraction function.

use std::cmp::Ordering;
use std::sync::Arc;

use api::Descriptor;
use store::{Attributes, Extract, Key};

/// The kinds served.
#[derive(Clone)]
pub(crate) struct Registry {
    /// In the order in which discovery lists them and in which they are searched: by group, version and resource.
    kinds: Arc<[Arc<Descriptor>]>,
    /// Kinds that are only bodies of subresources.
    bodies: Arc<[Arc<Descriptor>]>,
}

impl Registry {
    /// The built-in kinds.
    pub(crate) fn builtin() -> Registry {
        let mut kinds: Vec<Arc<Descriptor>> = api::builtin().into_iter().map(Arc::new).collect();
        kinds.sort_by(|a, b| a.resource.cmp(&b.resource));
        Registry { kinds: kinds.into(), bodies: api::bodies().into_iter().map(Arc::new).collect() }
    }

    /// Every kind.
    pub(crate) fn kinds(&self) -> &[Arc<Descriptor>] {
        &self.kinds
    }

    /// The kind served as a resource. Asked on every request: allocates nothing.
    pub(crate) fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Descriptor>> {
        let order = |kind: &Arc<Descriptor>| -> Ordering {
            let own = &kind.resource;
            (own.group.as_str(), own.version.as_str(), own.resource.as_str()).cmp(&(group, version, resource))
        };
        self.kinds.binary_search_by(order).ok().map(|at| &self.kinds[at])
    }

    /// The kind of a built-in type.
    pub(crate) fn of<T: api::Kind>(&self) -> &Arc<Descriptor> {
        self.find(T::GROUP, T::VERSION, T::RESOURCE).expect("asked only for kinds that are served")
    }

    /// A kind that is only the body of a subresource.
    pub(crate) fn body(&self, kind: &str) -> &Arc<Descriptor> {
        self.bodies.iter().find(|body| body.gvk.kind == kind).expect("asked only for bodies that are served")
    }

    /// What the store remembers of each object. An object that cannot be read has no attributes: it is logged, and
    /// selectors do not find it.
    pub(crate) fn extract(&self) -> Arc<Extract> {
        fn storage(kind: &Descriptor) -> (&str, &str) {
            (&kind.storage.group, &kind.storage.resource)
        }
        let mut kinds: Vec<Arc<Descriptor>> = self.kinds.to_vec();
        kinds.sort_by(|a, b| storage(a).cmp(&storage(b)));
        Arc::new(move |key: &Key, bytes: &[u8]| {
            let wanted = (key.group(), key.resource());
            let Ok(at) = kinds.binary_search_by(|kind| storage(kind).cmp(&wanted)) else {
                return Attributes::default();
            };
            let kind = &kinds[at];
            match kind.attributes(bytes) {
                Ok(found) => Attributes {
                    labels: boxed(found.labels.into_iter()),
                    fields: boxed(found.fields.into_iter().filter(|(name, _)| !is_in_key(name))),
                    uid: found.uid.into(),
                },
                Err(error) => {
                    tracing::error!(key = key.as_str(), %error, "a stored object cannot be read");
                    Attributes::default()
                }
            }
        })
    }
}

/// Whether a field says what the entry's key says, too: memory that every object would take twice.
fn is_in_key(field: &str) -> bool {
    matches!(field, "metadata.name" | "metadata.namespace")
}

fn boxed(pairs: impl Iterator<Item = (String, String)>) -> Box<[(Box<str>, Box<str>)]> {
    pairs.map(|(key, value)| (key.into(), value.into())).collect()
}

//! An object on its way from the wire into an informer, read by `machinery::typed`.
//!
//! kube decodes a page or an event whole: what one object lacks would stop the informer of its kind. An event's `type`
//! has to stand before its `object`, where upstream's server writes it, too.

use std::borrow::Cow;

use kube::{Resource, core::DynamicResourceScope};
use machinery::typed;
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error};
use serde_json::value::RawValue;

/// A kind as kube's watcher is asked for it. Its scope is said by the `Api`, not by the type, so that one type serves both.
#[derive(Clone, Debug)]
pub(super) struct Lenient<K>(pub(super) K);

impl<'de, K: DeserializeOwned> Deserialize<'de> for Lenient<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        typed::from_json(raw.get().as_bytes()).map(Self).map_err(D::Error::custom)
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Lenient<K> {
    type DynamicType = ();
    type Scope = DynamicResourceScope;

    fn kind(&(): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group(&(): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version(&(): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural(&(): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &kube::core::ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut kube::core::ObjectMeta {
        self.0.meta_mut()
    }
}

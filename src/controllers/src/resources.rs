//! What the API server serves, from discovery: for the controllers that work on every kind.

use kube::{
    Api, Client, Discovery,
    api::DynamicObject,
    discovery::{ApiGroup, ApiResource, Scope},
};

use crate::Error;

/// One served resource.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) api: ApiResource,
    pub(crate) is_namespaced: bool,
    verbs: Vec<String>,
}

impl Resource {
    /// Whether all of `verbs` are served.
    pub(crate) fn serves(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|served| served == verb))
    }

    /// Its objects in `namespace`, or in all (or none) where that is empty.
    pub(crate) fn objects(&self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        match self.is_namespaced && !namespace.is_empty() {
            true => Api::namespaced_with(client.clone(), namespace, &self.api),
            false => Api::all_with(client.clone(), &self.api),
        }
    }
}

/// All resources in the version that each group prefers.
pub(crate) async fn discover(client: Client) -> Result<Vec<Resource>, Error> {
    let discovery = Discovery::new(client).run_aggregated().await?;
    let groups = discovery.groups_alphabetical();
    let resources = groups.into_iter().flat_map(ApiGroup::recommended_resources);
    let resources = resources.map(|(api, capabilities)| Resource {
        api,
        is_namespaced: capabilities.scope == Scope::Namespaced,
        verbs: capabilities.operations,
    });
    Ok(resources.collect())
}

//! Who asks: the result of authentication, which authorization, admission and impersonation read.

use std::collections::BTreeMap;

/// The group of all who have authenticated.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// The group of all who have not.
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user that a request without credentials is.
pub(crate) const ANONYMOUS: &str = "system:anonymous";
/// The group that may do everything, whatever RBAC says.
pub const MASTERS: &str = "system:masters";
const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// An authenticated (or anonymous) user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Unique name.
    pub name: String,
    /// Unique across time; empty where the authenticator knows none.
    pub uid: String,
    /// Groups that the user is in.
    pub groups: Vec<String>,
    /// What else the authenticator knows.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// An authenticated user in `groups` and in `system:authenticated`.
    pub fn new(name: &str, groups: &[&str]) -> User {
        let groups = groups.iter().copied().chain([AUTHENTICATED]).map(str::to_owned).collect();
        User { name: name.to_owned(), groups, ..User::default() }
    }

    /// The user that a service account is.
    pub fn service_account(namespace: &str, name: &str) -> User {
        User {
            name: format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"),
            groups: service_account_groups(namespace).into_iter().chain([AUTHENTICATED.to_owned()]).collect(),
            ..User::default()
        }
    }

    /// The user of a request that carries no credentials.
    pub fn anonymous() -> User {
        User { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..User::default() }
    }

    /// Whether the user is in `group`.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// The node whose kubelet this is: `system:node:<name>` in group `system:nodes`. An empty name is a node nobody
    /// can tell apart.
    pub(crate) fn node_name(&self) -> Option<&str> {
        let name = self.name.strip_prefix("system:node:")?;
        self.is_in("system:nodes").then_some(name)
    }
}

/// The groups that every service account of a namespace is in.
pub(crate) fn service_account_groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}

/// Namespace and name of the service account that a user name stands for.
pub(crate) fn split_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

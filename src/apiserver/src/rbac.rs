//! Role-based access control: from the roles and bindings in the store to an answer.
//!
//! [`Rules`] is the index that a `Mirror` keeps; the `authorize` stage asks it. `bootstrap_policy` holds upstream's
//! default roles, `reconcile` brings them into the store, `escalation` guards changes of roles and bindings.

pub(crate) mod aggregated;
pub(crate) mod bootstrap_policy;
pub(crate) mod escalation;
mod matching;
pub(crate) mod reconcile;
mod rules;

pub(crate) use matching::rule_allows;
pub(crate) use rules::{Rules, node_rules};

/// The API group of roles and bindings.
pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";

//! May they: `system:masters`, then the Node authorizer, then RBAC; whoever allows first decides.
//!
//! Asked by the chain for the request itself and by handlers for more (impersonation, escalation, create on update,
//! reviews). A refusal reads exactly as upstream's (`responsewriters.ForbiddenStatusError`).

pub(crate) mod node;

use machinery::Status;
use machinery::gvk::GroupResource;
use machinery::json::quoted;

use super::request_info::RequestInfo;
use crate::server::Server;
use crate::user::{MASTERS, User};

/// A resource as authorization sees it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Resource<'a> {
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// The field selector of a list or watch, as text.
    pub(crate) field_selector: &'a str,
}

/// What somebody wants to act on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'a> {
    Resource(Resource<'a>),
    Path(&'a str),
}

impl<'a> From<Resource<'a>> for Target<'a> {
    fn from(resource: Resource<'a>) -> Self {
        Target::Resource(resource)
    }
}

/// A question to the authorizers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a> {
    pub(crate) user: &'a User,
    pub(crate) verb: &'a str,
    pub(crate) target: Target<'a>,
}

/// An authorizer's answer. Nobody ever denies outright; what nobody allows is forbidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Allowed, with the rule that says so.
    Allow(String),
    /// Not allowed here, with a reason if there is one to tell.
    NoOpinion(String),
}

/// Authorizes a request as described.
pub(crate) fn request(server: &Server, user: &User, info: &RequestInfo) -> Result<(), Status> {
    let target = if info.is_resource {
        Target::Resource(Resource {
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            field_selector: &info.field_selector,
        })
    } else {
        Target::Path(&info.path)
    };
    check(server, &Attributes { user, verb: &info.verb, target })
}

/// `Ok` where the question is answered with yes, else upstream's 403.
pub(crate) fn check(server: &Server, attributes: &Attributes<'_>) -> Result<(), Status> {
    match decide(server, attributes) {
        Decision::Allow(_) => Ok(()),
        Decision::NoOpinion(reason) => Err(forbidden(attributes, &reason)),
    }
}

/// Asks the authorizers in turn.
pub(crate) fn decide(server: &Server, attributes: &Attributes<'_>) -> Decision {
    if attributes.user.is_in(MASTERS) {
        return Decision::Allow(String::new());
    }
    let mut reasons = Vec::new();
    for authorizer in [node::authorize, rbac] {
        match authorizer(server, attributes) {
            Decision::Allow(why) => return Decision::Allow(why),
            Decision::NoOpinion(why) if why.is_empty() => {}
            Decision::NoOpinion(why) => reasons.push(why),
        }
    }
    Decision::NoOpinion(reasons.join("\n"))
}

fn rbac(server: &Server, attributes: &Attributes<'_>) -> Decision {
    server.rbac.read(|rules| rules.authorize(attributes))
}

/// Upstream's 403.
pub(crate) fn forbidden(attributes: &Attributes<'_>, reason: &str) -> Status {
    let user = quoted(&attributes.user.name);
    let verb = attributes.verb;
    let (message, resource, name) = match attributes.target {
        Target::Path(path) => {
            (format!("User {user} cannot {verb} path {}", quoted(path)), GroupResource::default(), "")
        }
        Target::Resource(target) => {
            let resource = match target.subresource {
                "" => quoted(target.resource),
                subresource => quoted(&format!("{}/{subresource}", target.resource)),
            };
            let group = quoted(target.group);
            let scope = match target.namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {}", quoted(namespace)),
            };
            let message =
                format!("User {user} cannot {verb} resource {resource} in API group {group} {scope}");
            (message, GroupResource::new(target.group, target.resource), target.name)
        }
    };
    let message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let message = if reason.is_empty() { message } else { format!("{message}: {reason}") };
    Status::forbidden(&resource, name, message)
}

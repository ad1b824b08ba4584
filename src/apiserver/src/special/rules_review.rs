//! SelfSubjectRulesReview: what may I do in a namespace. Only RBAC can list its rules, so a node's list is incomplete.

use http::Response;
use k8s_openapi::api::authorization::v1::{
    NonResourceRule, ResourceRule, SelfSubjectRulesReview, SelfSubjectRulesReviewSpec,
    SubjectRulesReviewStatus,
};
use machinery::Status;

use super::reviews::review;
use crate::body::Body;
use crate::call::Call;

/// Answers with every rule that the user has in the review's namespace.
pub(super) async fn create(call: Call, body: Body) -> Result<Response<Body>, Status> {
    review::<SelfSubjectRulesReview>(call, body, |call, review| {
        let namespace = review.spec.namespace.clone().unwrap_or_default();
        if namespace.is_empty() {
            return Err(Status::bad_request("no namespace on request"));
        }
        let (rules, mut errors) = call.server.rbac.read(|all| all.of_user(&call.user, &namespace));
        let is_node = call.user.node_name().is_some();
        if is_node {
            errors.push("node authorizer does not support user rule resolution".to_owned());
        }
        let mut status = SubjectRulesReviewStatus {
            incomplete: is_node,
            evaluation_error: (!errors.is_empty()).then(|| errors.join(", ")),
            ..SubjectRulesReviewStatus::default()
        };
        for rule in rules {
            if let Some(paths) = rule.non_resource_urls.filter(|paths| !paths.is_empty()) {
                status
                    .non_resource_rules
                    .push(NonResourceRule { non_resource_urls: Some(paths), verbs: rule.verbs.clone() });
            }
            if let Some(resources) = rule.resources.filter(|resources| !resources.is_empty()) {
                status.resource_rules.push(ResourceRule {
                    api_groups: rule.api_groups,
                    resource_names: rule.resource_names,
                    resources: Some(resources),
                    verbs: rule.verbs,
                });
            }
        }
        // Only the answer is answered, as upstream has it.
        review.spec = SelfSubjectRulesReviewSpec::default();
        review.status = Some(status);
        Ok(())
    })
    .await
}

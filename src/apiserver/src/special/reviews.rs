//! Reviews: questions to the authenticators and authorizers, answered in the review's status and never stored.

use std::collections::BTreeMap;

use api::Kind;
use http::{Response, StatusCode};
use k8s_openapi::api::authentication::v1::{
    SelfSubjectReview, SelfSubjectReviewStatus, TokenReview, TokenReviewStatus, UserInfo,
};
use k8s_openapi::api::authorization::v1::{
    LocalSubjectAccessReview, NonResourceAttributes, ResourceAttributes, SelfSubjectAccessReview,
    SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use machinery::gvk::GroupKind;
use machinery::{Status, meta};

use crate::body::{self, Body};
use crate::call::Call;
use crate::chain::authenticate;
use crate::chain::authorize::{Attributes, Decision, Resource, Target, decide};
use crate::negotiate;
use crate::user::User;
use crate::verbs::options::WriteOptions;
use crate::write::document;

/// Decodes a review, lets `judge` fill in its status, answers with it.
pub(super) async fn review<T: Kind>(
    call: Call,
    body: Body,
    judge: impl FnOnce(&Call, &mut T) -> Result<(), Status>,
) -> Result<Response<Body>, Status> {
    let accept = negotiate::plain(&call)?;
    let options = WriteOptions::read(&call.query, "CreateOptions")?;
    let kind = call.server.registry.of::<T>().clone();
    let body = document::to_json(&call, &kind.gvk, body::read(body).await?)?;
    let mut object = kind.decode(&document::read(&call, &kind, options.field_validation, &body)?)?;
    kind.set_defaults(&mut object);
    document::check_namespace(object.meta_mut(), &call.info.namespace)?;
    let review = object.downcast_mut::<T>().expect("decoded as the review");
    let errors = review.validate();
    // Upstream has lost the kind by then.
    Status::check(&GroupKind::new(&*kind.gvk.group, ""), "", &errors)?;
    judge(&call, review)?;
    Ok(negotiate::document(&call, &accept, StatusCode::CREATED, kind.encode_whole(&object).into()))
}

/// Who am I.
pub(super) async fn self_subject(call: Call, body: Body) -> Result<Response<Body>, Status> {
    review::<SelfSubjectReview>(call, body, |call, review| {
        review.metadata.creation_timestamp = Some(meta::whole_seconds(call.now));
        review.status = Some(SelfSubjectReviewStatus { user_info: Some(info(&call.user)) });
        Ok(())
    })
    .await
}

/// Whose token is this.
pub(super) async fn token(call: Call, body: Body) -> Result<Response<Body>, Status> {
    review::<TokenReview>(call, body, |call, review| {
        let token = review.spec.token.clone();
        if token.is_empty() {
            return Err(Status::bad_request("token is required for TokenReview in authentication"));
        }
        let asked = review.spec.audiences.clone().filter(|audiences| !audiences.is_empty());
        let audiences = asked.unwrap_or_else(|| call.server.tokens.api_audiences().to_vec());
        review.status = Some(match authenticate::token(&call.server, &token, &audiences) {
            Ok(verified) => TokenReviewStatus {
                authenticated: Some(true),
                user: Some(info(&verified.user)),
                audiences: Some(verified.audiences),
                error: None,
            },
            Err(error) => TokenReviewStatus { error: Some(in_chorus(error)), ..TokenReviewStatus::default() },
        });
        Ok(())
    })
    .await
}

/// What upstream's authenticators say together: the last of them says nothing of the reason.
fn in_chorus(error: String) -> String {
    const LAST: &str = "invalid bearer token";
    if error == authenticate::INVALID { LAST.to_owned() } else { format!("[{LAST}, {error}]") }
}

/// May somebody.
pub(super) async fn subject_access(call: Call, body: Body) -> Result<Response<Body>, Status> {
    review::<SubjectAccessReview>(call, body, |call, review| {
        review.status = Some(answer(call, &subject(&review.spec), &review.spec));
        Ok(())
    })
    .await
}

/// May somebody in this namespace.
pub(super) async fn local_subject_access(call: Call, body: Body) -> Result<Response<Body>, Status> {
    review::<LocalSubjectAccessReview>(call, body, |call, review| {
        review.status = Some(answer(call, &subject(&review.spec), &review.spec));
        Ok(())
    })
    .await
}

/// May I.
pub(super) async fn self_subject_access(call: Call, body: Body) -> Result<Response<Body>, Status> {
    review::<SelfSubjectAccessReview>(call, body, |call, review| {
        let spec = SubjectAccessReviewSpec {
            resource_attributes: review.spec.resource_attributes.clone(),
            non_resource_attributes: review.spec.non_resource_attributes.clone(),
            ..SubjectAccessReviewSpec::default()
        };
        review.status = Some(answer(call, &call.user, &spec));
        Ok(())
    })
    .await
}

fn subject(spec: &SubjectAccessReviewSpec) -> User {
    User {
        name: spec.user.clone().unwrap_or_default(),
        uid: spec.uid.clone().unwrap_or_default(),
        groups: spec.groups.clone().unwrap_or_default(),
        extra: spec.extra.clone().unwrap_or_default(),
    }
}

fn answer(call: &Call, user: &User, spec: &SubjectAccessReviewSpec) -> SubjectAccessReviewStatus {
    let decision = match (&spec.resource_attributes, &spec.non_resource_attributes) {
        (Some(on), _) => on_resource(call, user, on),
        (None, Some(on)) => on_path(call, user, on),
        (None, None) => Decision::NoOpinion(String::new()),
    };
    let (allowed, reason) = match decision {
        Decision::Allow(reason) => (true, reason),
        Decision::NoOpinion(reason) => (false, reason),
    };
    SubjectAccessReviewStatus {
        allowed,
        reason: (!reason.is_empty()).then_some(reason),
        ..SubjectAccessReviewStatus::default()
    }
}

fn on_resource(call: &Call, user: &User, on: &ResourceAttributes) -> Decision {
    fn text(field: &Option<String>) -> &str {
        field.as_deref().unwrap_or_default()
    }
    let selector = on.field_selector.as_ref().and_then(|selector| selector.raw_selector.as_deref());
    let target = Resource {
        group: text(&on.group),
        resource: text(&on.resource),
        subresource: text(&on.subresource),
        namespace: text(&on.namespace),
        name: text(&on.name),
        field_selector: selector.unwrap_or_default(),
    };
    decide(&call.server, &Attributes { user, verb: text(&on.verb), target: target.into() })
}

fn on_path(call: &Call, user: &User, on: &NonResourceAttributes) -> Decision {
    let target = Target::Path(on.path.as_deref().unwrap_or_default());
    decide(&call.server, &Attributes { user, verb: on.verb.as_deref().unwrap_or_default(), target })
}

fn info(user: &User) -> UserInfo {
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    UserInfo {
        username: some(&user.name),
        uid: some(&user.uid),
        groups: (!user.groups.is_empty()).then(|| user.groups.clone()),
        extra: (!user.extra.is_empty()).then(|| BTreeMap::clone(&user.extra)),
    }
}

//! Approves requests for kubelets' client certificates, where whoever asks may have one (upstream
//! `pkg/controller/certificates/approver`): the question goes to the API server as a SubjectAccessReview.

use client::{Change, Key, Queue, Requeue};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    certificates::v1::CertificateSigningRequest,
};
use kube::{Api, api::PostParams};
use objects::certificate_request as request;

use super::{ACCOUNT, approve, is_open, usages};
use crate::{Context, Error, feed::feed};

/// A permission by which a request is approved, and what the approval says.
#[derive(Debug, PartialEq, Eq)]
struct Recognizer {
    subresource: &'static str,
    message: &'static str,
}

const SELF: Recognizer = Recognizer {
    subresource: "selfnodeclient",
    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
};
const NODE: Recognizer = Recognizer {
    subresource: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
};

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let requests = cx.informers.of::<CertificateSigningRequest>();
    let client = cx.client(ACCOUNT);
    requests.synced().await;

    let queue = Queue::<String>::named("certificate_approval");
    feed(&requests, &queue, |change| match change {
        Change::Applied { new, .. } if is_open(new) => new.metadata.name.clone(),
        _ => None,
    });

    let sync = |name: String| {
        let request = requests.get_key(&Key::new("", name)).filter(|csr| is_open(csr));
        let client = client.clone();
        async move {
            let Some(csr) = request else { return Ok(Requeue::No) };
            for recognizer in plan(&csr)? {
                if is_allowed(&client, &csr, recognizer.subresource).await? {
                    approve(&client, (*csr).clone(), recognizer.message).await?;
                    return Ok(Requeue::No);
                }
            }
            Ok::<_, Error>(Requeue::No)
        }
    };
    client::work(queue, 1, sync, cx.cancel.clone()).await;
    Ok(())
}

/// The permissions of which any one approves the request.
fn plan(csr: &CertificateSigningRequest) -> Result<Vec<Recognizer>, Error> {
    if csr.spec.signer_name != request::KUBELET_CLIENT {
        return Ok(vec![]);
    }
    let requested = request::parse(&csr.spec.request.0).map_err(Error::Unusable)?;
    if requested.check_kubelet_client(usages(csr)).is_err() {
        return Ok(vec![]);
    }
    let is_own = csr.spec.username.as_deref() == Some(requested.common_name.as_str());
    Ok(if is_own { vec![SELF, NODE] } else { vec![NODE] })
}

async fn is_allowed(
    client: &kube::Client,
    csr: &CertificateSigningRequest,
    subresource: &str,
) -> Result<bool, Error> {
    let attributes = ResourceAttributes {
        group: Some("certificates.k8s.io".into()),
        resource: Some("certificatesigningrequests".into()),
        subresource: Some(subresource.into()),
        verb: Some("create".into()),
        version: Some("*".into()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: csr.spec.username.clone(),
        uid: csr.spec.uid.clone(),
        groups: csr.spec.groups.clone(),
        extra: csr.spec.extra.clone(),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let reviews = Api::<SubjectAccessReview>::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use super::{super::testing::of_node, *};

    #[test]
    fn a_node_may_ask_for_itself_and_a_bootstrapper_for_a_node() {
        let mut csr = of_node("a", request::KUBELET_CLIENT, "client auth", &[]);
        assert_eq!(plan(&csr).unwrap(), [SELF, NODE]);
        csr.spec.username = Some("system:bootstrap:abc123".into());
        assert_eq!(plan(&csr).unwrap(), [NODE]);
    }

    #[test]
    fn what_is_no_kubelets_client_request_is_left_to_others() {
        let check = |csr: CertificateSigningRequest| assert_eq!(plan(&csr).unwrap(), []);
        check(of_node("a", request::CLIENT, "client auth", &[]));
        check(of_node("a", request::KUBELET_CLIENT, "server auth", &[]));
        check(of_node("a", request::KUBELET_CLIENT, "client auth", &["kubernetes"]));
    }
}

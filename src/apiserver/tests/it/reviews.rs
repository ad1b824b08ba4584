//! Reviews answer questions.

use serde_json::json;

use crate::cluster::Cluster;

#[tokio::test]
async fn access_reviews_ask_the_authorizers() {
    let cluster = Cluster::start().await;
    let (admin, alice) = (cluster.admin(), cluster.user("alice", &[]));
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}});
    assert_eq!(admin.post(path, review.clone()).await.expect(201).at("/status/allowed"), true);
    assert_eq!(alice.post(path, review).await.expect(201).at("/status/allowed"), false);
    let review = json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"user": "x", "groups": ["system:masters"], "nonResourceAttributes": {"verb": "get", "path": "/x"}}});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    assert_eq!(admin.post(path, review.clone()).await.expect(201).at("/status/allowed"), true);
    alice.post(path, review).await.expect(403);
}

#[tokio::test]
async fn one_can_ask_who_one_is_and_what_one_may() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice", &["g"]);
    let review = json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"});
    let answer = alice.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", review).await.expect(201);
    assert_eq!(answer.at("/status/userInfo/username"), "alice");
    assert_eq!(answer.at("/status/userInfo/groups"), json!(["g", "system:authenticated"]));
    let review = json!({"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"namespace": "default"}});
    let answer =
        alice.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review).await.expect(201);
    assert!(!answer.at("/status/resourceRules").as_array().unwrap().is_empty(), "{}", answer.text);
    assert_eq!(answer.at("/status/incomplete"), false);
}

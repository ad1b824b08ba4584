//! Service account tokens, from the request to the user.

use apiserver::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use http_body_util::{BodyExt, Empty};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::cluster::{Answer, Client, Cluster, ISSUER};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

async fn account(admin: &Client) {
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "robot"}});
    admin.post(ACCOUNTS, account).await.expect(201);
}

async fn request(admin: &Client, spec: Value) -> Answer {
    let body = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": spec});
    admin.post(&format!("{ACCOUNTS}/robot/token"), body).await
}

/// Whom the server takes a token for; `None` where it does not hold.
async fn review(admin: &Client, token: &Value) -> Option<String> {
    let body =
        json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": token}});
    let answer = admin.post("/apis/authentication.k8s.io/v1/tokenreviews", body).await.expect(201);
    let user = answer.at("/status/user/username").as_str().map(str::to_owned);
    assert_eq!(user.is_some(), answer.at("/status/authenticated") == json!(true), "{}", answer.text);
    user
}

#[tokio::test]
async fn a_token_stands_for_its_service_account_while_that_exists() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    account(&admin).await;
    let answer = request(&admin, json!({})).await.expect(201);
    let token = answer.at("/status/token");
    assert_eq!(answer.at("/spec/expirationSeconds"), 3600);
    assert_eq!(review(&admin, &token).await.as_deref(), Some("system:serviceaccount:default:robot"));
    assert_eq!(review(&admin, &json!("nonsense")).await, None);
    let other = request(&admin, json!({"audiences": ["other"]})).await.expect(201).at("/status/token");
    assert_eq!(review(&admin, &other).await, None, "it is for somebody else");
    admin.delete(&format!("{ACCOUNTS}/robot")).await.expect(200);
    assert_eq!(review(&admin, &token).await, None);
    account(&admin).await;
    assert_eq!(review(&admin, &token).await, None, "another account of the same name");
}

#[tokio::test]
async fn a_bound_token_dies_with_its_pod() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    account(&admin).await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"},
        "spec": {"serviceAccountName": "robot", "containers": [{"name": "c", "image": "i"}]}});
    let uid = admin.post(pods, pod).await.expect(201).at("/metadata/uid");
    let bound =
        |uid: &Value| json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid}});
    request(&admin, bound(&json!("x"))).await.expect(409);
    let token = request(&admin, bound(&uid)).await.expect(201).at("/status/token");
    assert!(review(&admin, &token).await.is_some());
    admin.delete(&format!("{pods}/p?gracePeriodSeconds=0")).await.expect(200);
    assert_eq!(review(&admin, &token).await, None);
}

#[tokio::test]
async fn short_lives_are_refused() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    account(&admin).await;
    let refused = request(&admin, json!({"expirationSeconds": 5})).await.expect(422);
    assert!(
        refused.message().contains("may not specify a duration less than 10 minutes"),
        "{}",
        refused.message()
    );
    let body: Request<Empty<bytes::Bytes>> = Request::new(Empty::new());
    let response: http::Response<Body> =
        cluster.server.in_process(apiserver::User::new("x", &[])).oneshot(body).await.unwrap();
    assert_eq!(response.status(), 403);
    response.into_body().collect().await.unwrap();
}

#[tokio::test]
async fn a_token_with_any_part_wrong_stands_for_nobody() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    account(&admin).await;
    let uid = admin.get(&format!("{ACCOUNTS}/robot")).await.at("/metadata/uid");
    let now = Timestamp::now().as_second();
    let good = json!({"iss": ISSUER, "aud": [ISSUER], "sub": "system:serviceaccount:default:robot", "iat": now,
        "nbf": now, "exp": now + 600, "jti": "j",
        "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "robot", "uid": uid}}});
    let key = EncodingKey::from_ec_pem(cluster.signing_key.as_bytes()).unwrap();
    let signed = |claims: &Value| jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &key).unwrap();
    let holds = async |token: String| review(&admin, &json!(token)).await.is_some();
    assert!(holds(signed(&good)).await);
    for (pointer, value) in [
        ("/iss", json!("https://elsewhere")),
        ("/iss", json!([ISSUER])),
        ("/aud", json!([])),
        ("/aud", json!("elsewhere")),
        ("/aud", json!({ISSUER: 1})),
        ("/sub", json!("system:serviceaccount:kube-system:robot")),
        ("/exp", json!(now - 120)),
        ("/exp", json!(null)),
        ("/exp", json!("soon")),
        ("/exp", json!(-1)),
        ("/nbf", json!(now + 600)),
        ("/kubernetes.io/namespace", json!("kube-system")),
        ("/kubernetes.io/serviceaccount/name", json!("other")),
        ("/kubernetes.io/serviceaccount/uid", json!("other")),
        ("/kubernetes.io/serviceaccount/uid", json!("")),
        ("/kubernetes.io/serviceaccount", json!({})),
    ] {
        let mut claims = good.clone();
        *claims.pointer_mut(pointer).unwrap() = value.clone();
        assert!(!holds(signed(&claims)).await, "{pointer} {value}");
    }

    // The same claims under other signatures.
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let token = signed(&good);
    let (body, signature) = token.rsplit_once('.').unwrap();
    let claims = body.split_once('.').unwrap().1;
    let public = admin.get("/openid/v1/jwks").await.expect(200).text;
    let jwk: Value = serde_json::from_str(&public).unwrap();
    let x = jwk["keys"][0]["x"].as_str().unwrap().to_owned();
    for secret in [public.clone(), x, cluster.signing_key.clone()] {
        let key = EncodingKey::from_secret(secret.as_bytes());
        let forged = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &good, &key).unwrap();
        assert!(!holds(forged).await, "a public key is no secret");
    }
    for alg in ["none", "None", "", "ES384", "HS256"] {
        let header = encode(&format!("{{\"alg\":\"{alg}\"}}"));
        for signature in ["", signature] {
            assert!(!holds(format!("{header}.{claims}.{signature}")).await, "{alg}");
        }
    }
    let other = Cluster::start().await;
    let key = EncodingKey::from_ec_pem(other.signing_key.as_bytes()).unwrap();
    let header =
        Header { jwk: serde_json::from_value(jwk["keys"][0].clone()).ok(), ..Header::new(Algorithm::ES256) };
    assert!(!holds(jsonwebtoken::encode(&header, &good, &key).unwrap()).await, "a key of one's own");
    for odd in [".", "..", "...", "a.b.c", &format!("{token}."), &format!("{token}A"), body] {
        assert!(!holds(odd.to_owned()).await, "{odd}");
    }
}

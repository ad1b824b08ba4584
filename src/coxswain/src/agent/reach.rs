//! The first look at a server, which trusts nobody and is told nothing: does somebody answer, what time is it there, which
//! authority does it claim (`kube-public/cluster-info`, that everybody may read).

use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::DATE;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;
use kube::config::Kubeconfig;
use tracing::warn;

use super::connection::{BoxError, Connection, Endpoint};
use super::{authority, clock};

const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
const LARGEST: usize = 1 << 20;
/// Between attempts: doubled each time.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Waits until one of a cluster's servers answers, saying so, and compares the clocks. Answers the authority that it claims,
/// PEM.
///
/// # Errors
/// The clocks differ too much, or whoever answers is no such server.
pub(super) async fn wait_for(servers: &[Endpoint]) -> anyhow::Result<String> {
    let server = &servers[0];
    let connection = Connection::new(servers.to_vec(), authority::trusting_tls());
    let mut wait = SHORTEST_WAIT;
    loop {
        match look(&connection).await {
            Ok(Answer { code: StatusCode::OK, time, body }) => {
                if let Some(time) = time {
                    clock::check(Timestamp::now(), time)?;
                }
                return claimed(&body)
                    .with_context(|| format!("{server} does not say which cluster it is of"));
            }
            Ok(Answer { code, .. }) if may_come(code) => warn!(
                "{server} is not ready ({code}): waiting; `coxswain server` publishes kube-public/cluster-info when it starts"
            ),
            Ok(Answer { code, .. }) => {
                bail!("{server} is no server of Coxswain: it answered {code} when asked for {CLUSTER_INFO}")
            }
            Err(error) => {
                warn!("{error}: waiting for it; is `coxswain server` running there, and the address right?");
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

struct Answer {
    code: StatusCode,
    time: Option<Timestamp>,
    body: Vec<u8>,
}

/// What a server answers while it starts.
fn may_come(code: StatusCode) -> bool {
    matches!(code, StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        || code.is_server_error()
}

async fn look(connection: &Connection) -> Result<Answer, BoxError> {
    let response = connection.send(Request::get(CLUSTER_INFO).body(Body::empty())?).await?;
    let (code, time) = (response.status(), time(response.headers()));
    let body = Limited::new(response.into_body(), LARGEST).collect().await?.to_bytes();
    Ok(Answer { code, time, body: body.to_vec() })
}

/// The `Date` header.
fn time(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    DateTimeParser::new().parse_timestamp(text).ok()
}

fn claimed(body: &[u8]) -> anyhow::Result<String> {
    let map: ConfigMap = serde_json::from_slice(body)?;
    let text = map.data.unwrap_or_default().remove("kubeconfig").context("cluster-info has no kubeconfig")?;
    let cluster = Kubeconfig::from_yaml(&text)?.clusters.into_iter().next().and_then(|named| named.cluster);
    let data = cluster.and_then(|cluster| cluster.certificate_authority_data);
    let data = data.context("cluster-info names no authority")?;
    Ok(String::from_utf8(BASE64.decode(data)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_time_is_read_from_its_answer() {
        let mut headers = HeaderMap::new();
        assert_eq!(time(&headers), None);
        headers.insert(DATE, "Sat, 21 Nov 2026 12:58:50 GMT".parse().unwrap());
        assert_eq!(time(&headers).unwrap().to_string(), "2026-11-21T12:58:50Z");
    }
}

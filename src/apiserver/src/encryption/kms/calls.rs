//! The three calls of a KMS v2 plugin (`k8s.io/kms/apis/v2`) over its unix socket, each with a time limit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::envelope::Envelope;
use crate::encryption::metrics;

/// A plugin's socket. The connection is made when it is needed, and made anew when it broke.
pub(super) struct Calls {
    /// Of the plugin, for metrics.
    name: String,
    channel: Channel,
    timeout: Duration,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

/// How the plugin is.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StatusResponse {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(string, tag = "2")]
    healthz: String,
    /// Which key it encrypts with now.
    #[prost(string, tag = "3")]
    pub(super) key_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DecryptRequest {
    #[prost(bytes = "vec", tag = "1")]
    ciphertext: Vec<u8>,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    key_id: String,
    #[prost(btree_map = "string, bytes", tag = "4")]
    annotations: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DecryptResponse {
    #[prost(bytes = "vec", tag = "1")]
    plaintext: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EncryptRequest {
    #[prost(bytes = "vec", tag = "1")]
    plaintext: Vec<u8>,
    #[prost(string, tag = "2")]
    uid: String,
}

/// A seed as the plugin encrypted it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EncryptResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) ciphertext: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) key_id: String,
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub(super) annotations: BTreeMap<String, Vec<u8>>,
}

/// Why a call gave nothing; in gRPC's words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct CallError {
    text: String,
    /// The plugin was not reached or did not answer in time: another call now would fare no better.
    pub(super) is_silence: bool,
}

impl CallError {
    fn of(status: &Status) -> Self {
        let (code, text) = (status.code(), status.message());
        let is_silence = matches!(code, Code::Unavailable | Code::DeadlineExceeded);
        Self { text: format!("rpc error: code = {} desc = {text}", name(code)), is_silence }
    }
}

/// The longest id of a key, in bytes.
const MAX_KEY_ID: usize = 1024;

impl StatusResponse {
    /// Whether the plugin can be used.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.healthz != "ok" {
            return Err(format!("got unexpected healthz status: {}", self.healthz));
        }
        if !["v2", "v2beta1"].contains(&self.version.as_str()) {
            return Err(format!("expected KMSv2 API version v2, got {}", self.version));
        }
        check_key_id(&self.key_id)
    }
}

/// Whether something can be the id of a key.
pub(super) fn check_key_id(id: &str) -> Result<(), String> {
    match id.len() {
        0 => Err("keyID is empty".to_owned()),
        size if size > MAX_KEY_ID => {
            Err(format!("keyID is {size} bytes, which exceeds the max size of 1024"))
        }
        _ => Ok(()),
    }
}

impl Calls {
    /// `endpoint` is `unix:///path`, or `unix:@name` for an abstract socket.
    pub(super) fn new(name: &str, endpoint: &str, timeout: Duration) -> Result<Self, String> {
        let path = endpoint.strip_prefix("unix:").ok_or("only unix sockets are supported")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        // The abstract name space is the kernel's; its names begin with NUL.
        let path = PathBuf::from(
            path.strip_prefix("/@")
                .or(path.strip_prefix('@'))
                .map_or_else(|| path.to_owned(), |name| format!("\0{name}")),
        );
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
        });
        // The address is required by the type and ignored by the connector.
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector);
        Ok(Self { name: name.to_owned(), channel, timeout })
    }

    pub(super) async fn status(&self) -> Result<StatusResponse, CallError> {
        self.call("Status", StatusRequest {}).await
    }

    pub(super) async fn encrypt(&self, plaintext: &[u8]) -> Result<EncryptResponse, CallError> {
        self.call("Encrypt", EncryptRequest { plaintext: plaintext.to_vec(), uid: uid() }).await
    }

    pub(super) async fn decrypt(&self, envelope: &Envelope) -> Result<Vec<u8>, CallError> {
        let request = DecryptRequest {
            ciphertext: envelope.encrypted_source.clone(),
            uid: uid(),
            key_id: envelope.key_id.clone(),
            annotations: envelope.annotations.clone(),
        };
        let response: DecryptResponse = self.call("Decrypt", request).await?;
        Ok(response.plaintext)
    }

    async fn call<Q, A>(&self, method: &'static str, request: Q) -> Result<A, CallError>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let path = format!("/v2.KeyManagementService/{method}");
        let path = PathAndQuery::try_from(path).expect("a name of ours is a path");
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        let call = async {
            client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            client.unary(Request::new(request), path, ProstCodec::<Q, A>::default()).await
        };
        let began = Instant::now();
        let answer = tokio::time::timeout(self.timeout, call).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("context deadline exceeded")));
        let code = answer.as_ref().err().map_or("OK".to_owned(), |status| name(status.code()));
        metrics::called(&self.name, &format!("/v2.KeyManagementService/{method}"), &code, began.elapsed());
        answer.map(tonic::Response::into_inner).map_err(|status| CallError::of(&status))
    }
}

/// A code as Go's gRPC names it, which stands in errors and metrics.
fn name(code: Code) -> String {
    match code {
        Code::Ok => "OK".to_owned(),
        Code::Cancelled => "Canceled".to_owned(),
        // The others have the same names here.
        code => format!("{code:?}"),
    }
}

/// What a call is found by in the plugin's log.
fn uid() -> String {
    let random: [u8; 16] = rand::random();
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_of_upstreams_language() {
        let named = [Code::Ok, Code::Cancelled, Code::DeadlineExceeded].map(name);
        assert_eq!(named, ["OK", "Canceled", "DeadlineExceeded"]);
        let error = CallError::of(&Status::cancelled("gone"));
        assert_eq!(error.to_string(), "rpc error: code = Canceled desc = gone");
    }
}

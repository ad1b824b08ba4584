//! A KMS v2 plugin for tests: `kms_plugin SOCKET KEY-FILE`. Its key's id is what the file says at the moment, and its key is
//! made of that; it decrypts for earlier ids, too, unless a file of the same name with the ending `gone` exists. A real
//! plugin asks a key service instead.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit};
use sha2::{Digest, Sha256};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(string, tag = "2")]
    healthz: String,
    #[prost(string, tag = "3")]
    key_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DecryptRequest {
    #[prost(bytes = "vec", tag = "1")]
    ciphertext: Vec<u8>,
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
}

#[derive(Clone, PartialEq, prost::Message)]
struct EncryptResponse {
    #[prost(bytes = "vec", tag = "1")]
    ciphertext: Vec<u8>,
    #[prost(string, tag = "2")]
    key_id: String,
    #[prost(btree_map = "string, bytes", tag = "3")]
    annotations: BTreeMap<String, Vec<u8>>,
}

/// What an annotation of every seed is called, and says.
const ANNOTATION: (&str, &[u8]) = ("algorithm.kms.coxswain.test", b"aes-256-gcm");

struct Plugin {
    key_file: PathBuf,
}

impl Plugin {
    fn key_id(&self) -> Result<String, Status> {
        let id =
            std::fs::read_to_string(&self.key_file).map_err(|error| Status::internal(error.to_string()))?;
        Ok(id.trim().to_owned())
    }

    fn status(&self) -> Result<StatusResponse, Status> {
        let key_id = self.key_id()?;
        Ok(StatusResponse { version: "v2".to_owned(), healthz: "ok".to_owned(), key_id })
    }

    fn encrypt(&self, request: EncryptRequest) -> Result<EncryptResponse, Status> {
        let (key_id, nonce) = (self.key_id()?, rand::random::<[u8; 12]>());
        let sealed = cipher(&key_id).encrypt(&nonce.into(), &*request.plaintext);
        let sealed = sealed.map_err(|_| Status::internal("it cannot be encrypted"))?;
        let annotations = BTreeMap::from([(ANNOTATION.0.to_owned(), ANNOTATION.1.to_vec())]);
        Ok(EncryptResponse { ciphertext: [&nonce[..], &sealed].concat(), key_id, annotations })
    }

    fn decrypt(&self, request: DecryptRequest) -> Result<DecryptResponse, Status> {
        let gone = self.key_file.with_extension("gone").exists() && request.key_id != self.key_id()?;
        if gone || request.annotations.get(ANNOTATION.0).map(Vec::as_slice) != Some(ANNOTATION.1) {
            return Err(Status::not_found(format!("the key {} is not here", request.key_id)));
        }
        let (nonce, sealed) = request
            .ciphertext
            .split_first_chunk::<12>()
            .ok_or_else(|| Status::invalid_argument("it is too short"))?;
        let plaintext = cipher(&request.key_id).decrypt(nonce.into(), sealed);
        let plaintext = plaintext.map_err(|_| Status::invalid_argument("it is of another key"))?;
        Ok(DecryptResponse { plaintext })
    }
}

fn cipher(key_id: &str) -> Aes256Gcm {
    Aes256Gcm::new(&Sha256::digest(key_id))
}

/// The plugin as a gRPC service.
#[derive(Clone)]
struct Service(Arc<Plugin>);

impl NamedService for Service {
    const NAME: &'static str = "v2.KeyManagementService";
}

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let plugin = self.0.clone();
        Box::pin(async move {
            Ok(match request.uri().path().rsplit('/').next() {
                Some("Status") => answer(request, move |_: StatusRequest| plugin.status()).await,
                Some("Encrypt") => answer(request, move |call: EncryptRequest| plugin.encrypt(call)).await,
                Some("Decrypt") => answer(request, move |call: DecryptRequest| plugin.decrypt(call)).await,
                _ => Status::unimplemented("no such call").into_http(),
            })
        })
    }
}

async fn answer<Q, A>(
    request: http::Request<Body>,
    call: impl Fn(Q) -> Result<A, Status> + Send + 'static,
) -> http::Response<Body>
where
    Q: prost::Message + Default + Send + 'static,
    A: prost::Message + Send + 'static,
{
    let call = tower::service_fn(move |request: Request<Q>| {
        let answer = call(request.into_inner());
        async move { answer.map(Response::new) }
    });
    tonic::server::Grpc::new(ProstCodec::<A, Q>::default()).unary(call, request).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(socket), Some(key_file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: kms_plugin SOCKET KEY-FILE".into());
    };
    let incoming = UnixListenerStream::new(UnixListener::bind(socket)?);
    let service = Service(Arc::new(Plugin { key_file }));
    tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await?;
    Ok(())
}

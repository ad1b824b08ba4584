//! A runtime behind a unix socket (containerd, CRI-O, or our own in another process). Adds no retries: the kubelet has its own.

use std::path::{Path, PathBuf};

use futures::StreamExt;
use hyper_util::rt::TokioIo;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::calls::for_each_call;
use crate::{Error, Events, Runtime, Status, v1};

/// gRPC's usual 4 MiB is too little for a node with many containers; this is what the kubelet allows.
const MESSAGE_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// The client of one CRI socket. Clones share the connection, which is made anew when it broke.
#[derive(Clone, Debug)]
pub struct Socket {
    runtime: RuntimeServiceClient<Channel>,
    image: ImageServiceClient<Channel>,
}

impl Socket {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`Error::Transport`] when nobody answers there.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path: PathBuf = path.as_ref().to_owned();
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
        });
        // The address is required by the type and ignored by the connector.
        let channel = Endpoint::from_static("http://localhost").connect_with_connector(connector).await?;
        Ok(Self {
            runtime: RuntimeServiceClient::new(channel.clone())
                .max_decoding_message_size(MESSAGE_LIMIT_BYTES),
            image: ImageServiceClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT_BYTES),
        })
    }
}

macro_rules! forward {
    ($($service:ident $method:ident $request:ident $response:ident $doc:literal;)*) => {
        #[async_trait::async_trait]
        impl Runtime for Socket {
            $(
                async fn $method(&self, request: v1::$request) -> Result<v1::$response, Status> {
                    Ok(self.$service.clone().$method(request).await?.into_inner())
                }
            )*

            async fn get_container_events(&self, request: v1::GetEventsRequest) -> Result<Events, Status> {
                Ok(self.runtime.clone().get_container_events(request).await?.into_inner().boxed())
            }
        }
    };
}

for_each_call!(forward);

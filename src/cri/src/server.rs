//! Serves a [`Runtime`] as CRI on a unix socket, so that `crictl` and a kubelet in another process can use it.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use k8s_cri::v1::image_service_server::{ImageService, ImageServiceServer};
use k8s_cri::v1::runtime_service_server::{RuntimeService, RuntimeServiceServer};
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response};

use crate::calls::for_each_call;
use crate::{Error, Events, Runtime, Status, v1};

/// Serves `runtime` on a socket at `path` (mode 0600) until `cancel`, then lets open calls end and removes the socket.
///
/// # Errors
/// [`Error::Socket`] when the path cannot be bound, or a living process serves it already.
pub async fn serve(
    runtime: Arc<dyn Runtime>,
    path: impl AsRef<Path>,
    cancel: CancellationToken,
) -> Result<(), Error> {
    let path = path.as_ref();
    let at_path = |source| Error::Socket { path: path.to_owned(), source };
    let listener = bind(path).await.map_err(at_path)?;
    Server::builder()
        .add_service(RuntimeServiceServer::new(Adapter(Arc::clone(&runtime))))
        .add_service(ImageServiceServer::new(Adapter(runtime)))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), cancel.cancelled_owned())
        .await?;
    std::fs::remove_file(path).map_err(at_path)
}

/// Binds the socket; a file left behind by a process that is gone is replaced.
async fn bind(path: &Path) -> std::io::Result<UnixListener> {
    match UnixStream::connect(path).await {
        Ok(_) => return Err(ErrorKind::AddrInUse.into()),
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Makes the generated service traits out of [`Runtime`].
struct Adapter(Arc<dyn Runtime>);

/// Splits the table of calls by service.
macro_rules! implement {
    (@split [$($r:tt)*] [$($i:tt)*] runtime $m:ident $q:ident $a:ident $d:literal; $($rest:tt)*) => {
        implement!(@split [$($r)* $m $q $a] [$($i)*] $($rest)*);
    };
    (@split [$($r:tt)*] [$($i:tt)*] image $m:ident $q:ident $a:ident $d:literal; $($rest:tt)*) => {
        implement!(@split [$($r)*] [$($i)* $m $q $a] $($rest)*);
    };
    (@split [$($rm:ident $rq:ident $ra:ident)*] [$($im:ident $iq:ident $ia:ident)*]) => {
        #[tonic::async_trait]
        impl RuntimeService for Adapter {
            $(
                async fn $rm(&self, request: Request<v1::$rq>) -> Result<Response<v1::$ra>, Status> {
                    Ok(Response::new(self.0.$rm(request.into_inner()).await?))
                }
            )*

            type GetContainerEventsStream = Events;

            async fn get_container_events(
                &self,
                request: Request<v1::GetEventsRequest>,
            ) -> Result<Response<Events>, Status> {
                Ok(Response::new(self.0.get_container_events(request.into_inner()).await?))
            }

            async fn checkpoint_container(
                &self,
                _: Request<v1::CheckpointContainerRequest>,
            ) -> Result<Response<v1::CheckpointContainerResponse>, Status> {
                Err(Status::unimplemented("CheckpointContainer is not supported"))
            }

            async fn list_metric_descriptors(
                &self,
                _: Request<v1::ListMetricDescriptorsRequest>,
            ) -> Result<Response<v1::ListMetricDescriptorsResponse>, Status> {
                Err(Status::unimplemented("ListMetricDescriptors is not supported"))
            }

            async fn list_pod_sandbox_metrics(
                &self,
                _: Request<v1::ListPodSandboxMetricsRequest>,
            ) -> Result<Response<v1::ListPodSandboxMetricsResponse>, Status> {
                Err(Status::unimplemented("ListPodSandboxMetrics is not supported"))
            }
        }

        #[tonic::async_trait]
        impl ImageService for Adapter {
            $(
                async fn $im(&self, request: Request<v1::$iq>) -> Result<Response<v1::$ia>, Status> {
                    Ok(Response::new(self.0.$im(request.into_inner()).await?))
                }
            )*
        }
    };
    ($($table:tt)*) => { implement!(@split [] [] $($table)*); };
}

for_each_call!(implement);

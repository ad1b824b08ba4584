//! The trait that every container runtime fulfils, in the process or behind a socket.

use futures::stream::BoxStream;

use crate::calls::for_each_call;
use crate::{Status, v1};

/// A stream of container events; it ends when the runtime goes away.
pub type Events = BoxStream<'static, Result<v1::ContainerEventResponse, Status>>;

macro_rules! define {
    ($($service:ident $method:ident $request:ident $response:ident $doc:literal;)*) => {
        /// CRI v1 as the kubelet uses it. Semantics of each call: `k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`.
        ///
        /// Errors are gRPC statuses, as they are on the wire; what is not there is `NotFound`.
        #[async_trait::async_trait]
        pub trait Runtime: Send + Sync + 'static {
            $(
                #[doc = $doc]
                async fn $method(&self, request: v1::$request) -> Result<v1::$response, Status>;
            )*

            /// Events of all containers from now on.
            async fn get_container_events(&self, request: v1::GetEventsRequest) -> Result<Events, Status>;
        }
    };
}

for_each_call!(define);

//! The runtime behind its socket, as `crictl` and a kubelet in another process use it.

use std::sync::Arc;

use cri::{Code, Runtime, Socket, v1};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::machine::{Machine, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn calls_errors_and_events_pass_through_a_socket() {
    let machine = Machine::new().await;
    let path = machine.root.join("cri.sock");
    let cancel = CancellationToken::new();
    let runtime = Arc::clone(machine.runtime());
    // A file that a killed server left behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = tokio::spawn(cri::serve(runtime, path.clone(), cancel.clone()));
    let connected = async {
        loop {
            match Socket::connect(&path).await {
                Ok(socket) => return socket,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    };
    let socket = tokio::time::timeout(PATIENCE, connected).await.unwrap();

    let version = socket.version(v1::VersionRequest::default()).await.unwrap();
    assert_eq!((version.runtime_name.as_str(), version.runtime_api_version.as_str()), ("coxswain", "v1"));
    let images = socket.list_images(v1::ListImagesRequest::default()).await.unwrap().images;
    assert_eq!(images.len(), 1);
    let missing = v1::ContainerStatusRequest { container_id: "none".into(), verbose: false };
    assert_eq!(socket.container_status(missing).await.unwrap_err().code(), Code::NotFound);
    let mut events = socket.get_container_events(v1::GetEventsRequest {}).await.unwrap();
    let sandbox = machine.sandbox().await;
    machine.remove_sandbox(&sandbox).await;
    let event = tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(event.container_id, sandbox);

    drop((events, socket));
    cancel.cancel();
    tokio::time::timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
    assert!(!path.exists());
}

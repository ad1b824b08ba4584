//! Commands in containers, and the addresses at which streams are served.

use cri::{Status, v1};

use super::{BuiltIn, seconds};
use crate::error::{Error, Result};
use crate::exec as commands;
use crate::streaming::Wanted;

pub(super) async fn exec_sync(
    runtime: &BuiltIn,
    request: v1::ExecSyncRequest,
) -> Result<v1::ExecSyncResponse, Status> {
    let container = runtime.core.containers.find(&request.container_id)?;
    let finished = commands::run(&runtime.core, &container, &request.cmd, seconds(request.timeout)).await?;
    Ok(v1::ExecSyncResponse { stdout: finished.stdout, stderr: finished.stderr, exit_code: finished.code })
}

pub(super) fn exec(runtime: &BuiltIn, request: v1::ExecRequest) -> Result<v1::ExecResponse, Status> {
    check_streams(request.tty, request.stdin, request.stdout, request.stderr)?;
    let container = runtime.core.containers.find(&request.container_id)?;
    container.running()?;
    let url = runtime.streams.url(Wanted {
        container: container.record.id.clone(),
        command: Some(request.cmd),
        tty: request.tty,
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr,
    })?;
    Ok(v1::ExecResponse { url })
}

pub(super) fn attach(runtime: &BuiltIn, request: v1::AttachRequest) -> Result<v1::AttachResponse, Status> {
    check_streams(request.tty, request.stdin, request.stdout, request.stderr)?;
    let container = runtime.core.containers.find(&request.container_id)?;
    container.running()?;
    let url = runtime.streams.url(Wanted {
        container: container.record.id.clone(),
        command: None,
        tty: request.tty,
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr,
    })?;
    Ok(v1::AttachResponse { url })
}

pub(super) fn port_forward() -> Result<v1::PortForwardResponse, Status> {
    Err(Status::unimplemented("port forwarding is not supported by this runtime"))
}

/// The rules of the CRI for streaming requests.
fn check_streams(tty: bool, stdin: bool, stdout: bool, stderr: bool) -> Result<()> {
    if tty && stderr {
        return Err(Error::Invalid("tty and stderr cannot both be true".to_owned()));
    }
    if !(stdin || stdout || stderr) {
        return Err(Error::Invalid("one of stdin, stdout, or stderr must be set".to_owned()));
    }
    Ok(())
}

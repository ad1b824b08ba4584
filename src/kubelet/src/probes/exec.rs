//! A probe that runs a command in the container.

use std::time::Duration;

use cri::v1::ExecSyncRequest;

use super::run::Answer;

/// Success is exit code 0; anything else fails with what the command printed.
pub(super) async fn probe(
    runtime: &dyn cri::Runtime,
    id: &str,
    command: Vec<String>,
    timeout: Duration,
) -> Answer {
    let shown = command.join(" ");
    let timeout_s = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
    let request = ExecSyncRequest { container_id: id.into(), cmd: command, timeout: timeout_s };
    match runtime.exec_sync(request).await {
        Ok(answer) if answer.exit_code == 0 => Answer::Success,
        Ok(answer) => {
            let output = [answer.stdout, answer.stderr].concat();
            Answer::Failure(String::from_utf8_lossy(&output).into_owned())
        }
        Err(status) if status.code() == cri::Code::DeadlineExceeded => {
            Answer::Failure(format!("command timed out: {shown:?} timed out after {timeout_s}s"))
        }
        Err(status) => Answer::Error(status.message().to_owned()),
    }
}

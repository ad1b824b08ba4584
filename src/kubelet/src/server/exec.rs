//! Exec and attach: the runtime serves the streams, the kubelet passes the upgraded connection through byte for byte.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::Response,
};
use cri::v1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;

use super::{Api, Error};
use crate::{
    observed::{self, State as ContainerState},
    pod,
};

type Names = Path<(String, String, String)>;
type NamesAndUid = Path<(String, String, String, String)>;

pub(super) async fn exec(
    State(api): State<Api>,
    Path((namespace, name, container)): Names,
    request: Request,
) -> Result<Response, Error> {
    let pod = find(&api, &namespace, &name, None)?;
    start_exec(&api, &pod, &container, request).await
}

pub(super) async fn exec_by_uid(
    State(api): State<Api>,
    Path((namespace, name, uid, container)): NamesAndUid,
    request: Request,
) -> Result<Response, Error> {
    let pod = find(&api, &namespace, &name, Some(&uid))?;
    start_exec(&api, &pod, &container, request).await
}

pub(super) async fn attach(
    State(api): State<Api>,
    Path((namespace, name, container)): Names,
    request: Request,
) -> Result<Response, Error> {
    let pod = find(&api, &namespace, &name, None)?;
    start_attach(&api, &pod, &container, request).await
}

pub(super) async fn attach_by_uid(
    State(api): State<Api>,
    Path((namespace, name, uid, container)): NamesAndUid,
    request: Request,
) -> Result<Response, Error> {
    let pod = find(&api, &namespace, &name, Some(&uid))?;
    start_attach(&api, &pod, &container, request).await
}

fn find(api: &Api, namespace: &str, name: &str, uid: Option<&str>) -> Result<Arc<Pod>, Error> {
    let found = api.pods.find(namespace, name).filter(|pod| uid.is_none_or(|uid| pod::uid(pod) == uid));
    found.ok_or_else(|| Error::not_found("pod does not exist"))
}

/// Which streams are wanted, from the query (upstream: api.Exec…Param; the API's own names are understood, too).
#[derive(Debug, Default, PartialEq)]
struct Streams {
    command: Vec<String>,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

fn streams(query: &str) -> Result<Streams, Error> {
    let mut streams = Streams::default();
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned();
        let is_on = matches!(value.as_str(), "1" | "true");
        match key {
            "command" => streams.command.push(value),
            "input" | "stdin" => streams.stdin = is_on,
            "output" | "stdout" => streams.stdout = is_on,
            "error" | "stderr" => streams.stderr = is_on,
            "tty" => streams.tty = is_on,
            _ => {}
        }
    }
    // A terminal has one output.
    streams.stderr &= !streams.tty;
    if !streams.stdin && !streams.stdout && !streams.stderr {
        return Err(Error::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    Ok(streams)
}

async fn start_exec(api: &Api, pod: &Pod, container: &str, request: Request) -> Result<Response, Error> {
    let streams = streams(request.uri().query().unwrap_or_default())?;
    let container_id = running(api, pod, container).await?;
    let wanted = v1::ExecRequest {
        container_id,
        cmd: streams.command,
        tty: streams.tty,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
    };
    let answer = api.host.runtime.exec(wanted).await.map_err(|status| Error::internal(status.message()))?;
    pass_through(&answer.url, request).await
}

async fn start_attach(api: &Api, pod: &Pod, container: &str, request: Request) -> Result<Response, Error> {
    let streams = streams(request.uri().query().unwrap_or_default())?;
    let (_, spec) = pod::container(pod::spec(pod), container)
        .ok_or_else(|| Error::not_found(format!("container not found ({container:?})")))?;
    let tty = spec.tty == Some(true);
    let wanted = v1::AttachRequest {
        container_id: running(api, pod, container).await?,
        stdin: streams.stdin,
        tty,
        stdout: streams.stdout,
        stderr: streams.stderr && !tty,
    };
    let answer = api.host.runtime.attach(wanted).await.map_err(|status| Error::internal(status.message()))?;
    pass_through(&answer.url, request).await
}

async fn running(api: &Api, pod: &Pod, name: &str) -> Result<String, Error> {
    let observed = observed::observe(api.host.runtime.as_ref(), pod::uid(pod), &mut Default::default()).await;
    let observed = observed.map_err(|status| Error::internal(status.message()))?;
    let found = observed.container(name).filter(|container| container.state == ContainerState::Running);
    let id = found.map(|container| container.id.clone());
    id.ok_or_else(|| Error::not_found(format!("container not found ({name:?})")))
}

/// Repeats the request at the runtime's URL and joins both connections once it has been upgraded.
async fn pass_through(url: &str, mut request: Request) -> Result<Response, Error> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Error(StatusCode::BAD_GATEWAY, format!("container runtime's stream: {what}: {error}"))
    };
    let url: Uri = url.parse().map_err(|error| failed("its address", &error))?;
    let authority = url.authority().ok_or_else(|| failed("its address", &"no host"))?;
    let address = (authority.host().to_owned(), authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await.map_err(|error| failed("connecting", &error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed("connecting", &error))?;
    tokio::spawn(connection.with_upgrades());

    let client_side = hyper::upgrade::on(&mut request);
    let mut repeated = http::Request::builder()
        .method(request.method().clone())
        .uri(url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str));
    if let Some(headers) = repeated.headers_mut() {
        copy_headers(request.headers(), headers);
        headers
            .insert(header::HOST, authority.as_str().parse().map_err(|error| failed("its address", &error))?);
    }
    let repeated = repeated.body(Body::empty()).map_err(|error| failed("asking", &error))?;
    let mut answer = sender.send_request(repeated).await.map_err(|error| failed("asking", &error))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(answer.map(Body::new));
    }
    let runtime_side = hyper::upgrade::on(&mut answer);
    tokio::spawn(async move {
        if let (Ok(client), Ok(runtime)) = tokio::join!(client_side, runtime_side) {
            let (mut client, mut runtime) = (TokioIo::new(client), TokioIo::new(runtime));
            if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut runtime).await {
                tracing::debug!(%error, "an exec or attach connection broke");
            }
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    Ok(response)
}

/// All headers but those that are about this connection's user.
fn copy_headers(from: &HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from {
        if name != header::AUTHORIZATION && name != header::HOST {
            to.append(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: Option<Streams>) {
        assert_eq!(streams(query).ok(), expected, "{query}");
    }

    #[test]
    fn streams_are_read_from_the_query() {
        let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        check(
            "command=echo&command=a%20b+c&input=1&output=1&error=1&tty=1",
            Some(Streams {
                command: command(&["echo", "a b c"]),
                stdin: true,
                stdout: true,
                stderr: false,
                tty: true,
            }),
        );
        check(
            "command=x&stdout=true&stderr=true",
            Some(Streams { command: command(&["x"]), stdout: true, stderr: true, ..Streams::default() }),
        );
        check("command=x", None);
    }
}

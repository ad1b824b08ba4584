//! One connection: copies between WebSocket messages and the streams of a command or a container until that ends.

use std::os::fd::OwnedFd;
use std::time::Duration;

use futures::stream::SplitStream;
use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use super::Wanted;
use super::channels::{self, ERROR, FromClient, Protocol, STDERR, STDIN, STDOUT};
use crate::core::Core;
use crate::exec::Command;
use crate::{Result, monitor};

type Socket = WebSocketStream<TokioIo<Upgraded>>;
type ToClient = mpsc::Sender<Message>;

/// Messages on their way to a slow client; then the command waits.
const BACKLOG: usize = 16;
const READ_BYTES: usize = 16 * 1024;
/// How long output may still come after the command has ended, from processes that it left behind.
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client may take to read the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn run(core: &Core, wanted: Wanted, io: TokioIo<Upgraded>, protocol: Protocol) {
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    let (mut sink, source) = socket.split();
    let (to_client, mut messages) = mpsc::channel::<Message>(BACKLOG);
    let writer = tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
        // Clients take an end without a code for a broken connection. The client may have gone already.
        let normal = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        drop(sink.send(Message::Close(Some(normal))).await);
    });
    // As upstream: an empty message on the lowest channel says that the streams are there.
    let first = [(wanted.stdout, STDOUT), (wanted.stderr, STDERR), (true, ERROR)]
        .into_iter()
        .find(|(is_open, _)| *is_open);
    if let Some((_, channel)) = first {
        send(&to_client, channel, &[]).await;
    }
    let outcome = match &wanted.command {
        Some(command) => execute(core, &wanted, command, source, &to_client, protocol).await,
        None => attach(core, &wanted, source, &to_client, protocol).await,
    };
    let status =
        outcome.unwrap_or_else(|e| channels::failure(&format!("error executing command in container: {e}")));
    if let Some(words) = protocol.last_words(&status) {
        send(&to_client, ERROR, words.as_bytes()).await;
    }
    drop(to_client);
    if tokio::time::timeout(CLOSE_TIMEOUT, writer).await.is_err() {
        tracing::debug!(container = wanted.container, "a client did not read the end of its streams");
    }
}

async fn execute(
    core: &Core,
    wanted: &Wanted,
    command: &[String],
    source: SplitStream<Socket>,
    to_client: &ToClient,
    protocol: Protocol,
) -> Result<Value> {
    let container = core.containers.find(&wanted.container)?;
    let mut running = Command::start(core, &container, command, wanted.tty, wanted.stdin).await?;
    let stdout = running.stdout.take().map(|stream| pump(stream, STDOUT, wanted.stdout, to_client.clone()));
    let stderr = running.stderr.take().map(|stream| pump(stream, STDERR, wanted.stderr, to_client.clone()));
    let stdin = running.stdin.take().filter(|_| wanted.stdin);
    let input = tokio::spawn(feed(source, protocol, stdin, running.terminal.take()));
    let code = running.wait().await;
    for output in [stdout, stderr].into_iter().flatten() {
        // Output still on its way belongs to the client; a process left behind must not keep it here.
        drop(tokio::time::timeout(LEFTOVER_TIMEOUT, output).await);
    }
    input.abort();
    Ok(channels::exit_status(command, code?))
}

/// Copies output until it ends. What the client did not ask for is read all the same.
fn pump(
    mut stream: impl AsyncRead + Unpin + Send + 'static,
    channel: u8,
    is_wanted: bool,
    to_client: ToClient,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            if is_wanted && !send(&to_client, channel, &buffer[..count]).await {
                return;
            }
        }
    })
}

async fn send(to_client: &ToClient, channel: u8, data: &[u8]) -> bool {
    to_client.send(Message::Binary(Bytes::from(channels::message(channel, data)))).await.is_ok()
}

/// Copies the client's input until it or its connection ends. Dropping `stdin` ends the command's input.
async fn feed(
    mut source: SplitStream<Socket>,
    protocol: Protocol,
    mut stdin: Option<pipe::Sender>,
    terminal: Option<OwnedFd>,
) {
    while let Some(Ok(message)) = source.next().await {
        let data = message.into_data();
        match channels::parse(&data, protocol) {
            FromClient::Input(input) => {
                if let Some(pipe) = &mut stdin
                    && pipe.write_all(input).await.is_err()
                {
                    stdin = None;
                }
            }
            FromClient::EndOfInput => stdin = None,
            FromClient::Resize { rows, columns } => {
                if let Some(terminal) = &terminal {
                    resize(terminal, rows, columns);
                }
            }
            FromClient::Other => {}
        }
    }
}

fn resize(terminal: &OwnedFd, rows: u16, columns: u16) {
    use std::os::fd::AsRawFd;
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the structure is valid during the call. That the terminal is gone is fine.
    unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
}

/// The container's own streams, from its monitor, in its frames (`monitor/client.rs`).
async fn attach(
    core: &Core,
    wanted: &Wanted,
    source: SplitStream<Socket>,
    to_client: &ToClient,
    protocol: Protocol,
) -> Result<Value> {
    let container = core.containers.find(&wanted.container)?;
    container.running()?;
    let directory = core.sandbox_dir(&container.record.sandbox);
    let (mut read, write) = monitor::attach(&directory, &container.record.id).await?.into_split();
    let input = tokio::spawn(feed_monitor(source, protocol, write, wanted.stdin));
    let mut header = [0; 5];
    while read.read_exact(&mut header).await.is_ok() {
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let mut data = vec![0; length as usize];
        if read.read_exact(&mut data).await.is_err() {
            break;
        }
        let is_wanted = if header[0] == STDERR { wanted.stderr } else { wanted.stdout };
        if is_wanted && !send(to_client, header[0], &data).await {
            break;
        }
    }
    input.abort();
    Ok(channels::success())
}

async fn feed_monitor(
    mut source: SplitStream<Socket>,
    protocol: Protocol,
    mut monitor: impl AsyncWrite + Unpin,
    has_stdin: bool,
) {
    const END_OF_INPUT: u8 = 3;
    const RESIZE: u8 = 4;
    loop {
        let message = source.next().await;
        let is_end = !matches!(message, Some(Ok(_)));
        let data = message.and_then(std::result::Result::ok).map(Message::into_data).unwrap_or_default();
        let frame = match channels::parse(&data, protocol) {
            _ if is_end => frame(END_OF_INPUT, &[]),
            FromClient::Input(input) if has_stdin => frame(STDIN, input),
            FromClient::EndOfInput => frame(END_OF_INPUT, &[]),
            FromClient::Resize { rows, columns } => {
                frame(RESIZE, &[rows.to_be_bytes(), columns.to_be_bytes()].concat())
            }
            _ => continue,
        };
        if monitor.write_all(&frame).await.is_err() || is_end {
            return;
        }
    }
}

fn frame(kind: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("a WebSocket message is smaller");
    [&[kind][..], &length.to_be_bytes(), data].concat()
}

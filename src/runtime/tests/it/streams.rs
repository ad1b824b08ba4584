//! Commands and containers over WebSocket, as a client of the API has them.

use cri::{Runtime, v1};
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::machine::{Machine, PATIENCE, container, script};

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn open(url: &str, protocol: &str) -> Self {
        let url = url.replace("http://", "ws://");
        let mut request = url.as_str().into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
        let stream = TcpStream::connect(request.uri().authority().unwrap().as_str()).await.unwrap();
        let (socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], protocol);
        Self(socket)
    }

    async fn send(&mut self, message: &[u8]) {
        self.0.send(Message::Binary(Bytes::copy_from_slice(message))).await.unwrap();
    }

    /// Reads until `stop` says so or the connection ends; answers the text of each channel.
    async fn read(&mut self, stop: impl Fn(&[String; 4]) -> bool) -> [String; 4] {
        let mut texts: [String; 4] = Default::default();
        let read = async {
            while !stop(&texts) {
                let Some(Ok(message)) = self.0.next().await else { break };
                if let Message::Binary(data) = message {
                    texts[data[0] as usize].push_str(&String::from_utf8_lossy(&data[1..]));
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the stream goes on");
        texts
    }

    async fn rest(&mut self) -> [String; 4] {
        self.read(|_| false).await
    }
}

async fn exec_url(machine: &Machine, id: &str, script: &str, tty: bool, stdin: bool) -> String {
    let cmd = ["sh", "-c", script].map(str::to_owned).to_vec();
    let request = v1::ExecRequest { container_id: id.into(), cmd, tty, stdin, stdout: true, stderr: !tty };
    machine.runtime().exec(request).await.unwrap().url
}

#[tokio::test(flavor = "multi_thread")]
async fn output_and_exit_code_come_on_their_channels() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    for protocol in ["v5.channel.k8s.io", "v4.channel.k8s.io"] {
        let url = exec_url(&machine, &id, "echo out; echo err >&2; exit 4", false, false).await;
        let [_, out, err, status] = Client::open(&url, protocol).await.rest().await;
        assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(status["details"]["causes"][0]["message"], "4");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_protocol_has_no_status() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    let url = exec_url(&machine, &id, "echo out", false, false).await;
    let [_, out, _, error] = Client::open(&url, "channel.k8s.io").await.rest().await;
    assert_eq!((out.as_str(), error.as_str()), ("out\n", ""));
    let url = exec_url(&machine, &id, "exit 4", false, false).await;
    let [_, _, _, error] = Client::open(&url, "channel.k8s.io").await.rest().await;
    assert!(error.ends_with("exit code 4"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn input_reaches_the_command_until_the_client_ends_it() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    let url = exec_url(&machine, &id, "wc -c", false, true).await;
    let mut client = Client::open(&url, "v5.channel.k8s.io").await;
    for _ in 0..50 {
        client.send(&[&[0][..], &[b'x'; 10_000]].concat()).await;
    }
    client.send(&[255, 0]).await;
    let [_, out, _, status] = client.rest().await;
    assert_eq!(out, "500000\n");
    assert!(status.contains("Success"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_a_name_and_the_clients_size() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    let url = exec_url(&machine, &id, "tty; read x; stty size; echo $TERM; exit 3", true, true).await;
    let mut client = Client::open(&url, "v5.channel.k8s.io").await;
    let start = client.read(|texts| texts[1].contains('\n')).await;
    assert!(start[1].starts_with("/dev/pts/"), "{start:?}");
    client.send(b"\x04{\"Width\":123,\"Height\":45}").await;
    client.send(b"\x00go\n").await;
    let [_, out, _, status] = client.rest().await;
    assert!(out.contains("45 123") && out.contains("xterm"), "{out}");
    assert!(status.contains("\"message\":\"3\""), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_opens_once_and_a_missing_program_is_an_internal_error() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let id = machine.run(&sandbox, container(&["sleep", "1000"])).await;
    let request =
        v1::ExecRequest { container_id: id, cmd: vec!["nothing".into()], stdout: true, ..Default::default() };
    let url = machine.runtime().exec(request).await.unwrap().url;
    let [_, _, _, status] = Client::open(&url, "v5.channel.k8s.io").await.rest().await;
    assert!(
        status.contains("executable file not found in $PATH") && status.contains("InternalError"),
        "{status}"
    );
    let ws = url.replace("http://", "ws://");
    let mut again = ws.as_str().into_client_request().unwrap();
    again.headers_mut().insert("Sec-WebSocket-Protocol", "v5.channel.k8s.io".parse().unwrap());
    let stream = TcpStream::connect(again.uri().authority().unwrap().as_str()).await.unwrap();
    assert!(tokio_tungstenite::client_async(again, stream).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn attaching_gives_the_containers_own_streams() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let mut config = script("while read line; do echo got $line; [ $line = end ] && exit 0; done");
    config.stdin = true;
    let id = machine.run(&sandbox, config).await;
    let request =
        v1::AttachRequest { container_id: id.clone(), stdin: true, stdout: true, stderr: true, tty: false };
    let url = machine.runtime().attach(request).await.unwrap().url;
    let mut client = Client::open(&url, "v5.channel.k8s.io").await;
    client.send(b"\x00one\n").await;
    client.send(b"\x00end\n").await;
    let [_, out, _, _] = client.rest().await;
    assert_eq!(out, "got one\ngot end\n");
    assert_eq!(machine.ended(&id).await.exit_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_with_a_terminal_logs_what_it_shows() {
    let machine = Machine::new().await;
    let sandbox = machine.sandbox().await;
    let mut config = script("tty; [ -c /dev/console ] && echo console; exit 2");
    config.tty = true;
    let (status, log) = machine.script(&sandbox, config).await;
    assert_eq!(status.exit_code, 2);
    assert!(log.contains("/dev/") && log.contains("console"), "{log}");
}

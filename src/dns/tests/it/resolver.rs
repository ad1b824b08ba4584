//! A resolver outside the cluster, and a client that asks.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::A},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinHandle,
};

/// Knows `www.example.com`, and `big.example.com` with more addresses than a datagram holds.
pub(crate) async fn outside() -> SocketAddr {
    resolver(know).await
}

/// Answers that it cannot tell.
pub(crate) async fn failing() -> SocketAddr {
    resolver(|_, answer| answer.metadata.response_code = ResponseCode::ServFail).await
}

/// Passes datagrams on unchanged and their answers back, as address translation does; and counts them.
pub(crate) fn pass_on(relay: UdpSocket, to: SocketAddr) -> (Arc<AtomicUsize>, JoinHandle<()>) {
    let (relay, seen) = (Arc::new(relay), Arc::new(AtomicUsize::new(0)));
    let count = seen.clone();
    let relaying = tokio::spawn(async move {
        let mut buffer = [0; 2000];
        loop {
            let (length, client) = relay.recv_from(&mut buffer).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            let (relay, request) = (relay.clone(), buffer[..length].to_vec());
            // Each on its own, so that one that comes back does not wait for itself.
            tokio::spawn(async move {
                let answer = exchange("127.0.0.1", to, &request).await;
                relay.send_to(&answer, client).await.unwrap();
            });
        }
    });
    (seen, relaying)
}

async fn resolver(fill: fn(&Query, &mut Message)) -> SocketAddr {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2000];
        while let Ok((length, client)) = udp.recv_from(&mut buffer).await {
            let mut answer = answer(&buffer[..length], fill);
            if answer.answers.len() > 10 {
                answer = answer.truncate();
            }
            udp.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
        }
    });
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = tcp.accept().await {
            let request = read(&mut connection).await;
            write(&mut connection, &answer(&request, fill).to_vec().unwrap()).await;
        }
    });
    address
}

fn answer(request: &[u8], fill: fn(&Query, &mut Message)) -> Message {
    let request = Message::from_vec(request).unwrap();
    let mut answer = Message::response(request.metadata.id, OpCode::Query);
    fill(&request.queries[0], &mut answer);
    answer.add_query(request.queries[0].clone());
    answer
}

fn know(question: &Query, answer: &mut Message) {
    let address =
        |number: u8| Record::from_rdata(question.name.clone(), 60, RData::A(A([192, 0, 2, number].into())));
    match question.name.to_string().to_lowercase().as_str() {
        "www.example.com." => answer.answers.push(address(1)),
        "big.example.com." => answer.answers.extend((1..=200).map(address)),
        _ => answer.metadata.response_code = ResponseCode::NXDomain,
    }
}

pub(crate) fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.metadata.recursion_desired = true;
    message
}

pub(crate) fn with_edns(mut message: Message, payload: u16, version: u8) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload).set_version(version);
    message.set_edns(edns);
    message
}

pub(crate) async fn over_udp(server: SocketAddr, question: &Message) -> Message {
    over_udp_from("127.0.0.1", server, question).await
}

pub(crate) async fn over_udp_from(client: &str, server: SocketAddr, question: &Message) -> Message {
    Message::from_vec(&exchange(client, server, &question.to_vec().unwrap()).await).unwrap()
}

async fn exchange(client: &str, server: SocketAddr, request: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind((client, 0)).await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(request).await.unwrap();
    let mut buffer = [0; 5000];
    let length = socket.recv(&mut buffer).await.unwrap();
    buffer[..length].to_vec()
}

pub(crate) async fn over_tcp(server: SocketAddr, question: &Message) -> Message {
    let mut connection = TcpStream::connect(server).await.unwrap();
    write(&mut connection, &question.to_vec().unwrap()).await;
    Message::from_vec(&read(&mut connection).await).unwrap()
}

async fn read(connection: &mut TcpStream) -> Vec<u8> {
    let length = connection.read_u16().await.unwrap();
    let mut bytes = vec![0; length.into()];
    connection.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn write(connection: &mut TcpStream, bytes: &[u8]) {
    connection.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
    connection.write_all(bytes).await.unwrap();
}

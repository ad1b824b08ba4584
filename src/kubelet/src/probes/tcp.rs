//! A probe that opens a connection.

use std::{io, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use super::run::Answer;

pub(super) async fn probe(host: &str, port: u16, limit: Duration) -> Answer {
    match connect(host, port, limit).await {
        Ok(_) => Answer::Success,
        Err(text) => Answer::Failure(text),
    }
}

/// Connects, or says why not in the words that users know.
pub(super) async fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, String> {
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    match timeout(limit, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("dial tcp {address}: connect: {}", reason(&error))),
        Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::HostUnreachable => "no route to host".into(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".into(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".into(),
        _ => error.to_string(),
    }
}

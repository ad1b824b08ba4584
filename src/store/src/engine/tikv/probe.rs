//! Why no PD answers, as far as an attempt of our own can tell: TiKV's client leaves the cause to its log.
//!
//! Goes to each endpoint that the client gave up, with the same certificates, and says what it met: nobody, silence, a
//! certificate that we do not believe, or that ours is not believed. It asks for nothing.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use super::{Place, Tls};

/// How long one endpoint may take to do the next thing.
const PATIENCE: Duration = Duration::from_secs(2);
/// How every client of gRPC begins; a server answers with something.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The first byte of TLS' word that something is wrong.
const ALERT: u8 = 21;

type Met = Result<&'static str, Box<dyn Error + Send + Sync>>;

/// What is met at each endpoint, in words; blocks for some seconds per endpoint at most.
pub(super) fn why(place: &Place) -> String {
    let met = |endpoint: &String| {
        let met = meet(endpoint, place.tls.as_ref());
        format!("{endpoint}: {}", met.map_or_else(|error| error.to_string(), str::to_owned))
    };
    place.endpoints.iter().map(met).collect::<Vec<_>>().join("; ")
}

fn meet(endpoint: &str, tls: Option<&Tls>) -> Met {
    let address = endpoint.trim_start_matches("http://").trim_start_matches("https://");
    let (host, _) = address.rsplit_once(':').ok_or("it has no port")?;
    let resolved = address.to_socket_addrs()?.next().ok_or("the name has no address")?;
    let mut connection = TcpStream::connect_timeout(&resolved, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    match tls {
        None => Ok(in_clear(&mut connection)?),
        Some(tls) => with_certificates(&mut connection, host, tls),
    }
}

fn in_clear(connection: &mut TcpStream) -> io::Result<&'static str> {
    Ok(match answer(connection)? {
        Some(ALERT) => "it speaks TLS, and no certificates were given",
        Some(_) => "it answers, but not as a PD",
        None => "it ends the connection; it may speak TLS, and no certificates were given",
    })
}

fn with_certificates(connection: &mut TcpStream, host: &str, tls: &Tls) -> Met {
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
    let mut session = ClientConnection::new(Arc::new(config(tls)?), name)?;
    let answered = answer(&mut Stream::new(&mut session, connection));
    let answered = answered.map_err(|error| format!("TLS with it fails: {error}"))?;
    Ok(match answered {
        Some(_) => "it answers, but not as a PD",
        None => "it ends the connection: it does not want these certificates, or is no PD",
    })
}

/// The first byte of what is said to a client that begins; nothing when the connection is ended.
fn answer(connection: &mut (impl Read + Write)) -> io::Result<Option<u8>> {
    let mut first = [0];
    let read = connection.write_all(PREFACE).and_then(|()| connection.read(&mut first));
    match read {
        Ok(count) => Ok((count > 0).then_some(first[0])),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(io::Error::new(
            error.kind(),
            format!("it takes the connection and says nothing for {PATIENCE:?}"),
        )),
        Err(error) => Err(error),
    }
}

fn config(tls: &Tls) -> Result<ClientConfig, Box<dyn Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&tls.ca)? {
        roots.add(certificate?)?;
    }
    let ours = CertificateDer::pem_file_iter(&tls.certificate)?.collect::<Result<Vec<_>, _>>()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots);
    let mut config = config.with_client_auth_cert(ours, PrivateKeyDer::from_pem_file(&tls.key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

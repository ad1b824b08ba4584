//! A server of bearer tokens for a registry (docker's "token authentication"): who has the password may pull.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, prelude::BASE64_STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use crate::host::{ADDRESS, Host};

const PORT: u16 = 5400;
/// The name by which the registry knows itself, and its token server.
const SERVICE: &str = "registry";
const ISSUER: &str = "token server";

/// Answers until the test's process ends: it holds nothing but a port of the test's own machine.
pub(super) struct TokenServer {
    certificate: PathBuf,
}

impl TokenServer {
    pub(super) fn start(host: &Host, directory: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        let certificate = directory.join("tokens.pem");
        fs::write(&certificate, signed.pem()).unwrap();
        let signer = Arc::new(Signer {
            key: EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).unwrap(),
            certificate: BASE64_STANDARD.encode(signed.der()),
        });
        let listener = host.run(|| TcpListener::bind((ADDRESS, PORT)).unwrap()).join().unwrap();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                answer(connection, &signer);
            }
        });
        Self { certificate }
    }

    /// What a registry's configuration says under `auth`.
    pub(super) fn login(&self) -> Value {
        let realm = format!("http://{ADDRESS}:{PORT}/token");
        json!({"token": {
            "realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": self.certificate,
        }})
    }
}

struct Signer {
    key: EncodingKey,
    /// In DER and base64, as the token's header carries it.
    certificate: String,
}

/// One request on one connection.
fn answer(mut connection: TcpStream, signer: &Signer) {
    let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
    let request = lines.next().unwrap().unwrap();
    let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let login = head.iter().filter_map(|line| line.split_once(": ")).find_map(|(name, value)| {
        let is_login = name.eq_ignore_ascii_case("authorization");
        is_login.then(|| value.trim_start_matches("Basic ").to_owned())
    });
    let is_user = login == Some(BASE64_STANDARD.encode("user:secret"));
    let (status, body) = match is_user {
        true => ("200 OK", json!({"token": token(&request, signer), "expires_in": 300})),
        false => ("401 Unauthorized", json!({"details": "incorrect username or password"})),
    };
    let body = body.to_string();
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
}

/// A token for what `scope=repository%3A<name>%3Apull` in the request line asks for.
fn token(request: &str, signer: &Signer) -> String {
    let query = request.split([' ', '?', '&']).find_map(|part| part.strip_prefix("scope=")).unwrap();
    let scope = query.replace("%3A", ":").replace("%2F", "/");
    let mut parts = scope.split(':');
    let access = json!([{"type": parts.next(), "name": parts.next(), "actions": ["pull"]}]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": ISSUER, "sub": "user", "aud": SERVICE, "jti": now.to_string(),
        "iat": now, "nbf": now - 60, "exp": now + 300, "access": access,
    });
    let header = Header { x5c: Some(vec![signer.certificate.clone()]), ..Header::new(Algorithm::ES256) };
    encode(&header, &claims, &signer.key).unwrap()
}

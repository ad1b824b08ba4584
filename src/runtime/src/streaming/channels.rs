//! Kubernetes' channel protocols over WebSocket: the first byte of a message is its channel. Pure.
//! Source: `k8s.io/apimachinery/pkg/util/remotecommand`, `k8s.io/apiserver/pkg/server/httplog`, KEP-4006.

use http::HeaderMap;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use serde_json::{Value, json};

pub(super) const STDIN: u8 = 0;
pub(super) const STDOUT: u8 = 1;
pub(super) const STDERR: u8 = 2;
pub(super) const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Version 5: the byte that follows is a channel that ends.
const CLOSE: u8 = 255;

/// The version spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    V5,
    V4,
    /// The first: the error channel has words, and nothing where there is no error.
    V1,
}

impl Protocol {
    /// The newest that the client offers.
    pub(super) fn choose(headers: &HeaderMap) -> Option<Self> {
        let offered: Vec<&str> = headers
            .get_all(SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(',').map(str::trim))
            .collect();
        [Self::V5, Self::V4, Self::V1].into_iter().find(|protocol| offered.contains(&protocol.name()))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V5 => "v5.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
            Self::V1 => "channel.k8s.io",
        }
    }

    /// What the error channel says of how a command ended, if anything.
    pub(super) fn last_words(self, status: &Value) -> Option<String> {
        match self {
            Self::V5 | Self::V4 => Some(status.to_string()),
            Self::V1 => Some(status["message"].as_str()?.to_owned()),
        }
    }
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FromClient<'a> {
    Input(&'a [u8]),
    EndOfInput,
    Resize {
        rows: u16,
        columns: u16,
    },
    /// Nothing that is known; ignored, as upstream does.
    Other,
}

pub(super) fn parse(message: &[u8], protocol: Protocol) -> FromClient<'_> {
    match message {
        [STDIN, data @ ..] => FromClient::Input(data),
        [CLOSE, STDIN] if protocol == Protocol::V5 => FromClient::EndOfInput,
        [RESIZE, size @ ..] => parse_size(size).unwrap_or(FromClient::Other),
        _ => FromClient::Other,
    }
}

/// `{"Width":80,"Height":24}`
fn parse_size(text: &[u8]) -> Option<FromClient<'static>> {
    let size: Value = serde_json::from_slice(text).ok()?;
    let number = |name: &str| size[name].as_u64().and_then(|n| u16::try_from(n).ok());
    Some(FromClient::Resize { rows: number("Height")?, columns: number("Width")? })
}

pub(super) fn message(channel: u8, data: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(data.len() + 1);
    message.push(channel);
    message.extend_from_slice(data);
    message
}

/// The `Status` that says how a command ended.
pub(super) fn exit_status(command: &[String], code: i32) -> Value {
    if code == 0 {
        return success();
    }
    let text = format!(
        "command terminated with non-zero exit code: error executing command [{}], exit code {code}",
        command.join(" ")
    );
    json!({
        "metadata": {},
        "status": "Failure",
        "message": text,
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

pub(super) fn success() -> Value {
    json!({"metadata": {}, "status": "Success"})
}

/// The `Status` of a command or container that could not be reached.
pub(super) fn failure(text: &str) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {text}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": text}]},
        "code": 500,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offered_protocol_is_spoken() {
        let check = |offered: &'static str, expected| {
            let headers = HeaderMap::from_iter([(SEC_WEBSOCKET_PROTOCOL, offered.parse().unwrap())]);
            assert_eq!(Protocol::choose(&headers), expected, "{offered}");
        };
        check("v5.channel.k8s.io", Some(Protocol::V5));
        check("v4.channel.k8s.io, v5.channel.k8s.io", Some(Protocol::V5));
        check("v4.channel.k8s.io,base64.channel.k8s.io", Some(Protocol::V4));
        check("base64.channel.k8s.io, channel.k8s.io", Some(Protocol::V1));
        check("SPDY/3.1", None);
    }

    #[test]
    fn the_first_protocol_speaks_of_errors_in_words() {
        assert_eq!(Protocol::V1.last_words(&success()), None);
        let text = Protocol::V1.last_words(&exit_status(&["a".into()], 3)).unwrap();
        assert!(text.ends_with("exit code 3"), "{text}");
        assert_eq!(Protocol::V4.last_words(&success()).unwrap(), success().to_string());
    }

    #[test]
    fn messages_are_known_by_their_first_byte() {
        assert_eq!(parse(b"\x00ls\n", Protocol::V5), FromClient::Input(b"ls\n"));
        assert_eq!(parse(&[255, 0], Protocol::V5), FromClient::EndOfInput);
        assert_eq!(parse(&[255, 0], Protocol::V4), FromClient::Other);
        let resize = FromClient::Resize { rows: 24, columns: 80 };
        assert_eq!(parse(b"\x04{\"Width\":80,\"Height\":24}", Protocol::V4), resize);
        assert_eq!(parse(b"\x04what", Protocol::V4), FromClient::Other);
        assert_eq!(parse(b"", Protocol::V4), FromClient::Other);
    }

    #[test]
    fn an_exit_code_is_a_cause_of_the_status() {
        let status = exit_status(&["sh".into(), "-c".into()], 3);
        assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "3"}));
        assert_eq!(exit_status(&[], 0)["status"], "Success");
    }
}

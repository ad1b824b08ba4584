//! What is wrong with the texts of a certificate and its key, in the words of Go's `tls.X509KeyPair`, which upstream gives
//! as a warning. Looks for PEM blocks only: whether they can be read, and belong together, is not checked here.

const CERTIFICATE: &str = "CERTIFICATE";

/// The first thing that is wrong.
pub(super) fn warning(certificate: &[u8], key: &[u8]) -> Option<String> {
    certificate_warning(&blocks(certificate)).or_else(|| key_warning(&blocks(key)))
}

fn is_key(block: &str) -> bool {
    block == "PRIVATE KEY" || block.ends_with(" PRIVATE KEY")
}

fn certificate_warning(found: &[String]) -> Option<String> {
    if found.iter().any(|block| block == CERTIFICATE) {
        return None;
    }
    Some(match found {
        [] => "tls: failed to find any PEM data in certificate input".to_owned(),
        [only] if only.ends_with("PRIVATE KEY") => "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched".to_owned(),
        _ => format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{}]",
            found.join(" ")
        ),
    })
}

fn key_warning(found: &[String]) -> Option<String> {
    if found.iter().any(|block| is_key(block)) {
        return None;
    }
    Some(match found {
        [] => "tls: failed to find any PEM data in key input".to_owned(),
        [only] if only == CERTIFICATE => {
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        _ => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [{}]",
            found.join(" ")
        ),
    })
}

/// The types of the PEM blocks, in their order.
fn blocks(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let type_of = |line: &str| Some(line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?.to_owned());
    let begun = text.lines().filter_map(|line| type_of(line.trim_end()));
    begun.filter(|type_| text.contains(&format!("-----END {type_}-----"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_told_apart() {
        let block =
            |type_: &str| format!("-----BEGIN {type_}-----\nYQ==\n-----END {type_}-----\n").into_bytes();
        let (certificate, key) = (block("CERTIFICATE"), block("EC PRIVATE KEY"));
        assert_eq!(warning(&certificate, &key), None);
        let of = |certificate: &[u8], key: &[u8]| warning(certificate, key).expect("a warning");
        assert!(of(b"a", &key).ends_with("any PEM data in certificate input"));
        assert!(of(&key, &certificate).ends_with("may have been switched"));
        assert!(of(&certificate, b"").ends_with("any PEM data in key input"));
        assert!(of(&certificate, &certificate).starts_with("tls: found a certificate rather than a key"));
    }
}

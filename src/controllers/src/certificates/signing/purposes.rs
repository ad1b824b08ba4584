//! Usages as the API names them, as X.509 has them (upstream `authority.keyUsagesFromStrings`).

use rcgen::{ExtendedKeyUsagePurpose as Extended, KeyUsagePurpose as Key};

/// Key usages and extended key usages, each once.
pub(super) fn purposes(usages: &[String]) -> Result<(Vec<Key>, Vec<Extended>), String> {
    let (mut keys, mut extended) = (Vec::new(), Vec::new());
    for usage in usages {
        match (key(usage), extended_key(usage)) {
            (Some(key), _) if !keys.contains(&key) => keys.push(key),
            (_, Some(purpose)) if !extended.contains(&purpose) => extended.push(purpose),
            (None, None) => return Err(format!("unrecognized usage values: [{usage:?}]")),
            _ => {}
        }
    }
    Ok((keys, extended))
}

fn key(usage: &str) -> Option<Key> {
    Some(match usage {
        "signing" | "digital signature" => Key::DigitalSignature,
        "content commitment" => Key::ContentCommitment,
        "key encipherment" => Key::KeyEncipherment,
        "key agreement" => Key::KeyAgreement,
        "data encipherment" => Key::DataEncipherment,
        "cert sign" => Key::KeyCertSign,
        "crl sign" => Key::CrlSign,
        "encipher only" => Key::EncipherOnly,
        "decipher only" => Key::DecipherOnly,
        _ => return None,
    })
}

fn extended_key(usage: &str) -> Option<Extended> {
    /// `id-kp` of RFC 5280, below which most purposes are.
    fn pkix(last: u64) -> Extended {
        Extended::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, last])
    }
    Some(match usage {
        "any" => Extended::Any,
        "server auth" => Extended::ServerAuth,
        "client auth" => Extended::ClientAuth,
        "code signing" => Extended::CodeSigning,
        "email protection" | "s/mime" => Extended::EmailProtection,
        "ipsec end system" => pkix(5),
        "ipsec tunnel" => pkix(6),
        "ipsec user" => pkix(7),
        "timestamping" => Extended::TimeStamping,
        "ocsp signing" => Extended::OcspSigning,
        "microsoft sgc" => Extended::Other(vec![1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
        "netscape sgc" => Extended::Other(vec![2, 16, 840, 1, 113730, 4, 1]),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usages_are_translated_and_told_once() {
        let usages = ["signing", "digital signature", "server auth", "s/mime", "email protection"];
        let (keys, extended) = purposes(&usages.map(str::to_owned)).unwrap();
        assert_eq!(keys, [Key::DigitalSignature]);
        assert_eq!(extended, [Extended::ServerAuth, Extended::EmailProtection]);
        purposes(&["x".to_owned()]).unwrap_err();
    }
}

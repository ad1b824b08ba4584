//! Questions about certificate signing requests: what the PKCS#10 request inside asks for, and whether that is what
//! kubelets ask for (upstream `pkg/apis/certificates/helpers.go`, `pkg/controller/certificates`).

use std::net::IpAddr;

use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;

/// Client certificates for users of the API.
pub const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// Client certificates for kubelets.
pub const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Serving certificates for kubelets.
pub const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
/// The signer of old, which nobody may ask any more.
pub const LEGACY_UNKNOWN: &str = "kubernetes.io/legacy-unknown";

const NODE_PREFIX: &str = "system:node:";

/// What a PKCS#10 request asks for, its signature checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requested {
    /// The request itself.
    pub der: Vec<u8>,
    /// Common name of the subject.
    pub common_name: String,
    /// Organizations of the subject.
    pub organizations: Vec<String>,
    /// DNS subject alternative names.
    pub dns_names: Vec<String>,
    /// IP subject alternative names.
    pub ip_addresses: Vec<IpAddr>,
    /// E-mail subject alternative names.
    pub email_addresses: Vec<String>,
    /// URI subject alternative names.
    pub uris: Vec<String>,
}

/// Reads `spec.request` and checks that its signature was made by its own key.
///
/// # Errors
/// Upstream's words where it is no PEM block of a request or the signature does not hold.
pub fn parse(pem: &[u8]) -> Result<Requested, String> {
    let block = parse_x509_pem(pem).ok().map(|(_, block)| block);
    let block = block.filter(|block| block.label == "CERTIFICATE REQUEST");
    let block = block.ok_or("PEM block type must be CERTIFICATE REQUEST")?;
    let (rest, request) = X509CertificationRequest::from_der(&block.contents)
        .map_err(|error| format!("asn1: structure error: {error}"))?;
    if !rest.is_empty() {
        return Err("asn1: syntax error: trailing data".to_owned());
    }
    request.verify_signature().map_err(|error| unverified(&request, &error))?;
    let subject = &request.certification_request_info.subject;
    let text = |name: &x509_parser::x509::AttributeTypeAndValue<'_>| name.as_str().ok().map(str::to_owned);
    let mut requested = Requested {
        common_name: subject.iter_common_name().last().and_then(text).unwrap_or_default(),
        organizations: subject.iter_organization().filter_map(text).collect(),
        ..Requested::default()
    };
    for extension in request.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension {
            names.general_names.iter().for_each(|name| requested.add(name));
        }
    }
    requested.der = block.contents;
    Ok(requested)
}

/// Go's words, by the kind of key.
fn unverified(request: &X509CertificationRequest<'_>, error: &X509Error) -> String {
    use x509_parser::public_key::PublicKey;
    match request.certification_request_info.subject_pki.parsed() {
        Ok(PublicKey::EC(_)) => "x509: ECDSA verification failure".to_owned(),
        Ok(PublicKey::RSA(_)) => "crypto/rsa: verification error".to_owned(),
        _ => format!("x509: {error}"),
    }
}

impl Requested {
    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => self.email_addresses.push((*name).to_owned()),
            GeneralName::URI(uri) => self.uris.push((*uri).to_owned()),
            GeneralName::IPAddress(bytes) => self.ip_addresses.extend(ip(bytes)),
            _ => {}
        }
    }

    /// Why this is no request for a kubelet's client certificate with these usages.
    ///
    /// # Errors
    /// Upstream's words for the first thing that is wrong.
    pub fn check_kubelet_client(&self, usages: &[String]) -> Result<(), String> {
        self.check_organization()?;
        for (name, list) in [("DNS", self.dns_names.len()), ("Email", self.email_addresses.len())] {
            refuse_names(name, list)?;
        }
        refuse_names("IP", self.ip_addresses.len())?;
        refuse_names("URI", self.uris.len())?;
        self.check_common_name()?;
        check_usages(usages, "client auth")
    }

    /// Why this is no request for a kubelet's serving certificate with these usages.
    ///
    /// # Errors
    /// Upstream's words for the first thing that is wrong.
    pub fn check_kubelet_serving(&self, usages: &[String]) -> Result<(), String> {
        self.check_organization()?;
        if self.dns_names.is_empty() && self.ip_addresses.is_empty() {
            return Err("DNS or IP subjectAltName is required".to_owned());
        }
        refuse_names("Email", self.email_addresses.len())?;
        refuse_names("URI", self.uris.len())?;
        check_usages(usages, "server auth")?;
        self.check_common_name()
    }

    /// The node that the subject names.
    pub fn node_name(&self) -> Option<&str> {
        self.common_name.strip_prefix(NODE_PREFIX)
    }

    fn check_organization(&self) -> Result<(), String> {
        if self.organizations == ["system:nodes"] {
            Ok(())
        } else {
            Err("subject organization is not system:nodes".to_owned())
        }
    }

    fn check_common_name(&self) -> Result<(), String> {
        if self.node_name().is_some() {
            Ok(())
        } else {
            Err("subject common name does not begin with system:node:".to_owned())
        }
    }
}

fn refuse_names(kind: &str, count: usize) -> Result<(), String> {
    if count == 0 { Ok(()) } else { Err(format!("{kind} subjectAltNames are not allowed")) }
}

/// Exactly these usages; only RSA keys encipher.
fn check_usages(usages: &[String], purpose: &str) -> Result<(), String> {
    let has = |wanted: &str| usages.iter().any(|usage| usage == wanted);
    let known = ["digital signature", "key encipherment", purpose];
    let only_known = usages.iter().all(|usage| known.contains(&usage.as_str()));
    if has("digital signature") && has(purpose) && only_known {
        return Ok(());
    }
    let mut listed = known;
    listed.sort_unstable();
    Err(format!("usages did not match [{}]", listed.join(" ")))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// The request's conditions.
pub fn conditions(request: &CertificateSigningRequest) -> &[CertificateSigningRequestCondition] {
    request.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

/// Whether there is a condition of that type, whatever its status (upstream `GetCertApprovalCondition`).
pub fn has(request: &CertificateSigningRequest, type_: &str) -> bool {
    conditions(request).iter().any(|condition| condition.type_ == type_)
}

/// Whether somebody approved the request and nobody denied it.
pub fn is_approved(request: &CertificateSigningRequest) -> bool {
    has(request, "Approved") && !has(request, "Denied")
}

/// The certificate that was issued (PEM).
pub fn certificate(request: &CertificateSigningRequest) -> Option<&[u8]> {
    let certificate = request.status.as_ref()?.certificate.as_ref()?;
    (!certificate.0.is_empty()).then_some(certificate.0.as_slice())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn request(common_name: &str, organization: &str, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
    }

    fn usages(purpose: &str) -> Vec<String> {
        vec!["digital signature".to_owned(), purpose.to_owned()]
    }

    #[test]
    fn a_request_says_what_it_asks_for() {
        let pem = request("system:node:a", "system:nodes", &["a", "192.0.2.1"]);
        let requested = parse(pem.as_bytes()).unwrap();
        assert_eq!(requested.node_name(), Some("a"));
        assert_eq!(requested.dns_names, ["a"]);
        assert_eq!(requested.ip_addresses, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(requested.check_kubelet_serving(&usages("server auth")), Ok(()));
        let refused = requested.check_kubelet_client(&usages("client auth")).unwrap_err();
        assert_eq!(refused, "DNS subjectAltNames are not allowed");
    }

    #[test]
    fn only_nodes_ask_as_kubelets_and_with_the_right_usages() {
        let check = |pem: String, usages: &[String], expected: Result<(), &str>| {
            let outcome = parse(pem.as_bytes()).unwrap().check_kubelet_client(usages);
            assert_eq!(outcome, expected.map_err(str::to_owned));
        };
        let client = usages("client auth");
        check(request("system:node:a", "system:nodes", &[]), &client, Ok(()));
        check(request("system:node:a", "x", &[]), &client, Err("subject organization is not system:nodes"));
        check(
            request("a", "system:nodes", &[]),
            &client,
            Err("subject common name does not begin with system:node:"),
        );
        check(
            request("system:node:a", "system:nodes", &[]),
            &usages("server auth"),
            Err("usages did not match [client auth digital signature key encipherment]"),
        );
    }

    #[test]
    fn what_is_no_request_or_was_tampered_with_is_refused() {
        let refused = |pem: &str| parse(pem.as_bytes()).unwrap_err();
        assert_eq!(refused("x"), "PEM block type must be CERTIFICATE REQUEST");
        let certificate = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap().cert.pem();
        assert_eq!(refused(&certificate), "PEM block type must be CERTIFICATE REQUEST");
        let (_, mut block) = parse_x509_pem(request("abcdef", "o", &[]).as_bytes()).unwrap();
        let at = block.contents.windows(6).position(|window| window == b"abcdef").unwrap();
        block.contents[at] = b'z';
        let tampered = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", block.contents));
        assert_eq!(refused(&tampered), "x509: ECDSA verification failure");
    }
}

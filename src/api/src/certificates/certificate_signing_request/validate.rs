//! What makes a request wrong (upstream: `pkg/apis/certificates/validation`). A fault that the stored request has
//! already is forgiven in an update.

use std::collections::HashSet;

use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use machinery::field::{Error, ErrorList, Path};
use machinery::names;
use objects::certificate_request as request;
use x509_parser::pem::Pem;

use crate::checks;

const MIN_SECONDS: i32 = 600;
const MAX_DOMAIN: usize = 253;
/// A domain, a slash, and a label with a subdomain.
const MAX_SIGNER_NAME: usize = MAX_DOMAIN + 1 + 253 + 63 + 1;
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
/// Conditions that are true or absent.
const FINAL: [&str; 3] = ["Approved", "Denied", "Failed"];

/// Which part of the status an update may change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Neither,
    Approval,
    Certificate,
}

/// Errors of a request; `old` is what an update replaces.
pub(super) fn validate(
    csr: &CertificateSigningRequest,
    old: Option<&CertificateSigningRequest>,
) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    if let Err(error) = request::parse(&csr.spec.request.0) {
        // Upstream shows absent bytes as null; a request that is there but empty is taken for an absent one here.
        let shown = Some(&csr.spec.request).filter(|request| !request.0.is_empty());
        errors.push(Error::invalid(&path.child("request"), shown, error));
    }
    errors.extend(usages(csr, old, &path.child("usages")));
    errors.extend(signer(csr, old, &path.child("signerName")));
    if let Some(seconds) = csr.spec.expiration_seconds.filter(|seconds| *seconds < MIN_SECONDS) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(Error::invalid(&path.child("expirationSeconds"), seconds, detail));
    }
    let known = old.map(request::conditions).unwrap_or_default();
    errors.extend(conditions(request::conditions(csr), known, &Path::new("status.conditions")));
    errors.extend(certificate(csr, old, &Path::new("status.certificate")));
    errors
}

/// Errors of an update that may change `part`.
pub(super) fn validate_update(
    new: &CertificateSigningRequest,
    old: &CertificateSigningRequest,
    part: Part,
) -> ErrorList {
    let mut errors = checks::metadata(new);
    errors.extend(validate(new, Some(old)));
    let path = Path::new("status.conditions");
    let of = |csr, type_| -> Vec<&CertificateSigningRequestCondition> { of_type(csr, type_) };
    for type_ in FINAL.iter().filter(|type_| of(new, type_).len() < of(old, type_).len()) {
        let detail = format!("updates may not remove a condition of type {type_:?}");
        errors.push(Error::forbidden(&path, detail));
    }
    for type_ in FINAL[..2].iter().filter(|_| part != Part::Approval) {
        let (new, old) = (of(new, type_), of(old, type_));
        if new.len() > old.len() {
            let detail = format!("updates may not add a condition of type {type_:?}");
            errors.push(Error::forbidden(&path, detail));
        } else if new.len() == old.len() && new != old {
            let detail = format!("updates may not modify a condition of type {type_:?}");
            errors.push(Error::forbidden(&path, detail));
        }
    }
    let (issued, before) = (request::certificate(new), request::certificate(old));
    let path = Path::new("status.certificate");
    if issued != before && part != Part::Certificate {
        errors.push(Error::forbidden(&path, "updates may not set certificate content"));
    } else if issued != before && before.is_some() {
        errors.push(Error::forbidden(&path, "updates may not modify existing certificate content"));
    }
    errors.extend(checks::metadata_update(new, old));
    errors
}

fn of_type<'a>(
    csr: &'a CertificateSigningRequest,
    type_: &str,
) -> Vec<&'a CertificateSigningRequestCondition> {
    request::conditions(csr).iter().filter(|condition| condition.type_ == type_).collect()
}

fn usages(
    csr: &CertificateSigningRequest,
    old: Option<&CertificateSigningRequest>,
    path: &Path,
) -> ErrorList {
    fn list(csr: &CertificateSigningRequest) -> &[String] {
        csr.spec.usages.as_deref().unwrap_or_default()
    }
    let known = |usage: &String| USAGES.contains(&usage.as_str());
    let unknown_before = old.is_some_and(|old| !list(old).iter().all(known));
    let twice_before = old.is_some_and(|old| has_twice(list(old)));
    let mut errors = ErrorList::new();
    if list(csr).is_empty() {
        errors.push(Error::required(path, ""));
    }
    for (at, usage) in list(csr).iter().enumerate().filter(|(_, usage)| !unknown_before && !known(usage)) {
        errors.push(Error::not_supported(&path.index(at), usage, &USAGES));
    }
    let mut seen = HashSet::new();
    for (at, usage) in list(csr).iter().enumerate() {
        if !seen.insert(usage) && !twice_before {
            errors.push(Error::duplicate(&path.index(at), usage));
        }
    }
    errors
}

fn has_twice<'a>(list: impl IntoIterator<Item = &'a String>) -> bool {
    let mut seen = HashSet::new();
    !list.into_iter().all(|item| seen.insert(item))
}

fn signer(
    csr: &CertificateSigningRequest,
    old: Option<&CertificateSigningRequest>,
    path: &Path,
) -> ErrorList {
    let name = csr.spec.signer_name.as_str();
    let legacy_before = old.is_some_and(|old| old.spec.signer_name == request::LEGACY_UNKNOWN);
    if name == request::LEGACY_UNKNOWN && !legacy_before {
        let detail = "the legacy signerName is not allowed via this API version";
        return vec![Error::invalid(path, name, detail)];
    }
    signer_name(name, path)
}

/// `domain/path`, the domain of at least two labels (upstream `ValidateSignerName`).
fn signer_name(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let segments: Vec<&str> = name.split('/').collect();
    let [domain, rest] = segments[..] else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return vec![Error::invalid(path, name, detail)];
    };
    let mut errors = ErrorList::new();
    if domain.len() > MAX_DOMAIN {
        errors.push(Error::too_long(path, MAX_DOMAIN));
    }
    errors.extend(first_wrong_label(domain, names::dns1123_label, path));
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(Error::invalid(path, domain, detail));
    }
    errors.extend(first_wrong_label(rest, names::dns1123_subdomain, path));
    if name.len() > MAX_SIGNER_NAME {
        errors.push(Error::too_long(path, MAX_SIGNER_NAME));
    }
    errors
}

fn first_wrong_label(segment: &str, rule: fn(&str) -> Vec<String>, path: &Path) -> ErrorList {
    let judged = segment.split('.').map(|label| (label, rule(label)));
    let Some((label, complaints)) = judged.into_iter().find(|(_, complaints)| !complaints.is_empty()) else {
        return vec![];
    };
    let detail = |complaint: String| format!("validating label {label:?}: {complaint}");
    complaints.into_iter().map(|complaint| Error::invalid(path, segment, detail(complaint))).collect()
}

fn conditions(
    new: &[CertificateSigningRequestCondition],
    old: &[CertificateSigningRequestCondition],
    path: &Path,
) -> ErrorList {
    let had = |type_: &str| old.iter().any(|condition| condition.type_ == type_);
    let both_before = had("Approved") && had("Denied");
    let twice_before = has_twice(old.iter().map(|condition| &condition.type_));
    let mut errors = ErrorList::new();
    for (at, condition) in new.iter().enumerate() {
        let (path_at, type_) = (path.index(at), condition.type_.as_str());
        if type_.is_empty() && !had("") {
            errors.push(Error::required(&path_at.child("type"), ""));
        }
        errors.extend(status(condition, &path_at.child("status")));
        let earlier = |wanted: &str| new[..at].iter().any(|condition| condition.type_ == wanted);
        let contradicts =
            (type_ == "Approved" && earlier("Denied")) || (type_ == "Denied" && earlier("Approved"));
        if contradicts && !both_before {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.push(Error::invalid(path, type_, detail));
        }
        if earlier(type_) && !twice_before {
            errors.push(Error::duplicate(&path_at.child("type"), type_));
        }
    }
    errors
}

fn status(condition: &CertificateSigningRequestCondition, path: &Path) -> ErrorList {
    let allowed = if FINAL.contains(&condition.type_.as_str()) { &STATUSES[1..2] } else { &STATUSES[..] };
    crate::checks::one_of(Some(&condition.status), allowed, path)
}

fn certificate(
    csr: &CertificateSigningRequest,
    old: Option<&CertificateSigningRequest>,
    path: &Path,
) -> ErrorList {
    let Some(pem) = request::certificate(csr) else { return vec![] };
    let before = old.and_then(request::certificate);
    if before == Some(pem) || before.is_some_and(|before| certificates(before).is_err()) {
        return vec![];
    }
    match certificates(pem) {
        Ok(()) => vec![],
        Err(error) => vec![Error::invalid(path, "<certificate data>", error)],
    }
}

/// One PEM block of a certificate or more, and no block of anything else.
fn certificates(pem: &[u8]) -> Result<(), String> {
    let mut blocks = 0;
    for block in Pem::iter_from_buffer(pem) {
        let block = block.map_err(|_| "must contain at least one CERTIFICATE PEM block".to_owned())?;
        if block.label != "CERTIFICATE" {
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.label));
        }
        block.parse_x509().map_err(|error| error.to_string())?;
        blocks += 1;
    }
    if blocks == 0 { Err("must contain at least one CERTIFICATE PEM block".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::*;
    use crate::Kind;
    use crate::testing::{context, errors_of, object, stored};

    /// A request with a good PKCS#10 request, the given signer and usages.
    fn json(signer: &str, usages: &str) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let request = BASE64.encode(pem);
        format!(r#"{{"spec":{{"request":"{request}","signerName":"{signer}","usages":{usages}}}}}"#)
    }

    #[test]
    fn a_request_must_be_signed_and_ask_somebody_for_something() {
        errors_of::<CertificateSigningRequest>(&json("a.b/c", r#"["client auth"]"#), &[]);
        errors_of::<CertificateSigningRequest>(
            r#"{"spec":{"request":"eA==","signerName":"","expirationSeconds":599}}"#,
            &[
                "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST",
                "spec.usages: Required value",
                "spec.signerName: Required value",
                "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
            ],
        );
    }

    #[test]
    fn a_signer_is_a_domain_and_a_path() {
        let check = |signer: &str, expected: &str| {
            errors_of::<CertificateSigningRequest>(&json(signer, r#"["client auth"]"#), &[expected]);
        };
        check(
            "kubernetes.io/legacy-unknown",
            "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this API version",
        );
        check(
            "a",
            "spec.signerName: Invalid value: \"a\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
        );
        check(
            "a/b",
            "spec.signerName: Invalid value: \"a\": should be a domain with at least two segments separated by dots",
        );
    }

    #[test]
    fn usages_are_known_and_told_once() {
        let csr: CertificateSigningRequest = object(&json("a.b/c", r#"["signing","signing"]"#));
        let errors: Vec<String> = csr.validate().iter().map(ToString::to_string).collect();
        assert_eq!(errors, ["spec.usages[1]: Duplicate value: \"signing\""]);
        let csr: CertificateSigningRequest = object(&json("a.b/c", r#"["x"]"#));
        assert!(
            csr.validate()[0].to_string().starts_with("spec.usages[0]: Unsupported value: \"x\": supported")
        );
    }

    #[test]
    fn only_an_approval_approves_and_only_the_status_has_the_certificate() {
        let old: CertificateSigningRequest = stored(&json("a.b/c", r#"["client auth"]"#));
        let mut approved = old.clone();
        approved.status =
            serde_json::from_str(r#"{"conditions":[{"type":"Approved","status":"True"}]}"#).unwrap();
        let texts = |errors: ErrorList| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            texts(approved.validate_status_update(&old)),
            ["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""]
        );
        approved.prepare_for_approval_update(&old, &context());
        assert_eq!(texts(approved.validate_approval_update(&old)), Vec::<String>::new());
        assert_eq!(
            texts(old.validate_approval_update(&approved)),
            ["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""]
        );
        let certificate = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap().cert.pem();
        let mut issued = approved.clone();
        issued.status.as_mut().unwrap().certificate = Some(k8s_openapi::ByteString(certificate.into_bytes()));
        assert_eq!(texts(issued.validate_status_update(&approved)), Vec::<String>::new());
        assert_eq!(
            texts(issued.validate_approval_update(&approved)),
            ["status.certificate: Forbidden: updates may not set certificate content"]
        );
        issued.status.as_mut().unwrap().certificate = Some(k8s_openapi::ByteString(b"x".to_vec()));
        assert_eq!(
            texts(issued.validate_status_update(&approved)),
            [
                "status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block"
            ]
        );
    }
}

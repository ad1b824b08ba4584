//! Single values: plausible ones, and ones at which validation is likely to take offence.

use machinery::schema::{Field, Shape};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

use super::pool::Parts;

/// Strings that are wrong, or special, in some field.
const STRINGS: &[&str] = &[
    "",
    " ",
    "a",
    "A",
    "Bad_Name",
    "-a",
    "a-",
    "a.b",
    "a..b",
    "a/b",
    "a/b/c",
    "/",
    "/a",
    "/a/../b",
    "../a",
    "..",
    "..a",
    "a b",
    "a:b",
    "a=b",
    "é",
    "a\nb",
    "\u{1}",
    "0",
    "1",
    "080",
    "-1",
    "65536",
    "80",
    "http",
    "HTTP",
    "a-very-long-port-name",
    "123456",
    "true",
    "None",
    "none",
    "*",
    "*.example.com",
    "example.com",
    "example.com/thing",
    "EXAMPLE.com/x",
    "kubernetes.io/x",
    "node.kubernetes.io/x",
    "foo.k8s.io/bar",
    "_x.y/z",
    "10.0.0.1",
    "10.0.0.0/24",
    "10.0.0.1/24",
    "010.0.0.1",
    "127.0.0.1",
    "169.254.1.1",
    "224.0.0.1",
    "0.0.0.0",
    "::",
    "::1",
    "fd00::1",
    "FD00::0001",
    "fd00::/64",
    "::ffff:10.0.0.1",
    "fe80::1",
    "Always",
    "Never",
    "Exists",
    "In",
    "Equal",
    "NoSchedule",
    "NoExecute",
    "TCP",
    "UDP",
    "SCTP",
    "tcp",
    "ClusterIP",
    "ExternalName",
    "LoadBalancer",
    "NodePort",
    "IPv4",
    "IPv6",
    "Local",
    "Cluster",
    "Unknown",
    "True",
    "unknown",
    "1h",
    "10%",
    "101%",
    "0%",
    "-5%",
    "v1",
    "apps/v1",
    "a/b/v1",
    "metadata.name",
    "metadata.labels['a']",
    "metadata.labels['a b']",
    "spec.nodeName",
    "status.podIP",
    "limits.cpu",
    "kubernetes.io/hostname",
    "localhost/a",
    "runtime/default",
    "unconfined",
    "CAP_SYS_ADMIN",
    "ALL",
    "default",
    "https://example.com",
    "a,b",
    "cpu",
    "memory",
    "ephemeral-storage",
    "hugepages-2Mi",
    "example.com/gpu",
    "pods",
    "FOO",
    "FOO.BAR",
    "foo=bar",
    "1FOO",
    ".",
    "a\u{0}b",
    "kubernetes",
    "windows",
    "linux",
];

const KEYS: &[&str] = &[
    "",
    "a",
    "A_b",
    "a b",
    "-a",
    "a/b",
    "a/b/c",
    "example.com/a",
    "Example.com/a",
    "/a",
    "a/",
    ".a",
    "..",
    "..a",
    "a/../b",
    "cpu",
    "memory",
    "ephemeral-storage",
    "hugepages-2Mi",
    "hugepages-x",
    "example.com/gpu",
    "kubernetes.io/x",
    "requests.cpu",
    "app.kubernetes.io/created-by",
    "batch.kubernetes.io/job-tracking",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "container.apparmor.security.beta.kubernetes.io/web",
    "container.seccomp.security.alpha.kubernetes.io/web",
    "controller.kubernetes.io/pod-deletion-cost",
    "endpoints.kubernetes.io/over-capacity",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/config.mirror",
    "kubernetes.io/enforce-mountable-secrets",
    "kubernetes.io/ingress-bandwidth",
    "kubernetes.io/service-account.name",
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
    "node.alpha.kubernetes.io/ttl",
    "pod.alpha.kubernetes.io/init-containers",
    "pod.beta.kubernetes.io/init-containers",
    "scheduler.alpha.kubernetes.io/critical-pod",
    "scheduler.alpha.kubernetes.io/node-selector",
    "scheduler.alpha.kubernetes.io/preferAvoidPods",
    "scheduler.alpha.kubernetes.io/tolerations",
    "seccomp.security.alpha.kubernetes.io/pod",
    "security.alpha.kubernetes.io/sysctls",
    "service.beta.kubernetes.io/load-balancer-source-ranges",
    "service.kubernetes.io/headless",
    "service.kubernetes.io/topology-aware-hints",
    "service.kubernetes.io/topology-mode",
    "storage",
    "pods",
    "foo",
    "limits.example.com/gpu",
    "kubernetes.io/hostname",
];

const QUANTITIES: &[&str] = &[
    "0",
    "1",
    "-1",
    "100m",
    "1.5",
    "1m",
    "1n",
    "64Mi",
    "1Gi",
    "-64Mi",
    "2Mi",
    "3Mi",
    "1e3",
    "500Mi",
    "4Ei",
    "0.5",
    "1k",
    "0.1",
    "12E",
    "1Ei",
    "1.0005",
    "-0",
    "+5",
    "1e-3",
    "9223372036854775807",
    "1.5Gi",
    "1024",
    "100u",
    "2048Ki",
];

const TIMES: &[&str] = &[
    "2009-01-01T00:00:00Z",
    "2010-06-01T12:30:45Z",
    "1999-12-31T23:59:59Z",
    "2100-01-01T00:00:00Z",
    "2010-06-01T12:30:45+02:00",
    "2010-06-01T12:30:45.678Z",
    "1969-12-31T23:59:59Z",
];

const MICRO_TIMES: &[&str] = &[
    "2009-01-01T00:00:00.000000Z",
    "2010-06-01T12:30:45.123456Z",
    "2010-06-01T12:30:45.100000+02:00",
    "1969-12-31T23:59:59.999999Z",
];

const NUMBERS: &[i64] = &[
    0,
    1,
    -1,
    2,
    3,
    7,
    80,
    443,
    100,
    101,
    256,
    420,
    511,
    512,
    600,
    3600,
    86400,
    86401,
    30000,
    32767,
    65535,
    65536,
    2_147_483_647,
    -2_147_483_648,
    1000,
];

/// Something that the field might well hold.
pub(super) fn plausible(field: &Field, shape: &Shape, parts: &Parts, rng: &mut StdRng, depth: u8) -> Value {
    match shape {
        Shape::Struct(reference) => {
            let known = parts.of_type(reference.name());
            match known.choose(rng) {
                Some(value) if rng.random_bool(0.8) => value.clone(),
                _ => made(reference.get(), parts, rng, depth),
            }
        }
        Shape::List(element, _) => {
            let count = *[1, 1, 1, 2, 3].choose(rng).expect("not empty");
            (0..count).map(|_| plausible(field, element, parts, rng, depth)).collect()
        }
        Shape::Map(element, _) => {
            let count = rng.random_range(1..3);
            let pair = |_| (key(rng), plausible(field, element, parts, rng, depth));
            Value::Object((0..count).map(pair).collect())
        }
        Shape::String(_) => string(field, parts, rng),
        _ => scalar(shape, rng),
    }
}

fn made(type_: &'static machinery::schema::Type, parts: &Parts, rng: &mut StdRng, depth: u8) -> Value {
    let mut fields = Map::new();
    for field in &type_.fields {
        let wanted = if field.required { 0.95 } else { 0.35 / f64::from(depth + 1) };
        if depth < 5 && rng.random_bool(wanted) {
            fields.insert(field.name.to_owned(), plausible(field, &field.shape, parts, rng, depth + 1));
        }
    }
    Value::Object(fields)
}

fn string(field: &Field, parts: &Parts, rng: &mut StdRng) -> Value {
    if let Some(allowed) = field.allowed.choose(rng)
        && rng.random_bool(0.9)
    {
        return json!(allowed);
    }
    match parts.strings(field.name).choose(rng) {
        Some(known) if rng.random_bool(0.7) => known.clone(),
        _ => json!(STRINGS.choose(rng).expect("not empty")),
    }
}

/// A key for a map.
pub(super) fn key(rng: &mut StdRng) -> String {
    match rng.random_range(0..20) {
        0 => "a".repeat(64),
        1 => format!("{}/a", "a".repeat(254)),
        2 => "b".repeat(254),
        _ => (*KEYS.choose(rng).expect("not empty")).to_owned(),
    }
}

/// Something that the field is likely not to accept.
pub(super) fn odd(field: &Field, shape: &Shape, parts: &Parts, rng: &mut StdRng) -> Value {
    match shape {
        Shape::String(_) => match rng.random_range(0..12) {
            0 => json!("a".repeat(64)),
            1 => json!("a".repeat(254)),
            2 => json!("a".repeat(*[16, 33, 63, 253, 257, 1025, 4097].choose(rng).expect("not empty"))),
            3 => json!("Unheard-Of"),
            _ => json!(STRINGS.choose(rng).expect("not empty")),
        },
        Shape::Struct(_) => json!({}),
        Shape::List(..) if rng.random_bool(0.5) => json!([]),
        Shape::Map(..) if rng.random_bool(0.4) => json!({}),
        Shape::List(..) | Shape::Map(..) => plausible(field, shape, parts, rng, 1),
        _ => scalar(shape, rng),
    }
}

fn scalar(shape: &Shape, rng: &mut StdRng) -> Value {
    let number = *NUMBERS.choose(rng).expect("not empty");
    match shape {
        Shape::Bool => json!(rng.random_bool(0.5)),
        Shape::Int64 if rng.random_bool(0.1) => json!(i64::MAX),
        Shape::Int32 | Shape::Int64 | Shape::Float => json!(number),
        Shape::Bytes => json!(["", "YQ==", "bm90IGpzb24=", "e30="].choose(rng)),
        Shape::Quantity => json!(QUANTITIES.choose(rng)),
        Shape::IntOrString if rng.random_bool(0.5) => json!(number),
        Shape::IntOrString => json!(STRINGS.choose(rng)),
        Shape::Time => json!(TIMES.choose(rng)),
        Shape::MicroTime => json!(MICRO_TIMES.choose(rng)),
        _ => json!({"a": "b"}),
    }
}

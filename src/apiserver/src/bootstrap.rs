//! What every cluster has from its first moment: the system namespaces, the default roles and bindings, and the service
//! `default/kubernetes`, whose endpoint is this server.
//!
//! Written through the ordinary write path as `system:apiserver`, all at once, so that the store commits them in a few
//! groups; what is there already is repaired, not replaced. The namespaces and the service are looked after for as long as
//! the server lives: without `kube-node-lease` no node could say that it is alive.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::{Kind, Object};
use futures::future::try_join_all;
use http::Request;
use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Namespace, Service, ServicePort, ServiceSpec,
};
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointPort as SlicePort, EndpointSlice,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::Status;
use tokio::time::sleep;

use crate::Error;
use crate::call::{Call, Warnings};
use crate::chain::request_info::RequestInfo;
use crate::query::Query;
use crate::rbac::{aggregated, reconcile};
use crate::server::Server;
use crate::special::service_addresses::Addresses;
use crate::user::{MASTERS, User};
use crate::verbs::options::{FieldValidation, WriteOptions};
use crate::write::{Intent, Source, View, write};

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
const PORT: i32 = 443;
const NAME: &str = "kubernetes";
/// How often it is seen to that all is still there: upstream's for the service; it looks for the namespaces each minute.
const INTERVAL: Duration = Duration::from_secs(10);

/// Writes what is missing and starts what keeps it true.
pub(crate) async fn run(server: &Arc<Server>) -> Result<(), Error> {
    namespaces(server).await?;
    server.health.namespaces.store(true, Ordering::Release);
    tokio::try_join!(
        async {
            reconcile::defaults(server).await?;
            server.health.roles.store(true, Ordering::Release);
            Ok(())
        },
        async {
            kubernetes(server, true).await?;
            server.health.service.store(true, Ordering::Release);
            Ok(())
        },
    )?;
    tokio::spawn(aggregated::follow(server.clone()));
    tokio::spawn(keep(server.clone()));
    Ok(())
}

/// Writes again what somebody has deleted or changed, until the server drains. Where nothing is amiss, this is a look at
/// a few objects in memory.
async fn keep(server: Arc<Server>) {
    loop {
        tokio::select! {
            () = server.draining.cancelled() => return,
            () = sleep(INTERVAL) => {}
        }
        for outcome in [namespaces(&server).await, kubernetes(&server, false).await] {
            if let Err(error) = outcome {
                tracing::warn!(%error, "what every cluster has is not all there, will be tried again");
            }
        }
    }
}

async fn namespaces(server: &Arc<Server>) -> Result<(), Error> {
    try_join_all(NAMESPACES.map(|name| ensure(server, namespace(name), |_, _| false))).await.map(drop)
}

fn namespace(name: &str) -> Namespace {
    Namespace { metadata: metadata("", name), ..Namespace::default() }
}

fn metadata(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        ..ObjectMeta::default()
    }
}

/// The service by which pods reach this server, its endpoints and their slice. Endpoints that are there are led here at the
/// start alone: where several servers share a store, each would undo what the others write.
async fn kubernetes(server: &Arc<Server>, starts: bool) -> Result<(), Error> {
    let (service, endpoints, slice) = (service(server), endpoints(server), slice(server));
    tokio::try_join!(
        ensure(server, service, |present, wanted| replace(&mut present.spec, &wanted.spec, |a, b| {
            a.as_ref().and_then(|a| a.ports.clone()) == b.as_ref().and_then(|b| b.ports.clone())
        })),
        ensure(server, endpoints, |present, wanted| {
            starts && replace(&mut present.subsets, &wanted.subsets, |a, b| a == b)
        }),
        ensure(server, slice, |present, wanted| {
            if !starts {
                return false;
            }
            let ports = replace(&mut present.ports, &wanted.ports, |a, b| a == b);
            replace(&mut present.endpoints, &wanted.endpoints, |a, b| a == b) || ports
        }),
    )?;
    Ok(())
}

fn replace<T: Clone>(present: &mut T, wanted: &T, same: impl Fn(&T, &T) -> bool) -> bool {
    let differs = !same(present, wanted);
    if differs {
        present.clone_from(wanted);
    }
    differs
}

fn service(server: &Server) -> Service {
    let mut metadata = metadata("default", NAME);
    metadata.labels = Some(
        [("component", "apiserver"), ("provider", NAME)].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
    );
    let ip = Addresses::nth(&server.service_cidr, 1).to_string();
    let port = ServicePort {
        name: Some("https".to_owned()),
        port: PORT,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::Int(server.advertise.port().into())),
        ..ServicePort::default()
    };
    let spec = ServiceSpec {
        type_: Some("ClusterIP".to_owned()),
        cluster_ip: Some(ip.clone()),
        cluster_ips: Some(vec![ip]),
        session_affinity: Some("None".to_owned()),
        ports: Some(vec![port]),
        ..ServiceSpec::default()
    };
    Service { metadata, spec: Some(spec), ..Service::default() }
}

fn endpoints(server: &Server) -> Endpoints {
    let mut metadata = metadata("default", NAME);
    metadata.labels =
        Some([("endpointslice.kubernetes.io/skip-mirror".to_owned(), "true".to_owned())].into());
    let address = EndpointAddress { ip: server.advertise.ip().to_string(), ..EndpointAddress::default() };
    let port = EndpointPort {
        name: Some("https".to_owned()),
        port: server.advertise.port().into(),
        protocol: Some("TCP".to_owned()),
        app_protocol: None,
    };
    let subset =
        EndpointSubset { addresses: Some(vec![address]), ports: Some(vec![port]), not_ready_addresses: None };
    Endpoints { metadata, subsets: Some(vec![subset]) }
}

fn slice(server: &Server) -> EndpointSlice {
    let mut metadata = metadata("default", NAME);
    metadata.labels = Some([("kubernetes.io/service-name".to_owned(), NAME.to_owned())].into());
    let ip = server.advertise.ip();
    EndpointSlice {
        metadata,
        address_type: if ip.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned(),
        endpoints: Some(vec![Endpoint {
            addresses: vec![ip.to_string()],
            conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
            ..Endpoint::default()
        }]),
        ports: Some(vec![SlicePort {
            name: Some("https".to_owned()),
            port: Some(server.advertise.port().into()),
            protocol: Some("TCP".to_owned()),
            app_protocol: None,
        }]),
    }
}

/// Makes sure that an object is there; `repair` changes one that is, and says whether it did.
pub(crate) async fn ensure<T: Kind>(
    server: &Arc<Server>,
    wanted: T,
    repair: impl Fn(&mut T, &T) -> bool + Send + Sync,
) -> Result<(), Error> {
    let meta = wanted.metadata().clone();
    let (namespace, name) = (meta.namespace.unwrap_or_default(), meta.name.unwrap_or_default());
    let kind = server.registry.of::<T>().clone();
    let shown = || format!("{} {name}", kind.resource.resource);
    let key = crate::verbs::key(&kind, &namespace, &name);
    let Some(entry) = server.store.get(&key) else {
        let created = own(server, &kind, &namespace, &name, Source::Own(Object::new(wanted))).await;
        return match created {
            Err(status) if status.reason() != "AlreadyExists" => Err(failed(&shown(), status)),
            Ok(()) | Err(_) => Ok(()),
        };
    };
    let unreadable = |error: api::Error| failed(&shown(), Status::internal(error));
    let mut present = kind.decode_stored(&entry.bytes).map_err(unreadable)?;
    let typed = present.downcast_mut::<T>().expect("stored under the kind's own resource");
    if !repair(typed, &wanted) {
        return Ok(());
    }
    change::<T>(server, &namespace, &name, |present| {
        repair(present, &wanted);
    })
    .await
    .map_err(|status| failed(&shown(), status))
}

/// Why the server could not start.
pub(crate) fn failed(object: &str, cause: Status) -> Error {
    Error::Bootstrap { object: object.to_owned(), cause }
}

/// Changes an object that is there.
pub(crate) async fn change<T: Kind>(
    server: &Arc<Server>,
    namespace: &str,
    name: &str,
    change: impl Fn(&mut T) + Send + Sync,
) -> Result<(), Status> {
    let kind = server.registry.of::<T>().clone();
    let source = Source::Change(Box::new(move |object| {
        change(object.downcast_mut::<T>().expect("stored under the kind's own resource"));
        Ok(())
    }));
    own(server, &kind, namespace, name, source).await
}

/// A write of the server's own.
async fn own(
    server: &Arc<Server>,
    kind: &Arc<api::Descriptor>,
    namespace: &str,
    name: &str,
    source: Source<'_>,
) -> Result<(), Status> {
    let (parts, ()) = Request::new(()).into_parts();
    let user = Arc::new(User::new("system:apiserver", &[MASTERS]));
    let call =
        Call::new(server.clone(), parts, Query::default(), RequestInfo::default(), user, Warnings::default());
    let intent = Intent {
        call: &call,
        kind,
        subresource: "",
        view: View::Main,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        generated: 0,
        source,
        options: WriteOptions { dry_run: false, field_validation: FieldValidation::Ignore },
    };
    write(intent).await.map(|_| ())
}

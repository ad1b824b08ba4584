//! What every cluster has from its first moment: the system namespaces, the default roles and bindings, the range of service
//! addresses, and the service `default/kubernetes`, whose endpoint is this server.
//!
//! Written through the ordinary write path as `system:apiserver`, all at once, so that the store commits them in a few
//! groups; what is there already is repaired, not replaced. The namespaces and the service are looked after for as long as
//! the server lives: without `kube-node-lease` no node could say that it is alive.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use api::{Kind, Object};
use futures::future::try_join_all;
use http::Request;
use k8s_openapi::api::core::v1::{Namespace, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{ServiceCIDR, ServiceCIDRSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::Status;
use tokio::time::sleep;

use crate::Error;
use crate::call::{Call, Warnings};
use crate::chain::request_info::RequestInfo;
use crate::query::Query;
use crate::rbac::{aggregated, reconcile};
use crate::server::Server;
use crate::special::service_addresses::{Addresses, PATIENCE};
use crate::user::{MASTERS, User};
use crate::verbs::options::{FieldValidation, WriteOptions};
use crate::write::{Intent, Source, View, write};

pub mod endpoints;

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
const PORT: i32 = 443;
const NAME: &str = "kubernetes";
/// How often it is seen to that all is still there: upstream's for the service; it looks for the namespaces each minute.
const INTERVAL: Duration = Duration::from_secs(10);
/// After which time the start looks again whether the service's address is free.
const AGAIN: Duration = Duration::from_millis(500);

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
            kubernetes_in_the_end(server).await?;
            range(server).await?;
            server.health.service.store(true, Ordering::Release);
            Ok(())
        },
    )?;
    server.addresses.repair().await;
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
        if server.store.orders_writes() {
            server.addresses.repair().await;
        }
        for outcome in [namespaces(&server).await, kubernetes(&server, false).await, range(&server).await] {
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

/// The service by which pods reach this server, its endpoints and their slice. Where several servers share a store, whoever
/// puts this one together keeps the endpoints. Those that are there are led here at the start alone: an administrator may
/// lead them elsewhere.
async fn kubernetes(server: &Arc<Server>, starts: bool) -> Result<(), Error> {
    let service = service(server);
    ensure(server, service, |present, wanted| {
        replace(&mut present.spec, &wanted.spec, |a, b| {
            a.as_ref().and_then(|a| a.ports.clone()) == b.as_ref().and_then(|b| b.ports.clone())
        })
    })
    .await?;
    if server.is_one_of_several {
        return Ok(());
    }
    let (endpoints, slice) = (endpoints::endpoints(server.advertise), endpoints::slice(server.advertise));
    tokio::try_join!(
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

/// The service, at the start. Its address is refused for as long as another server that starts, too, has reserved it and not
/// stored the service yet; what one that died then has reserved is given up in the end.
async fn kubernetes_in_the_end(server: &Arc<Server>) -> Result<(), Error> {
    let start = Instant::now();
    loop {
        match kubernetes(server, true).await {
            Err(Error::Bootstrap { cause, .. })
                if cause.reason() == "Invalid" && start.elapsed() < PATIENCE + INTERVAL =>
            {
                tracing::info!(%cause, "the service of the API is not there yet, will be tried again");
                server.addresses.repair().await;
                sleep(AGAIN).await;
            }
            outcome => return outcome,
        }
    }
}

/// The range of service addresses, and that it is ready (upstream: `pkg/controlplane/controller/defaultservicecidr`). A range
/// that is there and differs is left as it is; addresses are taken from the one that the server was started with.
async fn range(server: &Arc<Server>) -> Result<(), Error> {
    let mut metadata = metadata("", NAME);
    metadata.finalizers = Some(vec!["networking.k8s.io/service-cidr-finalizer".to_owned()]);
    let cidrs = vec![server.service_cidr.trunc().to_string()];
    let spec = Some(ServiceCIDRSpec { cidrs: Some(cidrs.clone()) });
    ensure(server, ServiceCIDR { metadata, spec, status: None }, |_, _| false).await?;
    let kind = server.registry.of::<ServiceCIDR>();
    let stored = server.store.get(&crate::verbs::key(kind, "", NAME));
    let Some(entry) = stored else { return Ok(()) };
    let unreadable = |error: api::Error| failed("servicecidrs kubernetes", Status::internal(error));
    let present = kind.decode_stored(&entry.bytes).map_err(unreadable)?;
    let is_unready =
        present.downcast_ref::<ServiceCIDR>().is_some_and(|range| lacks_readiness(range, &cidrs));
    if !is_unready {
        return Ok(());
    }
    let changed = change::<ServiceCIDR>(server, View::Status, "", NAME, |range| {
        if lacks_readiness(range, &cidrs) {
            let conditions = range.status.get_or_insert_default().conditions.get_or_insert_default();
            conditions.push(ready());
        }
    });
    changed.await.map_err(|status| failed("servicecidrs kubernetes", status))
}

/// Whether nobody has said yet of this range, which is to be these blocks and is to stay, that it is ready.
fn lacks_readiness(range: &ServiceCIDR, cidrs: &[String]) -> bool {
    let blocks = range.spec.as_ref().and_then(|spec| spec.cidrs.as_deref()).unwrap_or_default();
    let conditions =
        range.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let is_told = conditions.iter().any(|condition| condition.type_ == "Ready");
    blocks == cidrs && !is_told && range.metadata.deletion_timestamp.is_none()
}

fn ready() -> Condition {
    Condition {
        type_: "Ready".to_owned(),
        status: "True".to_owned(),
        message: "Kubernetes default Service CIDR is ready".to_owned(),
        reason: String::new(),
        last_transition_time: machinery::meta::now(),
        observed_generation: None,
    }
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
        let created =
            own(server, &kind, &namespace, &name, Source::Own(Object::new(wanted)), View::Main).await;
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
    change::<T>(server, View::Main, &namespace, &name, |present| {
        repair(present, &wanted);
    })
    .await
    .map_err(|status| failed(&shown(), status))
}

/// Why the server could not start.
pub(crate) fn failed(object: &str, cause: Status) -> Error {
    Error::Bootstrap { object: object.to_owned(), cause }
}

/// Changes a part of an object that is there.
pub(crate) async fn change<T: Kind>(
    server: &Arc<Server>,
    view: View,
    namespace: &str,
    name: &str,
    change: impl Fn(&mut T) + Send + Sync,
) -> Result<(), Status> {
    let kind = server.registry.of::<T>().clone();
    let source = Source::Change(Box::new(move |object| {
        change(object.downcast_mut::<T>().expect("stored under the kind's own resource"));
        Ok(())
    }));
    own(server, &kind, namespace, name, source, view).await
}

/// A write of the server's own.
async fn own(
    server: &Arc<Server>,
    kind: &Arc<api::Descriptor>,
    namespace: &str,
    name: &str,
    source: Source<'_>,
    view: View,
) -> Result<(), Status> {
    let (parts, ()) = Request::new(()).into_parts();
    let user = Arc::new(User::new("system:apiserver", &[MASTERS]));
    let call =
        Call::new(server.clone(), parts, Query::default(), RequestInfo::default(), user, Warnings::default());
    let intent = Intent {
        call: &call,
        kind,
        subresource: if view == View::Status { "status" } else { "" },
        view,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        generated: 0,
        source,
        options: WriteOptions { dry_run: false, field_validation: FieldValidation::Ignore },
    };
    write(intent).await.map(|_| ())
}

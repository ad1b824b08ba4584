//! The endpoints of the service `default/kubernetes`, in both forms.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints};
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointPort as SlicePort, EndpointSlice,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::NAME;

fn metadata() -> ObjectMeta {
    super::metadata("default", NAME)
}

/// Endpoints that are a server at `at`.
pub fn endpoints(at: SocketAddr) -> Endpoints {
    let mut metadata = metadata();
    metadata.labels =
        Some([("endpointslice.kubernetes.io/skip-mirror".to_owned(), "true".to_owned())].into());
    let address = EndpointAddress { ip: at.ip().to_string(), ..EndpointAddress::default() };
    let port = EndpointPort {
        name: Some("https".to_owned()),
        port: at.port().into(),
        protocol: Some("TCP".to_owned()),
        app_protocol: None,
    };
    let subset =
        EndpointSubset { addresses: Some(vec![address]), ports: Some(vec![port]), not_ready_addresses: None };
    Endpoints { metadata, subsets: Some(vec![subset]) }
}

/// Their slice.
pub fn slice(at: SocketAddr) -> EndpointSlice {
    let mut metadata = metadata();
    metadata.labels = Some([("kubernetes.io/service-name".to_owned(), NAME.to_owned())].into());
    let ip = at.ip();
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
            port: Some(at.port().into()),
            protocol: Some("TCP".to_owned()),
            app_protocol: None,
        }]),
    }
}

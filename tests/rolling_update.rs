//! A rolling update while a client loops against the service: no request fails. And the rest of `kubectl rollout`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cluster::{Cluster, eventually};
use crate::deployment::web;
use crate::images::image;

/// What a client in a loop saw.
#[derive(Default, Debug)]
pub(crate) struct Seen {
    pub(crate) answers: u32,
    pub(crate) failures: Vec<String>,
    pub(crate) last: String,
}

/// Requests one after the other, each on a connection of its own, until told to stop.
pub(crate) fn requests_until(stop: Arc<AtomicBool>, service: SocketAddr) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        match request(service) {
            Ok(answer) => {
                seen.answers += 1;
                seen.last = answer;
            }
            Err(error) => seen.failures.push(format!("request {}: {error}", seen.answers)),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    seen
}

fn request(service: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&service, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200") {
        Ok(answer.lines().last().unwrap_or_default().to_owned())
    } else {
        Err(std::io::Error::other(format!("answer {answer:?}")))
    }
}

/// The address of a service's first port.
pub(crate) fn address_of(cluster: &Cluster, service: &str) -> SocketAddr {
    cluster
        .ok(&["get", "service", service, "-o", "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}"])
        .parse()
        .unwrap()
}

/// The pods help, as good ones do: a readiness probe, and two seconds in `preStop` to answer what still comes.
#[test]
fn no_request_fails_while_an_image_rolls() {
    let cluster = Cluster::start();
    cluster.apply(&web(3, "v1"));
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let service = address_of(&cluster, "web");
    eventually("the service answers on the node", || request_on(&cluster, service).is_ok().then_some(()));

    let stop = Arc::new(AtomicBool::new(false));
    let looping = cluster.host.run({
        let stop = stop.clone();
        move || requests_until(stop, service)
    });
    cluster.ok(&["set", "image", "deployment/web", &format!("web={}", image("web:v2"))]);
    let status = cluster.ok(&["rollout", "status", "deployment/web", "--timeout=90s"]);
    assert!(status.contains("successfully rolled out"), "{status}");
    eventually("old pods are gone", || {
        (cluster.ok(&["get", "pods", "-l", "app=web", "-o", "name"]).lines().count() == 3).then_some(())
    });
    stop.store(true, Ordering::Relaxed);
    let seen = looping.join().unwrap();
    assert_eq!(seen.failures, Vec::<String>::new(), "of {} requests", seen.answers);
    assert!(seen.answers > 50 && seen.last.ends_with("v2"), "{seen:?}");

    assert_eq!(revisions(&cluster), ["1", "2"]);
    cluster.ok(&["rollout", "undo", "deployment/web"]);
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=90s"]);
    let now =
        cluster.ok(&["get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}"]);
    assert!(now.ends_with("web:v1"), "{now}");
    assert_eq!(revisions(&cluster), ["2", "3"], "the first revision became the newest");

    cluster.ok(&["scale", "deployment/web", "--replicas=1"]);
    eventually("it is scaled down", || {
        (cluster.ok(&["get", "deployment", "web", "-o", "jsonpath={.status.replicas}"]) == "1").then_some(())
    });
}

/// The first column of `kubectl rollout history`, below its two lines of headings.
fn revisions(cluster: &Cluster) -> Vec<String> {
    let history = cluster.ok(&["rollout", "history", "deployment/web"]);
    history.lines().skip(2).filter_map(|row| row.split_whitespace().next()).map(str::to_owned).collect()
}

fn request_on(cluster: &Cluster, service: SocketAddr) -> std::io::Result<String> {
    cluster.host.run(move || request(service)).join().unwrap()
}

//! Probes and lifecycle hooks, which ask or tell a container by the same means (upstream: `validateProbe`,
//! `validateHandler`).

use k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Probe, SleepAction, TCPSocketAction,
};
use machinery::field::{Error, ErrorList, Path};
use machinery::names;

use crate::checks::{self, text};

/// Lifecycle, liveness, readiness and startup of a container that runs on.
pub(super) fn validate(container: &Container, grace_period: Option<i64>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(lifecycle) = &container.lifecycle {
        let path = path.child("lifecycle");
        for (handler, name) in [(&lifecycle.post_start, "postStart"), (&lifecycle.pre_stop, "preStop")] {
            let path = path.child(name);
            errors
                .extend(handler.iter().flat_map(|handler| Means::of(handler).validate(grace_period, &path)));
        }
    }
    if let Some(probe) = &container.liveness_probe {
        errors.extend(validate_succeeding_once(probe, &path.child("livenessProbe")));
    }
    if let Some(probe) = &container.readiness_probe {
        let path = path.child("readinessProbe");
        errors.extend(validate_probe(probe, &path));
        if let Some(seconds) = probe.termination_grace_period_seconds {
            let path = path.child("terminationGracePeriodSeconds");
            errors.push(Error::invalid(&path, seconds, "must not be set for readinessProbes"));
        }
    }
    if let Some(probe) = &container.startup_probe {
        errors.extend(validate_succeeding_once(probe, &path.child("startupProbe")));
    }
    errors
}

fn validate_succeeding_once(probe: &Probe, path: &Path) -> ErrorList {
    let mut errors = validate_probe(probe, path);
    let threshold = probe.success_threshold.unwrap_or_default();
    if threshold != 1 {
        errors.push(Error::invalid(&path.child("successThreshold"), threshold, "must be 1"));
    }
    errors
}

fn validate_probe(probe: &Probe, path: &Path) -> ErrorList {
    let means = Means {
        exec: probe.exec.as_ref(),
        http_get: probe.http_get.as_ref(),
        tcp_socket: probe.tcp_socket.as_ref(),
        grpc: probe.grpc.as_ref(),
        sleep: None,
    };
    let mut errors = means.validate(None, path);
    let numbers = [
        (probe.initial_delay_seconds, "initialDelaySeconds"),
        (probe.timeout_seconds, "timeoutSeconds"),
        (probe.period_seconds, "periodSeconds"),
        (probe.success_threshold, "successThreshold"),
        (probe.failure_threshold, "failureThreshold"),
    ];
    for (number, name) in numbers {
        errors.extend(checks::nonnegative(number.unwrap_or_default().into(), &path.child(name)));
    }
    if let Some(seconds) = probe.termination_grace_period_seconds {
        errors.extend(checks::positive(seconds, &path.child("terminationGracePeriodSeconds")));
    }
    errors
}

/// How a container is asked or told; exactly one.
struct Means<'a> {
    exec: Option<&'a ExecAction>,
    http_get: Option<&'a HTTPGetAction>,
    tcp_socket: Option<&'a TCPSocketAction>,
    grpc: Option<&'a GRPCAction>,
    sleep: Option<&'a SleepAction>,
}

impl<'a> Means<'a> {
    fn of(handler: &'a LifecycleHandler) -> Means<'a> {
        Means {
            exec: handler.exec.as_ref(),
            http_get: handler.http_get.as_ref(),
            tcp_socket: handler.tcp_socket.as_ref(),
            grpc: None,
            sleep: handler.sleep.as_ref(),
        }
    }

    fn validate(&self, grace_period: Option<i64>, path: &Path) -> ErrorList {
        let exec = path.child("exec");
        let http_get = path.child("httpGet");
        let tcp_socket = path.child("tcpSocket");
        let grpc = path.child("grpc");
        let sleep = path.child("sleep");
        let all = [
            self.exec.map(|action| (validate_exec(action, &exec), exec)),
            self.http_get.map(|action| (validate_get(action, &http_get), http_get)),
            self.tcp_socket.map(|action| {
                (checks::port_number_or_name(&action.port, &tcp_socket.child("port")), tcp_socket)
            }),
            self.grpc.map(|action| (checks::port_number(action.port, &grpc.child("port")), grpc)),
            self.sleep.map(|action| (validate_sleep(action, grace_period, &sleep), sleep)),
        ];
        let mut given = all.into_iter().flatten();
        let Some((mut errors, _)) = given.next() else {
            return vec![Error::required(path, "must specify a handler type")];
        };
        errors.extend(
            given.map(|(_, path)| Error::forbidden(&path, "may not specify more than 1 handler type")),
        );
        errors
    }
}

fn validate_exec(action: &ExecAction, path: &Path) -> ErrorList {
    let is_empty = action.command.as_ref().is_none_or(Vec::is_empty);
    if is_empty { vec![Error::required(&path.child("command"), "")] } else { vec![] }
}

fn validate_get(action: &HTTPGetAction, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if text(&action.path).is_empty() {
        errors.push(Error::required(&path.child("path"), ""));
    }
    errors.extend(checks::port_number_or_name(&action.port, &path.child("port")));
    errors.extend(checks::supported_only(text(&action.scheme), &["HTTP", "HTTPS"], &path.child("scheme")));
    for header in action.http_headers.iter().flatten() {
        let messages = names::http_header_name(&header.name);
        errors.extend(checks::each(&path.child("httpHeaders"), header.name.as_str(), messages));
    }
    errors
}

fn validate_sleep(action: &SleepAction, grace_period: Option<i64>, path: &Path) -> ErrorList {
    let Some(longest) = grace_period else { return vec![] };
    if (0..=longest).contains(&action.seconds) {
        return vec![];
    }
    let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({longest})");
    vec![Error::invalid(path, action.seconds, detail)]
}

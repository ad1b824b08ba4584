use super::*;
use crate::testing::{context, errors_of, errors_of_update, object, stored};

/// A pod with one container; `more` is further fields of its spec, each with a comma before it.
fn pod(more: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"p","generation":1}},"spec":{{"containers":[{{"name":"c","image":"i"}}]{more}}}}}"#
    )
}

/// A pod with one container with the given further fields.
fn container(more: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"p"}},"spec":{{"containers":[{{"name":"c","image":"i"{more}}}],"volumes":[{{"name":"v"}}]}}}}"#
    )
}

#[test]
fn a_new_pod_is_completed() {
    let mut new: Pod = object(
        r#"{"spec":{"containers":[{"name":"c","image":"i:1","ports":[{"containerPort":80}],
        "resources":{"limits":{"cpu":"1"}},"livenessProbe":{"httpGet":{"port":80}}}],"volumes":[{"name":"v"},{"name":"s","secret":{"secretName":"x"}}]}}"#,
    );
    new.set_defaults();
    new.prepare_for_create(&context());
    let expected = r#"{"metadata":{"generation":1},"spec":{"containers":[{"name":"c","image":"i:1","imagePullPolicy":"IfNotPresent",
        "ports":[{"containerPort":80,"protocol":"TCP"}],"resources":{"limits":{"cpu":"1"},"requests":{"cpu":"1"}},
        "livenessProbe":{"httpGet":{"port":80,"path":"/","scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,
        "failureThreshold":3},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],
        "volumes":[{"name":"v","emptyDir":{}},{"name":"s","secret":{"secretName":"x","defaultMode":420}}],
        "dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},
        "terminationGracePeriodSeconds":30,"enableServiceLinks":true},"status":{"phase":"Pending","qosClass":"Burstable"}}"#;
    assert_eq!(new, object(expected));
    assert_eq!(new.validate(), vec![]);
}

#[test]
fn the_older_name_of_the_service_account_is_read() {
    let mut new: Pod = object(&pod(r#","serviceAccount":"a""#));
    new.set_defaults();
    assert_eq!(new.spec.unwrap().service_account_name.as_deref(), Some("a"));
}

#[test]
fn containers_are_checked() {
    let check = errors_of::<Pod>;
    check(r#"{"spec":{"containers":[]}}"#, &["spec.containers: Required value"]);
    check(
        r#"{"spec":{"containers":[{"name":"c","image":"i"},{"name":"c"}]}}"#,
        &["spec.containers[1].image: Required value", "spec.containers[1].name: Duplicate value: \"c\""],
    );
    check(
        &container(r#","imagePullPolicy":"Sometimes","terminationMessagePolicy":"x""#),
        &[
            "spec.containers[0].terminationMessagePolicy: Unsupported value: \"x\": supported values: \"File\", \"FallbackToLogsOnError\"",
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ],
    );
    check(
        &container(
            r#","ports":[{"containerPort":0},{"containerPort":70000,"name":"a","hostPort":1},{"containerPort":2,"name":"a","hostPort":1}]"#,
        ),
        &[
            "spec.containers[0].ports[0].containerPort: Required value",
            "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            "spec.containers[0].ports[2].name: Duplicate value: \"a\"",
            "spec.containers[0].ports[2].hostPort: Duplicate value: \"TCP//1\"",
        ],
    );
    check(
        r#"{"spec":{"containers":[{"name":"c","image":" i"}]}}"#,
        &["spec.containers[0].image: Invalid value: \" i\": must not have leading or trailing whitespace"],
    );
}

#[test]
fn variables_are_checked() {
    let check = |env: &str, expected: &[&str]| errors_of::<Pod>(&container(&format!(",{env}")), expected);
    check(r#""env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['a']"}}}]"#, &[]);
    check(
        r#""env":[{"name":"A","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu","divisor":"1m"}}}]"#,
        &[],
    );
    check(r#""env":[{"value":"x"}]"#, &["spec.containers[0].env[0].name: Required value"]);
    check(
        r#""env":[{"name":"A","value":"x","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}]"#,
        &[
            "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
        ],
    );
    check(
        r#""env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"status.phase"}}}]"#,
        &[
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"status.phase\": supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
        ],
    );
    check(
        r#""envFrom":[{"prefix":"="}]"#,
        &[
            "spec.containers[0].envFrom[0].prefix: Invalid value: \"=\": a valid environment variable name must consist only of printable ASCII characters other than '='",
            "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
        ],
    );
}

#[test]
fn mounts_name_volumes() {
    let check = |mounts: &str, expected: &[&str]| {
        errors_of::<Pod>(&container(&format!(r#","volumeMounts":[{mounts}]"#)), expected);
    };
    check(r#"{"name":"v","mountPath":"/a"},{"name":"v","mountPath":"/b","subPath":"c"}"#, &[]);
    check(
        r#"{"name":"w","mountPath":"/a"},{"name":"v","mountPath":"/a"},{"name":"v"}"#,
        &[
            "spec.containers[0].volumeMounts[0].name: Not found: \"w\"",
            "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
            "spec.containers[0].volumeMounts[2].mountPath: Required value",
        ],
    );
    check(
        r#"{"name":"v","mountPath":"/a","subPath":"../b","mountPropagation":"Bidirectional"}"#,
        &[
            "spec.containers[0].volumeMounts.subPath: Invalid value: \"../b\": must not contain '..'",
            "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
        ],
    );
}

#[test]
fn volumes_have_one_source() {
    let check = |volumes: &str, expected: &[&str]| {
        errors_of::<Pod>(&pod(&format!(r#","serviceAccountName":"a","volumes":[{volumes}]"#)), expected);
    };
    check(
        r#"{"name":"a"},{"name":"b","projected":{"sources":[{"serviceAccountToken":{"path":"t"}},{"configMap":{"name":"m"}},
        {"downwardAPI":{"items":[{"path":"n","fieldRef":{"fieldPath":"metadata.namespace"}}]}}]}}"#,
        &[],
    );
    check(
        r#"{"name":"a","emptyDir":{},"hostPath":{"path":"/x"}},{"name":"b","secret":{}},{"name":"B"}"#,
        &[
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
            "spec.volumes[1].secret.secretName: Required value",
            "spec.volumes[2].name: Invalid value: \"B\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ],
    );
    check(
        r#"{"name":"a","configMap":{"name":"m","defaultMode":512,"items":[{"key":"k","path":"..x"}]}},{"name":"b","nfs":{"server":"s","path":"p"}}"#,
        &[
            "spec.volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
            "spec.volumes[0].configMap.items[0].path: Invalid value: \"..x\": must not start with '..'",
            "spec.volumes[1].nfs.path: Invalid value: \"p\": must be an absolute path",
        ],
    );
}

#[test]
fn probes_ask_by_one_means() {
    let check = |probe: &str, expected: &[&str]| {
        errors_of::<Pod>(&container(&format!(r#","livenessProbe":{probe}"#)), expected);
    };
    check(r#"{"exec":{"command":["true"]}}"#, &[]);
    check("{}", &["spec.containers[0].livenessProbe: Required value: must specify a handler type"]);
    check(
        r#"{"exec":{},"tcpSocket":{"port":"x"},"successThreshold":2,"periodSeconds":-1}"#,
        &[
            "spec.containers[0].livenessProbe.exec.command: Required value",
            "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
            "spec.containers[0].livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ],
    );
}

#[test]
fn init_containers_end_unless_they_are_sidecars() {
    let check = |init: &str, expected: &[&str]| {
        errors_of::<Pod>(
            &pod(&format!(r#","initContainers":[{{"name":"i","image":"i",{init}}}]"#)),
            expected,
        );
    };
    let probe = r#""startupProbe":{"exec":{"command":["true"]}}"#;
    check(&format!(r#""restartPolicy":"Always",{probe}"#), &[]);
    check(
        probe,
        &[
            "spec.initContainers[0].startupProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ],
    );
    check(
        r#""restartPolicy":"Maybe""#,
        &[
            "spec.initContainers[0].restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"Never\", \"OnFailure\"",
        ],
    );
}

#[test]
fn the_spec_is_checked() {
    let check = |more: &str, expected: &[&str]| errors_of::<Pod>(&pod(&format!(",{more}")), expected);
    check(
        r#""restartPolicy":"x","dnsPolicy":"y""#,
        &[
            "spec.restartPolicy: Unsupported value: \"x\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            "spec.dnsPolicy: Unsupported value: \"y\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\"",
        ],
    );
    check(
        r#""dnsPolicy":"None""#,
        &["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
    );
    check(r#""dnsConfig":{"searches":["a_b.example."],"nameservers":["10.0.0.1"]}"#, &[]);
    check(
        r#""tolerations":[{"operator":"Exists"},{"key":"a","operator":"In"},{"value":"b"}]"#,
        &[
            "spec.tolerations[1].operator: Unsupported value: \"In\": supported values: \"Equal\", \"Exists\"",
            "spec.tolerations[2].operator: Invalid value: \"\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        ],
    );
    check(
        r#""activeDeadlineSeconds":0,"hostAliases":[{"ip":"x"}]"#,
        &[
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
            "spec.hostAliases[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ],
    );
    check(
        r#""schedulingGates":[{"name":"a"},{"name":"a"}],"nodeName":"n""#,
        &[
            "spec.schedulingGates[1]: Duplicate value: \"a\"",
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
        ],
    );
}

#[test]
fn affinity_is_checked() {
    let check = |affinity: &str, expected: &[&str]| {
        errors_of::<Pod>(&pod(&format!(r#","affinity":{affinity}"#)), expected);
    };
    check(
        r#"{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"In"}]}]}}}"#,
        &[
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ],
    );
    check(
        r#"{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":0,"podAffinityTerm":{"labelSelector":{},"topologyKey":"a"}}]}}"#,
        &[
            "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: must be in the range 1-100",
        ],
    );
}

#[test]
fn security_is_checked() {
    let check = |context: &str, expected: &[&str]| {
        errors_of::<Pod>(&container(&format!(r#","securityContext":{context}"#)), expected);
    };
    check(
        r#"{"runAsUser":1000,"capabilities":{"drop":["ALL"]},"seccompProfile":{"type":"RuntimeDefault"}}"#,
        &[],
    );
    check(
        r#"{"runAsUser":-1,"seccompProfile":{"type":"Localhost"}}"#,
        &[
            "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            "spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
        ],
    );
    errors_of::<Pod>(
        &pod(r#","securityContext":{"sysctls":[{"name":"A","value":"1"}],"fsGroupChangePolicy":"x"}"#),
        &[
            r#"spec.securityContext.sysctls[0].name: Invalid value: "A": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"#,
            "spec.securityContext.fsGroupChangePolicy: Unsupported value: \"x\": supported values: \"Always\", \"OnRootMismatch\"",
        ],
    );
}

#[test]
fn only_some_of_a_pod_changes() {
    let check = |new: &str, expected: &[&str]| {
        errors_of_update::<Pod>(&pod(r#","tolerations":[{"operator":"Exists"}]"#), new, expected);
    };
    let kept =
        r#","tolerations":[{"operator":"Exists"},{"key":"a","operator":"Exists"}],"activeDeadlineSeconds":5"#;
    check(&pod(kept).replace("\"i\"", "\"j:1\"").replace("j:1\"", "j\""), &[]);
    check(
        &pod(""),
        &[
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
        ],
    );
    check(
        &pod(r#","tolerations":[{"operator":"Exists"}],"hostname":"h""#),
        &[
            "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n+ hostname: \"h\"\n",
        ],
    );
    check(
        r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"},{"name":"d","image":"i"}]}}"#,
        &["spec.containers: Forbidden: pod updates may not add or remove containers"],
    );
}

#[test]
fn a_gated_pod_may_narrow_its_choice() {
    let gated = |more: &str| pod(&format!(r#","schedulingGates":[{{"name":"a"}}]{more}"#));
    let check = errors_of_update::<Pod>;
    check(&gated(""), &gated(r#","nodeSelector":{"a":"b"}"#), &[]);
    check(&gated(""), &pod(""), &[]);
    check(
        &gated(r#","nodeSelector":{"a":"b"}"#),
        &gated(""),
        &[
            "spec.nodeSelector: Invalid value: null: only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        ],
    );
    check(
        &pod(""),
        &gated(""),
        &[
            "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'a'",
        ],
    );
}

#[test]
fn an_ended_container_stays_ended() {
    let with = |policy: &str, state: &str| {
        stored::<Pod>(&format!(
            r#"{{"spec":{{"restartPolicy":"{policy}","containers":[{{"name":"c"}}]}},
            "status":{{"containerStatuses":[{{"name":"c","image":"","imageID":"","ready":false,"restartCount":0,"state":{state}}}]}}}}"#
        ))
    };
    let count = |policy: &str, code: i32| {
        let old = with(policy, &format!(r#"{{"terminated":{{"exitCode":{code}}}}}"#));
        with(policy, r#"{"running":{}}"#).validate_status_update(&old).len()
    };
    assert_eq!(
        [count("Always", 0), count("OnFailure", 1), count("OnFailure", 0), count("Never", 1)],
        [0, 0, 1, 1]
    );
}

#[test]
fn an_update_of_the_status_keeps_the_rest() {
    let old: Pod = stored(
        r#"{"metadata":{"name":"p","ownerReferences":[]},"spec":{"containers":[],"nodeName":"n"},"status":{"qosClass":"Burstable","observedGeneration":2}}"#,
    );
    let mut new: Pod = stored(r#"{"metadata":{"name":"p"},"status":{"phase":"Running","podIP":"10.0.0.1"}}"#);
    new.set_defaults();
    new.prepare_for_status_update(&old, &context());
    assert_eq!(new.spec, old.spec);
    let status = new.status.clone().unwrap();
    assert_eq!((status.qos_class.as_deref(), status.observed_generation), (Some("Burstable"), Some(2)));
    assert_eq!(status.pod_ips.unwrap()[0].ip, "10.0.0.1");
    assert_eq!(new.validate_status_update(&old), vec![]);
}

#[test]
fn grace_is_given_to_pods_that_run() {
    let grace = |json: &str, requested| object::<Pod>(json).grace_period(requested);
    let bound = r#"{"spec":{"containers":[],"nodeName":"n","terminationGracePeriodSeconds":30}}"#;
    assert_eq!(grace(bound, None), Some(30));
    assert_eq!(grace(bound, Some(5)), Some(5));
    assert_eq!(grace(bound, Some(-1)), Some(1));
    assert_eq!(grace(r#"{"spec":{"containers":[],"terminationGracePeriodSeconds":30}}"#, None), Some(0));
    let ended = bound.replace("}}", r#"},"status":{"phase":"Failed"}}"#);
    assert_eq!(grace(&ended, None), Some(0));
}

#[test]
fn doubtful_specs_are_warned_of() {
    let mut new: Pod = object(
        r#"{"metadata":{"name":"a.b"},"spec":{"containers":[{"name":"c","image":"i","env":[{"name":"A"},{"name":"A"}],
        "ports":[{"containerPort":80},{"containerPort":80}]}]}}"#,
    );
    new.set_defaults();
    let warnings = new.warnings(None);
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert_eq!(
        warnings[1],
        "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply"
    );
    assert_eq!(
        warnings[2],
        "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"
    );
}

#[test]
fn containers_for_debugging_may_be_added_and_then_stay_as_they_are() {
    let with = |containers: &str| pod(&format!(r#","ephemeralContainers":[{containers}]"#));
    let (one, other) =
        (r#"{"name":"d","image":"i"}"#, r#"{"name":"e","image":"i","targetContainerName":"c"}"#);
    let check = |old: &str, new: &str, expected: &[&str]| {
        let mut old: Pod = object(old);
        let mut new: Pod = object(new);
        for pod in [&mut old, &mut new] {
            pod.metadata.namespace = Some("default".to_owned());
            pod.metadata.resource_version = Some("1".to_owned());
            pod.set_defaults();
        }
        new.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        new.spec.get_or_insert_default().containers[0].image = Some("other".to_owned());
        new.prepare_for_ephemeral_containers_update(&old, &context());
        let errors = crate::testing::texts(&new.validate_ephemeral_containers_update(&old));
        let first_line = |text: &String| text.lines().next().unwrap_or_default().to_owned();
        assert_eq!(errors.iter().map(first_line).collect::<Vec<_>>(), expected);
        new
    };
    let added = check(&pod(""), &with(one), &[]);
    assert_eq!(added.metadata.generation, Some(2));
    assert_eq!(added.metadata.labels, None, "nothing else changes");
    assert_eq!(added.spec.unwrap().containers[0].image.as_deref(), Some("i"));
    check(&with(one), &with(&format!("{other},{one}")), &[]);
    let unchanged = check(&with(one), &with(one), &[]);
    assert_eq!(unchanged.metadata.generation, Some(1));
    let forbidden = "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be";
    check(&with(one), &with(other), &[&format!("{forbidden} removed")]);
    check(&with(one), &with(r#"{"name":"d","image":"j"}"#), &[&format!("{forbidden} changed")]);
    check(
        &pod(""),
        &with(r#"{"name":"c","image":"i"}"#),
        &["spec.ephemeralContainers[0].name: Duplicate value: \"c\""],
    );
}

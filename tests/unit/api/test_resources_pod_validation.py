"""Validation of Pods, rule by rule: field path and words are Kubernetes' own. Each row breaks one rule and must give exactly that cause."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from polong.api.resources import pod_defaults, pod_updates, pod_validation

Json = dict[str, Any]

C = "spec.containers[0]"
I = "spec.initContainers[0]"  # noqa: E741
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric "
    "character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def spec(**fields: Any) -> Json:
    return {"containers": [{"name": "c", "image": "x:1"}], **fields}


def own(**fields: Any) -> Json:
    return {"containers": [{"name": "c", "image": "x:1", **fields}]}


def init(**fields: Any) -> Json:
    return spec(initContainers=[{"name": "i", "image": "x:1", **fields}])


def volume(**source: Any) -> Json:
    return spec(volumes=[{"name": "v", **source}])


def mount(**fields: Any) -> Json:
    return {"volumes": [{"name": "v"}], **own(volumeMounts=[{"name": "v", "mountPath": "/v", **fields}])}


def context(**fields: Any) -> Json:
    return own(securityContext=fields)


def causes(given: Json) -> list[str]:
    made = deepcopy(given)
    pod_defaults.apply(made)
    return [f"{cause.field}: {cause.message}" for cause in pod_validation.validate(made, creating=True)]


def invalid(value: str, text: str) -> str:
    return f"Invalid value: {value}: {text}"


PROBE = {"exec": {"command": ["true"]}}
ROWS: list[tuple[Json, str, str]] = [
    # names
    (spec(initContainers=[{"name": "c", "image": "x"}]), f"{I}.name", 'Duplicate value: "c"'),
    (init(name="I"), f"{I}.name", invalid('"I"', LABEL)),
    (init(image=""), f"{I}.image", "Required value"),
    (own(image=" x"), f"{C}.image", invalid('" x"', "must not have leading or trailing whitespace")),
    (own(terminationMessagePolicy="x"), f"{C}.terminationMessagePolicy",
     'Unsupported value: "x": supported values: "FallbackToLogsOnError", "File"'),
    # ports
    (own(ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]), f"{C}.ports[1].name", 'Duplicate value: "a"'),
    (own(ports=[{"containerPort": 1, "name": "a--b"}]), f"{C}.ports[0].name", invalid('"a--b"', "must not contain consecutive hyphens")),
    (own(ports=[{"name": "a"}]), f"{C}.ports[0].containerPort", "Required value"),
    (own(ports=[{"containerPort": 1, "protocol": "X"}]), f"{C}.ports[0].protocol",
     'Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"'),
    (own(ports=[{"containerPort": 1, "hostPort": 80}, {"containerPort": 2, "hostPort": 80}]), f"{C}.ports[1].hostPort",
     'Duplicate value: "TCP//80"'),
    (own(ports=[{"containerPort": 1, "hostPort": 99999}]), f"{C}.ports[0].hostPort",
     invalid("99999", "must be between 1 and 65535, inclusive")),
    # environment
    (own(env=[{"name": "A=B", "value": ""}]), f"{C}.env[0].name",
     invalid('"A=B"', "a valid environment variable name must consist only of printable ASCII characters other than '='")),
    (own(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]), f"{C}.env[0].valueFrom",
     invalid('""', "may not be specified when `value` is not empty")),
    (own(env=[{"name": "A", "valueFrom": {}}]), f"{C}.env[0].valueFrom",
     invalid('""', "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`")),
    (own(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.foo"}}}]), f"{C}.env[0].valueFrom.fieldRef.fieldPath",
     invalid('"metadata.foo"', "error converting fieldPath: field label not supported: metadata.foo")),
    (own(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]), f"{C}.env[0].valueFrom.fieldRef.fieldPath",
     'Unsupported value: "metadata.labels": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", '
     '"spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'),
    (own(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name['x']"}}}]), f"{C}.env[0].valueFrom.fieldRef",
     invalid('"metadata.name"', "does not support subscript")),
    (own(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['']"}}}]), f"{C}.env[0].valueFrom.fieldRef",
     invalid('""', "name part must be non-empty")),
    (own(env=[{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}]),
     f"{C}.env[0].valueFrom.resourceFieldRef.divisor",
     invalid('"limits.cpu"', "only divisor's values 1m and 1 are supported with the cpu resource")),
    (own(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": ".."}}}]), f"{C}.env[0].valueFrom.configMapKeyRef.key",
     invalid('".."', "must not be '..'")),
    (own(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]), f"{C}.env[0].valueFrom.secretKeyRef.key", "Required value"),
    (own(envFrom=[{}]), f"{C}.envFrom", invalid('""', "must specify one of: `configMapRef` or `secretRef`")),
    (own(envFrom=[{"configMapRef": {"name": "a"}, "secretRef": {"name": "b"}}]), f"{C}.envFrom",
     invalid('""', "may not have more than one field specified at a time")),
    (own(envFrom=[{"secretRef": {}}]), f"{C}.envFrom[0].secretRef.name", "Required value"),
    (own(envFrom=[{"prefix": "a=", "secretRef": {"name": "b"}}]), f"{C}.envFrom[0].prefix",
     invalid('"a="', "a valid environment variable name must consist only of printable ASCII characters other than '='")),
    # probes and hooks
    (own(livenessProbe={}), f"{C}.livenessProbe", "Required value: must specify a handler type"),
    (own(livenessProbe={**PROBE, "tcpSocket": {"port": 1}}), f"{C}.livenessProbe.tcpSocket",
     "Forbidden: may not specify more than 1 handler type"),
    (own(livenessProbe={"exec": {}}), f"{C}.livenessProbe.exec.command", "Required value"),
    (own(livenessProbe={**PROBE, "successThreshold": 2}), f"{C}.livenessProbe.successThreshold", invalid("2", "must be 1")),
    (own(startupProbe={**PROBE, "successThreshold": 2}), f"{C}.startupProbe.successThreshold", invalid("2", "must be 1")),
    (own(livenessProbe={**PROBE, "periodSeconds": -1}), f"{C}.livenessProbe.periodSeconds",
     invalid("-1", "must be greater than or equal to 0")),
    (own(livenessProbe={**PROBE, "terminationGracePeriodSeconds": 0}), f"{C}.livenessProbe.terminationGracePeriodSeconds",
     invalid("0", "must be greater than 0")),
    (own(readinessProbe={**PROBE, "terminationGracePeriodSeconds": 3}), f"{C}.readinessProbe.terminationGracePeriodSeconds",
     invalid("3", "must not be set for readinessProbes")),
    (own(readinessProbe={"httpGet": {"port": 0}}), f"{C}.readinessProbe.httpGet.port",
     invalid("0", "must be between 1 and 65535, inclusive")),
    (own(readinessProbe={"httpGet": {"port": "-x"}}), f"{C}.readinessProbe.httpGet.port",
     invalid('"-x"', "must not begin or end with a hyphen")),
    (own(readinessProbe={"httpGet": {"port": 1, "scheme": "http"}}), f"{C}.readinessProbe.httpGet.scheme",
     'Unsupported value: "http": supported values: "HTTP", "HTTPS"'),
    (own(readinessProbe={"httpGet": {"port": 1, "httpHeaders": [{"name": "a b", "value": "x"}]}}),
     f"{C}.readinessProbe.httpGet.httpHeaders",
     invalid('"a b"', "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation "
                      "is '[-A-Za-z0-9]+')")),
    (own(readinessProbe={"grpc": {"port": 70000}}), f"{C}.readinessProbe.grpc.port",
     invalid("70000", "must be between 1 and 65535, inclusive")),
    (own(lifecycle={"preStop": {}}), f"{C}.lifecycle.preStop", "Required value: must specify a handler type"),
    (own(lifecycle={"preStop": {"sleep": {"seconds": 31}}}), f"{C}.lifecycle.preStop.sleep",
     invalid("31", "must be non-negative and less than terminationGracePeriodSeconds (30)")),
    (own(lifecycle={"stopSignal": "SIGUSR1"}), f"{C}.lifecycle.stopSignal",
     "Forbidden: may not be set for containers with empty `spec.os.name`"),
    # init containers, side-cars, restart rules
    (init(readinessProbe=PROBE), f"{I}.readinessProbe", "Forbidden: may not be set for init containers without restartPolicy=Always"),
    (init(lifecycle={"preStop": PROBE}), f"{I}.lifecycle", "Forbidden: may not be set for init containers without restartPolicy=Always"),
    (init(restartPolicy="Sometimes"), f"{I}.restartPolicy",
     'Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"'),
    (own(restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]), f"{C}.restartPolicy",
     "Required value: must specify restartPolicy when restart rules are used"),
    (own(restartPolicy="Never", restartPolicyRules=[{"action": "Stop", "exitCodes": {"operator": "In", "values": [1]}}]),
     f"{C}.restartPolicyRules[0].action", 'Unsupported value: "Stop": supported values: "Restart"'),
    (own(restartPolicy="Never", restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "Is", "values": [1]}}]),
     f"{C}.restartPolicyRules[0].exitCodes.operator", 'Unsupported value: "Is": supported values: "In", "NotIn"'),
    (own(restartPolicy="Never", restartPolicyRules=[{"action": "Restart"}]), f"{C}.restartPolicyRules[0].exitCodes",
     "Required value: must be specified"),
    (own(resizePolicy=[{"resourceName": "disk", "restartPolicy": "NotRequired"}]), f"{C}.resizePolicy",
     'Unsupported value: "disk": supported values: "cpu", "memory"'),
    ({**own(resizePolicy=[{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]), "restartPolicy": "Never"}, f"{C}.resizePolicy",
     invalid('"RestartContainer"', "must be 'NotRequired' when `restartPolicy` is 'Never'")),
    # mounts
    (own(volumeMounts=[{"name": "w", "mountPath": "/w"}]), f"{C}.volumeMounts[0].name", 'Not found: "w"'),
    (mount(mountPath=""), f"{C}.volumeMounts[0].mountPath", "Required value"),
    ({"volumes": [{"name": "v"}], **own(volumeMounts=[{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v"}])},
     f"{C}.volumeMounts[1].mountPath", invalid('"/v"', "must be unique")),
    (mount(subPath="/a"), f"{C}.volumeMounts.subPath", invalid('"/a"', "must be a relative path")),
    (mount(subPath="a/../b"), f"{C}.volumeMounts.subPath", invalid('"a/../b"', "must not contain '..'")),
    (mount(subPath="a", subPathExpr="$(B)"), f"{C}.volumeMounts[0].subPathExpr",
     invalid('"$(B)"', "subPathExpr and subPath are mutually exclusive")),
    (mount(mountPropagation="Bidirectional"), f"{C}.volumeMounts.mountPropagation",
     "Forbidden: Bidirectional mount propagation is available only to privileged containers"),
    (mount(mountPropagation="x"), f"{C}.volumeMounts.mountPropagation",
     'Unsupported value: "x": supported values: "Bidirectional", "HostToContainer", "None"'),
    (mount(recursiveReadOnly="Enabled"), f"{C}.volumeMounts[0].recursiveReadOnly",
     "Forbidden: may only be specified when readOnly is true"),
    (mount(recursiveReadOnly="Enabled", readOnly=True, mountPropagation="HostToContainer"), f"{C}.volumeMounts[0].recursiveReadOnly",
     "Forbidden: may only be specified when mountPropagation is None or not specified"),
    # volumes
    (spec(volumes=[{}]), "spec.volumes[0].name", "Required value"),
    (spec(volumes=[{"name": "v"}, {"name": "v"}]), "spec.volumes[1].name", 'Duplicate value: "v"'),
    (volume(emptyDir={}, hostPath={"path": "/x"}), "spec.volumes[0].hostPath", "Forbidden: may not specify more than 1 volume type"),
    (volume(hostPath={"path": "/a/../b"}), "spec.volumes[0].hostPath.path", invalid('"/a/../b"', "must not contain '..'")),
    (volume(secret={}), "spec.volumes[0].secret.secretName", "Required value"),
    (volume(secret={"secretName": "s", "defaultMode": 512}), "spec.volumes[0].secret.defaultMode",
     invalid("512", "must be a number between 0 and 0777 (octal), both inclusive")),
    (volume(configMap={}), "spec.volumes[0].configMap.name", "Required value"),
    (volume(configMap={"name": "m", "items": [{"path": "a"}]}), "spec.volumes[0].configMap.items[0].key", "Required value"),
    (volume(configMap={"name": "m", "items": [{"key": "k", "path": "/a"}]}), "spec.volumes[0].configMap.items[0].path",
     invalid('"/a"', "must be a relative path")),
    (volume(configMap={"name": "m", "items": [{"key": "k", "path": "..a"}]}), "spec.volumes[0].configMap.items[0].path",
     invalid('"..a"', "must not start with '..'")),
    (volume(downwardAPI={"items": [{"path": "p"}]}), "spec.volumes[0].downwardAPI",
     "Required value: one of fieldRef and resourceFieldRef is required"),
    (volume(downwardAPI={"items": [{"path": "p", "fieldRef": {"fieldPath": "status.podIP"}}]}),
     "spec.volumes[0].downwardAPI.fieldRef.fieldPath",
     'Unsupported value: "status.podIP": supported values: "metadata.annotations", "metadata.labels", "metadata.name", '
     '"metadata.namespace", "metadata.uid"'),
    (volume(downwardAPI={"items": [{"path": "p", "resourceFieldRef": {"resource": "limits.cpu"}}]}),
     "spec.volumes[0].downwardAPI.resourceFieldRef.containerName", "Required value"),
    (volume(projected={"sources": [{"secret": {}}]}), "spec.volumes[0].projected.sources[0].secret.name", "Required value"),
    (volume(projected={"sources": [{"secret": {"name": "s"}, "configMap": {"name": "m"}}]}),
     "spec.volumes[0].projected.sources[0].configMap", "Forbidden: may not specify more than 1 volume type"),
    (volume(projected={"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 60}}]}),
     "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds",
     invalid("60", "may not specify a duration less than 10 minutes")),
    (volume(projected={"sources": [{"secret": {"name": "s", "items": [{"key": "k", "path": "a"}]}},
                                   {"serviceAccountToken": {"path": "a"}}]}),
     "spec.volumes[0].projected", invalid('"a"', "conflicting duplicate paths")),
    (volume(persistentVolumeClaim={}), "spec.volumes[0].persistentVolumeClaim.claimName", "Required value"),
    (volume(image={}), "spec.volumes[0].image.reference", "Required value"),
    (volume(image={"reference": "a", "pullPolicy": "x"}), "spec.volumes[0].image.pullPolicy",
     'Unsupported value: "x": supported values: "Always", "IfNotPresent", "Never"'),
    # security
    (spec(hostUsers=False, hostPID=True), "spec.HostPID", "Forbidden: when `pod.Spec.HostUsers` is false"),
    (spec(hostUsers=False, hostNetwork=True), "spec.hostNetwork", "Forbidden: when `pod.Spec.HostUsers` is false"),
    (spec(securityContext={"runAsUser": -1}), "spec.securityContext.runAsUser",
     invalid("-1", "must be between 0 and 2147483647, inclusive")),
    (spec(securityContext={"supplementalGroups": [1, -1]}), "spec.securityContext.supplementalGroups[1]",
     invalid("-1", "must be between 0 and 2147483647, inclusive")),
    (spec(securityContext={"fsGroupChangePolicy": "x"}), "spec.securityContext.fsGroupChangePolicy",
     'Unsupported value: "x": supported values: "Always", "OnRootMismatch"'),
    (spec(securityContext={"sysctls": [{"name": "foo-", "value": "1"}]}), "spec.securityContext.sysctls[0].name",
     invalid('"foo-"', r"must have at most 253 characters and match regex "
             r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$").replace("\\\\", "\\")),
    (spec(securityContext={"sysctls": [{"name": "kernel/shm_rmid_forced", "value": "1"}, {"name": "kernel.sem", "value": "1"}]},
          hostIPC=True), "spec.securityContext.sysctls[0].name",
     invalid('"kernel/shm_rmid_forced"', "may not be specified when 'hostIPC' is true")),
    (context(procMount="Unmasked"), f"{C}.securityContext.procMount",
     invalid('"Unmasked"', "`hostUsers` must be false to use `Unmasked`")),
    (context(seccompProfile={"type": "Localhost", "localhostProfile": "../x"}), f"{C}.securityContext.seccompProfile.localhostProfile",
     invalid('"../x"', "must not contain '..'")),
    (context(appArmorProfile={}), f"{C}.securityContext.appArmorProfile.type",
     "Required value: type is required when appArmorProfile is set"),
    (context(appArmorProfile={"type": "x"}), f"{C}.securityContext.appArmorProfile.type",
     'Unsupported value: "x": supported values: "Localhost", "RuntimeDefault", "Unconfined"'),
    (context(appArmorProfile={"type": "Localhost"}), f"{C}.securityContext.appArmorProfile.localhostProfile",
     "Required value: must be set when AppArmor type is Localhost"),
    (context(appArmorProfile={"type": "Localhost", "localhostProfile": " a"}), f"{C}.securityContext.appArmorProfile.localhostProfile",
     invalid('" a"', "must not be padded with whitespace")),
    (context(appArmorProfile={"type": "Unconfined", "localhostProfile": "a"}), f"{C}.securityContext.appArmorProfile.localhostProfile",
     invalid('"a"', "can only be set when AppArmor type is Localhost")),
    (spec(securityContext={"appArmorProfile": {"type": "Localhost", "localhostProfile": "a" * 4096}}),
     "spec.securityContext.appArmorProfile.localhostProfile", "Too long: may not be more than 4095 bytes"),
    # the rest of the Pod
    (spec(activeDeadlineSeconds=0), "spec.activeDeadlineSeconds", invalid("0", "must be between 1 and 2147483647, inclusive")),
    (spec(dnsConfig={"nameservers": ["1.1.1.1"] * 4}), "spec.dnsConfig.nameservers",
     invalid('["1.1.1.1","1.1.1.1","1.1.1.1","1.1.1.1"]', "must not have more than 3 nameservers")),
    (spec(hostname="A"), "spec.hostname", invalid('"A"', LABEL)),
    (spec(readinessGates=[{"conditionType": "a b"}]), "spec.readinessGates[0].conditionType", 'Invalid value: "a b": name part must'),
    (spec(tolerations=[{"operator": "Equal"}]), "spec.tolerations[0].operator",
     invalid('"Equal"', 'operator must be Exists when `key` is empty, which means "match all values and all keys"')),
    (spec(nodeSelector={"a b": "c"}), "spec.nodeSelector", 'Invalid value: "a b": name part must'),
    (spec(hostAliases=[{"ip": "x"}]), "spec.hostAliases[0].ip", 'Invalid value: "x": must be a valid IP address'),
]  # fmt: skip


@pytest.mark.parametrize(("given", "field", "message"), ROWS, ids=[f"{row[1]}-{number}" for number, row in enumerate(ROWS)])
def test_each_rule_in_kubernetes_words(given: Json, field: str, message: str) -> None:
    found = causes(given)
    assert any(one.startswith(f"{field}: {message}") for one in found), found
    others = [one for one in found if not one.startswith(f"{field}: ")]
    # One fault, one field; what follows from it (a second sysctl of the same Pod) stays in that list.
    assert not [one for one in others if ".sysctls[" not in one], others


@pytest.mark.parametrize(
    "given",
    [
        spec(),
        own(livenessProbe=PROBE, readinessProbe={"httpGet": {"port": "web"}}, startupProbe={"grpc": {"port": 5}}),
        own(lifecycle={"preStop": {"sleep": {"seconds": 0}}, "postStart": {"httpGet": {"port": 80}}}),
        {**own(lifecycle={"stopSignal": "SIGUSR1"}), "os": {"name": "linux"}},
        init(restartPolicy="Always", readinessProbe=PROBE, lifecycle={"preStop": PROBE}),
        spec(initContainers=[{"name": name, "image": "x", "ports": [{"containerPort": 1, "hostPort": 80}]} for name in "ab"]),
        own(restartPolicy="Never", restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]),
        own(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['a.io/B']"}}}]),
        own(env=[{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}}]),
        volume(projected={"sources": [{"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "kube-root-ca.crt"}}]}),
        spec(hostUsers=False, shareProcessNamespace=True, **context(procMount="Unmasked")),
        spec(securityContext={"sysctls": [{"name": "net/ipv4/conf/eth0.1/forwarding", "value": "1"}]}),
        spec(shareProcessNamespace=False, hostPID=True),
    ],
)
def test_what_is_right_has_no_cause(given: Json) -> None:
    assert causes(given) == []


def updated(before: Json, after: Json) -> list[str]:
    both = [deepcopy(before), deepcopy(after)]
    for one in both:
        pod_defaults.apply(one)
    return [f"{cause.field}: {cause.message}" for cause in pod_updates.validate(both[1], both[0])]


NO_OTHER = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (spec(), own(image="y:1"), []),
        (init(), init(image="y:1"), []),
        (spec(), spec(activeDeadlineSeconds=9), []),
        (spec(activeDeadlineSeconds=9), spec(activeDeadlineSeconds=8), []),
        (spec(), spec(tolerations=[{"key": "a", "operator": "Exists"}]), []),
        (spec(tolerations=[{"key": "a", "effect": "NoExecute", "tolerationSeconds": 1}]),
         spec(tolerations=[{"key": "a", "effect": "NoExecute", "tolerationSeconds": 9}]), []),
        (spec(terminationGracePeriodSeconds=1), spec(terminationGracePeriodSeconds=-1), []),
        (spec(activeDeadlineSeconds=9), spec(activeDeadlineSeconds=10),
         ["spec.activeDeadlineSeconds: Invalid value: 10: must be less than or equal to previous value"]),
        (spec(activeDeadlineSeconds=9), spec(),
         ["spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"]),
        (spec(activeDeadlineSeconds=9), spec(activeDeadlineSeconds=-1),
         ["spec.activeDeadlineSeconds: Invalid value: -1: must be between 0 and 2147483647, inclusive"]),
        (spec(tolerations=[{"key": "a", "operator": "Exists"}]), spec(tolerations=[{"key": "b", "operator": "Exists"}]),
         ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]),
        (spec(), spec(containers=[{"name": name, "image": "x:1"} for name in "cd"]),
         ["spec.containers: Forbidden: pod updates may not add or remove containers"]),
        (spec(), init(), ["spec.initContainers: Forbidden: pod updates may not add or remove containers"]),
        (spec(), own(image=""), ["spec.containers[0].image: Required value",
                                 NO_OTHER + '  spec.containers[0].imagePullPolicy:\n- \t"IfNotPresent"\n+ \t"Always"']),
        (spec(), spec(shareProcessNamespace=True), [NO_OTHER + "  spec.shareProcessNamespace:\n- \tnull\n+ \ttrue"]),
        (spec(), own(env=[{"name": "A", "value": "b"}]),
         [NO_OTHER + '  spec.containers[0].env:\n- \tnull\n+ \t[{"name": "A", "value": "b"}]']),
        (spec(), spec(terminationGracePeriodSeconds=5), [NO_OTHER + "  spec.terminationGracePeriodSeconds:\n- \t30\n+ \t5"]),
    ],
)  # fmt: skip
def test_updates(before: Json, after: Json, expected: list[str]) -> None:
    assert updated(before, after) == expected


def test_a_huge_difference_is_cut() -> None:
    assert len(pod_updates.difference({"a": "x" * 100_000}, {"a": "y"})) < 5000

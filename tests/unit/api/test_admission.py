"""What admission gives to Pods and refuses: accounts, priorities, runtime classes, limits, quotas."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .conftest import Api, pod

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
CORE = "/api/v1/namespaces/default"
PRIORITIES = "/apis/scheduling.k8s.io/v1/priorityclasses"
RUNTIMES = "/apis/node.k8s.io/v1/runtimeclasses"
MERGE = {"content-type": "application/merge-patch+json"}


def sized(name: str = "p", requests: Json | None = None, limits: Json | None = None, **spec: Any) -> Json:
    resources = {part: amounts for part, amounts in (("requests", requests), ("limits", limits)) if amounts is not None}
    return pod(name, containers=[{"name": "c", "image": "x:1", "resources": resources}], **spec)


async def refused(api: Api, body: Json) -> str:
    code, status = await api("POST", PODS, body)
    assert (code, status["reason"]) == (403, "Forbidden"), status
    return str(status["message"])


# --- accounts -----------------------------------------------------------------------------------------------------------------------


async def test_every_namespace_has_its_account_at_once_and_pods_have_it(api: Api) -> None:
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "new"}})
    made = await api.create(pod(), "new")
    assert (made["spec"]["serviceAccountName"], made["spec"]["serviceAccount"]) == ("default", "default")


async def test_an_account_must_be_there_and_lends_its_pull_secrets(api: Api) -> None:
    assert await refused(api, pod(serviceAccountName="who")) == (
        'pods "p" is forbidden: error looking up service account default/who: serviceaccount "who" not found'
    )
    await api("POST", f"{CORE}/serviceaccounts", {"metadata": {"name": "who"}, "imagePullSecrets": [{"name": "s"}]})
    made = await api.create(pod(serviceAccountName="who"))
    assert made["spec"]["imagePullSecrets"] == [{"name": "s"}]
    own = await api.create(pod("own", serviceAccountName="who", imagePullSecrets=[{"name": "mine"}]))
    assert own["spec"]["imagePullSecrets"] == [{"name": "mine"}]


MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def mounted(made: Json) -> list[str]:
    """Names of the containers that have the token."""
    containers = [*(made["spec"].get("initContainers") or ()), *made["spec"]["containers"]]
    return [one["name"] for one in containers if any(mount["mountPath"] == MOUNT for mount in one.get("volumeMounts") or ())]


async def test_every_container_gets_the_token(api: Api) -> None:
    made = await api.create(pod(initContainers=[{"name": "i", "image": "x"}]))
    (volume,) = made["spec"]["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert len(volume["name"]) == len("kube-api-access-") + 5
    assert volume["projected"]["defaultMode"] == 0o644
    assert [next(iter(source)) for source in volume["projected"]["sources"]] == ["serviceAccountToken", "configMap", "downwardAPI"]
    assert mounted(made) == ["i", "c"]
    assert made["spec"]["containers"][0]["volumeMounts"] == [{"name": volume["name"], "readOnly": True, "mountPath": MOUNT}]


@pytest.mark.parametrize(
    ("account", "of_pod", "expected"),
    [(None, None, True), (None, False, False), (False, None, False), (False, True, True), (True, False, False), (True, None, True)],
)
async def test_the_pods_word_goes_before_the_accounts(api: Api, account: bool | None, of_pod: bool | None, expected: bool) -> None:
    body: Json = {"metadata": {"name": "who"}}
    if account is not None:
        body["automountServiceAccountToken"] = account
    await api("POST", f"{CORE}/serviceaccounts", body)
    spec = {} if of_pod is None else {"automountServiceAccountToken": of_pod}
    made = await api.create(pod(serviceAccountName="who", **spec))
    assert (mounted(made), bool(made["spec"].get("volumes"))) == (["c"] if expected else [], expected)


async def test_what_is_there_already_stays(api: Api) -> None:
    own = {"name": "c", "image": "x", "volumeMounts": [{"name": "v", "mountPath": MOUNT}]}
    made = await api.create(pod(containers=[own], volumes=[{"name": "v"}]))
    assert [volume["name"] for volume in made["spec"]["volumes"]] == ["v"]
    body = pod("static")
    body["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    assert "volumes" not in (await api.create(body))["spec"]


async def test_a_default_account_comes_back(api: Api) -> None:
    _, before = await api("GET", f"{CORE}/serviceaccounts/default")
    await api("DELETE", f"{CORE}/serviceaccounts/default")
    for _ in range(100):
        code, after = await api("GET", f"{CORE}/serviceaccounts/default")
        if code == 200 and after["metadata"]["uid"] != before["metadata"]["uid"]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not made again")


# --- priority -----------------------------------------------------------------------------------------------------------------------


async def test_priority_is_the_class_s(api: Api) -> None:
    code, _ = await api("POST", PRIORITIES, {"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"})
    assert code == 201
    made = await api.create(pod(priorityClassName="high"))
    assert (made["spec"]["priority"], made["spec"]["preemptionPolicy"]) == (1000, "Never")
    text = "must not be provided in pod spec; priority admission controller computed"
    for spec, got, computed in (
        ({"priority": 5}, "the integer value of priority (5)", "1000"),
        ({"preemptionPolicy": "PreemptLowerPriority"}, "the string value of PreemptionPolicy (PreemptLowerPriority)", "Never"),
    ):
        message = await refused(api, pod(priorityClassName="high", **spec))
        assert message == f'pods "p" is forbidden: {got} {text} {computed} from the given PriorityClass name'
    assert await refused(api, pod(priorityClassName="nope")) == 'pods "p" is forbidden: no PriorityClass with name nope was found'
    critical = await api.create(pod("c", priorityClassName="system-node-critical"))
    assert critical["spec"]["priority"] == 2_000_001_000


async def test_one_class_may_be_the_default(api: Api) -> None:
    plain = await api.create(pod("plain"))
    assert (plain["spec"]["priority"], "priorityClassName" in plain["spec"]) == (0, False)
    await api("POST", PRIORITIES, {"metadata": {"name": "usual"}, "value": 7, "globalDefault": True})
    usual = await api.create(pod("usual"))
    assert (usual["spec"]["priority"], usual["spec"]["priorityClassName"]) == (7, "usual")
    code, status = await api("POST", PRIORITIES, {"metadata": {"name": "two"}, "value": 8, "globalDefault": True})
    assert code == 403
    assert status["message"].endswith("PriorityClass usual is already marked as default. Only one default can exist")


async def test_what_a_priority_class_may_not_be(api: Api) -> None:
    for body, field, message in (
        ({"metadata": {"name": "big"}, "value": 1_000_000_001}, "value", "maximum allowed value of a user defined priority is 1000000000"),
        ({"metadata": {"name": "system-mine"}, "value": 1}, "metadata.name", "system-mine is not a known system priority class"),
        ({"metadata": {"name": "p"}, "value": 1, "preemptionPolicy": "Maybe"}, "preemptionPolicy", "Unsupported value"),
    ):
        code, status = await api("POST", PRIORITIES, body)
        assert (code, status["details"]["causes"][0]["field"]) == (422, field)
        assert message in status["message"]
    await api("POST", PRIORITIES, {"metadata": {"name": "p"}, "value": 1})
    code, status = await api("PATCH", PRIORITIES + "/p", {"value": 2}, headers=MERGE)
    assert (code, status["details"]["causes"][0]["message"]) == (422, "Forbidden: may not be changed in an update.")
    code, status = await api("DELETE", PRIORITIES + "/system-node-critical")
    assert code == 403
    assert "this is a system priority class and cannot be deleted" in status["message"]


# --- runtime classes ----------------------------------------------------------------------------------------------------------------


async def test_a_runtime_class_must_be_there_and_its_overhead_is_copied(api: Api) -> None:
    assert await refused(api, pod(runtimeClassName="kata")) == 'pods "p" is forbidden: pod rejected: RuntimeClass "kata" not found'
    overhead = {"cpu": "10m", "memory": "1Mi"}
    scheduling = {"nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": [{"key": "k", "operator": "Exists"}]}
    body = {"metadata": {"name": "kata"}, "handler": "crun", "overhead": {"podFixed": overhead}, "scheduling": scheduling}
    assert (await api("POST", RUNTIMES, body))[0] == 201
    made = await api.create(pod(runtimeClassName="kata"))
    assert made["spec"]["overhead"] == overhead
    assert made["spec"]["nodeSelector"] == scheduling["nodeSelector"]
    assert scheduling["tolerations"][0] in made["spec"]["tolerations"]
    assert "doesn't match" in await refused(api, pod(runtimeClassName="kata", overhead={"cpu": "1"}))
    assert "without corresponding RuntimeClass" in await refused(api, pod(overhead={"cpu": "1"}))
    assert "conflict" in await refused(api, pod(runtimeClassName="kata", nodeSelector={"kubernetes.io/os": "plan9"}))


async def test_what_a_runtime_class_may_not_be(api: Api) -> None:
    code, status = await api("POST", RUNTIMES, {"metadata": {"name": "k"}, "handler": "No_Label"})
    assert (code, status["details"]["causes"][0]["field"]) == (422, "handler")
    await api("POST", RUNTIMES, {"metadata": {"name": "k"}, "handler": "crun"})
    code, status = await api("PATCH", RUNTIMES + "/k", {"handler": "runc"}, headers=MERGE)
    assert (code, status["details"]["causes"][0]["message"]) == (422, 'Invalid value: "runc": field is immutable')


# --- limits -------------------------------------------------------------------------------------------------------------------------


async def limit(api: Api, *items: Json) -> Json:
    code, made = await api("POST", f"{CORE}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": list(items)}})
    assert code == 201, made
    return made


async def test_limits_fill_in_what_is_open(api: Api) -> None:
    made = await limit(
        api,
        {
            "type": "Container",
            "min": {"cpu": "50m"},
            "max": {"cpu": "500m", "memory": "500Mi"},
            "default": {"memory": "200Mi"},
            "defaultRequest": {"memory": "100Mi"},
        },
    )
    assert made["spec"]["limits"][0]["default"] == {"cpu": "500m", "memory": "200Mi"}
    assert made["spec"]["limits"][0]["defaultRequest"] == {"cpu": "500m", "memory": "100Mi"}
    filled = await api.create(pod())
    assert filled["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "500m", "memory": "100Mi"},
        "limits": {"cpu": "500m", "memory": "200Mi"},
    }
    said = "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c"
    assert filled["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == said
    assert filled["status"]["qosClass"] == "Burstable"
    partly = await api.create(sized("partly", requests={"cpu": "60m"}))
    assert partly["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "60m"


@pytest.mark.parametrize(
    ("item", "requests", "limits", "message"),
    [
        (
            {"type": "Container", "max": {"cpu": "500m"}},
            {"cpu": "1"},
            {"cpu": "1"},
            "maximum cpu usage per Container is 500m, but limit is 1",
        ),
        ({"type": "Container", "min": {"cpu": "50m"}}, {"cpu": "10m"}, None, "minimum cpu usage per Container is 50m, but request is 10m"),
        ({"type": "Pod", "min": {"memory": "1Mi"}}, None, None, "minimum memory usage per Pod is 1Mi.  No request is specified"),
        ({"type": "Pod", "max": {"memory": "1Mi"}}, None, None, "maximum memory usage per Pod is 1Mi.  No limit is specified"),
        ({"type": "Pod", "max": {"memory": "1Mi"}}, None, {"memory": "2Mi"}, "maximum memory usage per Pod is 1Mi, but limit is 2Mi"),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}},
            {"cpu": "100m"},
            {"cpu": "300m"},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
    ],
)
async def test_limits_refuse(api: Api, item: Json, requests: Json | None, limits: Json | None, message: str) -> None:
    await limit(api, item)
    assert await refused(api, sized("p", requests, limits)) == f'pods "p" is forbidden: {message}'


@pytest.mark.parametrize(
    ("item", "field", "message"),
    [
        (
            {"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}},
            "spec.limits[0].min[cpu]",
            "min value 2 is greater than max value 1",
        ),
        ({"type": "Pod", "default": {"cpu": "1"}}, "spec.limits[0].default", "may not be specified when `type` is 'Pod'"),
        ({"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}}, "spec.limits[0].maxLimitRequestRatio[cpu]", "ratio 500m is less than 1"),
        ({"type": "Bag"}, "spec.limits[0].type", "must be a standard limit type or fully qualified"),
        ({"type": "PersistentVolumeClaim"}, "spec.limits[0].limits", "either minimum or maximum storage value is required"),
        (
            {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}},
            "spec.limits[0].defaultRequest[cpu]",
            "default request value 2 is greater than default limit value 1",
        ),
    ],
)
async def test_what_limits_may_not_be(api: Api, item: Json, field: str, message: str) -> None:
    code, status = await api("POST", f"{CORE}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [item]}})
    assert (code, status["details"]["causes"][0]["field"]) == (422, field)
    assert message in status["message"]


# --- quotas -------------------------------------------------------------------------------------------------------------------------


async def quota(api: Api, hard: Json, **spec: Any) -> None:
    code, made = await api("POST", f"{CORE}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}})
    assert code == 201, made


async def used(api: Api, expected: Json) -> None:
    """Waits until the quota's status says so."""
    for _ in range(200):
        _, found = await api("GET", f"{CORE}/resourcequotas/q")
        if found["status"].get("used") == expected:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(found)


async def test_a_quota_follows_pods_through_their_life(api: Api) -> None:
    await quota(api, {"pods": "2", "requests.cpu": "1", "memory": "1Gi"})
    await used(api, {"pods": "0", "requests.cpu": "0", "memory": "0"})
    asked = {"cpu": "600m", "memory": "256Mi"}
    await api.create(sized("a", asked))
    _, found = await api("GET", f"{CORE}/resourcequotas/q")
    assert found["status"]["used"] == {"pods": "1", "requests.cpu": "600m", "memory": "256Mi"}
    message = await refused(api, sized("b", asked))
    assert (
        message
        == 'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1'
    )
    await api("PATCH", PODS + "/a/status", {"status": {"phase": "Succeeded"}}, headers=MERGE)
    await used(api, {"pods": "0", "requests.cpu": "0", "memory": "0"})
    await api.create(sized("b", asked))
    await api("DELETE", PODS + "/b", gracePeriodSeconds="0")
    await used(api, {"pods": "0", "requests.cpu": "0", "memory": "0"})


async def test_what_a_quota_counts_must_be_said(api: Api) -> None:
    await quota(api, {"cpu": "1", "limits.memory": "1Gi"})
    assert (await refused(api, sized("p", {"cpu": "1"}))).endswith("failed quota: q: must specify limits.memory for: c")
    assert (await refused(api, pod())).endswith("failed quota: q: must specify cpu for: c; limits.memory for: c")


async def test_the_last_place_goes_to_one_alone(api: Api) -> None:
    await quota(api, {"pods": "3"})
    answers = await asyncio.gather(*(api("POST", PODS, pod(f"p{number}")) for number in range(8)))
    assert sorted(code for code, _ in answers) == [201] * 3 + [403] * 5


async def test_a_dry_run_is_held_against_a_quota_and_costs_nothing(api: Api) -> None:
    await quota(api, {"pods": "1"})
    for _ in range(3):
        assert (await api("POST", PODS, pod(), dryRun="All"))[0] == 201
    await api.create(pod())
    assert (await api("POST", PODS, pod("q"), dryRun="All"))[0] == 403


async def test_objects_are_counted_too(api: Api) -> None:
    await quota(api, {"configmaps": "1", "count/leases.coordination.k8s.io": "0", "count/secrets": "1"})
    assert (await api("POST", f"{CORE}/configmaps", {"metadata": {"name": "a"}}))[0] == 201
    code, status = await api("POST", f"{CORE}/configmaps", {"metadata": {"name": "b"}})
    assert code == 403
    assert (
        status["message"]
        == 'configmaps "b" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1'
    )
    code, status = await api("POST", "/apis/coordination.k8s.io/v1/namespaces/default/leases", {"metadata": {"name": "l"}})
    assert (code, "exceeded quota: q" in status["message"]) == (403, True)
    assert (await api("PATCH", f"{CORE}/configmaps/a", {"data": {"k": "v"}}, headers=MERGE))[0] == 200


@pytest.mark.parametrize(
    ("spec", "counted", "free"),
    [
        ({"scopes": ["BestEffort"]}, pod(), sized("p", {"cpu": "1"})),
        ({"scopes": ["NotBestEffort"]}, sized("p", {"cpu": "1"}), pod()),
        ({"scopes": ["Terminating"]}, pod(activeDeadlineSeconds=5), pod()),
        ({"scopes": ["NotTerminating"]}, pod(), pod(activeDeadlineSeconds=5)),
        (
            {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}]}},
            pod(priorityClassName="system-node-critical"),
            pod(),
        ),
    ],
)
async def test_scopes(api: Api, spec: Json, counted: Json, free: Json) -> None:
    await quota(api, {"pods": "0"}, **spec)
    assert "exceeded quota: q, requested: pods=1" in await refused(api, counted)
    assert (await api("POST", PODS, free))[0] == 201


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"hard": {"pods": "-1"}}, "spec.hard[pods]", "must be greater than or equal to 0"),
        ({"hard": {"pods": "1500m"}}, "spec.hard[pods]", "must be an integer"),
        ({"hard": {"shoes": "1"}}, "spec.hard[shoes]", "must be a standard resource for quota"),
        ({"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}, "spec.scopes", "conflicting scopes"),
        ({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}, "spec.scopes", "unsupported scope applied to resource cpu"),
        ({"hard": {"pods": "1"}, "scopes": ["Some"]}, "spec.scopes", "unsupported scope"),
    ],
)
async def test_what_a_quota_may_not_be(api: Api, spec: Json, field: str, message: str) -> None:
    code, status = await api("POST", f"{CORE}/resourcequotas", {"metadata": {"name": "q"}, "spec": spec})
    assert (code, status["details"]["causes"][0]["field"]) == (422, field)
    assert message in status["message"]

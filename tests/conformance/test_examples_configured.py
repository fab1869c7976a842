"""The example Pods of Kubernetes' documentation that are about commands, environment, configuration and volumes of objects.

Each has the fields of its example, in our words and with our images, and shows what its page says that it shows. The behaviour is named
after the file below the documentation's examples/pods, with - for /.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.conformance.cluster import Cluster
from tests.e2e.cluster import busybox, eventually, nginx, pod

Json = dict[str, Any]

_MOUNTED = "exec sleep 3600"


@pytest.fixture(scope="module")
def docs(cluster: Cluster) -> Cluster:
    """With the ConfigMaps and Secrets that the pages make first."""
    for name, data in (
        ("special-config", {"special.how": "very", "SPECIAL_LEVEL": "very", "SPECIAL_TYPE": "charm"}),
        ("env-config", {"log_level": "INFO"}),
        ("example-redis-config", {"redis-config": "maxmemory 2mb\nmaxmemory-policy allkeys-lru\n"}),
        ("myconfigmap", {"config": "one=two", "username": "k8s-admin"}),
    ):
        cluster.create("configmaps", {"metadata": {"name": name}, "data": data})
    for name, secret in (
        ("test-secret", {"username": "my-app", "password": "39528$vdg7Jb"}),
        ("backend-user", {"backend-username": "backend-admin"}),
        ("db-user", {"db-username": "db-admin"}),
        ("mysecret", {"username": "admin", "password": "hidden"}),
        ("user", {"username": "admin"}),
        ("pass", {"password": "1f2d1e2e67df"}),
    ):
        cluster.create("secrets", {"metadata": {"name": name}, "stringData": secret})
    return cluster


def ends(cluster: Cluster, name: str, container: Json, **spec: Any) -> str:
    """What a Pod says that runs to its end."""
    cluster.create("pods", pod(name, container, restartPolicy="Never", **spec))
    cluster.phase(name, "Succeeded")
    return cluster.logs(name)


def environ(cluster: Cluster, name: str, container: Json) -> dict[str, str]:
    cluster.run(pod(name, container))
    return dict(line.split("=", 1) for line in cluster.sh(name, container["name"], "env").splitlines() if "=" in line)


def secret_key(secret: str, key: str) -> Json:
    return {"valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def map_key(name: str, key: str) -> Json:
    return {"valueFrom": {"configMapKeyRef": {"name": name, "key": key}}}


# --- commands and plain Pods -------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("examples/commands")
def test_command_and_arguments(docs: Cluster) -> None:
    container = {"name": "c", "image": "busybox:1.28", "command": ["printenv"], "args": ["HOSTNAME", "KUBERNETES_PORT"]}
    docs.create("pods", pod("command-demo", container, restartPolicy="OnFailure"))
    docs.phase("command-demo", "Succeeded")
    host, port = docs.logs("command-demo").splitlines()
    assert (host, port.partition(":")[0]) == ("command-demo", "tcp")


@pytest.mark.behaviour("examples/simple-pod")
def test_one_web_server(docs: Cluster) -> None:
    told = docs.run(pod("simple", nginx(ports=[{"containerPort": 80}])))
    assert "Welcome to nginx" in docs.sh("simple", "nginx", f"wget -q -O - http://{told['status']['podIP']}")


@pytest.mark.behaviour("examples/pod-rs")
def test_two_pods_by_one_label(docs: Cluster) -> None:
    for name in ("pod1", "pod2"):
        made = pod(name, {"name": "hello", "image": "static-web"})
        made["metadata"]["labels"] = {"tier": "frontend"}
        docs.create("pods", made)
    for name in ("pod1", "pod2"):
        docs.ready(name)
    assert {each["metadata"]["name"] for each in docs.list("pods", labelSelector="tier=frontend")} == {"pod1", "pod2"}


@pytest.mark.behaviour("examples/two-container-pod")
def test_two_containers_with_a_volume_between_them(docs: Cluster) -> None:
    data = [{"name": "shared-data", "emptyDir": {}}]
    server = nginx(volumeMounts=[{"name": "shared-data", "mountPath": "/usr/share/nginx/html"}])
    writer = busybox("debian", "echo Hello > /pod-data/index.html", volumeMounts=[{"name": "shared-data", "mountPath": "/pod-data"}])
    docs.create("pods", pod("two-containers", server, writer, restartPolicy="Never", volumes=data))
    docs.until("two-containers", lambda each: _ended(each, "debian"), "has ended one of two")
    assert docs.sh("two-containers", "nginx", "wget -q -O - http://localhost") == "Hello"


def _ended(told: Json, name: str) -> bool:
    return any(each["name"] == name and "terminated" in each["state"] for each in told["status"].get("containerStatuses") or ())


@pytest.mark.behaviour("examples/init-containers")
def test_an_init_container_fetches_a_page(docs: Cluster) -> None:
    """The page's comes from the Internet; ours from another Pod."""
    source = docs.run(pod("source", nginx()))["status"]["podIP"]
    mount = {"name": "workdir"}
    install = {"name": "install", "image": "busybox:1.28", "volumeMounts": [{**mount, "mountPath": "/work-dir"}]}
    install["command"] = ["wget", "-O", "/work-dir/index.html", f"http://{source}/"]
    server = nginx(ports=[{"containerPort": 80}], volumeMounts=[{**mount, "mountPath": "/usr/share/nginx/html"}])
    volumes = [{"name": "workdir", "emptyDir": {}}]
    docs.run(pod("init-demo", server, initContainers=[install], dnsPolicy="Default", volumes=volumes))
    assert "Welcome to nginx" in docs.sh("init-demo", "nginx", "wget -q -O - http://localhost")


@pytest.mark.behaviour("examples/lifecycle-events")
def test_hooks_after_the_start_and_before_the_end(docs: Cluster) -> None:
    start = {"exec": {"command": ["/bin/sh", "-c", "echo Hello from the postStart handler > /usr/share/message"]}}
    stop = {"exec": {"command": ["/bin/sh", "-c", "nginx -s quit; while killall -0 nginx; do sleep 1; done"]}}
    docs.run(pod("lifecycle-demo", nginx("c", lifecycle={"postStart": start, "preStop": stop}), terminationGracePeriodSeconds=30))
    assert docs.sh("lifecycle-demo", "c", "cat /usr/share/message") == "Hello from the postStart handler"
    docs.delete("pods", "lifecycle-demo")
    docs.gone("pods", "lifecycle-demo", timeout=25)


# --- environment -------------------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("examples/inject-envars")
def test_variables(docs: Cluster) -> None:
    env = [{"name": "DEMO_GREETING", "value": "Hello from the environment"}, {"name": "DEMO_FAREWELL", "value": "Such a sweet sorrow"}]
    found = environ(docs, "envar-demo", busybox("c", _MOUNTED, env=env))
    assert (found["DEMO_GREETING"], found["DEMO_FAREWELL"]) == (env[0]["value"], env[1]["value"])


@pytest.mark.behaviour("examples/inject-dependent-envars")
def test_variables_that_refer_to_others(docs: Cluster) -> None:
    url = "://$(SERVICE_IP):$(SERVICE_PORT)"
    env = [
        {"name": "SERVICE_PORT", "value": "80"},
        {"name": "SERVICE_IP", "value": "172.17.0.1"},
        {"name": "UNCHANGED_REFERENCE", "value": f"$(PROTOCOL){url}"},
        {"name": "PROTOCOL", "value": "https"},
        {"name": "SERVICE_ADDRESS", "value": f"$(PROTOCOL){url}"},
        {"name": "ESCAPED_REFERENCE", "value": f"$$(PROTOCOL){url}"},
    ]
    found = environ(docs, "dependent-envars-demo", busybox("c", _MOUNTED, env=env))
    assert found["UNCHANGED_REFERENCE"] == found["ESCAPED_REFERENCE"] == "$(PROTOCOL)://172.17.0.1:80"
    assert found["SERVICE_ADDRESS"] == "https://172.17.0.1:80"


@pytest.mark.behaviour("examples/inject-dapi-envars-pod", "examples/inject-dapi-envars-container")
def test_variables_about_the_pod_and_its_resources(docs: Cluster) -> None:
    paths = {
        "MY_NODE_NAME": "spec.nodeName",
        "MY_POD_NAME": "metadata.name",
        "MY_POD_NAMESPACE": "metadata.namespace",
        "MY_POD_IP": "status.podIP",
        "MY_POD_SERVICE_ACCOUNT": "spec.serviceAccountName",
    }
    env = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in paths.items()]
    for name, resource in (("CPU_REQUEST", "requests.cpu"), ("CPU_LIMIT", "limits.cpu"), ("MEM_LIMIT", "limits.memory")):
        env.append({"name": name, "valueFrom": {"resourceFieldRef": {"containerName": "c", "resource": resource}}})
    resources = {"requests": {"memory": "32Mi", "cpu": "125m"}, "limits": {"memory": "64Mi", "cpu": "250m"}}
    found = environ(docs, "dapi-envars", busybox("c", _MOUNTED, env=env, resources=resources))
    told = docs.pod("dapi-envars")
    assert {name: found[name] for name in paths} == {
        "MY_NODE_NAME": told["spec"]["nodeName"],
        "MY_POD_NAME": "dapi-envars",
        "MY_POD_NAMESPACE": docs.namespace,
        "MY_POD_IP": told["status"]["podIP"],
        "MY_POD_SERVICE_ACCOUNT": "default",
    }
    assert (found["CPU_REQUEST"], found["CPU_LIMIT"], found["MEM_LIMIT"]) == ("1", "1", str(64 << 20))


@pytest.mark.behaviour(
    "examples/inject-pod-single-secret-env-variable",
    "examples/inject-pod-multiple-secret-env-variable",
    "examples/inject-pod-secret-envFrom",
    "examples/inject-secret-envars-pod",
    "examples/inject-envFrom",
    "examples/inject-configmap-envFrom",
)
def test_variables_from_secrets(docs: Cluster) -> None:
    env = [
        {"name": "BACKEND_USERNAME", **secret_key("backend-user", "backend-username")},
        {"name": "DB_USERNAME", **secret_key("db-user", "db-username")},
        {"name": "SECRET_USERNAME", **secret_key("test-secret", "username")},
    ]
    sources: list[Json] = [{"secretRef": {"name": "test-secret"}}, {"prefix": "CM_", "configMapRef": {"name": "env-config"}}]
    found = environ(docs, "env-secret", busybox("c", _MOUNTED, env=env, envFrom=sources))
    wanted = {"BACKEND_USERNAME": "backend-admin", "DB_USERNAME": "db-admin", "SECRET_USERNAME": "my-app"}
    assert wanted.items() <= found.items()
    assert (found["username"], found["password"], found["CM_log_level"]) == ("my-app", "39528$vdg7Jb", "INFO")


@pytest.mark.behaviour(
    "examples/pod-single-configmap-env-variable",
    "examples/pod-multiple-configmap-env-variable",
    "examples/pod-configmap-envFrom",
    "examples/pod-configmap-env-var-valueFrom",
)
def test_variables_from_configmaps(docs: Cluster) -> None:
    env = [
        {"name": "SPECIAL_LEVEL_KEY", **map_key("special-config", "SPECIAL_LEVEL")},
        {"name": "SPECIAL_TYPE_KEY", **map_key("special-config", "SPECIAL_TYPE")},
        {"name": "LOG_LEVEL", **map_key("env-config", "log_level")},
    ]
    echo = {"name": "c", "image": "busybox:1.28", "command": ["/bin/echo", "$(SPECIAL_LEVEL_KEY) $(SPECIAL_TYPE_KEY)"], "env": env}
    assert ends(docs, "echoes", echo) == "very charm\n"
    every = busybox("c", "env", env=env, envFrom=[{"configMapRef": {"name": "special-config"}}])
    assert {"SPECIAL_LEVEL=very", "SPECIAL_TYPE=charm", "LOG_LEVEL=INFO"} <= set(ends(docs, "every", every).splitlines())


# --- volumes of objects ------------------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("examples/pod-configmap-volume", "examples/pod-configmap-volume-specific-key")
def test_a_configmap_as_files(docs: Cluster) -> None:
    whole = {"name": "config-volume", "configMap": {"name": "special-config"}}
    one = {"name": "one", "configMap": {"name": "special-config", "items": [{"key": "SPECIAL_LEVEL", "path": "keys"}]}}
    mounts = [{"name": "config-volume", "mountPath": "/etc/config"}, {"name": "one", "mountPath": "/etc/one"}]
    said = ends(docs, "cm-volume", busybox("c", "ls /etc/config; cat /etc/one/keys", volumeMounts=mounts), volumes=[whole, one])
    assert said.splitlines() == ["SPECIAL_LEVEL", "SPECIAL_TYPE", "special.how", "very"]


@pytest.mark.behaviour("examples/config-redis-pod")
def test_a_configuration_file_with_a_name_of_its_own(docs: Cluster) -> None:
    """With a shell in redis' place: what the server would read."""
    items = [{"key": "redis-config", "path": "redis.conf"}]
    volumes: list[Json] = [
        {"name": "data", "emptyDir": {}},
        {"name": "config", "configMap": {"name": "example-redis-config", "items": items}},
    ]
    mounts = [{"name": "data", "mountPath": "/redis-master-data"}, {"name": "config", "mountPath": "/redis-master"}]
    container = busybox("redis", _MOUNTED, ports=[{"containerPort": 6379}], env=[{"name": "MASTER", "value": "true"}])
    docs.run(pod("redis", {**container, "volumeMounts": mounts, "resources": {"limits": {"cpu": "0.1"}}}, volumes=volumes))
    assert docs.sh("redis", "redis", "cat /redis-master/redis.conf").startswith("maxmemory 2mb")
    docs.patch("configmaps", "example-redis-config", {"data": {"redis-config": "maxmemory 4mb\n"}})
    eventually(lambda: "4mb" in docs.sh("redis", "redis", "cat /redis-master/redis.conf"), "the file follows the ConfigMap")


@pytest.mark.behaviour("examples/inject-secret-pod")
def test_a_secret_as_files(docs: Cluster) -> None:
    mounts = [{"name": "secret-volume", "mountPath": "/etc/secret-volume", "readOnly": True}]
    volumes = [{"name": "secret-volume", "secret": {"secretName": "test-secret"}}]
    docs.run(pod("secret-test-pod", busybox("c", _MOUNTED, volumeMounts=mounts), volumes=volumes))
    assert docs.sh("secret-test-pod", "c", "cd /etc/secret-volume; ls; cat username") == "password\nusername\nmy-app"
    assert base64.b64decode(docs.get("secrets", "test-secret")["data"]["password"]) == b"39528$vdg7Jb"


@pytest.mark.behaviour("examples/inject-dapi-volume", "examples/inject-dapi-volume-resources")
def test_files_about_the_pod(docs: Cluster) -> None:
    items: list[Json] = [{"path": part, "fieldRef": {"fieldPath": f"metadata.{part}"}} for part in ("labels", "annotations")]
    for path, resource, divisor in (("cpu_limit", "limits.cpu", "1m"), ("mem_request", "requests.memory", "1Mi")):
        items.append({"path": path, "resourceFieldRef": {"containerName": "c", "resource": resource, "divisor": divisor}})
    resources = {"requests": {"memory": "32Mi", "cpu": "125m"}, "limits": {"memory": "64Mi", "cpu": "250m"}}
    container = busybox("c", _MOUNTED, resources=resources, volumeMounts=[{"name": "podinfo", "mountPath": "/etc/podinfo"}])
    made = pod("dapi-volume", container, volumes=[{"name": "podinfo", "downwardAPI": {"items": items}}])
    made["metadata"] |= {"labels": {"zone": "us-est-coast", "rack": "rack-22"}, "annotations": {"build": "two", "builder": "john-doe"}}
    docs.run(made)
    assert docs.sh("dapi-volume", "c", "cat /etc/podinfo/labels") == 'rack="rack-22"\nzone="us-est-coast"'
    assert 'builder="john-doe"' in docs.sh("dapi-volume", "c", "cat /etc/podinfo/annotations")
    assert docs.sh("dapi-volume", "c", "cat /etc/podinfo/cpu_limit; echo; cat /etc/podinfo/mem_request").split() == ["250", "32"]
    assert "..data" in docs.sh("dapi-volume", "c", "ls -la /etc/podinfo")


@pytest.mark.behaviour(
    "examples/storage-projected",
    "examples/storage-projected-secret-downwardapi-configmap",
    "examples/storage-projected-secrets-nondefault-permission-mode",
)
def test_several_sources_in_one_volume(docs: Cluster) -> None:
    cpu = {"path": "cpu_limit", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}}
    labels = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    sources: list[Json] = [
        {"secret": {"name": "mysecret", "items": [{"key": "username", "path": "my-group/my-username"}]}},
        {"secret": {"name": "mysecret", "items": [{"key": "password", "path": "my-group/my-password", "mode": 0o777}]}},
        {"secret": {"name": "user"}},
        {"secret": {"name": "pass"}},
        {"downwardAPI": {"items": [labels, cpu]}},
        {"configMap": {"name": "myconfigmap", "items": [{"key": "config", "path": "my-group/my-config"}]}},
    ]
    mount = {"name": "all-in-one", "mountPath": "/projected-volume", "readOnly": True}
    made = pod(
        "volume-test", busybox("c", _MOUNTED, volumeMounts=[mount]), volumes=[{"name": "all-in-one", "projected": {"sources": sources}}]
    )
    docs.run(made)
    found = docs.sh("volume-test", "c", "cd /projected-volume; ls -1; cat my-group/my-username my-group/my-config username password")
    assert found.split() == ["cpu_limit", "labels", "my-group", "password", "username", "adminone=twoadmin1f2d1e2e67df"]
    assert docs.sh("volume-test", "c", "stat -L -c %a /projected-volume/my-group/my-password") == "777"


@pytest.mark.behaviour("examples/pod-projected-svc-token", "examples/storage-projected-service-account-token")
def test_a_token_for_somebody_else(docs: Cluster) -> None:
    docs.create("serviceaccounts", {"metadata": {"name": "build-robot"}})
    token = {"serviceAccountToken": {"path": "vault-token", "expirationSeconds": 7200, "audience": "vault"}}
    mount = {"name": "vault-token", "mountPath": "/var/run/secrets/tokens"}
    volumes = [{"name": "vault-token", "projected": {"sources": [token]}}]
    docs.run(pod("token", nginx("c", volumeMounts=[mount]), serviceAccountName="build-robot", volumes=volumes))
    jwt = docs.sh("token", "c", "cat /var/run/secrets/tokens/vault-token")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": jwt, "audiences": ["vault"]}}
    told = docs.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
    assert (told["authenticated"], told["user"]["username"]) == (True, f"system:serviceaccount:{docs.namespace}:build-robot")

"""What a Pod refers to: every kind of container, every place."""

from polong.objects import podreferences
from polong.objects.podreferences import CLAIM, CONFIG_MAP, SECRET, Reference


def test_every_place_counts() -> None:
    def env(name: str) -> dict:
        return {"name": "c", "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": name, "key": "k"}}}]}

    pod = {
        "spec": {
            "imagePullSecrets": [{"name": "pull"}, {}],
            "containers": [{"name": "a", "envFrom": [{"secretRef": {"name": "all"}}, {"configMapRef": {"name": "all"}}]}],
            "initContainers": [env("init")],
            "ephemeralContainers": [env("ephemeral")],
            "volumes": [
                {"name": "a", "configMap": {"name": "volume"}},
                {"name": "b", "secret": {"secretName": "volume"}},
                {"name": "c", "persistentVolumeClaim": {"claimName": "disk"}},
                {
                    "name": "d",
                    "projected": {"sources": [{"secret": {"name": "part"}}, {"configMap": {"name": "part"}}, {"downwardAPI": {}}]},
                },
                {"name": "e", "emptyDir": {}},
            ],
        }
    }
    maps = {Reference(CONFIG_MAP, name) for name in ("all", "init", "ephemeral", "volume", "part")}
    secrets = {Reference(SECRET, name) for name in ("pull", "all", "volume", "part")}
    assert podreferences.of_pod(pod) == maps | secrets | {Reference(CLAIM, "disk")}
    assert podreferences.of_pod({"spec": {"containers": []}}) == frozenset()

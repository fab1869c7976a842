"""`apply`, `create`, `delete`, `label` over a real API server, in kubectl's words."""

import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from polong.cli.apply import merge_three_way

from .conftest import Api, Run

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  shareProcessNamespace: true
  containers:
  - {name: web, image: nginx}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "pod.yaml"
    path.write_text(POD)
    return path


def test_created_then_unchanged_then_configured(api: Api, polong: Run, manifest: Path) -> None:
    assert polong("apply", "-f", str(manifest)).out == "pod/web created\n"
    assert polong("apply", "-f", str(manifest)).out == "pod/web unchanged\n"
    manifest.write_text(POD.replace("{name: web}\n", "{name: web, labels: {a: b}}\n"))
    assert polong("apply", "-f", str(manifest)).out == "pod/web configured\n"
    assert polong("get", "pod", "web", "-o", "jsonpath={.metadata.labels.a}").out == "b"


def test_what_was_applied_and_is_gone_is_removed_and_what_others_set_stays(api: Api, polong: Run, manifest: Path) -> None:
    manifest.write_text(POD.replace("{name: web}\n", "{name: web, labels: {mine: x, kept: z}}\n"))
    polong("apply", "-f", str(manifest))
    polong("label", "pod", "web", "theirs=y")
    manifest.write_text(POD.replace("{name: web}\n", "{name: web, labels: {kept: z}}\n"))
    assert polong("apply", "-f", str(manifest)).out == "pod/web configured\n"
    assert json.loads(polong("get", "pod", "web", "-o", "jsonpath={.metadata.labels}").out) == {"kept": "z", "theirs": "y"}


def test_the_note_is_kubectls(api: Api, polong: Run, manifest: Path) -> None:
    polong("apply", "-f", str(manifest))
    obj = json.loads(polong("get", "pod", "web", "-o", "json").out)
    note = obj["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert note.endswith("\n")
    assert json.loads(note)["metadata"] == {"annotations": {}, "name": "web", "namespace": "default"}


def test_what_was_created_otherwise_is_taken_over_with_a_warning(api: Api, polong: Run, manifest: Path) -> None:
    polong("create", "-f", str(manifest))
    result = polong("apply", "-f", str(manifest))
    assert "missing the kubectl.kubernetes.io/last-applied-configuration annotation" in result.err
    assert result.out == "pod/web configured\n"


def test_dry_runs_store_nothing(api: Api, polong: Run, manifest: Path) -> None:
    assert polong("apply", "-f", str(manifest), "--dry-run=client").out == "pod/web created (dry run)\n"
    assert polong("apply", "-f", str(manifest), "--dry-run=server").out == "pod/web created (server dry run)\n"
    assert polong("get", "pods").out == ""


def test_standard_input(api: Api, polong: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(POD.encode())))
    assert polong("apply", "-f", "-").out == "pod/web created\n"


def test_directories_and_lists(api: Api, polong: Run, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.yaml").write_text(POD.replace("name: web}", "name: a}") + "---\n" + POD.replace("name: web}", "name: b}", 1))
    (tmp_path / "note.txt").write_text("not YAML: [")
    (tmp_path / "sub" / "c.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": []}))
    assert polong("apply", "-f", str(tmp_path)).out == "pod/a created\npod/b created\n"
    assert polong("apply", "-R", "-f", str(tmp_path)).out == "pod/a unchanged\npod/b unchanged\n"


def test_unknown_fields_are_refused_by_name(api: Api, polong: Run, manifest: Path) -> None:
    manifest.write_text(POD.replace("  containers:", "  nonsense: 1\n  containers:"))
    result = polong("apply", "-f", str(manifest))
    assert result.code == 1
    assert result.err.startswith(f'Error from server (BadRequest): error when creating "{manifest}": ')
    assert 'unknown field "spec.nonsense"' in result.err


def test_invalid_names_the_pod(api: Api, polong: Run, manifest: Path) -> None:
    manifest.write_text(POD.replace("spec:", "spec:\n  hostPID: true"))
    result = polong("apply", "-f", str(manifest))
    assert result.err == (
        'The Pod "web" is invalid: spec.securityContext.shareProcessNamespace: Invalid value: true: '
        "ShareProcessNamespace and HostPID cannot both be enabled\n"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "error parsing"),
        ("a: 1\na: 2", 'key "a" already set'),
        ("kind: Pod\nmetadata: {name: x}", "apiVersion not set"),
        ("- 1", "expected an object"),
        ("apiVersion: v1\nkind: Wombat\nmetadata: {name: x}", 'no matches for kind "Wombat" in version "v1"'),
    ],
)
def test_bad_files_are_one_clear_line(api: Api, polong: Run, manifest: Path, text: str, words: str) -> None:
    manifest.write_text(text)
    result = polong("apply", "-f", str(manifest))
    assert result.code == 1
    assert words in result.err
    assert "Traceback" not in result.err


def test_a_missing_file(api: Api, polong: Run) -> None:
    assert polong("apply", "-f", "/no/such").err == 'error: the path "/no/such" does not exist\n'


def test_one_bad_object_does_not_stop_the_others(api: Api, polong: Run, manifest: Path) -> None:
    manifest.write_text(POD.replace("image: nginx", 'image: ""') + "---\n" + POD.replace("name: web}", "name: ok}", 1))
    result = polong("apply", "-f", str(manifest))
    assert result.code == 1
    assert result.out == "pod/ok created\n"


def test_create_refuses_what_exists(api: Api, polong: Run, manifest: Path) -> None:
    assert polong("create", "-f", str(manifest)).out == "pod/web created\n"
    result = polong("create", "-f", str(manifest))
    assert result.err == f'Error from server (AlreadyExists): error when creating "{manifest}": pods "web" already exists\n'


def test_the_namespace_must_agree(api: Api, polong: Run, manifest: Path) -> None:
    manifest.write_text(POD.replace("name: web}", "name: web, namespace: default}"))
    assert "does not match the namespace" in polong("apply", "-n", "kube-system", "-f", str(manifest)).err


def test_delete_by_name_file_and_label(api: Api, polong: Run, manifest: Path) -> None:
    api.pod("a")
    api.pod("b")
    polong("apply", "-f", str(manifest))
    polong("label", "pod", "b", "x=y")
    assert polong("delete", "pod", "a", "--force").out == 'pod "a" force deleted\n'
    assert polong("delete", "pods", "-l", "x=y", "--force").out == 'pod "b" force deleted\n'
    assert polong("delete", "-f", str(manifest), "--now", "--wait=false").out == 'pod "web" deleted\n'


def test_delete_waits_until_it_is_gone(api: Api, polong: Run) -> None:
    api.pod("slow")
    path = "/api/v1/namespaces/default/pods/slow"
    api.request("PATCH", path, {"metadata": {"finalizers": ["example.com/hold"]}}, "application/merge-patch+json")
    result = polong("delete", "pod", "slow", "--grace-period=1", "--timeout=300ms")
    assert (result.code, result.out) == (1, 'pod "slow" deleted\n')
    assert result.err == "error: timed out waiting for the condition on pods/slow\n"
    timer = threading.Timer(
        0.3, api.request, ["PATCH", path, {"metadata": {"finalizers": None}, "spec": {}}, "application/merge-patch+json"]
    )
    timer.start()
    api.request("DELETE", path, {"gracePeriodSeconds": 0})
    assert polong("wait", "pod/slow", "--for=delete", "--timeout=5s").code == 0
    timer.join()


def test_delete_of_nothing(api: Api, polong: Run) -> None:
    assert polong("delete", "pod", "x").err == 'Error from server (NotFound): pods "x" not found\n'
    assert polong("delete", "pod", "x", "--ignore-not-found").code == 0
    assert "no name was specified" in polong("delete", "pods").err


def test_labels(api: Api, polong: Run) -> None:
    api.pod("a")
    assert polong("label", "pod", "a", "k=v").out == "pod/a labeled\n"
    assert "already has a value (v), and --overwrite is false" in polong("label", "pod", "a", "k=w").err
    assert polong("label", "pod", "a", "k=w", "--overwrite").out == "pod/a labeled\n"
    assert polong("label", "pod", "a", "k-").out == "pod/a unlabeled\n"
    assert polong("annotate", "pod", "a", "n=1").out == "pod/a annotated\n"


@pytest.mark.parametrize(
    ("original", "modified", "current", "patch"),
    [
        ({}, {"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {}, {"a": 1, "b": 2}, {"a": None}),
        ({"a": {"x": 1}}, {"a": {}}, {"a": {"x": 1, "y": 2}}, {"a": {"x": None}}),
        ({}, {"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {}, {}, {}),
    ],
)
def test_three_ways_without_a_schema(original: Any, modified: Any, current: Any, patch: Any) -> None:
    assert merge_three_way(original, modified, current) == patch

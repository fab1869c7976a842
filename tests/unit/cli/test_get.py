"""`get` over a real API server."""

import json

import pytest

from polong.objects import yaml

from .conftest import Api, Run


def test_tables_are_kubectls(api: Api, polong: Run) -> None:
    api.pod()
    result = polong("get", "pods")
    assert result.out.splitlines()[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert result.out.splitlines()[1].split()[:4] == ["nginx", "0/2", "Pending", "0"]


def test_wide_has_more_columns(api: Api, polong: Run) -> None:
    api.pod()
    assert "NOMINATED NODE" in polong("get", "po", "-o", "wide").out


def test_nothing_there(api: Api, polong: Run) -> None:
    result = polong("get", "pods")
    assert (result.code, result.out, result.err) == (0, "", "No resources found in default namespace.\n")
    assert polong("get", "pods", "-A").err == "No resources found\n"


def test_a_missing_name_is_the_servers_error(api: Api, polong: Run) -> None:
    result = polong("get", "pod", "x")
    assert (result.code, result.err) == (1, 'Error from server (NotFound): pods "x" not found\n')
    assert polong("get", "pod", "x", "--ignore-not-found").code == 0


def test_several_names_go_past_a_missing_one(api: Api, polong: Run) -> None:
    api.pod("a")
    result = polong("get", "pods", "a", "b")
    assert result.code == 1
    assert "a " in result.out
    assert 'pods "b" not found' in result.err


def test_an_unknown_type(api: Api, polong: Run) -> None:
    result = polong("get", "wombats")
    assert (result.code, result.err) == (1, 'error: the server doesn\'t have a resource type "wombats"\n')


def test_all_namespaces_have_a_column(api: Api, polong: Run) -> None:
    api.pod()
    lines = polong("get", "pods", "-A", "--no-headers").out.splitlines()
    assert lines[0].split()[:2] == ["default", "nginx"]


def test_several_types_are_told_apart(api: Api, polong: Run) -> None:
    api.pod()
    out = polong("get", "pods,ns").out
    assert "pod/nginx" in out
    assert "namespace/default" in out


def test_json_of_one_is_the_object_and_of_many_a_list(api: Api, polong: Run) -> None:
    api.pod()
    one = json.loads(polong("get", "pod/nginx", "-o", "json").out)
    assert (one["kind"], one["metadata"]["name"]) == ("Pod", "nginx")
    assert "managedFields" not in one["metadata"]
    many = json.loads(polong("get", "pods", "-ojson").out)
    assert (many["kind"], many["items"][0]["kind"]) == ("List", "Pod")


def test_yaml_reads_back_the_same(api: Api, polong: Run) -> None:
    api.pod()
    text = polong("get", "pod", "nginx", "-o", "yaml").out
    assert yaml.load_one(text) == json.loads(polong("get", "pod", "nginx", "-o", "json").out)


@pytest.mark.parametrize(
    ("form", "out"),
    [
        ("name", "pod/nginx\n"),
        ("jsonpath={.metadata.name}", "nginx"),
        ("jsonpath=.spec.containers[*].name", "nginx shell"),
        ("custom-columns=N:.metadata.name,C:.spec.containers[*].name", "N       C\nnginx   nginx,shell\n"),
    ],
)
def test_other_formats(api: Api, polong: Run, form: str, out: str) -> None:
    api.pod()
    assert polong("get", "pod", "nginx", "-o", form).out == out


def test_jsonpath_from_a_file(api: Api, polong: Run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    api.pod()
    (tmp_path / "t").write_text('{range .items[*]}{.metadata.name}{"\\n"}{end}')
    assert polong("get", "pods", "-o", f"jsonpath-file={tmp_path / 't'}").out == "nginx\n"


@pytest.mark.parametrize("form", ["tables", "jsonpath", "jsonpath={.a", "custom-columns=x"])
def test_bad_formats_are_one_line(api: Api, polong: Run, form: str) -> None:
    api.pod()
    result = polong("get", "pods", "-o", form)
    assert result.code == 1
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1


def test_sorting_and_labels(api: Api, polong: Run) -> None:
    for name in ("a", "b"):
        api.pod(name)
        polong("label", "pod", name, f"rank={'2' if name == 'a' else '1'}")
    lines = polong("get", "pods", "--sort-by=.metadata.labels.rank", "--no-headers", "-L", "rank").out.splitlines()
    assert [line.split()[0] for line in lines] == ["b", "a"]
    assert lines[0].split()[-1] == "1"
    assert polong("get", "pods", "-l", "rank=2", "-o", "name").out == "pod/a\n"
    assert polong("get", "pods", "--show-labels", "--field-selector", "metadata.name=b").out.splitlines()[1].endswith("rank=1")


def test_a_hostile_name_cannot_reach_the_terminal(api: Api, polong: Run) -> None:
    api.pod()
    api.status("nginx", reason="\x1b[2Jevil")
    out = polong("get", "pods").out
    assert "\x1b" not in out


def test_the_root_flags_may_stand_before_the_verb(api: Api, polong: Run) -> None:
    api.pod()
    assert polong("-n", "kube-system", "get", "pods").err == "No resources found in kube-system namespace.\n"

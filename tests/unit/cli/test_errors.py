"""Errors in kubectl's words."""

from polong.cli.errors import FromServer, explain
from polong.kit import errors
from polong.kit.errors import Cause


def test_a_servers_error_carries_its_reason() -> None:
    assert explain(errors.NotFound('pods "x" not found', reason="NotFound")) == 'Error from server (NotFound): pods "x" not found'
    assert explain(errors.Forbidden("no")) == "Error from server (Forbidden): no"


def test_what_was_being_done_stands_before_the_message() -> None:
    error = FromServer(errors.BadRequest("strict decoding error", reason="BadRequest"), 'error when creating "pod.yaml"')
    assert explain(error) == 'Error from server (BadRequest): error when creating "pod.yaml": strict decoding error'


def test_invalid_names_the_object_and_its_cause() -> None:
    cause = Cause("FieldValueRequired", "Required value", "spec.containers")
    error = errors.Invalid('Pod "x" is invalid: spec.containers: Required value', reason="Invalid", causes=[cause])
    assert explain(FromServer(error, "error when creating")) == 'The Pod "x" is invalid: spec.containers: Required value'


def test_several_causes_are_a_list() -> None:
    causes = [Cause("", "Required value", "a"), Cause("", "Invalid value", "b")]
    assert (
        explain(errors.Invalid('Pod "x" is invalid: [..]', causes=causes))
        == 'The Pod "x" is invalid: \n* a: Required value\n* b: Invalid value'
    )


def test_invalid_without_causes_keeps_the_message() -> None:
    assert explain(errors.Invalid('Pod "x" is invalid: metadata.name: bad')) == 'The Pod "x" is invalid: metadata.name: bad'


def test_no_server_is_not_an_error_from_a_server() -> None:
    assert explain(errors.Unavailable("cannot connect to 127.0.0.1:1: refused")).startswith("error: cannot connect")


def test_operating_system_errors_name_the_file() -> None:
    assert explain(FileNotFoundError(2, "No such file or directory", "/x")) == "error: /x: No such file or directory"


def test_our_own_faults_are_one_line() -> None:
    assert "\n" not in explain(KeyError("x"))

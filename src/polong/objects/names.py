"""What names may look like, with Kubernetes' own texts. Source: apimachinery pkg/util/validation/validation.go."""

from __future__ import annotations

import ipaddress
import re

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + ")*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = "(" + _QUALIFIED + ")?"
_DNS_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"


_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_DNS_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_QUALIFIED_TEXT = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
_CONFIG_KEY_TEXT = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"


def _regex_error(text: str, expression: str, *examples: str) -> str:
    if not examples:
        return f"{text} (regex used for validation is '{expression}')"
    listed = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {listed}regex used for validation is '{expression}')"


def _length_error(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def dns_label_errors(value: str) -> list[str]:
    """RFC 1123 label: container, volume and namespace names."""
    errors = [_length_error(63)] if len(value) > 63 else []
    if not re.fullmatch(_LABEL, value, re.ASCII):
        errors.append(_regex_error(_LABEL_TEXT, _LABEL, "my-name", "123-abc"))
    return errors


def dns_1035_errors(value: str) -> list[str]:
    """RFC 1035 label: names of Services, which begin with a letter."""
    errors = [_length_error(63)] if len(value) > 63 else []
    if not re.fullmatch(_DNS_1035, value, re.ASCII):
        errors.append(_regex_error(_DNS_1035_TEXT, _DNS_1035, "my-name", "abc-123"))
    return errors


def dns_subdomain_errors(value: str) -> list[str]:
    """RFC 1123 subdomain: names of most objects."""
    errors = [_length_error(253)] if len(value) > 253 else []
    if not re.fullmatch(_SUBDOMAIN, value, re.ASCII):
        errors.append(_regex_error(_SUBDOMAIN_TEXT, _SUBDOMAIN, "example.com"))
    return errors


def qualified_name_errors(value: str) -> list[str]:
    """Label and annotation keys: `prefix/name`."""
    parts = value.split("/")
    errors: list[str] = []
    if len(parts) == 2:
        prefix, name = parts
        if not prefix:
            errors.append("prefix part must be non-empty")
        else:
            errors += ["prefix part " + error for error in dns_subdomain_errors(prefix)]
    elif len(parts) == 1:
        name = parts[0]
    else:
        return [
            "a qualified name "
            + _regex_error(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc")
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    if not name:
        errors.append("name part must be non-empty")
    elif len(name) > 63:
        errors.append("name part " + _length_error(63))
    if not re.fullmatch(_QUALIFIED, name, re.ASCII):
        errors.append("name part " + _regex_error(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc"))
    return errors


def label_value_errors(value: str) -> list[str]:
    errors = [_length_error(63)] if len(value) > 63 else []
    if not re.fullmatch(_LABEL_VALUE, value, re.ASCII):
        errors.append(_regex_error(_LABEL_VALUE_TEXT, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return errors


def config_key_errors(value: str) -> list[str]:
    """Keys of ConfigMaps and Secrets: they become names of files."""
    errors = [_length_error(253)] if len(value) > 253 else []
    if not re.fullmatch(_CONFIG_KEY, value, re.ASCII):
        errors.append(_regex_error(_CONFIG_KEY_TEXT, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if value in (".", ".."):
        errors.append(f"must not be '{value}'")
    elif value.startswith(".."):
        errors.append("must not start with '..'")
    return errors


def env_name_errors(value: str) -> list[str]:
    """Environment variables: any printable ASCII but '=' (as since 1.34)."""
    if not value:
        return ["environment variable name must be non-empty"]
    if all(" " <= character <= "~" and character != "=" for character in value):
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


def port_name_errors(value: str) -> list[str]:
    """IANA_SVC_NAME: names of container ports."""
    errors = ["must be no more than 15 characters"] if len(value) > 15 else []
    if not re.fullmatch(r"[-a-z0-9]*", value, re.ASCII):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", value):
        errors.append("must contain at least one letter (a-z)")
    if "--" in value:
        errors.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def ip_errors(value: str) -> list[str]:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []


def path_segment_errors(value: str) -> list[str]:
    """What any object's name must satisfy to stand in a URL."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in value]

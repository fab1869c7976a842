"""Tokens of ServiceAccounts: given, read, bound, expired, forged; TokenReview, OIDC, impersonation, who am I and may I."""

from __future__ import annotations

import json
from typing import Any

import pytest

from polong.api import tokens as codec
from polong.api.service import User
from polong.api.tokens import Tokens
from polong.kit.errors import Unauthorized

from .conftest import ADMIN, Api, pod

Json = dict[str, Any]

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
AUTHENTICATION = "/apis/authentication.k8s.io/v1"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"
ISSUER = "https://kubernetes.default.svc.cluster.local"
POD = "/api/v1/namespaces/default/pods/p"
NAME = "system:serviceaccount:default:sa"
MERGE = {"content-type": "application/merge-patch+json"}


async def account(api: Api, name: str = "sa") -> Json:
    code, made = await api("POST", ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
    assert code == 201, made
    return made


def asking(**spec: Any) -> Json:
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


async def token(api: Api, name: str = "sa", **spec: Any) -> str:
    code, made = await api("POST", f"{ACCOUNTS}/{name}/token", asking(**spec))
    assert code == 201, made
    text: str = made["status"]["token"]
    return text


async def bearer(api: Api, text: str) -> User | None:
    return await api.service.authentication.user(f"Bearer {text}")


def claims_of(text: str) -> Json:
    found: Json = json.loads(codec.decode(text.split(".")[1]))
    return found


async def test_a_token_and_whose_it_is(api: Api) -> None:
    made = await account(api)
    code, answer = await api("POST", f"{ACCOUNTS}/sa/token", asking(expirationSeconds=7200))
    assert (code, answer["kind"], answer["metadata"]["name"]) == (201, "TokenRequest", "sa")
    assert answer["status"]["expirationTimestamp"] == "2026-01-02T05:04:05Z"
    claims = claims_of(answer["status"]["token"])
    assert (claims["iss"], claims["sub"], claims["aud"], claims["exp"] - claims["iat"]) == (ISSUER, NAME, [ISSUER], 7200)
    assert claims["kubernetes.io"] == {"namespace": "default", "serviceaccount": {"name": "sa", "uid": made["metadata"]["uid"]}}
    user = await bearer(api, answer["status"]["token"])
    assert user is not None
    assert (user.name, user.uid) == (NAME, made["metadata"]["uid"])
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"expirationSeconds": 10}, "spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": 1 << 33}, "may not specify a duration larger than 2^32 seconds"),
        ({"boundObjectRef": {"kind": "ConfigMap", "name": "x"}}, 'to object of type "ConfigMap"'),
        ({"boundObjectRef": {"kind": "Pod", "name": "gone"}}, 'pods "gone" not found'),
    ],
)
async def test_refused_requests(api: Api, spec: Json, message: str) -> None:
    await account(api)
    code, answer = await api("POST", f"{ACCOUNTS}/sa/token", asking(**spec))
    assert (code in (400, 404, 422), message in answer["message"]) == (True, True), answer


async def test_no_account_no_token(api: Api) -> None:
    code, answer = await api("POST", f"{ACCOUNTS}/none/token", asking())
    assert (code, answer["message"]) == (404, 'serviceaccounts "none" not found')


async def test_bound_to_a_pod(api: Api) -> None:
    await api("POST", ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    made = await api.create(pod())
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made["metadata"]["uid"]}
    text = await token(api, "default", boundObjectRef=reference)
    user = await bearer(api, text)
    assert user is not None
    extra = dict(user.extra)
    assert extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert extra["authentication.kubernetes.io/pod-uid"] == (made["metadata"]["uid"],)
    assert extra["authentication.kubernetes.io/node-name"] == ("n1",)
    code, answer = await api("POST", f"{ACCOUNTS}/default/token", asking(boundObjectRef={**reference, "uid": "other"}))
    assert (code, "does not match the UID in record" in answer["message"]) == (409, True)
    await account(api, "another")
    code, answer = await api("POST", f"{ACCOUNTS}/another/token", asking(boundObjectRef=reference))
    assert (code, "to pod running with different serviceaccount name" in answer["message"]) == (400, True)
    # It dies with the Pod, and a namesake does not bring it back.
    await api("DELETE", POD, gracePeriodSeconds="0")
    await api.create(pod())
    with pytest.raises(Unauthorized):
        await bearer(api, text)


async def test_it_outlives_the_grace_of_its_pod_but_not_by_much(api: Api) -> None:
    await api("POST", ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    made = await api.create(pod())
    text = await token(api, "default", boundObjectRef={"kind": "Pod", "name": "p", "uid": made["metadata"]["uid"]})
    await api("DELETE", POD)
    api.clock.advance(60)
    assert await bearer(api, text)
    api.clock.advance(60)
    with pytest.raises(Unauthorized):
        await bearer(api, text)


async def test_expiry_and_its_account(api: Api) -> None:
    await account(api)
    text = await token(api)
    api.clock.advance(3600)
    assert await bearer(api, text)
    api.clock.advance(120)
    with pytest.raises(Unauthorized, match=r"^Unauthorized$"):
        await bearer(api, text)
    text = await token(api)
    await api("DELETE", f"{ACCOUNTS}/sa")
    await account(api)
    with pytest.raises(Unauthorized):
        await bearer(api, text)


def forged(text: str, header: Json | None = None, claims: Json | None = None, signature: str | None = None) -> str:
    head, body, end = text.split(".")
    if header is not None:
        head = codec.encode(json.dumps({**json.loads(codec.decode(head)), **header}).encode())
    if claims is not None:
        body = codec.encode(json.dumps({**json.loads(codec.decode(body)), **claims}).encode())
    return f"{head}.{body}.{end if signature is None else signature}"


async def test_forgeries(api: Api) -> None:
    await account(api)
    text = await token(api)
    other = await Tokens(ISSUER).sign({name: value for name, value in claims_of(text).items() if name != "iss"})
    forgeries = [
        forged(text, {"alg": "none"}, signature=""),
        forged(text, {"alg": "HS256"}),
        forged(text, {"kid": "x"}),
        forged(text, claims={"sub": "system:serviceaccount:kube-system:admin"}),
        forged(text, signature=codec.encode(b"\0" * 64)),
        text[:-4],
        text + "A",
        other,
        "a.b.c",
        "",
        "." * 100,
        "x" * 100_000,
        "ä.ö.ü",
    ]
    for one in forgeries:
        with pytest.raises(Unauthorized, match=r"^Unauthorized$"):
            await bearer(api, one or "-")
    assert await bearer(api, text)
    assert await bearer(api, text), "read again, from memory"


async def test_a_token_for_others_is_none_for_us(api: Api) -> None:
    await account(api)
    text = await token(api, audiences=["vault"])
    with pytest.raises(Unauthorized):
        await bearer(api, text)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": text, "audiences": ["vault", "x"]}}
    code, answer = await api("POST", f"{AUTHENTICATION}/tokenreviews", review)
    assert (code, answer["status"]["authenticated"], answer["status"]["audiences"]) == (201, True, ["vault"])
    assert answer["status"]["user"]["username"] == NAME
    review["spec"] = {"token": text}
    _, answer = await api("POST", f"{AUTHENTICATION}/tokenreviews", review)
    assert answer["status"] == {"error": "the token is for another audience", "user": {}}


async def test_others_can_verify_our_tokens(api: Api) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    await account(api)
    head, body, signature = (await token(api)).split(".")
    code, keys = await api("GET", "/openid/v1/jwks")
    (key,) = keys["keys"]
    assert (code, key["kid"], key["alg"]) == (200, json.loads(codec.decode(head))["kid"], "ES256")
    numbers = ec.EllipticCurvePublicNumbers(*(int.from_bytes(codec.decode(key[name]), "big") for name in "xy"), ec.SECP256R1())
    raw = codec.decode(signature)
    pair = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    numbers.public_key().verify(pair, f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    code, found = await api("GET", "/.well-known/openid-configuration", headers={"host": "localhost:6443"})
    assert (code, found["issuer"], found["jwks_uri"]) == (200, ISSUER, "https://localhost:6443/openid/v1/jwks")
    jane = User("jane", ("system:authenticated",))
    assert (await api("GET", "/openid/v1/jwks", user=jane))[0] == 403
    assert (await api("GET", "/openid/v1/jwks", user=User(NAME, ("system:serviceaccounts",))))[0] == 200


# --- who am I, may I -----------------------------------------------------------------------------------------------------------------


async def granted(api: Api) -> None:
    group = "rbac.authorization.k8s.io"
    await api(
        "POST",
        f"/apis/{group}/v1/namespaces/default/rolebindings",
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "b"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "name": "jane"}],
        },
    )


JANE = User("jane", ("system:authenticated",), "u-1", (("a.io/scope", ("x",)),))


async def test_who_am_i(api: Api) -> None:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    code, answer = await api("POST", f"{AUTHENTICATION}/selfsubjectreviews", body, user=JANE)
    expected = {"username": "jane", "uid": "u-1", "groups": ["system:authenticated"], "extra": {"a.io/scope": ["x"]}}
    assert (code, answer["status"]["userInfo"]) == (201, expected)


async def test_may_i(api: Api) -> None:
    await granted(api)

    async def may(user: User, **attributes: str) -> tuple[bool, str]:
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        body["spec"] = {"resourceAttributes": attributes}  # type: ignore[assignment]
        code, answer = await api("POST", f"{AUTHORIZATION}/selfsubjectaccessreviews", body, user=user)
        assert code == 201, answer
        return answer["status"]["allowed"], answer["status"].get("reason", "")

    yes, why = await may(JANE, namespace="default", verb="list", resource="pods")
    assert (yes, why) == (True, 'RBAC: allowed by RoleBinding "b/default" of ClusterRole "view" to User "jane"')
    assert await may(JANE, namespace="other", verb="list", resource="pods") == (False, "")
    assert await may(JANE, namespace="default", verb="create", resource="pods", subresource="exec") == (False, "")
    assert await may(ADMIN, verb="*", resource="*", group="*") == (True, "")


async def test_may_he(api: Api) -> None:
    await granted(api)
    body: Json = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": "jane"}}
    path = f"{AUTHORIZATION}/subjectaccessreviews"
    body["spec"]["resourceAttributes"] = {"namespace": "default", "verb": "get", "resource": "pods"}
    assert (await api("POST", path, body))[1]["status"]["allowed"] is True
    assert (await api("POST", path, body, user=JANE))[0] == 403
    local = {**body, "kind": "LocalSubjectAccessReview", "metadata": {"namespace": "default"}}
    assert (await api("POST", f"{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews", local))[1]["status"]["allowed"] is True
    elsewhere = {**local, "metadata": {"namespace": "kube-system"}}
    code, answer = await api("POST", f"{AUTHORIZATION}/namespaces/kube-system/localsubjectaccessreviews", elsewhere)
    assert (code, "must match metadata.namespace" in answer["message"]) == (422, True)
    body["spec"] = {"user": "jane", "nonResourceAttributes": {"path": "/healthz", "verb": "get"}}
    assert (await api("POST", path, body))[1]["status"]["allowed"] is True
    for spec, text in (
        ({"user": "jane"}, "exactly one of nonResourceAttributes or resourceAttributes must be specified"),
        ({"nonResourceAttributes": {"path": "/x"}}, "at least one of user or group must be specified"),
    ):
        code, answer = await api("POST", path, {**body, "spec": spec})
        assert (code, text in answer["message"]) == (422, True)


async def test_what_may_i(api: Api) -> None:
    await granted(api)
    body: Json = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}}
    code, answer = await api("POST", f"{AUTHORIZATION}/selfsubjectrulesreviews", body, user=JANE)
    found = answer["status"]
    assert (code, found["incomplete"]) == (201, False)
    assert any("pods" in rule["resources"] and "list" in rule["verbs"] for rule in found["resourceRules"])
    assert any("/healthz" in rule["nonResourceURLs"] for rule in found["nonResourceRules"])
    assert (await api("POST", f"{AUTHORIZATION}/selfsubjectrulesreviews", {**body, "spec": {}}, user=JANE))[0] == 400


async def test_reviews_are_asked_not_kept(api: Api) -> None:
    for resource in ("tokenreviews", "selfsubjectreviews"):
        assert (await api("GET", f"{AUTHENTICATION}/{resource}"))[0] == 405
        assert (await api("GET", f"{AUTHENTICATION}/{resource}/x"))[0] == 405


# --- acting as somebody else -----------------------------------------------------------------------------------------------------------


async def acting(api: Api, user: User | None, *headers: tuple[str, str]) -> User | None:
    return await api.service.authentication.actor(user, list(headers))


async def test_acting_as_somebody_else(api: Api) -> None:
    assert await acting(api, ADMIN, ("impersonate-user", "jane"), ("impersonate-group", "a"), ("impersonate-group", "b")) == User(
        "jane", ("a", "b", "system:authenticated")
    )
    found = await acting(api, ADMIN, ("impersonate-user", NAME), ("impersonate-uid", "7"), ("impersonate-extra-a.io%2Fscope", "x"))
    groups = ("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated")
    assert found == User(NAME, groups, "7", (("a.io/scope", ("x",)),))
    assert await acting(api, ADMIN, ("impersonate-user", "system:anonymous")) == User("system:anonymous", ("system:unauthenticated",))


async def test_not_everybody_may(api: Api) -> None:
    from polong.kit.errors import BadRequest, Forbidden

    with pytest.raises(Forbidden, match='users "root" is forbidden: User "jane" cannot impersonate resource "users" in API group ""'):
        await acting(api, JANE, ("impersonate-user", "root"))
    with pytest.raises(BadRequest, match="without impersonating a user"):
        await acting(api, ADMIN, ("impersonate-group", "system:masters"))
    with pytest.raises(Unauthorized):
        await acting(api, None, ("impersonate-user", "jane"))
    group = "rbac.authorization.k8s.io"
    role = {"rules": [{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["bob"]}]}
    role |= {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": "as-bob"}}
    await api("POST", f"/apis/{group}/v1/clusterroles", role)
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "as-bob"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "as-bob"},
        "subjects": [{"kind": "User", "name": "jane"}],
    }
    await api("POST", f"/apis/{group}/v1/clusterrolebindings", binding)
    found = await acting(api, JANE, ("impersonate-user", "bob"))
    assert found is not None
    assert found.name == "bob"
    # Not with a group that he does not have by himself.
    with pytest.raises(Forbidden, match='groups "system:masters" is forbidden'):
        await acting(api, JANE, ("impersonate-user", "bob"), ("impersonate-group", "system:masters"))


async def test_nobody_is_nobody(api: Api) -> None:
    assert await acting(api, None) is None
    assert await api.service.authentication.user("Basic eDp5") is None

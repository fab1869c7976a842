"""Tokens of ServiceAccounts: asked for once, renewed in time, kept while a successor is late."""

from __future__ import annotations

import pytest
from tests.unit.kubelet.doubles import UID, FakeApi, FakeClock, pod

from polong.kit.errors import NotFound, Unavailable
from polong.kubelet.volumes.payload import TokenRequest
from polong.kubelet.volumes.tokens import TokenManager

REQUEST = TokenRequest("robot", "vault", 1_000)


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi()
    api.clock = FakeClock()
    api.token_life = 1_000
    return api


@pytest.fixture
def tokens(api: FakeApi) -> TokenManager:
    assert api.clock is not None
    return TokenManager(api, api.clock)


async def test_a_token_is_bound_to_its_pod(api: FakeApi, tokens: TokenManager) -> None:
    assert await tokens.get(pod(), REQUEST) == "robot-1"
    (asked,) = api.tokens
    assert asked["spec"] == {
        "expirationSeconds": 1_000,
        "audiences": ["vault"],
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": UID},
    }


async def test_it_is_renewed_when_four_fifths_of_its_life_are_over(api: FakeApi, tokens: TokenManager) -> None:
    assert api.clock is not None
    await tokens.get(pod(), REQUEST)
    assert tokens.due(UID, REQUEST) == pytest.approx(800, abs=1)
    await api.clock.advance(798)
    assert await tokens.get(pod(), REQUEST) == "robot-1"
    await api.clock.advance(3)
    assert await tokens.get(pod(), REQUEST) == "robot-2"
    tokens.forget(UID)
    assert await tokens.get(pod(), REQUEST) == "robot-3"


async def test_no_token_lives_longer_than_a_day_unrenewed(api: FakeApi, tokens: TokenManager) -> None:
    api.token_life = 365 * 24 * 3_600
    await tokens.get(pod(), REQUEST)
    assert tokens.due(UID, REQUEST) == 24 * 3_600


async def test_an_api_that_refuses_is_asked_again_and_the_old_token_stays(api: FakeApi, tokens: TokenManager) -> None:
    assert api.clock is not None
    api.token_problem = NotFound('serviceaccounts "robot" not found')
    with pytest.raises(Unavailable, match='failed to fetch token: serviceaccounts "robot" not found'):
        await tokens.get(pod(), REQUEST)
    api.token_problem = None
    await tokens.get(pod(), REQUEST)
    api.token_problem = Unavailable("not now")
    await api.clock.advance(810)
    assert await tokens.get(pod(), REQUEST) == "robot-1"
    assert tokens.due(UID, REQUEST) == 10
    await api.clock.advance(200)
    with pytest.raises(Unavailable):
        await tokens.get(pod(), REQUEST)

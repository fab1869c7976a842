"""Plans as a state machine: any Pod, over a model of a runtime in which anything may die, fail half way, or be forgotten at any moment.

The Pod may be given other resources at any moment.

What must hold: no container without a ready sandbox; never two live instances of one container; init containers in their order, each to
its end, none twice without cause; ephemeral containers once; side-cars after all else at the end; the end is final; and where nothing
goes wrong any more, everything comes to rest.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.kubelet.doubles import container, pod

from polong.kubelet import backoff, resize, restarts
from polong.kubelet.containerstatus import known_restarts
from polong.kubelet.decisions import (
    CreateSandbox,
    Finish,
    Kill,
    Memory,
    Plan,
    RemoveContainer,
    RemoveSandbox,
    Resize,
    Start,
    StopSandbox,
    Verdict,
)
from polong.kubelet.health import Failure, Health
from polong.kubelet.identity import ID_SCHEME, container_hash
from polong.kubelet.observation import Container, Observation, Sandbox, arrange
from polong.kubelet.plan import plan
from polong.kubelet.resources import pod_limits
from polong.kubelet.restarts import backoff_key
from polong.objects import pod as pods

Json = dict[str, Any]
T0 = datetime(2026, 1, 1, tzinfo=UTC)
CODES = [0, 1, 42, 137]
SIZES = [{}, {"requests": {"cpu": "10m"}}, {"requests": {"cpu": "20m"}, "limits": {"cpu": "1", "memory": "64Mi"}}]
RESTARTING = {"resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}
RULES = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]


@st.composite
def specs(draw: st.DrawFn) -> Json:
    """Up to three init containers of either kind, up to two regular ones, any policies."""
    inits = []
    for place in range(draw(st.integers(0, 3))):
        fields = draw(
            st.sampled_from([{}, {}, {"restartPolicy": "OnFailure"}, {"restartPolicy": "Never"}, *[{"restartPolicy": "Always"}] * 3])
        )
        probed = fields.get("restartPolicy") == "Always" and draw(st.booleans())
        inits.append(container(f"i{place}", **fields, **({"startupProbe": {"exec": {}}} if probed else {})))
    own = [{}, {}, {"restartPolicy": "Never"}, {"restartPolicy": "Always"}, {"restartPolicy": "Never", "restartPolicyRules": RULES}]
    policy = draw(st.sampled_from(["Always", "OnFailure", "Never"]))
    regulars = []
    for place in range(draw(st.integers(1, 2))):
        fields = draw(st.sampled_from(own))
        # As the API has it: who never restarts cannot ask for a restart.
        may_restart = fields.get("restartPolicy", policy) != "Never"
        resized = draw(st.sampled_from([{}, RESTARTING])) if may_restart else {}
        regulars.append(container(f"r{place}", **fields, **resized, resources=draw(st.sampled_from(SIZES))))
    return pod(*regulars, initContainers=inits, restartPolicy=policy)


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pod = pod()
        self.sandboxes: list[Sandbox] = []
        self.containers: list[Container] = []
        self.memory = Memory()
        self.now = 1000.0
        self.number = 0
        self.gone = False
        self.begun: set[tuple[str, str]] = set()
        self.done: set[tuple[str, str]] = set()
        self.replaced: set[str] = set()
        self.counts: dict[str, int] = {}

    @initialize(spec=specs())
    def made(self, spec: Json) -> None:
        self.pod = spec

    # --- the model -------------------------------------------------------------------------------------------------------------

    def seen(self) -> Observation:
        return arrange(self.sandboxes, self.containers)

    def moment(self) -> datetime:
        return T0 + timedelta(seconds=self.now)

    def spec(self, name: str) -> Json:
        found = pods.find_container(self.pod, name)
        assert found is not None
        return found

    def running(self) -> list[Container]:
        return [each for each in self.containers if each.state == "running"]

    def end(self, each: Container, code: int) -> None:
        self.containers[self.containers.index(each)] = replace(each, state="exited", exit_code=code, finished=self.moment())
        self.memory = replace(self.memory, ended={**self.memory.ended, each.id: self.now})
        if code == 0:
            self.done.add((each.sandbox_id, each.name))

    def healthy(self, each: Container, health: Health) -> None:
        self.memory = replace(self.memory, health={**self.memory.health, each.id: health})
        if health.started:
            self.begun.add((each.sandbox_id, each.name))

    def apply(self, action: Any) -> None:
        match action:
            case CreateSandbox(attempt):
                assert not [each for each in self.sandboxes if each.ready]
                assert not self.seen().alive()
                assert attempt == max([each.attempt for each in self.sandboxes], default=-1) + 1
                self.number += 1
                self.memory = replace(self.memory, limits=pod_limits(self.pod))
                self.sandboxes.append(Sandbox(f"s{self.number}", attempt, True, self.moment(), ("10.0.0.2",)))
            case Start():
                self.start(action)
            case Kill(identity):
                for each in [each for each in self.containers if each.id == identity and each.alive]:
                    self.in_turn(action)
                    self.end(each, 0 if action.replace else 143)
                    if action.replace:
                        self.memory = replace(self.memory, replaced=self.memory.replaced | {each.id})
                        self.replaced.add(each.name)
            case Resize(ids):
                held = {each.id: each for each in self.running()}
                assert set(ids) <= held.keys()
                fresh = {each: resize.given(self.spec(held[each].name)) for each in ids}
                self.memory = replace(self.memory, actuated=self.memory.actuated | fresh, limits=pod_limits(self.pod))
            case StopSandbox(identity):
                self.sandboxes = [replace(each, ready=False) if each.id == identity else each for each in self.sandboxes]
            case RemoveContainer(identity):
                assert not [each for each in self.containers if each.id == identity and each.state == "running"]
                for each in [each for each in self.containers if each.id == identity and each.state == "created"]:
                    # It never ran: its number is free again.
                    self.counts[each.name] = each.attempt - 1
                self.containers = [each for each in self.containers if each.id != identity]
            case RemoveSandbox(identity):
                assert not [each for each in self.containers if each.sandbox_id == identity]
                self.sandboxes = [each for each in self.sandboxes if each.id != identity]
            case Finish():
                assert self.memory.ending
                assert not self.seen().alive()
                self.sandboxes, self.containers, self.gone = [], [], True

    def in_turn(self, kill: Kill) -> None:
        """Who waits for others is a side-car, and waits for what runs of those that stop before it."""
        if not kill.after:
            return
        names = [each["name"] for each in pods.sidecars(self.pod)]
        later = {*(each["name"] for each in pods.containers(self.pod)), *names[names.index(kill.name) + 1 :]}
        assert not {each.id for each in self.running() if each.name in later} - kill.after

    def start(self, action: Start) -> None:
        name, sandbox_id = action.name, action.sandbox_id
        assert not self.memory.ending
        assert not self.memory.over
        assert [each.id for each in self.sandboxes if each.ready] == [sandbox_id]
        alive = [each for each in self.containers if each.name == name and each.alive]
        assert [each.id for each in alive] == ([action.created] if action.created else [])
        self.check_order(name, sandbox_id)
        if action.created:
            fresh = replace(alive[0], state="running", started=self.moment())
            self.containers[self.containers.index(alive[0])] = fresh
        else:
            assert action.attempt == self.counts.get(name, -1) + 1
            self.counts[name] = action.attempt
            spec, latest = self.spec(name), self.seen().latest(name)
            if action.restart and latest is not None:
                key = backoff_key(spec)
                entry = backoff.step(self.memory.backoffs.get(key), self.memory.ended[latest.id], self.now)
                self.memory = replace(self.memory, backoffs={**self.memory.backoffs, key: entry})
            self.number += 1
            when = self.moment() + timedelta(microseconds=self.number)
            fresh = Container(f"c{self.number}", name, sandbox_id, action.attempt, "running", when, when, spec_hash=container_hash(spec))
            self.containers.append(fresh)
            self.memory = replace(self.memory, actuated={**self.memory.actuated, fresh.id: resize.given(spec)})
        if not self.spec(name).get("startupProbe"):
            self.begun.add((sandbox_id, name))

    def check_order(self, name: str, sandbox_id: str) -> None:
        if pods.is_ephemeral(self.pod, {"name": name}):
            assert self.counts.get(name, -1) < 0 or [each for each in self.containers if each.name == name and each.state == "created"]
            return
        for each in pods.init_containers(self.pod):
            if each["name"] == name:
                break
            passed = self.begun if pods.is_sidecar(each) else self.done
            assert (sandbox_id, each["name"]) in passed, f"{name} before {each['name']}"
        if pods.is_init(self.pod, {"name": name}) and not pods.is_sidecar(self.spec(name)):
            assert (sandbox_id, name) not in self.done, f"{name} has had its turn"

    def decide(self) -> Plan:
        self.memory = replace(self.memory, restarts=known_restarts(self.pod, self.seen()))
        decided = plan(self.pod, self.seen(), self.memory, self.now)
        if decided.over and not self.memory.ending and not self.seen().alive():
            self.memory = replace(self.memory, over=True, verdict=decided.verdict)
        return decided

    # --- what happens ----------------------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.gone)
    @rule(fail_after=st.integers(0, 4))
    def sync(self, fail_after: int) -> None:
        """Execute a plan, perhaps only its beginning."""
        for action in [each for stage in self.decide().stages for each in stage][:fail_after]:
            self.apply(action)

    @precondition(lambda self: not self.gone)
    @rule(half_made=st.booleans())
    def half_start(self, half_made: bool) -> None:
        """The daemon dies between create and start."""
        starts = [each for stage in self.decide().stages for each in stage if isinstance(each, Start) and not each.created]
        if half_made and starts and not [each for stage in self.decide().stages for each in stage if isinstance(each, Kill)]:
            begun = set(self.begun)
            self.apply(starts[0])
            place = next(place for place, each in enumerate(self.containers) if each.name == starts[0].name and each.state == "running")
            self.begun = begun
            self.containers[place] = replace(self.containers[place], state="created", started=None)

    @precondition(lambda self: not self.gone)
    @rule(code=st.sampled_from(CODES))
    def settle(self, code: int) -> None:
        """Without failures, and where what should end ends, a Pod comes to rest."""
        for _ in range(40):
            decided = self.decide()
            if self.gone:
                return
            if not decided.stages:
                if not self.go_on(code):
                    break
                continue
            for stage in decided.stages:
                for action in stage:
                    self.apply(action)
        else:
            raise AssertionError("it never comes to rest")
        if not self.memory.over:
            self.at_rest()

    def go_on(self, code: int) -> bool:
        """Init containers end, startup probes succeed, back-offs pass: whatever a Pod waits for by itself."""
        for each in self.running():
            spec = self.spec(each.name)
            if pods.is_init(self.pod, spec) and not pods.is_sidecar(spec):
                self.end(each, 0)
                return True
            if spec.get("startupProbe") and (each.sandbox_id, each.name) not in self.begun:
                self.healthy(each, Health())
                return True
        if (wake := self.decide().wake) is not None:
            self.now = max(self.now, wake)
            return True
        return False

    def at_rest(self) -> None:
        """Every container runs, or has done its work."""
        for each in (*pods.sidecars(self.pod), *pods.containers(self.pod)):
            latest = self.seen().latest(each["name"])
            assert latest is not None
            assert latest.alive or not restarts.wanted(self.pod, each, latest, self.memory), each["name"]
            assert not latest.alive or not resize.lacking(self.pod, each, latest, self.memory.actuated), (
                f"{each['name']} has not what it was given"
            )
        assert self.memory.limits == pod_limits(self.pod)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), code=st.sampled_from(CODES))
    def dies(self, data: st.DataObject, code: int) -> None:
        self.end(data.draw(st.sampled_from(self.running())), code)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), healthy=st.booleans())
    def probed(self, data: st.DataObject, healthy: bool) -> None:
        each = data.draw(st.sampled_from(self.running()))
        spec = self.spec(each.name)
        if pods.is_ephemeral(self.pod, spec) or (pods.is_init(self.pod, spec) and not pods.is_sidecar(spec)):
            return
        self.healthy(each, Health() if healthy else Health(False, False, Failure("startup", 5)))

    @precondition(lambda self: self.sandboxes and not self.gone)
    @rule()
    def sandbox_lost(self) -> None:
        self.sandboxes = [replace(each, ready=False) for each in self.sandboxes]
        for each in self.running():
            self.end(each, 137)

    @rule(seconds=st.floats(0.5, 700))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: not self.gone and not self.memory.ending and len(pods.ephemeral_containers(self.pod)) < 2)
    @rule()
    def debugged(self) -> None:
        held = pods.ephemeral_containers(self.pod)
        self.pod = {**self.pod, "spec": {**self.pod["spec"], "ephemeralContainers": [*held, container(f"e{len(held)}")]}}

    @precondition(lambda self: not self.gone)
    @rule()
    def debuggers_reported(self) -> None:
        """How they ended is told, after which their containers may go; they do not come again."""
        told = [
            {"name": each.name, "containerID": ID_SCHEME + each.id, "state": {"terminated": {"containerID": ID_SCHEME + each.id}}}
            for each in self.containers
            if each.state == "exited" and pods.is_ephemeral(self.pod, {"name": each.name})
        ]
        names = {each["name"] for each in told}
        before = [each for each in pods.status(self.pod).get("ephemeralContainerStatuses") or () if each["name"] not in names]
        self.pod = {**self.pod, "status": {**pods.status(self.pod), "ephemeralContainerStatuses": [*before, *told]}}

    @precondition(lambda self: not self.gone)
    @rule(data=st.data(), image=st.sampled_from(["one", "two"]))
    def image_changed(self, data: st.DataObject, image: str) -> None:
        field = data.draw(st.sampled_from([each for each in ("initContainers", "containers") if self.pod["spec"][each]]))
        place = data.draw(st.integers(0, len(self.pod["spec"][field]) - 1))
        changed = [each | {"image": image} if index == place else each for index, each in enumerate(self.pod["spec"][field])]
        self.pod = {**self.pod, "spec": {**self.pod["spec"], field: changed}}

    @precondition(lambda self: not self.gone)
    @rule(data=st.data(), size=st.sampled_from(SIZES[1:]))
    def resized(self, data: st.DataObject, size: Json) -> None:
        name = data.draw(st.sampled_from([each["name"] for each in pods.lasting(self.pod)]))
        fields = {
            field: [each | {"resources": size} if each["name"] == name else each for each in self.pod["spec"][field]]
            for field in ("initContainers", "containers")
        }
        self.pod = {**self.pod, "spec": {**self.pod["spec"], **fields}}

    @precondition(lambda self: not self.gone and self.memory.verdict is None)
    @rule()
    def evicted(self) -> None:
        self.memory = replace(self.memory, verdict=Verdict("Evicted", "no room", 1))

    @precondition(lambda self: not self.gone)
    @rule()
    def deleted(self) -> None:
        self.memory = replace(self.memory, ending=True)

    @precondition(lambda self: not self.gone)
    @rule()
    def daemon_restarts(self) -> None:
        ages = {each.id: self.now - (self.moment() - each.finished).total_seconds() for each in self.containers if each.finished}
        kept = {"actuated": self.memory.actuated, "limits": self.memory.limits}
        self.memory = Memory(ended=ages, health=self.memory.health, ending=self.memory.ending, over=self.memory.over, **kept)

    # --- what must hold --------------------------------------------------------------------------------------------------------

    @invariant()
    def one_live_instance(self) -> None:
        names = [each.name for each in self.seen().alive()]
        assert len(names) == len(set(names))

    @invariant()
    def never_means_once(self) -> None:
        for each in pods.containers(self.pod):
            if restarts.never_restarts(self.pod, each) and each["name"] not in self.replaced:
                assert self.counts.get(each["name"], 0) == 0

    @invariant()
    def what_is_over_stays_over(self) -> None:
        if self.memory.over or self.memory.ending or self.memory.verdict:
            actions = [each for stage in plan(self.pod, self.seen(), self.memory, self.now).stages for each in stage]
            assert not [each for each in actions if isinstance(each, Start | CreateSandbox)]


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)

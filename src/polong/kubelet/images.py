"""Images of containers: pull policy, joined pulls, back-off. Reasons and texts are Kubernetes'.

Source: kubelet images/image_manager.go.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polong.criapi.wire import v1
from polong.kit.clock import Clock
from polong.kit.errors import Invalid, PolongError, Unavailable
from polong.kit.tasks import Tasks
from polong.kubelet import backoff
from polong.kubelet.backoff import Backoff
from polong.kubelet.events import Recorder
from polong.kubelet.identity import go_duration
from polong.kubelet.ports import ImageService, Objects
from polong.kubelet.pullsecrets import Credential, credentials
from polong.kubelet.security import ImageUser
from polong.objects import pod as pods
from polong.objects.podreferences import SECRET, Reference
from polong.objects.sharing import Command

Json = dict[str, Any]

UNREACHABLE = "RegistryUnreachable"
"""The runtime's reason where no connection to the registry came about: what answers, however badly, is not unreachable."""

_REMEMBERED = 30.0
"""Seconds for which a registry that could not be reached is not tried again on behalf of a local image (decision 0008)."""

_SHOWN = 2.0
"""Seconds for which ErrImagePull stands before ImagePullBackOff takes its place."""

_SHOWN_REASONS = ("InvalidImageName", "RegistryUnavailable", "SignatureValidationFailed")


@dataclass(frozen=True)
class LocalImage:
    """`volumes`: references of the images that a container mounts, by volume. `command`: ENTRYPOINT and CMD, where the runtime tells."""

    ref: str
    user: ImageUser
    command: Command = ((), ())
    volumes: Mapping[str, str] = field(default_factory=dict)


class ImageProblem(Unavailable):
    """The image is not there; `retry` seconds until it is worth another try (`reason` says which waiting reason a user reads)."""

    def __init__(self, message: str, *, reason: str, retry: float) -> None:
        super().__init__(message, reason=reason)
        self.retry = retry


@dataclass
class _Failure:
    entry: Backoff
    at: float
    message: str


class Images:
    def __init__(self, service: ImageService, recorder: Recorder, clock: Clock, objects: Objects | None = None) -> None:
        """Without `objects` nobody's pull secrets are known."""
        self._service = service
        self._objects = objects
        self._recorder = recorder
        self._clock = clock
        self._tasks = Tasks("images")
        self._pulls: dict[tuple[str, tuple[Credential, ...]], asyncio.Task[PolongError | None]] = {}
        self._failures: dict[str, _Failure] = {}
        self._unreachable: dict[str, float] = {}

    async def aclose(self) -> None:
        await self._tasks.aclose()

    async def ensure(self, pod: Json, container: Json) -> LocalImage:
        """The image on this machine, pulled where the policy says so. ImageProblem with ErrImagePull, ImagePullBackOff,
        ErrImageNeverPull, InvalidImageName or ImageInspectError."""
        image = container["image"]
        name = container["name"]
        policy = container.get("imagePullPolicy") or default_policy(image)
        local = await self._local(pod, name, image)
        if policy != "Always" and local is not None:
            self._recorder.pod(pod, "Pulled", f'Container image "{image}" already present on machine', container=name)
            return local
        if policy == "Never":
            text = f'Container image "{image}" is not present with pull policy of Never'
            self._recorder.pod(pod, "ErrImageNeverPull", text, warning=True, container=name)
            raise ImageProblem(text, reason="ErrImageNeverPull", retry=backoff.INITIAL)
        if local is not None and self._offline(image):
            return self._as_it_is(pod, name, image, local)
        self._refuse_in_backoff(pod, name, image)
        error = await self._pull(pod, name, image)
        if error is not None:
            if local is not None and error.reason == UNREACHABLE:
                return self._as_it_is(pod, name, image, local)
            reason = error.reason if error.reason in _SHOWN_REASONS else "ErrImagePull"
            self._count_failure(image, f"{reason}: {error}")
            self._recorder.pod(pod, "Failed", f'Failed to pull image "{image}": {error}', warning=True, container=name)
            raise ImageProblem(str(error), reason=reason, retry=_SHOWN) from error
        local = await self._local(pod, name, image)
        if local is None:
            raise ImageProblem(f'image "{image}" vanished after its pull', reason="ErrImagePull", retry=backoff.INITIAL)
        return local

    def _offline(self, image: str) -> bool:
        """Its registry could not be reached a moment ago."""
        return self._clock.monotonic() < self._unreachable.get(registry(image), 0.0)

    def _as_it_is(self, pod: Json, name: str, image: str, local: LocalImage) -> LocalImage:
        """Policy Always without a registry (decision 0008). Kubernetes would wait; one machine must work without a network, and says so."""
        text = f'Container image "{image}" already present on machine, its registry cannot be reached'
        self._recorder.pod(pod, "Pulled", text, container=name)
        return local

    async def _local(self, pod: Json, name: str, image: str) -> LocalImage | None:
        try:
            answer = await self._service.image_status(v1.ImageStatusRequest(image=v1.ImageSpec(image=image), verbose=True))
        except Invalid as error:
            text = f'Failed to apply default image tag "{image}": {error}'
            self._recorder.pod(pod, "InspectFailed", text, warning=True, container=name)
            raise ImageProblem(text, reason="InvalidImageName", retry=backoff.MAXIMUM) from error
        except PolongError as error:
            text = f'Failed to inspect image "{image}": {error}'
            self._recorder.pod(pod, "InspectFailed", text, warning=True, container=name)
            raise ImageProblem(text, reason="ImageInspectError", retry=backoff.INITIAL) from error
        found = answer.image
        if not found.id:
            return None
        uid = found.uid.value if found.HasField("uid") else None
        return LocalImage(found.id, ImageUser(uid, found.username), _command(answer.info.get("info", "")))

    def _refuse_in_backoff(self, pod: Json, name: str, image: str) -> None:
        failure = self._failures.get(image)
        now = self._clock.monotonic()
        if failure is None or now >= (until := backoff.wait_until(failure.entry, failure.at)):
            return
        text = f'Back-off pulling image "{image}"'
        self._recorder.pod(pod, "BackOff", text, container=name)
        raise ImageProblem(f"{text}: {failure.message}", reason="ImagePullBackOff", retry=until - now)

    async def _pull(self, pod: Json, name: str, image: str) -> PolongError | None:
        self._recorder.pod(pod, "Pulling", f'Pulling image "{image}"', container=name)
        began = self._clock.monotonic()
        # Whoever has other credentials has a pull of his own.
        key = (image, tuple(await self._credentials(pod, image)))
        task = self._pulls.get(key)
        if task is None:
            task = self._tasks.start(self._fetch(*key), f"pull {image}")
            self._pulls[key] = task
            task.add_done_callback(lambda _: self._pulls.pop(key, None))
        # Shielded: who leaves must not end the pull of those who stay.
        error = await asyncio.shield(task)
        if error is None:
            self._failures.pop(image, None)
            took = _milliseconds(self._clock.monotonic() - began)
            self._recorder.pod(pod, "Pulled", f'Successfully pulled image "{image}" in {took}', container=name)
        return error

    async def _credentials(self, pod: Json, image: str) -> list[Credential]:
        """What the Pod's image pull secrets have for the image. A secret that is not there is told, and waited for by nobody."""
        secrets, missing = [], []
        for each in pods.spec(pod).get("imagePullSecrets") or ():
            try:
                found = await self._objects.get(pods.namespace(pod), Reference(SECRET, each["name"])) if self._objects else None
            except PolongError:
                found = None
            if found is None:
                missing.append(each["name"])
            else:
                secrets.append(found)
        if missing:
            listed = ", ".join(missing)
            text = f"Unable to retrieve some image pull secrets ({listed}); attempting to pull the image may not succeed."
            self._recorder.pod(pod, "FailedToRetrieveImagePullSecret", text, warning=True)
        return credentials(image, secrets)

    async def _fetch(self, image: str, known: Sequence[Credential]) -> PolongError | None:
        """With each of the credentials until one will do; without any where there are none. The failure is a value: a registry that
        says no is no failure of the task."""
        refusal: PolongError | None = None
        for credential in known or (None,):
            request = v1.PullImageRequest(image=v1.ImageSpec(image=image))
            if credential is not None:
                request.auth.CopyFrom(v1.AuthConfig(**dataclasses.asdict(credential)))
            try:
                await self._service.pull_image(request)
            except PolongError as error:
                refusal = error
                if error.reason == UNREACHABLE:
                    self._unreachable[registry(image)] = self._clock.monotonic() + _REMEMBERED
                    return error
                continue
            refusal = None
            break
        self._unreachable.pop(registry(image), None)
        return refusal

    def _count_failure(self, image: str, message: str) -> None:
        """One step for each pull, however many waited for it."""
        now = self._clock.monotonic()
        failure = self._failures.get(image)
        if failure is not None and now - failure.at < 1.0:
            return
        entry = backoff.step(failure.entry if failure else None, now, now)
        self._failures[image] = _Failure(entry, now, message)


def _command(info: str) -> Command:
    """From the verbose info of CRI: imageSpec, as crictl inspecti shows it."""
    try:
        config = json.loads(info)["imageSpec"]["config"]
        return [str(each) for each in config.get("Entrypoint") or ()], [str(each) for each in config.get("Cmd") or ()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return (), ()


def registry(image: str) -> str:
    """The registry that an image reference names: its first part where that looks like a host, else docker.io."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def default_policy(image: str) -> str:
    """Always for :latest and no tag, else IfNotPresent (what the API fills in)."""
    last = image.rpartition("/")[2]
    return "Always" if "@" not in last and (":" not in last or last.endswith(":latest")) else "IfNotPresent"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.3f}s" if seconds < 60 else go_duration(seconds)

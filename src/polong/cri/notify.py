"""Container events: built from the tables at the moment of the change, and only where someone listens."""

from __future__ import annotations

from polong.cri import views
from polong.cri.engine import Engine
from polong.criapi.wire import v1


def publish(engine: Engine, kind: v1.ContainerEventType.ValueType, subject_id: str, sandbox_id: str) -> None:
    """`subject_id` is the container's id, or the sandbox's own: it is reported as a container of its Pod, as other runtimes do."""
    if not engine.events.wanted:
        return
    event = v1.ContainerEventResponse(container_id=subject_id, container_event_type=kind, created_at=engine.now())
    sandbox = engine.table.sandboxes.get(sandbox_id)
    if sandbox is not None:
        event.pod_sandbox_status.CopyFrom(views.sandbox_status(sandbox))
    event.containers_statuses.extend(views.container_status(each) for each in engine.table.containers_of(sandbox_id))
    engine.events.publish(event)

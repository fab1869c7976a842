"""`python -m tools.bench.worker ENGINE DIRECTORY`: drives one engine, told what to do by lines of JSON on standard input.

Runs as a child of a shell that is PID 1 of its own PID namespace: the shell reaps what daemons leave behind, and when the
namespace ends, everything in it ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

from tools.bench import bigimage, memory
from tools.bench.containerd import Containerd
from tools.bench.podman import Podman
from tools.bench.policri import PolongCri
from tools.bench.polong import Polong, PolongCommand

# Numbers that no round has.
CROWD_FIRST = 1000
WATCHED = 10

ENGINES: dict[str, type[Polong | PolongCommand | Podman | Containerd | PolongCri]] = {
    "polong": Polong,
    "polong-command": PolongCommand,
    "podman": Podman,
    "containerd": Containerd,
    "polong-cri": PolongCri,
}


def main() -> None:
    name, directory = sys.argv[1], Path(sys.argv[2])
    # Nothing that an engine prints may mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    engine: Any = ENGINES[name](directory)
    blobs = Path(os.environ.get("POLONG_BENCH_REGISTRY", "/nowhere"))
    registry = bigimage.Registry(blobs, directory / "registry.yml") if blobs.is_dir() else None
    try:
        serve(engine, answers)
    finally:
        engine.close()
        if registry is not None:
            registry.close()


def serve(engine: Any, answers: TextIO) -> None:
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = {"value": ask(engine, question["do"], question.get("number", 0))}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def crowd(count: int) -> range:
    return range(CROWD_FIRST, CROWD_FIRST + count)


def ask(engine: Any, action: str, number: int) -> Any:
    match action:
        case "set_up":
            engine.set_up()
            return dict(engine.versions())
        case "start":
            return engine.start(number)
        case "execute":
            return engine.execute(number)
        case "remove":
            return engine.remove(number)
        case "kill":
            return engine.kill(number)
        case "start_all":
            return engine.start_all(crowd(number))
        case "kill_all":
            return engine.kill_all(crowd(number))
        case "cpu":
            pids = memory.engine_pids([1, os.getpid()])
            before = memory.cpu(pids)
            time.sleep(WATCHED)
            return (memory.cpu(pids) - before) / WATCHED
        case "keep":
            return engine.cri.keep(bigimage.SMALL)
        case "life":
            return engine.cri.life(number, bigimage.SMALL)
        case "pull":
            return engine.pull(bigimage.BIG) if isinstance(engine, Podman) else engine.cri.pull(bigimage.BIG)
        case "memory":
            time.sleep(2)  # let the daemon finish what the last Pod left to do
            daemon = engine.daemon_pids()
            everything = memory.engine_pids([1, os.getpid()])
            return {"daemon_pss": memory.pss(daemon), "daemon_rss": memory.rss(daemon), "all_pss": memory.pss(everything)}
    raise ValueError(f"unknown action {action!r}")


main()

"""`python -m tools.demo`: see the package."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tools.demo import node, page
from tools.demo.node import POLONG, REPO, ROOT, Failed, polong

EXAMPLE = REPO / "examples" / "share-process-namespace.yaml"

_NEXT = """
The node keeps running. To go on:

  export POLONG_ROOT={root} PATH="{bin}:$PATH"
  polong attach -it nginx -c shell        the same terminal, by hand (press Enter)
  polong ps nginx                         who is who in the Pod; -w to watch
  polong get pods -o wide                 kubectl's words, kubectl's tables
  polong down                             stop the Pods, then the node

With kubectl itself:

  export KUBECONFIG={root}/kubeconfig
  kubectl get pods
"""


def main() -> int:
    if os.getuid() != 0:
        print("demo: needs root: containers are started for real", file=sys.stderr)
        return 1
    begin = time.monotonic()
    try:
        run()
    except Failed as error:
        print(f"\ndemo: failed: {error}", file=sys.stderr)
        return 1
    print(f"\nThe page's five processes were there, and its commands did what it says ({time.monotonic() - begin:.0f} s).")
    print(_NEXT.format(root=ROOT, bin=Path(POLONG).parent))
    return 0


def run() -> None:
    say("starting a node")
    say(node.up().splitlines()[0])
    say("getting images")
    say(node.provide_images())
    polong("delete", "-f", str(EXAMPLE), "--ignore-not-found", "--grace-period=1")
    say(f"polong apply -f {EXAMPLE.relative_to(REPO)}")
    began = time.monotonic()
    print(polong("apply", "-f", str(EXAMPLE)), end="")
    polong("wait", "--for=condition=Ready", "pod/nginx", "--timeout=60s")
    say(f"both containers run, {(time.monotonic() - began) * 1000:.0f} ms after the command")
    print(polong("get", "pods"), end="")
    say("polong attach -it nginx -c shell, in a real terminal; what follows is typed there\n")
    environment = dict(os.environ, POLONG_ROOT=str(ROOT), TERM="xterm")
    environment.pop("KUBECONFIG", None)
    page.walk([POLONG, "attach", "-it", "nginx", "-c", "shell"], environment, echo)
    print()
    say("polong ps nginx, from the host\n")
    print(polong("ps", "nginx"), end="")


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


def echo(text: str) -> None:
    print(text, end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())

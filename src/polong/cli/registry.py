"""Which subcommands there are, in the order of `polong --help`, and where each one lives. Only the one that runs is imported."""

from __future__ import annotations

import os

import click

from polong.cli.flags import COMPLETE

# name → one line of help, by section. The line is repeated here so that `polong --help` imports no subcommand.
SECTIONS: dict[str, dict[str, str]] = {
    "The node": {
        "up": "Start the node in the background; returns when it is ready.",
        "down": "Stop all Pods, then the node; nothing is left behind.",
        "status": "Say whether the node runs, and what runs on it.",
        "check": "Examine the machine: what is there, what is missing, what it means, how to mend it.",
        "kubeconfig": "Print the node's kubeconfig, or merge it into your own.",
        "images": "List, pull, import, export and remove images.",
        "backup": "Write all objects of the node into a file.",
        "restore": "Make the node's objects what a backup says.",
        "serve": "Run the node in the foreground (for systemd).",
        "cri": "Serve the container runtime alone: CRI v1 over gRPC, for crictl or a kubelet.",
    },
    "Pods, in kubectl's words": {
        "apply": "Create or change objects from files, directories, URLs or standard input.",
        "create": "Create objects from files, directories, URLs or standard input.",
        "get": "List objects.",
        "describe": "Show objects in detail, with their events.",
        "delete": "Delete objects.",
        "logs": "Print what containers wrote.",
        "exec": "Run a command in a container.",
        "attach": "Attach to the main process of a container.",
        "port-forward": "Forward local ports to a Pod.",
        "wait": "Wait for a condition of objects.",
        "events": "List events.",
        "label": "Set or remove labels.",
        "annotate": "Set or remove annotations.",
    },
    "Processes": {
        "ps": "Show every process of a Pod as a tree: whose it is, its PIDs inside and outside, its state.",
        "tree": "Show the processes of a Pod as trees, container by container.",
        "top": "Show what the processes of a Pod use, live: keys c, m, t, p sort, q ends.",
        "whose": "Say whose a process of the host is: pod, container, role, cgroup.",
        "signal": "Send a signal to a container's main process, or to others of a Pod; say who received it.",
        "restart": "Restart one container of a Pod in place; its siblings run on.",
        "debug": "Run a container beside another one, in its process namespace, and check that it sees it.",
    },
    "Reach": {
        "access": "Explain what containers of a Pod may do to each other's processes, and which rule decides.",
        "audit": "List which containers can read whose secrets and files, in Pods that share processes.",
        "files": "List, print, follow, copy and edit files of a container; needs no shell and no tar in its image.",
    },
    "Other": {
        "completion": "Print the completion script of a shell.",
        "version": "Print the versions of polong and of the server.",
    },
}


def names() -> list[str]:
    return [name for section in SECTIONS.values() for name in section]


def load(name: str) -> click.Command | None:
    """The subcommand, imported now; None where there is none of that name."""
    found = _node(name) or _state(name) or _reading(name) or _processes(name) or _work(name) or _reach(name)
    if found is not None and COMPLETE in os.environ:
        from polong.cli import complete

        complete.attach(found)
    return found


def _node(name: str) -> click.Command | None:
    match name:
        case "up":
            from polong.cli import up

            return up.up
        case "down":
            from polong.cli import down

            return down.down
        case "status":
            from polong.cli import status

            return status.status
        case "check":
            from polong.cli import check

            return check.check
        case "kubeconfig":
            from polong.cli import kubeconfig

            return kubeconfig.kubeconfig
        case "images":
            from polong.cli import images

            return images.images
        case "serve":
            from polong.cli import serve

            return serve.serve
        case "cri":
            from polong.cli import cri

            return cri.cri
        case _:
            return None


def _state(name: str) -> click.Command | None:
    match name:
        case "backup":
            from polong.cli import backup

            return backup.backup
        case "restore":
            from polong.cli import restore

            return restore.restore
        case _:
            return None


def _reading(name: str) -> click.Command | None:
    match name:
        case "get":
            from polong.cli import get

            return get.get
        case "describe":
            from polong.cli import describe

            return describe.describe
        case "logs":
            from polong.cli import logs

            return logs.logs
        case "wait":
            from polong.cli import wait

            return wait.wait
        case "events":
            from polong.cli import events

            return events.events
        case "version":
            from polong.cli import version

            return version.version
        case "completion":
            from polong.cli import completion

            return completion.completion
        case _:
            return None


def _processes(name: str) -> click.Command | None:
    match name:
        case "ps":
            from polong.cli import ps

            return ps.ps
        case "tree":
            from polong.cli import tree

            return tree.tree
        case "top":
            from polong.cli import top

            return top.top
        case "whose":
            from polong.cli import whose

            return whose.whose
        case "signal":
            from polong.cli import signal

            return signal.signal
        case "debug":
            from polong.cli import debug

            return debug.debug
        case "restart":
            from polong.cli import restart

            return restart.restart
        case _:
            return None


def _work(name: str) -> click.Command | None:
    match name:
        case "apply":
            from polong.cli import apply

            return apply.apply
        case "create":
            from polong.cli import create

            return create.create
        case "delete":
            from polong.cli import delete

            return delete.delete
        case "exec":
            from polong.cli import exec as exec_

            return exec_.exec_
        case "attach":
            from polong.cli import attach

            return attach.attach
        case "port-forward":
            from polong.cli import port_forward

            return port_forward.port_forward
        case "label" | "annotate":
            from polong.cli import label

            return label.label if name == "label" else label.annotate
        case _:
            return None


def _reach(name: str) -> click.Command | None:
    match name:
        case "access":
            from polong.cli import access

            return access.access
        case "audit":
            from polong.cli import audit

            return audit.audit
        case "files":
            from polong.cli import files

            return files.files
        case _:
            return None

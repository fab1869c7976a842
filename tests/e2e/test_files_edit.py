"""`polong files edit`: what the editor wrote is in the container, with the owner and rights that it had; nobody's change is lost."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.cluster import Client, busybox, pod


def edited(polong: Client, script: str, *words: str) -> tuple[int, str]:
    """Exit code and what was said, with a shell script for an editor ($1 is the file)."""
    client = Client(polong.program, polong.env | {"EDITOR": f"sh -c '{script}' editor"})
    done = client.try_("files", "edited", "edit", *words)
    return done.returncode, done.stderr


def test_a_file_is_changed_whole_and_never_over_anothers_change(polong: Client, tmp_path: Path) -> None:
    script = "echo one >/tmp/f; chmod 640 /tmp/f; chown 7:8 /tmp/f; exec sleep 100000"
    polong.apply(pod("edited", busybox("app", script)))
    try:
        polong.ready("edited")
        assert edited(polong, "echo two >>$1", "/tmp/f") == (0, "/tmp/f edited\n")
        assert polong("files", "edited", "cat", "/tmp/f") == "one\ntwo\n"
        assert polong("exec", "edited", "--", "stat", "-c", "%u %g %a", "/tmp/f") == "7 8 640\n"

        assert edited(polong, "true", "/tmp/f") == (0, "/tmp/f was left as it is\n")
        code, said = edited(polong, "echo lost >$1; exit 3", "/tmp/f")
        assert (code, "nothing was written" in said) == (1, True)

        meanwhile = f'{polong.program} exec edited -- sh -c "echo theirs >/tmp/f"; echo mine >$1'
        code, said = edited(polong, meanwhile, "/tmp/f")
        assert (code, "was changed by somebody else" in said) == (1, True)
        assert polong("files", "edited", "cat", "/tmp/f") == "theirs\n"
        kept = Path(said.strip().rpartition(" is in ")[2].removesuffix("."))
        assert kept.read_text() == "mine\n"
        assert edited(polong, "true", "/tmp")[0] == 1
        left = [each["name"] for each in polong.json("files", "edited", "ls", "/tmp")["items"]]
        assert left == ["f"]
    finally:
        polong.delete("edited")

"""The one door to the terminal for text from outside (names, messages, arguments of processes): control characters become visible.

C0, C1, DEL, bidirectional controls, zero-width and other format characters, odd spaces, surrogates and private use are written as escapes.
Raw bytes go out only on explicit streams: `logs`, `exec`, `attach`, `-o json`, `-o yaml`.
"""

from __future__ import annotations


def _visible(character: str) -> str:
    if character.isascii():
        return character if " " <= character <= "~" else {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character, f"\\x{ord(character):02x}")
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def cell(text: object) -> str:
    """One line, safe for a terminal: for cells of tables and for names inside messages."""
    value = text if isinstance(text, str) else str(text)
    # What Python calls printable has no character of the categories Cc, Cf, Cs, Co, Cn, Zl, Zp, and of Zs the space alone.
    if value.isprintable():
        return value
    return "".join(map(_visible, value))


def block(text: str) -> str:
    """Several lines, each made safe; line ends stay."""
    return "\n".join(cell(line) for line in text.split("\n"))

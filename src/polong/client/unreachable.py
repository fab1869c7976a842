"""What it means that a server could not be reached, or went in the middle of an answer: one line for whoever waits."""

from __future__ import annotations

import ssl

from polong.kit import errors


def explain(error: BaseException, server: str, doing: str, times: tuple[float, float]) -> errors.PolongError:
    """`doing` is "connect to" or "talk to"; `times` are the seconds that a connection and an answer may take."""
    if isinstance(error, TimeoutError):
        if doing == "connect to":
            return errors.Unavailable(f"cannot connect to {server}: no answer within {times[0]:g} s")
        return errors.DeadlineExceeded(f"{server} did not answer within {times[1]:g} s")
    if isinstance(error, ssl.SSLCertVerificationError):
        return errors.Unavailable(f"cannot {doing} {server}: its certificate is not trusted ({error.verify_message})")
    if isinstance(error, ssl.SSLError):
        return errors.Unavailable(f"cannot {doing} {server}: TLS failed ({error.reason or error})")
    if isinstance(error, ConnectionRefusedError):
        return errors.Unavailable(f"cannot connect to {server}: connection refused; is the server running?")
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return errors.Unavailable(f"cannot {doing} {server}: {text or type(error).__name__}")

"""Describes what goes back over the wire, cut-off answers included."""

import json
from dataclasses import dataclass

Payload = dict[str, object]

HTML = """<!DOCTYPE html>
<html><head><title>{status} {reason}</title></head>
<body><center><h1>{status} {reason}</h1></center><hr><center>nginx</center></body></html>
"""
REASONS = {
    404: "Not Found",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """Carries one answer; `share` is how much of the body is sent before the line is cut."""

    status: int
    payload: Payload | None = None
    text: str = ""
    content_type: str = "application/json"
    location: str | None = None
    retry_after: str | None = None
    share: float | None = None

    def body(self) -> bytes:
        """Encode the answer's body."""
        if self.payload is None:
            return self.text.encode()
        return json.dumps(self.payload, separators=(",", ":")).encode()

    @property
    def error(self) -> str | None:
        """Return the code of a whole-call error."""
        if self.payload is None or "error" not in self.payload:
            return None
        return str(self.payload["error"])


CUT = Reply(status=0, share=0.0)


class Refusal(Exception):  # noqa: N818 - an expected answer, not an error of this program
    """Ends a call with a prepared answer."""

    def __init__(self, reply: Reply) -> None:
        """Keep the answer that the caller gets."""
        super().__init__(reply.error or reply.status)
        self.reply = reply


def error_reply(status: int, code: str, description: str = "") -> Reply:
    """Build a whole-call error, which has no time block."""
    return Reply(status, payload={"error": code, "error_description": description})


def html_reply(status: int) -> Reply:
    """Build the page of a gateway in front of the portal."""
    reason = REASONS.get(status, "Error")
    return Reply(status, text=HTML.format(status=status, reason=reason), content_type="text/html")


def refusal(status: int, code: str, description: str = "") -> Refusal:
    """Build the exception that ends a call with an error code."""
    return Refusal(error_reply(status, code, description))

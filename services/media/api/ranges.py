"""Answers with the bytes of an object, or a range of them (RFC 9110, section 14)."""

import re

from fastapi.responses import Response, StreamingResponse

from services.media.ports import StoredObject

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def ranged(file: StoredObject, wanted: str | None, content_type: str, headers: dict[str, str]) -> Response:
    """Return 206 with the wanted range, 416 if the object ends before it, or 200 with all.

    Args:
        file: the object.
        wanted: the header `Range`. Several ranges, and what is not understood, are answered with all bytes.
        content_type: of the object.
        headers: for the answers with bytes.
    """
    size, headers = file.size, {**headers, "Accept-Ranges": "bytes"}
    match = _RANGE.fullmatch(wanted or "")
    first, last = match.groups() if match else ("", "")
    if not (first or last) or (first and last and int(last) < int(first)):
        start, end, status = 0, size, 200
    else:
        # `-5` are the last five bytes.
        start, end = (int(first), int(last or size) + 1) if first else (max(0, size - int(last)), size)
        end, status = min(end, size), 206
        if start >= size:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    return StreamingResponse(file.read(start, end), status, headers, content_type)

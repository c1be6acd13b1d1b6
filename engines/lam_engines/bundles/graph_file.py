"""ONNX files from strangers: refused before a runtime parses them, if they lead out of the file or are a bomb.

A weight may say that its values lie in another file ("external data"). A runtime would read that file unhashed, from
the current directory or from any path. So every such weight is refused; a bundle's graphs hold their own values.
"""

from ..errors import BundleError

MOST_FIELDS = 1_000_000
"""Fields in the messages of a graph. The largest of ours has 8,000. An empty node of two bytes takes 200 in memory."""
_DEEPEST = 100
"""Messages in one another, as protobuf's own readers allow."""
_ORT_FORMAT = b"ORTM"
"""Bytes 4 to 8 of ONNX Runtime's other format, which can name other files too."""
_EXTERNAL = (13, 14)
"""``external_data`` and ``data_location`` of a TensorProto."""
# Fields that hold messages, by the message that has them: those of onnx.proto through which a tensor can be reached.
_INNER = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": dict[int, str](),
}


def check_graph(content: bytes, where: str) -> None:
    """See that an ONNX file holds all its values itself, and is no larger in memory than its size lets expect.

    Args:
        content: the file's bytes.
        where: its path, for the message.

    Raises:
        BundleError: it has a weight in another file, is no ONNX file, or has more than :data:`MOST_FIELDS` fields.
    """
    if content[4:8] == _ORT_FORMAT:
        raise _refused(where, "is in the format of ONNX Runtime")
    fields = 0
    waiting = [("model", 0, len(content), 0)]
    try:
        while waiting:
            message, at, end, depth = waiting.pop()
            while at < end:
                fields += 1
                key, at = _varint(content, at)
                field, wire = key >> 3, key & 7
                size = value = 0
                if wire == 2:
                    size, at = _varint(content, at)
                    if inner := _INNER[message].get(field):
                        waiting.append((inner, at, at + size, depth + 1))
                elif wire == 0:
                    value, at = _varint(content, at)
                else:
                    size = {1: 8, 5: 4}[wire]  # 3 and 4 are groups, which ONNX has not
                if message == "tensor" and field in _EXTERNAL and (wire or value):
                    raise _refused(where, "has a weight in another file, which no hash covers")
                at += size
                if fields > MOST_FIELDS or depth > _DEEPEST:
                    raise _refused(where, f"has more than {MOST_FIELDS:,} fields, or {_DEEPEST} in one another")
            if at != end:
                raise _refused(where, "is no ONNX file")
    except (IndexError, KeyError):
        raise _refused(where, "is no ONNX file") from None


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """The number that begins at a byte, and where the next thing begins."""
    value = 0
    for i in range(10):
        byte = content[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, at + i + 1
    raise IndexError


def _refused(where: str, found: str) -> BundleError:
    return BundleError(f"{where} {found}, and is not read; make the bundle again: lam-export onnx CHECKPOINT -o BUNDLE")

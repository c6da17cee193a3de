"""Detection of external data in an ONNX graph: tensors in other files are not covered by a bundle's hashes.

ONNX Runtime has no setting that forbids such files, and resolves their names against the working directory. So the
graph's protobuf is walked before it is loaded (the package onnx is installed for training only). The field numbers are
those of onnx.proto, which never change.
"""

from collections.abc import Iterator

_NESTED = {  # by message and field number, the messages that can contain a tensor
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_NAME, _EXTERNAL_DATA, _DATA_LOCATION = 8, 13, 14  # of a tensor
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_LONGEST_VARINT = 10  # bytes


def external_tensor(model: bytes) -> str | None:
    """Return the name of a tensor of an ONNX model that is stored in another file; None if there is none.

    Initializers, dense and sparse, and constants are checked, in subgraphs and functions too.

    Raises:
        ValueError: it is not a protobuf message.
    """
    if b"location" not in model:  # the key of a tensor's file name; saves a walk of about 30 ms
        return None
    waiting = [("model", memoryview(model))]  # a list instead of recursion: the file decides how deeply it is nested
    while waiting:
        kind, message = waiting.pop()
        name, external = "", False
        for number, value in _fields(message):
            if kind == "tensor":
                if number == _NAME and isinstance(value, memoryview):
                    name = bytes(value).decode("utf-8", "replace")
                external |= number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)
            elif number in _NESTED[kind] and isinstance(value, memoryview):
                waiting.append((_NESTED[kind][number], value))
        if external:
            return name
    return None


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a message, except numbers of fixed width, which are not needed."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, place = _varint(message, place)
            yield number, value
        elif wire == _BYTES:
            size, place = _varint(message, place)
            yield number, message[place : place + size]
            place += size
        elif wire in {_FIXED64, _FIXED32}:
            place += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"expected a protobuf message, got wire type {wire}")
    if place != len(message):
        raise ValueError("expected a complete protobuf message, got a truncated one")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Return the number of variable length at a position, and the position after it."""
    value = 0
    for count in range(_LONGEST_VARINT):
        if place + count >= len(message):
            raise ValueError("expected a complete protobuf message, got a truncated one")
        byte = message[place + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, place + count + 1
    raise ValueError("expected a protobuf message, got a number of more than 10 bytes")

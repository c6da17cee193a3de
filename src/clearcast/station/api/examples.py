"""Example values for the OpenAPI document."""

from pydantic import JsonValue

_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
INSPECTION: dict[str, JsonValue] = {
    "id": 17,
    "at": "2026-11-24T23:10:00.123Z",
    "name": "part.jpg",
    "station": "line 1",
    "sha256": _SHA256,
    "size": 23110,
    "width": 512,
    "height": 512,
    "verdict": "defect",
    "p_defect": 0.97,
    "threshold": 0.43,
    "noise_type": "gaussian",
    "noise_level": "standard deviation 25 grey levels",
    "p_noise": 0.99,
    "ms": 56.1,
    "model": "casting 1234abcd",
    "error": "",
    "brightness": 130.1,
    "sharpness": 210.5,
    "sigma": 0.098,
    "density": 0.0,
    "shadow": None,
    "feedback": [
        {"at": "2026-11-24T23:12:00.000Z", "says": "ok", "note": "a reflection", "operator": "Ana", "settles": False}
    ],
    "disagreement": "open",
    "pictures": {
        "noisy": f"/v1/pictures/{_SHA256}/noisy",
        "restored": f"/v1/pictures/{_SHA256}/restored?model=casting%201234abcd",
        "heat": f"/v1/pictures/{_SHA256}/heat?model=casting%201234abcd",
        "thumbnail": f"/v1/pictures/{_SHA256}/thumbnail",
    },
}
NEW_FEEDBACK: dict[str, JsonValue] = {
    "says": "ok",
    "note": "a reflection, not a crack",
    "operator": "Ana",
    "settles": False,
}
PROBLEM: dict[str, JsonValue] = {
    "type": "about:blank",
    "title": "Unsupported Media Type",
    "status": 415,
    "detail": "notes.txt: not an image; expected a JPEG, PNG, BMP, TIFF or WebP file",
}

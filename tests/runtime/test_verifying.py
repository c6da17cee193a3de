from pathlib import Path

from clearcast.runtime.verifying import verify


def test_a_bundle_as_it_was_made_is_verified(bundle: Path) -> None:
    verified = verify(bundle)
    assert verified.pictures == 4
    assert verified.files == len([path for path in bundle.rglob("*") if path.is_file()]) - 1
    assert verified.largest_difference < 1e-3

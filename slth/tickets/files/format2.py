"""The header of format version 2, turned into one of version 3.

Version 2 kept the input range beside the description of the target, and did not include it in the target's hash. It
held the environment and the times of the search, so the same search did not give the same bytes.
"""

from __future__ import annotations

from typing import Any

VERSION = 2


def upgrade(header: dict[str, Any]) -> dict[str, Any]:
    """A header of version 3 that says what a header of version 2 says.

    Args:
        header: the unpacked header of version 2. It stays as it is.

    Returns:
        The header of version 3. It still holds the environment and the times, so that a card can state them. The
        hash of the target is still the one without the input range.

    Raises:
        KeyError: the header lacks its target or its info. TypeError and ValueError mean that it is malformed.
    """
    info = dict(header["info"])
    input_range = info.pop("input_range", None)
    return {**header, "target": {**header["target"], "input_range": input_range}, "info": info}

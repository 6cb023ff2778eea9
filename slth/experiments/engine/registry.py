"""The studies that come with slth, by name. A study is imported when it is asked for."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module

from slth.errors import InputError
from slth.experiments.engine.study import Study

# name → "module:ATTRIBUTE". A study with a standard form has a spec file of the same name in studies/specs.
STUDIES = {
    "compare": "slth.experiments.studies.compare:STUDY",
    "diet": "slth.experiments.studies.diet:STUDY",
    "dimension": "slth.experiments.studies.dimension:STUDY",
    "existence": "slth.experiments.studies.existence:STUDY",
    "neurons": "slth.experiments.studies.neurons:STUDY",
    "planted": "slth.experiments.studies.planted:STUDY",
    "scale": "slth.experiments.studies.scale:STUDY",
    "structure": "slth.experiments.studies.structure:STUDY",
    "width": "slth.experiments.studies.width:STUDY",
}


def load_study(name: str, paths: Sequence[str] = ()) -> Study:
    """Import a study.

    Args:
        name: a name in ``STUDIES``, or ``module:ATTRIBUTE`` for a study of the user.
        paths: folders put before ``sys.path`` to find the module.

    Returns:
        The study.

    Raises:
        InputError: no such name, module or attribute, or the attribute is not a :class:`Study`.
    """
    return _load(name, tuple(paths))


@cache
def _load(name: str, paths: tuple[str, ...]) -> Study:
    if ":" not in name and name not in STUDIES:
        near = difflib.get_close_matches(name, STUDIES, 1, cutoff=0.6)
        hint = (
            f"did you mean {near[0]!r}?" if near else f"known: {', '.join(STUDIES)}; or your own, 'module:ATTRIBUTE'."
        )
        raise InputError(f"no study is called {name!r}; {hint}")
    module, _, attribute = STUDIES.get(name, name).partition(":")
    sys.path[:0] = [path for path in paths if path not in sys.path]
    try:
        found = import_module(module)
    except (ImportError, ValueError) as cause:  # ValueError: no name before the colon
        raise InputError(
            f"cannot import {module!r} for study {name!r}: {cause}. Put it beside the spec file, or install it."
        ) from cause
    except Exception as cause:  # a module of the user may raise anything
        message = " ".join(f"{type(cause).__name__}: {cause}".split())
        raise InputError(f"cannot import {module!r} for study {name!r}: {message}. Correct the module.") from cause
    study = getattr(found, attribute, None)
    if not isinstance(study, Study):
        raise InputError(f"{name!r} names no Study: {attribute!r} of {module!r} is {type(study).__name__}.")
    return study

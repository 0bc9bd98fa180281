"""Loads the recipes of the examples as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_RECIPES = Path(__file__).parents[2] / "examples" / "recipes"


def load_recipe(name: str) -> ModuleType:
    """Returns the module of a recipe, by its file name without the suffix."""
    spec = importlib.util.spec_from_file_location(name, _RECIPES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    return module

"""Loads the programs of the examples as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_EXAMPLES = Path(__file__).parents[2] / "examples"


def load_recipe(name: str) -> ModuleType:
    """Returns the module of a recipe, by its file name without the suffix."""
    return load_example(f"recipes/{name}.py", name)


def load_example(file: str, name: str) -> ModuleType:
    """Returns a program of the examples as a module of this name."""
    spec = importlib.util.spec_from_file_location(name, _EXAMPLES / file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    return module

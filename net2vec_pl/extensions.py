"""What users bring: their own readers, probes and questions, loaded by import path."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar

from net2vec_pl.errors import ConfigError, Net2VecError, unknown

T = TypeVar("T")


def load(kind: type[T], path: str) -> type[T]:
    """Import a class of the user's own.

    Args:
        kind: The class that it must extend.
        path: Its import path, such as ``my_package.my_file.MyQuestion``; folders on ``sys.path``
            are searched, the working folder of the command line among them.

    Returns:
        The class.

    Raises:
        ConfigError: If the module cannot be imported or has no such class, or if the class does not
            extend ``kind`` or leaves one of its methods out.
    """
    module_name, _, name = path.rpartition(".")
    if not module_name or not name:
        raise ConfigError(f"{path!r} must be an import path, as in my_package.my_file.MyClass.")
    try:
        module = import_module(module_name)
    except Exception as error:  # the module may do anything
        fault = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path}: cannot import {module_name!r} ({fault}).") from error
    found = getattr(module, name, None)
    if isinstance(found, type) and issubclass(found, kind):
        if missing := sorted(getattr(found, "__abstractmethods__", ())):
            raise ConfigError(
                f"{path} does not define {', '.join(missing)}, a method of {kind.__name__}."
            )
        return found
    fitting = [
        key for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, kind) and value is not kind
    ]  # fmt: skip
    if found is None:
        raise ConfigError(unknown(f"{kind.__name__} of {module_name}", name, fitting))
    raise ConfigError(
        f"{path} is no {kind.__name__}: it must be a class that extends "
        f"{kind.__module__}.{kind.__qualname__}. "
        + unknown(f"{kind.__name__} of {module_name}", name, fitting)
    )


def build(kind: type[T], path: str, kwargs: Mapping[str, Any]) -> T:
    """Make an object of a class of the user's own.

    Args:
        kind: The class that its class must extend.
        path: The import path of its class.
        kwargs: Arguments of the call.

    Raises:
        ConfigError: If the class cannot be loaded, or does not take the arguments.
        Net2VecError: What the class itself raises for its user.
    """
    made = load(kind, path)
    try:
        return made(**kwargs)
    except Net2VecError:
        raise
    except Exception as error:  # it may do anything
        fault = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path}, called with {dict(kwargs)}: {fault}") from error

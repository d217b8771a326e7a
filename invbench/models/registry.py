"""Models by name: the built-in methods and samplers from outside."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invbench.errors import UnknownNameError, fault_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from invbench.models.method import Method

MODELS = ("bicyclegan", "msgan", "divco", "monce", "ddrm", "ndm", "cimle", "chimle")


def get_method(name: str) -> Method:
    """Return a built-in method by model id.

    Raises:
        UnknownNameError: listing the nearest names.

    Example:
        >>> get_method("chimle").family
        'imle'
    """
    if name not in MODELS:
        raise UnknownNameError.among("model", name, MODELS)
    method: Method = import_module(f"invbench.models.configurations.{name}").METHOD
    return method


def load_factory(path: str) -> Callable[..., Any]:
    """Import ``package.module:function``; modules in the current folder are found, too.

    Raises:
        UnknownNameError: if the path has another form, nothing is found there, or the module
            cannot be imported, whatever it raises.
    """
    module, _, attribute = path.partition(":")
    if not (module and attribute):
        raise UnknownNameError(f"{path!r} is not of the form package.module:function")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # Python itself adds it for ``python -m``, not for commands
    try:
        factory = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UnknownNameError(f"{path}: cannot be imported ({error})") from error
    except SystemExit as error:  # which would end ours as if all were well
        raise UnknownNameError(f"{path}: ends the program when it is imported") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # pytest's importorskip raises what is no Exception
        raise UnknownNameError(f"{path}: cannot be imported ({fault_in(error)})") from error
    if not callable(factory):
        raise UnknownNameError(f"{path}: is not callable")
    return factory  # type: ignore[no-any-return]

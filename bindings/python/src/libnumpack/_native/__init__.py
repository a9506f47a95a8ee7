"""The C interface, by ctypes. Nothing outside of this package calls it in another way.

| module | holds |
|---|---|
| ``table`` | signatures, structs and callbacks |
| ``constants`` | its numbers |
| ``library`` | the shared library, and its functions |
| ``handle`` | what it gave, and takes back |
| ``convert`` | texts, numbers and callbacks for it |
"""

from . import constants
from .convert import Callbacks, handles, numbers, path, sizes, text, texts
from .handle import Handle, make
from .library import lib, structs

__all__ = [
    "Callbacks", "Handle", "constants", "handles", "lib", "make", "numbers", "path", "sizes", "structs", "text",
    "texts",
]

"""Conversions between tensors of torch, ``.pt`` files and stores.

| Call | From | To |
|---|---|---|
| `from_torch`, `from_tensor` | a tensor | an array of a store |
| `to_torch`, `to_tensor` | an array of a store | a tensor |
| `from_torch_file`, `from_pytorch`, `from_pt` | a ``.pt`` file | a store |
| `to_torch_file`, `to_pytorch`, `to_pt` | a store | a ``.pt`` file |
| `export_file` | a ``.pt`` file, a store, any file of tensors | a ``.safetensors``, ``.npy`` or ``.npz`` file |
| `pack`, `unpack`, `get_package_info` | a store | a package, and back |

Those of files need no torch, run nothing that is in a file, and keep all of its object: a round trip gives an
equal one. Without ``drop_if_exists`` the arrays are added to the store that is there, or take the places of
those of their names, in one commit; with it the store is replaced whole, at once.
"""

from __future__ import annotations

import ctypes
import importlib
import operator
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Union

from ._native import Handle, handles, lib, make, structs, text, texts
from ._native import constants as c
from ._native import path as as_path
from .dtypes import of_number
from .errors import DependencyError, MissingError
from .packages import get_package_info, pack, unpack
from .store_handle import warnings_of
from .store_progress import Progress, progress_of
from .store_rows import Rows
from .store_views import is_torch, of_torch, save_tensors

if TYPE_CHECKING:
    from .store import NumPack

__all__ = [
    "DEFAULT_CHUNK_SIZE",
    "DependencyError",
    "export_file",
    "from_pt",
    "from_pytorch",
    "from_tensor",
    "from_torch",
    "from_torch_file",
    "get_package_info",
    "pack",
    "to_pt",
    "to_pytorch",
    "to_tensor",
    "to_torch",
    "to_torch_file",
    "unpack",
]

PathLike = Union[str, Path]

DEFAULT_CHUNK_SIZE = 100 * 1024 * 1024
"""Upper bound of buffers in bytes; they stay below 8 MiB all the same."""


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise DependencyError(
            "torch is not installed, and this makes or takes its tensors; install torch"
        ) from None


def from_torch(
    tensor: Any, output_path: PathLike, array_name: Optional[str] = None, drop_if_exists: bool = False
) -> None:
    """Saves a tensor as an array of a store; its memory is written as it is, without a copy on the way.

    It may be on any device, require grad, and have any strides. bfloat16, float8 and complex32 keep their
    type.

    Parameters
    ----------
    tensor : torch.Tensor
    output_path : str or Path
        The store, which is made where there is none.
    array_name : str, optional
        Default: ``data``.
    drop_if_exists : bool
        Replace the store whole, rather than add to it.

    Raises `DependencyError` without torch, `TypeError` for what is no tensor, is sparse or quantised.
    """
    _torch()
    if not is_torch(tensor):
        raise TypeError(
            f"from_torch takes a torch.Tensor, not {type(tensor).__name__}; NumPack.save takes all arrays"
        )
    name = "data" if array_name is None else array_name
    os.makedirs(os.path.dirname(os.path.abspath(output_path)), exist_ok=True)
    existing = c.EXISTING_REPLACE if drop_if_exists else c.EXISTING_MERGE
    save_tensors(as_path(output_path), {name: of_torch(tensor)}, existing)


def to_torch(input_path: PathLike, array_name: Optional[str] = None, device: Any = None) -> Any:
    """An array of a store as a tensor, in memory of its own that can be written.

    Parameters
    ----------
    input_path : str or Path
        The store.
    array_name : str, optional
        Not needed where there is one array.
    device : str or torch.device, optional
        Default: the host.

    Returns a `torch.Tensor`, of torch's own type where NumPy has none: bfloat16, float8, complex32.

    Raises `DependencyError` without torch, `FileNotFoundError`, `KeyError` for a name that is not there, and
    `ValueError`, which lists the arrays, where there are several and none is named.
    """
    torch = _torch()
    _must_be_there(input_path)
    opened = make("checkpoint", "checkpoint_open", as_path(input_path), None)
    names = _tensor_names(opened)
    if array_name is None:
        if len(names) != 1:
            raise ValueError(
                f"{input_path} holds {len(names)} arrays: {', '.join(map(repr, sorted(names)))}; "
                "give one as array_name"
                if names
                else f"{input_path} holds no arrays; save one first"
            )
        (place,) = names.values()
    elif array_name in names:
        place = names[array_name]
    elif len(names) == 1 and "" in names and _array_of(input_path, array_name):
        # The only tensor of a file has no name there; the array is named by the file.
        place = names[""]
    else:
        raise MissingError(
            f"{input_path} holds no array {array_name!r}; there are: {', '.join(map(repr, sorted(names)))}"
        )
    info = structs["tensor_info"]()
    lib.checkpoint_get_info(opened, place, ctypes.byref(info))
    kind = of_number(info.dtype)
    known = getattr(torch, kind.name, None)
    if known is None:
        raise TypeError(f"this torch has no {kind.name}; load the array by NumPack, which gives its bits")
    made = torch.empty(tuple(info.shape[: info.ndim]), dtype=known)
    lib.checkpoint_read(opened, place, made.data_ptr() or None, info.nbytes)
    return made if device is None else made.to(device)


def _tensor_names(opened: Handle) -> Dict[str, int]:
    """The tensors of a file by name; one that stands alone has the name ''."""
    info = structs["tensor_info"]()
    names = {}
    for i in range(lib.checkpoint_count(opened)):
        lib.checkpoint_get_info(opened, i, ctypes.byref(info))
        names[ctypes.string_at(info.name, info.name_length).decode("utf-8", "surrogateescape")] = i
    return names


def _array_of(place: PathLike, name: str) -> bool:
    store = make("store", "store_open", as_path(place), None)
    try:
        return Rows.open(store, name) is not None
    except MissingError:
        return False


def from_torch_file(
    input_path: PathLike,
    output_path: PathLike,
    key: Optional[str] = None,
    drop_if_exists: bool = False,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    *,
    progress: Progress = False,
) -> None:
    """Converts a ``.pt`` file to a store, streaming, in one commit; nothing in the file is run.

    Tensors are named by their dotted paths (``encoder.weight``), one that stands alone by the file's stem.
    All else of the object is kept beside them; what cannot be is warned of.

    Parameters
    ----------
    input_path, output_path : str or Path
    key : str, optional
        Only what stands at this key or dotted path; names are then relative to it.
    drop_if_exists : bool
        Replace the store whole, rather than add to it.
    chunk_size : int
        Upper bound of buffers in bytes.
    progress : bool or callable
        True shows it on stderr, by tqdm where that is installed. A callable gets bytes done and bytes in all;
        what it raises stops the work, and is raised.

    Raises `FileNotFoundError`, `KeyError` for a key that is not there, `FormatError` for a file that is
    damaged or none of torch's.
    """
    _must_be_there(input_path)
    os.makedirs(os.path.dirname(os.path.abspath(output_path)), exist_ok=True)

    def call(note: Any, report: Any) -> None:
        options = structs["from_torch_options"](
            existing=c.EXISTING_REPLACE if drop_if_exists else c.EXISTING_MERGE,
            chunk_size=_bytes(chunk_size),
            key=None if key is None else text(key, "key"),
            progress=report,
            warning=note,
        )
        lib.from_torch_file(as_path(input_path), as_path(output_path), ctypes.byref(options), None, None)

    try:
        with progress_of(progress, f"{input_path}") as report:
            warnings_of(lambda note: call(note, report))
    except ValueError as e:
        if key is not None and "nothing is named" in str(e):
            raise MissingError(str(e)) from None
        raise


def to_torch_file(
    input_path: PathLike,
    output_path: PathLike,
    array_names: Optional[Sequence[str]] = None,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    *,
    progress: Progress = False,
) -> None:
    """Converts a store to a ``.pt`` file, streaming; the file appears whole or not at all.

    A store that came from a ``.pt`` file gives an equal object back, any other a dict of its arrays. Torch
    loads it with ``weights_only=True``, if it could the first.

    Parameters
    ----------
    input_path, output_path : str or Path
    array_names : list of str, optional
        Only these, as a dict in this order.
    chunk_size : int
        Upper bound of buffers in bytes.
    progress : bool or callable
        As `from_torch_file` has it.

    Raises `FileNotFoundError`, and `KeyError` for a name that is not there.
    """
    _must_be_there(input_path)
    if isinstance(array_names, str):
        raise TypeError(f"array_names is a list of names; give [{array_names!r}]")
    names = None if array_names is None else texts(array_names)
    os.makedirs(os.path.dirname(os.path.abspath(output_path)), exist_ok=True)

    def call(note: Any, report: Any) -> None:
        options = structs["to_torch_options"](
            existing=c.EXISTING_REPLACE,
            array_names=names,
            array_count=len(names or ()),
            chunk_size=_bytes(chunk_size),
            progress=report,
            warning=note,
        )
        lib.to_torch_file(as_path(input_path), as_path(output_path), ctypes.byref(options), None, None)

    try:
        with progress_of(progress, f"{output_path}") as report:
            warnings_of(lambda note: call(note, report))
    except ValueError as e:
        if names is None or "nothing is named" not in str(e):
            raise
        if not _write_named(input_path, output_path, array_names or ()):
            raise MissingError(str(e)) from None


def export_file(
    input_path: PathLike,
    output_path: PathLike,
    key: Optional[str] = None,
    array_names: Optional[Sequence[str]] = None,
    copy_shared: bool = False,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    *,
    progress: Progress = False,
) -> None:
    """Converts any file of tensors to a ``.safetensors``, ``.npy`` or ``.npz`` file, streaming. An existing file is
    replaced; the new one appears whole or not at all.

    Parameters
    ----------
    input_path, output_path : str or Path
        The suffix of the output chooses the format.
    key : str, optional
        Only what stands at this key or dotted path of the object, by its names there.
    array_names : list of str, optional
        Only these tensors.
    copy_shared : bool
        Writes each of several tensors that share memory, which such files cannot hold otherwise.
    chunk_size : int
        Upper bound of buffers in bytes.
    progress : bool or callable
        As `from_torch_file` has it.

    Warns (`RuntimeWarning`) of values that are no tensors, which are left out. Raises `FormatError` for element types
    that such a file lacks, and for tensors that share memory without ``copy_shared``.

    >>> import libnumpack, tempfile, os
    >>> folder = tempfile.mkdtemp()
    >>> model, flat = os.path.join(folder, "m.pt"), os.path.join(folder, "m.safetensors")
    >>> libnumpack.save({"model": {"weight": libnumpack.ones(2)}}, model)
    >>> libnumpack.io.export_file(model, flat, key="model")
    >>> libnumpack.load(flat)
    {'weight': tensor([1., 1.])}
    """
    if isinstance(array_names, str):
        raise TypeError(f"array_names is a list of names; give [{array_names!r}]")
    names = None if array_names is None else texts(array_names)
    os.makedirs(os.path.dirname(os.path.abspath(output_path)), exist_ok=True)

    def call(note: Any, report: Any) -> None:
        options = structs["export_options"](
            existing=c.EXISTING_REPLACE,
            key=None if key is None else text(key, "key"),
            array_names=names,
            array_count=len(names or ()),
            chunk_size=_bytes(chunk_size),
            copy_shared=copy_shared,
            progress=report,
            warning=note,
        )
        lib.export_file(as_path(input_path), as_path(output_path), ctypes.byref(options), None, None)

    with progress_of(progress, f"{output_path}") as report:
        warnings_of(lambda note: call(note, report))


from_pytorch: Callable[..., None] = from_torch_file
"""`from_torch_file` by the name that it had first."""
to_pytorch: Callable[..., None] = to_torch_file
"""`to_torch_file` by the name that it had first."""


def from_tensor(
    tensor: Any,
    output_path: PathLike,
    array_name: Optional[str] = None,
    drop_if_exists: bool = False,
    return_npk_obj: bool = False,
) -> Optional[NumPack]:
    """`from_torch`, which gives the store, opened, if ``return_npk_obj``."""
    from_torch(tensor, output_path, array_name, drop_if_exists)
    return _opened(output_path) if return_npk_obj else None


def to_tensor(
    input_path: PathLike, array_name: Optional[str] = None, device: Any = None, dtype: Any = None
) -> Any:
    """`to_torch`, whose elements are converted to ``dtype`` where one is given."""
    found = to_torch(input_path, array_name)
    return found if device is None and dtype is None else found.to(device=device, dtype=dtype)


def from_pt(
    input_path: PathLike,
    output_path: PathLike,
    key: Optional[str] = None,
    drop_if_exists: bool = False,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    return_npk_obj: bool = False,
) -> Optional[NumPack]:
    """`from_torch_file`, which gives the store, opened, if ``return_npk_obj``."""
    from_torch_file(input_path, output_path, key, drop_if_exists, chunk_size)
    return _opened(output_path) if return_npk_obj else None


def to_pt(
    input_path: PathLike,
    output_path: PathLike,
    array_names: Optional[List[str]] = None,
    as_dict: bool = True,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
) -> None:
    """`to_torch_file`, but for how one array is written: ``as_dict``, or as a tensor that stands alone.

    Where no names are given and the store came from a file with a dict, that is what is written, whole.
    """
    _must_be_there(input_path)
    opened = make("checkpoint", "checkpoint_open", as_path(input_path), None)
    names = _tensor_names(opened)
    alone = list(names) == [""]
    if as_dict:
        if array_names is None and alone:
            array_names = _arrays(input_path)
        to_torch_file(input_path, output_path, array_names, chunk_size)
        return
    wanted = list(names) if array_names is None else list(array_names)
    if len(wanted) != 1 or alone:
        to_torch_file(input_path, output_path, None if alone else array_names, chunk_size)
        return
    _write_alone(opened, names, wanted[0], input_path, output_path)


def _bytes(chunk_size: int) -> int:
    chunk_size = operator.index(chunk_size)
    if chunk_size <= 0:
        raise ValueError(f"chunk_size is a number of bytes above 0, not {chunk_size}")
    return chunk_size


def _arrays(place: PathLike) -> List[str]:
    with _opened(place) as npk:
        return npk.get_member_list()


def _opened(place: PathLike) -> NumPack:
    from .store import NumPack

    found = NumPack(place)
    found.open()
    return found


def _must_be_there(place: PathLike) -> None:
    if not os.path.lexists(place):
        raise FileNotFoundError(2, "there is nothing here; look at the path", os.fspath(place))


def _write_named(source: PathLike, output: PathLike, names: Sequence[str]) -> bool:
    """Writes a dict of the only array of a store that came from a file with a bare tensor: its name is the
    store's, and none of the object's. False where that is not what is asked for."""
    opened = make("checkpoint", "checkpoint_open", as_path(source), None)
    if list(_tensor_names(opened)) != [""] or len(names) != 1 or not _array_of(source, names[0]):
        return False
    tensor = make("tensor", "checkpoint_load", opened, 0)
    options = structs["save_options"](overwrite=1)
    lib.save_tensors(as_path(output), texts(names), handles([tensor]), 1, ctypes.byref(options))
    return True


def _write_alone(
    opened: Handle, names: Dict[str, int], name: str, source: PathLike, output: PathLike
) -> None:
    """Writes one tensor of a file as one that stands alone."""
    if name not in names:
        raise MissingError(
            f"{source} holds no array {name!r}; there are: {', '.join(map(repr, sorted(names)))}"
        )
    tensor = make("tensor", "checkpoint_load", opened, names[name])
    made, number = make("object", "object_create"), ctypes.c_uint32()
    lib.object_add_tensor(made, tensor, 0, ctypes.byref(number))
    os.makedirs(os.path.dirname(os.path.abspath(output)), exist_ok=True)
    options = structs["save_options"](overwrite=1)
    lib.object_save(made, number, as_path(output), ctypes.byref(options))

//! PyTorch's checkpoints without PyTorch. Nothing found in a file is ever executed.
//!
//! ```no_run
//! use torch_pickle::Checkpoint;
//!
//! let checkpoint = Checkpoint::open("model.pt")?;
//! for (name, node) in checkpoint.tree().named_tensors(1_000_000)? {
//!     println!("{name} {:?}", checkpoint.tree().node(node));
//! }
//! # Ok::<(), torch_pickle::Error>(())
//! ```
//!
//! # The file that torch writes
//!
//! A zip archive of stored records in one folder, which torch names after the file:
//!
//! ```text
//! 0       ┌ local header: 30 bytes, the name, an extra field "FB" of padding
//!         │ <folder>/data.pkl            the object, as a pickle of protocol 2
//!         ├ <folder>/byteorder           "little" or "big"; absent before torch 2.1
//!         ├ <folder>/data/0              the bytes of the first storage, at a multiple of 64
//!         ├ <folder>/data/1 …            one record for each storage, in the order of the pickle
//!         ├ <folder>/version             "3\n"
//!         ├ central directory: 46 bytes and the name for each record; sizes stand only here
//!         ├ zip64 end record (56 bytes) and its locator (20 bytes)
//! len-22  └ end record
//! ```
//!
//! A tensor in the pickle is a call by name, `torch._utils._rebuild_tensor_v2`, with a reference to
//! a storage (`('storage', torch.FloatStorage, '0', 'cpu', 6)`), an offset, sizes and strides in
//! elements. Several tensors may show one storage. The callables that matter are known by name; all
//! others are kept as the recipe they are, an [`Object`].
//!
//! # The other containers
//!
//! Told apart by content, and read through the same calls: see [`Container`].
//!
//! ```text
//! legacy       pickle of 0x1950a86a20f9469cfc6c   torch before 1.6, any protocol of pickle
//!              pickle of 1001, of sys_info, of the object, of the list of storage keys
//!              for each key: number of elements (8 bytes, little-endian), the elements
//! tar          members sys_info, storages, tensors, pickle                          torch 0.1
//! torchscript  the zip archive, and besides constants.pkl, constants/N, code/…
//! shards       {"weight_map": {"name": "pytorch_model-00001-of-00002.bin", …}}
//! distributed  .metadata   a pickle: names, shapes, and where each box of each tensor is
//!              __0_0.distcp  zip archives one after another, each of one box or object
//! export       a zip archive without data.pkl: see below
//! ```
//!
//! The archives of `torch.export` (`.pt2`) have no pickle of the whole, but JSON, which says of each
//! name where its storage lies and how it is shown:
//!
//! ```text
//! <folder>/data/weights/weight_N                the bytes of a storage, at a multiple of 64; for
//!                                               tensors of other classes a file of torch.save
//! <folder>/data/weights/M_weights_config.json   the state dict of model M:
//!     {"config": {"fc.weight": {"path_name": "weight_0", "is_param": true, "use_pickle": false,
//!       "tensor_meta": {"dtype": 7, "sizes": [{"as_int": 2}], "strides": [{"as_int": 1}],
//!         "storage_offset": {"as_int": 0}, "layout": 7, "requires_grad": true,
//!         "device": {"type": "cpu", "index": null}}}}}
//! <folder>/data/constants/tensor_N              the same of constants; custom_obj_N is an archive
//!                                               of torch's, opaque_obj_N a plain pickle
//! <folder>/data/constants/M_constants_config.json
//! <folder>/models/M.json                        the graph, which is not read, nor are
//! <folder>/data/sample_inputs/M.pt              example inputs, and extra/…
//! <folder>/data/aotinductor/M/…                 a compiled model. weights_config.json, if there;
//!                                               else its weights are in its library:
//!     {"fc.weight": ["weight_0", [2], [1], 0]}  record, sizes, strides, offset; each record is a
//!                                               tensor saved by torch.save
//! <folder>/archive_format                       "pt2"
//! <folder>/archive_version                      "0"
//! ```
//!
//! Numbers of element types are those of `torch/_export/serde/schema.py`: 7 is float32, 13 bfloat16.
//! In the first of these archives, of torch 2.8, weights and constants are one file of `torch.save`
//! each: `data/weights/M.pt`, `data/constants/M.pt`. Torch 2.1 to 2.7 wrote a zip archive without a
//! folder, of `serialized_exported_program.json`, `serialized_state_dict.pt` and
//! `serialized_constants.pt`, the last two by `torch.save` (called `.json` at first).
//!
//! # What is refused
//!
//! What two readers could understand differently: two records of one name, a local header that
//! contradicts the directory, overlapping records, bytes before or after the archive, encrypted
//! records, a length that contradicts the number of elements, tensors that reach out of their
//! storage, bytes after the end of the pickle. In a `.pt2`: two tensors of one name, one storage as
//! two element types, and a record `data.pkl`, which `torch.load` would take. Sparse tensors and
//! those without bytes are not read there either. What is no checkpoint is refused by its name.
//!
//! # Limits
//!
//! See [`Limits`]. No input makes the reader crash, recurse, or allocate more than what its bytes
//! justify: a length is compared with the bytes that are there before memory is asked for. Shared
//! parts are references, so that a list of lists of lists is as small as it is in the file; and
//! what walks it counts its steps.
//!
//! # Where things are
//!
//! | module | |
//! |---|---|
//! | `container` | what a checkpoint may be stored in, each read into the same form |
//! | `archive` | zip: end record, directory, local headers |
//! | `source`, `record`, `place`, `pieces` | bytes: of a file, of a record (inflated, CRC-32), of a storage, of one in several pieces |
//! | `pickle` | the machine: opcodes, the calls known by name, persistent ids, tensors, keys |
//! | `tree`, `adopt`, `dtype`, `storage_key` | the object: nodes, tensors, storages, element types |
//! | `walk`, `names`, `text`, `same` | finding and naming tensors; comparing |
//! | `objects`, `print` | what objects are; the tree as text |
//! | `checkpoint`, `read`, `whole`, `view`, `resolve`, `verify`, `map` | an open file: its tensors' bytes |
//! | `scan` | what a file would do to whoever unpickles it, told without doing it |
//! | `write` | a tree becomes a file |

#![deny(unsafe_code)]
#![warn(clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod adopt;
mod archive;
mod bounds;
mod checkpoint;
mod container;
mod dims;
mod dtype;
mod error;
mod io;
mod map;
mod names;
mod objects;
mod options;
mod pickle;
mod pieces;
mod place;
mod print;
mod read;
mod record;
mod resolve;
mod same;
mod scan;
mod source;
mod storage_key;
mod table;
mod text;
mod tree;
mod verify;
mod view;
mod walk;
mod whole;
mod write;

pub use archive::{Archive, ByteOrder, Entry, ZipFile};
pub use checkpoint::Checkpoint;
pub use container::Container;
pub use dims::Dims;
pub use dtype::DType;
pub use error::{Error, Part, Result};
pub use map::Map;
pub use objects::{
    Date, DateTime, DefaultDict, Deque, EnumMember, Fraction, Generator, Instance, Kind,
    NamedTuple, NdArray, NumpyDtype, NumpyScalar, Partial, PurePath, Sparse, Time, TimeDelta,
    TimeZone,
};
pub use options::{CrcPolicy, Limits, Options};
pub use print::{PrintOptions, Printed};
pub use record::Record;
pub use scan::{
    Class, FileKind, Finding, Level, Mention, PickleFound, Place, ScanOptions, ScanReport, Verdict,
    WeightsOnly, scan,
};
pub use storage_key::StorageKey;
pub use text::{Names, NamesIter, Text};
pub use tree::*;
pub use view::{ReadAt, stream_view};
pub use walk::{TensorNames, all_differ};
pub use write::{
    AtomicFile, StorageData, StorageSink, WriteOptions, ZipEntryWriter, ZipWriter, check, write,
};

//! NumPack stores: reading, writing, and changes of rows that survive a crash.
//!
//! A store is a folder of plain array files and one file of metadata, as the public `numpack`
//! Python package reads and writes it. Stores written here open there, and the other way round.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("weights.npk");
//! use numpack_format::{DType, NumPack, Rows, View};
//!
//! let bytes: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
//! let npk = NumPack::create(&path)?;
//! npk.save(&[("w", View::new(DType::F32, &[2, 2], &bytes))])?;
//! npk.append(&[("w", View::new(DType::F32, &[1, 2], &bytes[..8]))])?;
//! npk.drop_rows("w", &Rows::Index(0))?;
//!
//! let w = npk.array("w")?;
//! assert_eq!(w.info().shape, [2, 2]);
//! let mut row = [0; 8];
//! w.gather_into(&Rows::Index(-1), &mut row)?;
//! assert_eq!(row, bytes[..8]);
//! # Ok(()) }
//! ```
//!
//! | Type | What it is for |
//! |---|---|
//! | [`NumPack`] | a handle: reading, and changes of which each is durable when it returns |
//! | [`Writer`] | many changes in one commit, of a store or a new one |
//! | [`Store`], [`Array`] | one state of a store, and an array of it, for reading |
//! | [`View`], [`Rows`] | an array in the caller's memory; a choice of rows, as NumPy has it |
//! | [`Package`], [`pack()`], [`unpack()`] | a store in one file |
//!
//! What is promised: a change that returned `Ok` survives `kill -9` and power loss; one
//! that did not leaves the store as before or as after, never between. Readers take no lock and
//! never write. There is one writer at a time. A damaged store is refused with the file, the
//! offset and what was expected; [`Store::verify`] lists all that is wrong; nothing is repaired
//! silently. What gives up a part of this says so: [`WriterOptions::in_place`], [`RowsMut`], and
//! maps, under which replaced rows change.
//!
//! A forked child has copies of its parent's handles but not its lock: changes through them are
//! refused there, and dropping them leaves the lock alone. While a child lives that was forked in
//! the middle of a change, the death of its parent does not free the lock.
//!
//! The crate needs a Unix system: it works with paths relative to open folders, and advisory
//! locks. On a network file system the promises are as good as its locks, renames and syncs.
//!
//! # The folder
//!
//! ```text
//! store.npk/
//!   metadata.npkm              one record per array
//!   data_<name>.npkd           rows in C order, little-endian, nothing else
//!   data_<name>.npkseg         a list of segments instead of one data file (read, never written)
//!   data_<name>_segments/…     the segments
//!   deleted_<name>.npkb        which rows are live, if any has been dropped
//!   libnumpack.lock            locked by the writer; stays; counts replacements of rows
//!   libnumpack.rows            replaced rows: the record of an open handle, or none at present
//!   libnumpack.redo            any other committed change that is not applied yet
//!   libnumpack.redo.tmp        one that is being written, or the last one of an open handle
//!   libnumpack.meta.tmp        metadata that are being written, or the last ones of an open handle
//!   libnumpack.stage/….new     data files of a change that is being written
//! ```
//!
//! All integers are little-endian; a *text* is a `u32` length in bytes and UTF-8. Files are read
//! only if they are regular: no symbolic link inside the folder is followed.
//!
//! # metadata.npkm
//!
//! ```text
//! offset  size
//!      0     4  "NPKB"
//!      4     4  version, 1
//!      8     8  total size: the sum of the sizes below
//!     16     4  number of records
//!     20     …  records, and nothing after them
//!
//! record
//!   text      name, unique
//!   u32       number of dimensions (at most 64 by default)
//!   u64 each  shape; the first dimension counts dropped rows too
//!   text      data file: a path inside the folder, without ".", ".." or empty components
//!   u64       last modified, microseconds since 1970
//!   u64       size in bytes: the shape's product times the element size
//!   u8        element type, the code of a [`DType`]
//!   u8        compression      \
//!   u32       level             |
//!   u64       original size     |  all zero: nothing writes compressed arrays
//!   u64       compressed size   |
//!   u8        block flag       /
//! ```
//!
//! One `float32` array `w` of shape `[3, 2]` takes 99 bytes:
//!
//! ```text
//! 00  4e504b42 01000000 1800000000000000 01000000
//! 14  01000000 77                                   "w"
//! 19  02000000 0300000000000000 0200000000000000    [3, 2]
//! 2d  0b000000 646174615f772e6e706b64               "data_w.npkd"
//! 3c  4d293b3db0600600 1800000000000000             time, 24 bytes
//! 4c  0a 00 00000000 0000000000000000 0000000000000000 00
//! ```
//!
//! A data file may be longer than the size says; the tail is ignored. Shorter is an error. The
//! order of records is the order in which arrays were first saved. An array without dimensions is
//! read as one element, but never written: it is stored with shape `[1]` and a note ([`side`]).
//!
//! # deleted_&lt;name&gt;.npkb
//!
//! ```text
//!      0     8  number of rows
//!      8     8  how many of them are dropped; not relied on
//!     16     …  one u64 for each 64 rows begun; bit r % 64 of word r / 64 is 1 if row r is live
//! ```
//!
//! The words decide. Rows of the array past the number of rows are dropped, bits past the array
//! are ignored. A file without the 16-byte header, just the words for the array's rows, is read
//! too. Arrays whose name contains `/` or NUL have no bitmap. Every read skips dropped rows.
//!
//! # data_&lt;name&gt;.npkseg
//!
//! ```json
//! {"version": 1, "segments": [{"file": "data_a_segments/seg_000000.npkd", "rows": 8, "bytes": 64}]}
//! ```
//!
//! The segments follow one another, no row straddles two, and no two are one file. Arrays are
//! written as single files of any size.
//!
//! # Names of data files
//!
//! `data_<name>.npkd`, with the name verbatim, also when it is empty or has spaces, dots, line
//! breaks or backslashes. If it contains `/` or NUL, these and `%` become `%2F`, `%00` and `%25`.
//! If the file name exceeded 200 bytes it is `data_<h>.npkd`, `h` being the first 32 digits of the
//! SHA-256 of the name. A file name that is in use, compared without regard to case, also by a
//! file that no record names, gets `~1`, `~2`, … before `.npkd`. Only the same array's own file is
//! replaced.
//!
//! # Changes
//!
//! A **new store** is built in a hidden folder beside its place, `.<name>.libnumpack-<pid>-<random>`
//! (a hash for a long name), with its lock held, synced, and renamed into place. Where a store is
//! replaced the two folders are exchanged at once, and the old one's files removed; where the file
//! system cannot exchange, the old store is changed by a redo record. A hidden folder whose lock
//! is free is what a dead writer left, and the next writer for that place removes it.
//!
//! Only its owner can enter the hidden folder. Before it becomes the store it gets the permissions,
//! and as far as the system lets it the owner, of the folder it replaces, and its files have those
//! of the old `metadata.npkm`. Where nothing is replaced, they are what the process gives all files.
//!
//! A **change of a store** puts new data files into `libnumpack.stage`, under names that no two
//! writers share (`<pid>-<random>-<n>.new`), and rows that are appended behind the end of the data
//! file, where they are nobody's until the metadata says so; what an earlier writer left there is
//! cut off first. Files with another name elsewhere, segments, and files that two arrays share are
//! copied before they are changed. All is synced.
//!
//! If arrays without a bitmap have grown and nothing else has changed, `metadata.npkm` is written
//! beside, as `libnumpack.meta.tmp`, synced, renamed, and the folder synced. A handle exchanges the
//! two instead, where the file system can, and for its next change writes the blocks that differ to
//! the old file: where a store has many arrays, to make and remove so large a file costs most. That
//! happens only under a write lease (fcntl(2), Linux), which is given if no program has the old
//! file open, so whoever reads it reads it as it was; else, the next one is a new file again. Who
//! opens the file in the instant in which it is exchanged waits for that, and the system sends the
//! writer a `SIGURG`, which is ignored by default. Where files are reached past the system that
//! gives the lease, as on the other side of a shared folder, a reader there may see a part of the
//! next state; such a folder is like a network file system.
//!
//! Any other change is decided by one record, written beside, synced and renamed to
//! `libnumpack.redo`, but for what a handle does most, which is below:
//!
//! ```text
//!      0     8  "NPKREDO\0"
//!      8     4  version, 2
//!     12     4  0
//!     16     …  new bytes of rows
//!      …     …  the change, below
//!      …     8  size of the new bytes
//!      …     8  size of the change
//!      …    32  SHA-256 of all before it
//!
//! the change
//!   32 bytes  SHA-256 of the metadata.npkm that is replaced
//!   u32       data files with new rows; each: text file name, u64 number of runs, and for each
//!             run u64 offset in the data file, u64 size, u64 offset of its new bytes in this file
//!   u32       bitmaps to write; each: text file name, u64 length, bytes
//!   u32       bitmaps to remove; each: text file name
//!   u32       new data files; each: text name in libnumpack.stage, text final name, u64 length
//!   u64       length of the new metadata.npkm, and its bytes; 0: it stays as it is
//!   u32       files to remove; each: text path
//!   u32       folders to remove if empty; each: text path
//! ```
//!
//! Names are those of files in the folder itself: bitmaps `deleted_*.npkb`, data files ones that
//! the new metadata names, and runs lie within their arrays. Files to remove may also be in a
//! folder `data_*_segments`, and only such folders are removed; what lay elsewhere is left. A
//! record with anything else is damaged. Before a change is decided, all that it moves, writes or
//! removes is found to be a regular file or absent, and the metadata to be the one that is
//! replaced.
//!
//! It is then carried out in this order, everything is synced, and the record removed. A handle
//! moves a record of up to 64 KiB back to its temporary name instead, syncs that, and writes its next
//! record over it, because to make and remove a file costs a disk more than the rest of a small
//! change; when the handle is dropped, or another writer recovers, the file is removed. Whoever
//! reads a record has a shared lock on it (`flock`) while it is open, and one that has been carried
//! out is written over only under an exclusive lock that is had at once, else made anew.
//!
//! A handle that **replaces rows** and changes nothing else, by a record of up to 64 KiB, writes that
//! into a file which keeps its name as long as the handle lives, `libnumpack.rows`, since to give a
//! name and to take it away costs as much as all else:
//!
//! ```text
//!      0     8  "NPKROWS\0"; anything else: no record
//!      8     8  a random number
//!     16     8  size of the record
//!     24     …  the record as above, but the SHA-256 is of the 24 bytes before it, too
//!      …     …  not looked at
//! ```
//!
//! What has another magic or checksum, or ends too early, is no record: it was not written whole, or
//! has been withdrawn. The number keeps two records apart that are as long and begin alike: what is
//! written over an old one must not make that whole again. So this is decided once the file is synced,
//! and its name where it is new; the rows are written to their place and synced; then zeros are written
//! over the first 24 bytes, and synced before the call returns, so that no power loss brings a record back under which something
//! has changed since. Readers copy the record, and lock nothing. When the handle is dropped the file
//! is removed. Another writer that finds it makes a `libnumpack.redo` of a record in it, and removes
//! it, before it does anything else; where both are there, that one counts. A copy of the folder by
//! links has its own: a file with another name is written to no more.
//!
//! A reader that finds a record applies it in memory, looking for a data file in the stage first
//! and laying new rows over what it reads. The next writer carries it out again from the start,
//! which does no harm: it first sees that each new file has its length, in the stage or already in
//! its place. If `metadata.npkm` is neither the file that is replaced nor the new one, another
//! program wrote: the record is ignored with a warning, and the next writer discards it. A damaged
//! `libnumpack.redo` is an error.
//!
//! A reader looks at the identity of `libnumpack.redo` and then of `metadata.npkm` before and
//! after, and starts again if it changed; it reads `libnumpack.rows` before both. Rows that are
//! replaced change neither for good: so, before it touches the first row and after the record is in
//! its place, the writer counts up the `u64` that `libnumpack.lock` holds, if it holds one; a reader
//! takes that number before it looks for a record, and if it finds another one after reading, looks
//! for a record and reads again. Public readers see the old state until the record is carried out.
//!
//! # Side information
//!
//! What the metadata cannot say, such as `bfloat16`, 0-d shapes and the object that the arrays were
//! part of, is JSON in an ordinary 1-D `uint8` array named `__libnumpack__`, which this crate keeps
//! out of its lists: `{"libnumpack": 1, "arrays": […], "nodes": […], "root": 0}`. See [`side`].
//!
//! Notes are referred to by their place in `arrays`, so one whose array is dropped stays, and says
//! so. Each has the array's time of change as of when it was written, until rows are appended or
//! dropped: [`Store::verify`] tells of an array that another program has changed since.
//!
//! # The package
//!
//! A `.npkg` file holds the files of a store, sorted by name, with arrays in segments joined:
//!
//! ```text
//!      0     4  "NPKG"
//!      4     4  version, 2
//!      8     1  compression: 0 none, 1 files may be compressed
//!      9     4  number of files
//!     13     …  files
//!      …     4  checksum, and nothing after it
//!
//! file
//!   text      name: "metadata.npkm", "data_….npkd" or "deleted_….npkb", unique
//!   u64       size of the content
//!   u64       size of what stands for it here; 0: the content itself
//!   …         a zlib stream, a single Zstandard frame, or the content
//! ```
//!
//! Which of the two compressions it is, the first bytes say: `28b52ffd` is Zstandard. Bitmaps and
//! metadata are as in the store.
//!
//! The checksum is a CRC-32 over the four bytes, little-endian, of the CRC-32 of each file's
//! content: of what is unpacked, also where it is compressed. In version 1, which is read only, it
//! is one CRC-32 over the content of all files. Names and sizes are in neither.
//!
//! A package without arrays, stored, takes 70 bytes:
//!
//! ```text
//! 00  4e504b47 02000000 00 01000000
//! 0d  0d000000 6d657461646174612e6e706b6d           "metadata.npkm"
//! 1e  1400000000000000 0000000000000000             20 bytes, as they are
//! 2e  4e504b42 01000000 0000000000000000 00000000   the metadata
//! 42  4a1ea2dc                                      CRC-32 of its CRC-32
//! ```
//!
//! It is written with version 2, stored or by zlib at level 6; a file that zlib would not make
//! smaller is stored. Records keep their order and their times; each array gets a data file of its
//! own, under its name in the store if that is `data_….npkd`, of exactly its size; a bitmap gets its
//! header and a bit for each stored row. A data file may be longer than its array when read.
//! Two files whose names differ by case only are taken, and cannot be unpacked where the file
//! system makes them one. A bitmap of no array is refused, as its name may be damaged; another file
//! that no array uses is left out with a warning. The public package leaves segments out of what it
//! packs, so such a package is refused; it does not unpack names with `..` in them; and where
//! `zstandard` is installed, it takes every compressed file for Zstandard, so that it reads only
//! what is stored.
//!
//! The package is written as a hidden file beside its place, `.<name>.libnumpack-<pid>-<random>`,
//! locked, synced, and renamed. Unpacking makes a new store, or replaces one, as above.
//!
//! # Limits
//!
//! No count in a file is believed beyond what the file can hold; all arithmetic is checked; nothing
//! recurses by what is read. [`Limits`] bounds what may be allocated, and nothing is written that
//! the writer's own limits would refuse to read. A package is refused before anything is inflated
//! if its files declare more than their compression can hold, and while it is if they hold
//! more or less than declared. Sizes are below 2^64 bytes,
//! a name below 2^32, a store below 2^32 arrays.
#![deny(unsafe_code)]

#[cfg(not(unix))]
compile_error!(
    "numpack-format needs a Unix system: it works with paths relative to open folders, and advisory locks"
);

mod array;
mod array_writer;
mod bitmap;
mod commit;
#[cfg(test)]
mod crash_tests;
mod cursor;
mod disk;
mod dtype;
mod error;
mod fault;
mod folder;
mod lease;
mod limits;
mod loaded;
mod lock;
mod map;
mod merge;
mod metadata;
mod names;
mod new_store;
mod next_metadata;
mod numpack;
mod overlay;
mod package;
mod patches;
mod plan;
mod process;
mod redo;
mod row_log;
mod rows;
mod segments;
pub mod side;
mod side_codec;
mod spare;
mod store;
mod strided;
mod verify;
mod view;
mod writer;

pub use array::{Array, ArrayInfo, Batches};
pub use array_writer::ArrayWriter;
pub use dtype::DType;
pub use error::{Error, Result};
pub use limits::Limits;
pub use map::{Map, MappedRows, RowsMut};
pub use numpack::NumPack;
pub use package::{
    Compression, PackInfo, PackOptions, Package, PackageInfo, PackedArray, PackedFile, UnpackInfo,
    UnpackOptions, pack, unpack,
};
pub use rows::{Rows, Span};
pub use side::SideInfo;
pub use store::Store;
pub use verify::{Fault, FaultKind};
pub use view::View;
pub use writer::{Writer, WriterOptions};

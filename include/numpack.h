/* libnumpack: tensors in files, in memory and on GPUs, without PyTorch or Python.
 *
 * - A function returns a status. NUMPACK_OK is 0; after any other, numpack_last_error has a
 *   message for this thread.
 * - The handle comes first, then inputs, then outputs. An output is written only on success; a NULL
 *   output is skipped, but one for a handle is needed.
 * - Paths and names are UTF-8 and end in NUL. NULL where something is required is
 *   NUMPACK_PARAMETER, not a crash. All other pointers must be valid: text ends in NUL, a struct has
 *   struct_size bytes, a buffer its size, and a handle has not been freed.
 * - _open, _create, _begin, _list, _map_rows and _map_rows_mut give ownership of a handle, _retain
 *   shares it, and _free gives it back, for which NULL is fine. What a function with _get gives is
 *   borrowed.
 * - Structs begin with struct_size, set to their sizeof. In options, all else may be zero and then
 *   has its default, and a NULL pointer means all defaults.
 * - Callbacks take `void *user` last, are called on the calling thread, and return: they neither
 *   throw nor jump out. A numpack_release_fn is called on the thread that frees the last tensor.
 * - Every function may be called from any thread. What is behind a `const` pointer may be used by
 *   several threads at once; what is behind any other, by one. Nothing a caller hands in is kept
 *   after the call, but for memory that a tensor shares; tensors and modules that something is made of
 *   have one owner more, so that the caller may free its handles.
 * - In a forked child, handles of the parent can be read and freed; changes through them are
 *   NUMPACK_FORKED.
 *
 * This file is generated from the Rust sources by `cargo xtask header`. */

#ifndef NUMPACK_H
#define NUMPACK_H

#include <stddef.h>
#include <stdint.h>

/* The structs of DLPack's dlpack.h, which is needed only to look into them. */
struct DLManagedTensor;
struct DLManagedTensorVersioned;

/* == The version ================================================================================= */

/*
 The version of the interface. A library with another number is not compatible.
 */
#define NUMPACK_ABI_VERSION 1

/* == Status codes ================================================================================ */

/*
 Done.
 */
#define NUMPACK_OK 0

/*
 The system refused or the disk failed: not found, no permission, disk full.
 */
#define NUMPACK_IO 1

/*
 A file is damaged or not what it should be.
 */
#define NUMPACK_FORMAT 2

/*
 A file is sound, but of a kind or with a feature that is not read.
 */
#define NUMPACK_UNSUPPORTED 3

/*
 An argument cannot be: NULL, not UTF-8, an unknown constant, a row that is not there, a buffer
 of another size, a key or name that a conversion does not find.
 */
#define NUMPACK_PARAMETER 4

/*
 A file asks for more than the limits allow.
 */
#define NUMPACK_LIMIT 5

/*
 A callback asked to stop. The output is as it was before.
 */
#define NUMPACK_CANCELLED 6

/*
 The output is there already and may not be replaced.
 */
#define NUMPACK_EXISTS 7

/*
 Another writer holds the store.
 */
#define NUMPACK_LOCKED 8

/*
 A fault of the library itself was caught. Please report it; the process may go on.
 */
#define NUMPACK_PANIC 9

/*
 A store or package holds no array of that name.
 */
#define NUMPACK_NOT_FOUND 10

/*
 Somebody else changed or replaced the store or file meanwhile. Open it again.
 */
#define NUMPACK_CHANGED 11

/*
 A forked child used a handle of its parent to change a store. Open the store in the child.
 */
#define NUMPACK_FORKED 12

/*
 A sync failed before, so what was written since the one before it may be lost. Open the store
 again and verify it.
 */
#define NUMPACK_POISONED 13

/*
 There is no store at the path: nothing, or something else.
 */
#define NUMPACK_NOT_A_STORE 14

/*
 Memory cannot be shared or written as asked: it is read-only, on a device, in another byte order
 or has strides that stand against it, or its gradient is wanted. Of tensors that compute: they are
 on two devices, or a rule of gradients is broken. The message says what to do.
 */
#define NUMPACK_SHARING 15

/*
 An element type is not possible here. The message says what to do.
 */
#define NUMPACK_TYPE 16

/*
 A tensor's memory is being written by another thread, or used while it is to be written.
 */
#define NUMPACK_IN_USE 17

/*
 There is not so much memory, on the host or on a device.
 */
#define NUMPACK_OUT_OF_MEMORY 18

/*
 A device refused or failed.
 */
#define NUMPACK_DEVICE 19

/*
 One of the indices that a tensor holds leads nowhere, such as a class, or a row of an embedding.
 */
#define NUMPACK_INDEX 20

/* == Conversions: constants ====================================================================== */

/*
 The usual: `numpack_from_torch_file` adds to an existing store, `numpack_to_torch_file`
 replaces an existing file.
 */
#define NUMPACK_EXISTING_DEFAULT 0

/*
 An existing output is added to: its arrays stay, those of the same name are replaced.
 */
#define NUMPACK_EXISTING_MERGE 1

/*
 An existing output is replaced whole.
 */
#define NUMPACK_EXISTING_REPLACE 2

/*
 An existing output is an error.
 */
#define NUMPACK_EXISTING_REFUSE 3

/*
 A checksum that does not match is an error.
 */
#define NUMPACK_CRC_REFUSE 0

/*
 A checksum that does not match is a warning.
 */
#define NUMPACK_CRC_WARN 1

/*
 Checksums are not computed.
 */
#define NUMPACK_CRC_OFF 2

/* == Element types =============================================================================== */

/*
 A truth value in one byte, 0 or 1.
 */
#define NUMPACK_DTYPE_BOOL 0

/*
 `uint8_t`.
 */
#define NUMPACK_DTYPE_UINT8 1

/*
 `uint16_t`.
 */
#define NUMPACK_DTYPE_UINT16 2

/*
 `uint32_t`.
 */
#define NUMPACK_DTYPE_UINT32 3

/*
 `uint64_t`.
 */
#define NUMPACK_DTYPE_UINT64 4

/*
 `int8_t`.
 */
#define NUMPACK_DTYPE_INT8 5

/*
 `int16_t`.
 */
#define NUMPACK_DTYPE_INT16 6

/*
 `int32_t`.
 */
#define NUMPACK_DTYPE_INT32 7

/*
 `int64_t`.
 */
#define NUMPACK_DTYPE_INT64 8

/*
 An IEEE 754 half.
 */
#define NUMPACK_DTYPE_FLOAT16 9

/*
 `float`.
 */
#define NUMPACK_DTYPE_FLOAT32 10

/*
 `double`.
 */
#define NUMPACK_DTYPE_FLOAT64 11

/*
 Two floats: real, imaginary.
 */
#define NUMPACK_DTYPE_COMPLEX64 12

/*
 Two doubles: real, imaginary.
 */
#define NUMPACK_DTYPE_COMPLEX128 13

/*
 The upper half of a `float`.
 */
#define NUMPACK_DTYPE_BFLOAT16 32

/*
 Two halves: real, imaginary.
 */
#define NUMPACK_DTYPE_COMPLEX32 33

/*
 Two bfloat16: real, imaginary.
 */
#define NUMPACK_DTYPE_BCOMPLEX32 34

/*
 An 8-bit float, 4 exponent bits, no infinities.
 */
#define NUMPACK_DTYPE_FLOAT8_E4M3FN 35

/*
 The same without a negative zero.
 */
#define NUMPACK_DTYPE_FLOAT8_E4M3FNUZ 36

/*
 An 8-bit float, 5 exponent bits.
 */
#define NUMPACK_DTYPE_FLOAT8_E5M2 37

/*
 The same without infinities and a negative zero.
 */
#define NUMPACK_DTYPE_FLOAT8_E5M2FNUZ 38

/*
 An 8-bit power of two.
 */
#define NUMPACK_DTYPE_FLOAT8_E8M0FNU 39

/*
 Two 4-bit floats in a byte, counted as one element.
 */
#define NUMPACK_DTYPE_FLOAT4_E2M1FN_X2 40

/*
 A quantised `int8_t`.
 */
#define NUMPACK_DTYPE_QINT8 41

/*
 A quantised `uint8_t`.
 */
#define NUMPACK_DTYPE_QUINT8 42

/*
 A quantised `int32_t`.
 */
#define NUMPACK_DTYPE_QINT32 43

/*
 Two quantised 4-bit values in a byte.
 */
#define NUMPACK_DTYPE_QUINT4X2 44

/*
 Four quantised 2-bit values in a byte.
 */
#define NUMPACK_DTYPE_QUINT2X4 45

/*
 8 bits without a meaning.
 */
#define NUMPACK_DTYPE_BITS8 46

/*
 16 bits without a meaning.
 */
#define NUMPACK_DTYPE_BITS16 47

/*
 Eight bits in a byte, counted as one element.
 */
#define NUMPACK_DTYPE_BITS1X8 48

/*
 Four pairs of bits in a byte, counted as one element.
 */
#define NUMPACK_DTYPE_BITS2X4 49

/*
 Two halves of a byte, counted as one element.
 */
#define NUMPACK_DTYPE_BITS4X2 50

/* == Choices of rows ============================================================================= */

/*
 Every row.
 */
#define NUMPACK_ROWS_ALL 0

/*
 One row, `start`.
 */
#define NUMPACK_ROWS_INDEX 1

/*
 Every `step`-th row from `start` to before `stop`, cut to the rows there are.
 */
#define NUMPACK_ROWS_SLICE 2

/*
 The rows of `list`, in its order; one may come several times.
 */
#define NUMPACK_ROWS_LIST 3

/*
 The rows whose byte in `mask` is not 0. There are as many bytes as rows.
 */
#define NUMPACK_ROWS_MASK 4

/*
 In place of a slice's `start` or `stop`: from or to the end, whichever `step` leads away from or
 to. It is `INT64_MIN`.
 */
#define NUMPACK_ROWS_END (-9223372036854775807 - 1)

/* == Packages: constants ========================================================================= */

/*
 Files are stored as they are. Every public reader takes that.
 */
#define NUMPACK_COMPRESSION_NONE 0

/*
 Files are compressed by zlib, where that makes them smaller. The public reader takes that only
 where the Python package `zstandard` is not installed.
 */
#define NUMPACK_COMPRESSION_ZLIB 1

/*
 `None`.
 */
#define NUMPACK_NODE_NONE 0

/*
 `True` or `False`: `integer` is 1 or 0.
 */
#define NUMPACK_NODE_BOOL 1

/*
 An integer that fits 64 bits.
 */
#define NUMPACK_NODE_INT 2

/*
 Any other: `text` has it in two's complement, little-endian.
 */
#define NUMPACK_NODE_BIG_INT 3

/*
 A float.
 */
#define NUMPACK_NODE_FLOAT 4

/*
 A string.
 */
#define NUMPACK_NODE_STR 5

/*
 A string with lone surrogates: UTF-8 that encodes those too.
 */
#define NUMPACK_NODE_SURROGATE_STR 6

/*
 `bytes`.
 */
#define NUMPACK_NODE_BYTES 7

/*
 `bytearray`.
 */
#define NUMPACK_NODE_BYTEARRAY 8

/*
 A tuple, whose items are its children.
 */
#define NUMPACK_NODE_TUPLE 9

/*
 A list, whose items are its children.
 */
#define NUMPACK_NODE_LIST 10

/*
 A set, whose members are its children.
 */
#define NUMPACK_NODE_SET 11

/*
 A frozenset, whose members are its children.
 */
#define NUMPACK_NODE_FROZENSET 12

/*
 A dict, whose children are its values, each with a key.
 */
#define NUMPACK_NODE_DICT 13

/*
 The same as an `OrderedDict`.
 */
#define NUMPACK_NODE_ORDERED_DICT 14

/*
 A class or function by name: `text` is `module.name`.
 */
#define NUMPACK_NODE_GLOBAL 15

/*
 A storage that stands in the object by itself: `integer` is its number.
 */
#define NUMPACK_NODE_STORAGE 16

/*
 A tensor: `integer` is its number, and `index` its first place in the list.
 */
#define NUMPACK_NODE_TENSOR 17

/*
 Anything else, kept as the recipe that Python would build it by and never built. `integer` is a
 `NUMPACK_OBJECT_*`. The first child is the callable, usually a global, the second its
 arguments; then come the keyword arguments and the state, where there are any, what was
 appended, and what was set, each with a key.
 */
#define NUMPACK_NODE_OBJECT 18

/*
 An object that a call makes.
 */
#define NUMPACK_OBJECT_CALL 0

/*
 One that `__new__` of a class makes.
 */
#define NUMPACK_OBJECT_NEW 1

/*
 The same with keyword arguments.
 */
#define NUMPACK_OBJECT_NEW_EX 2

/*
 One that stands outside of the pickle, by an identifier.
 */
#define NUMPACK_OBJECT_PERSISTENT_ID 3

/*
 In place of the number of a node that is not there.
 */
#define NUMPACK_NO_NODE 4294967295

/* == Tensors: constants ========================================================================== */

/*
 In place of a slice's `start` or `stop`: from or to the end. It is `INT64_MIN`, as
 `NUMPACK_ROWS_END` is.
 */
#define NUMPACK_SLICE_END (-9223372036854775807 - 1)

/*
 `integer` is 0 or 1.
 */
#define NUMPACK_SCALAR_BOOL 0

/*
 `integer` counts.
 */
#define NUMPACK_SCALAR_INT 1

/*
 `integer` counts, as the `uint64_t` with the same bits.
 */
#define NUMPACK_SCALAR_UINT 2

/*
 `real` counts.
 */
#define NUMPACK_SCALAR_FLOAT 3

/*
 `real` and `imaginary` count.
 */
#define NUMPACK_SCALAR_COMPLEX 4

/*
 Nothing but data, and names that build plain values.
 */
#define NUMPACK_SCAN_CLEAN 0

/*
 Something unknown, contradictory, or that could not be looked into.
 */
#define NUMPACK_SCAN_SUSPICIOUS 1

/*
 Unpickling it could run what somebody else wrote.
 */
#define NUMPACK_SCAN_DANGEROUS 2

/* == What can be wrong with a store ============================================================== */

/*
 A kind that this header does not know.
 */
#define NUMPACK_FAULT_OTHER 0

/*
 `metadata.npkm` cannot be read, so nothing else can be judged.
 */
#define NUMPACK_FAULT_METADATA 1

/*
 The record of a committed change cannot be read, or no longer applies.
 */
#define NUMPACK_FAULT_REDO 2

/*
 A data file, or a segment, is missing, too short or no regular file.
 */
#define NUMPACK_FAULT_DATA 3

/*
 The bitmap of dropped rows cannot be read.
 */
#define NUMPACK_FAULT_BITMAP 4

/*
 Two arrays share a data file.
 */
#define NUMPACK_FAULT_SHARED 5

/*
 A data file, bitmap or segment list that no array uses.
 */
#define NUMPACK_FAULT_ORPHAN 6

/*
 What is known of logical types and objects cannot be read, or no longer fits.
 */
#define NUMPACK_FAULT_SIDE 7

/*
 A notice: a writer died here. The next one finishes or clears what it left.
 */
#define NUMPACK_FAULT_LEFTOVER 8

/*
 A notice: a data file has bytes past the array's end, which are ignored.
 */
#define NUMPACK_FAULT_SURPLUS 9

/*
 A notice: another program changed an array that something is known of, and that still fits.
 */
#define NUMPACK_FAULT_MODIFIED 10

/* == Devices: constants ========================================================================== */

/*
 Nothing is checked.
 */
#define NUMPACK_VALIDATION_OFF 0

/*
 That Vulkan is used as it is specified.
 */
#define NUMPACK_VALIDATION_CORE 1

/*
 That, and that every access is ordered.
 */
#define NUMPACK_VALIDATION_SYNCHRONIZATION 2

/* == Computing: constants ======================================================================== */

/*
 Uniform numbers from 0 up to before 1.
 */
#define NUMPACK_NN_UNIFORM 0

/*
 Normal numbers of mean 0 and deviation 1.
 */
#define NUMPACK_NN_NORMAL 1

/*
 The negative of each element.
 */
#define NUMPACK_NN_NEG 0

/*
 The absolute value.
 */
#define NUMPACK_NN_ABS 1

/*
 e to the power of it.
 */
#define NUMPACK_NN_EXP 2

/*
 The natural logarithm.
 */
#define NUMPACK_NN_LOG 3

/*
 The square root.
 */
#define NUMPACK_NN_SQRT 4

/*
 One over the square root.
 */
#define NUMPACK_NN_RSQRT 5

/*
 One over it.
 */
#define NUMPACK_NN_RECIPROCAL 6

/*
 It times itself.
 */
#define NUMPACK_NN_SQUARE 7

/*
 The sine.
 */
#define NUMPACK_NN_SIN 8

/*
 The cosine.
 */
#define NUMPACK_NN_COS 9

/*
 The hyperbolic tangent.
 */
#define NUMPACK_NN_TANH 10

/*
 1 / (1 + e^-x).
 */
#define NUMPACK_NN_SIGMOID 11

/*
 It, or 0 if that is more.
 */
#define NUMPACK_NN_RELU 12

/*
 x times the part of a normal distribution below x.
 */
#define NUMPACK_NN_GELU 13

/*
 The same by its approximation with a hyperbolic tangent.
 */
#define NUMPACK_NN_GELU_TANH 14

/*
 x times the sigmoid of x.
 */
#define NUMPACK_NN_SILU 15

/*
 Whether it is false, of truth values.
 */
#define NUMPACK_NN_LOGICAL_NOT 16

/*
 The sums of two tensors.
 */
#define NUMPACK_NN_ADD 100

/*
 The differences.
 */
#define NUMPACK_NN_SUB 101

/*
 The products.
 */
#define NUMPACK_NN_MUL 102

/*
 The quotients, floats of integers.
 */
#define NUMPACK_NN_DIV 103

/*
 The first to the power of the second.
 */
#define NUMPACK_NN_POW 104

/*
 The larger of each two, or NaN if one is.
 */
#define NUMPACK_NN_MAXIMUM 105

/*
 The smaller of each two, or NaN if one is.
 */
#define NUMPACK_NN_MINIMUM 106

/*
 Whether they are equal.
 */
#define NUMPACK_NN_EQ 107

/*
 Whether they are not equal.
 */
#define NUMPACK_NN_NE 108

/*
 Whether the first is less.
 */
#define NUMPACK_NN_LT 109

/*
 Whether the first is less or equal.
 */
#define NUMPACK_NN_LE 110

/*
 Whether the first is greater.
 */
#define NUMPACK_NN_GT 111

/*
 Whether the first is greater or equal.
 */
#define NUMPACK_NN_GE 112

/*
 Whether both are true, of truth values.
 */
#define NUMPACK_NN_LOGICAL_AND 113

/*
 Whether one is true, of truth values.
 */
#define NUMPACK_NN_LOGICAL_OR 114

/*
 Whether just one is true, of truth values.
 */
#define NUMPACK_NN_LOGICAL_XOR 115

/*
 The sum along dimensions.
 */
#define NUMPACK_NN_SUM 200

/*
 The mean, of floats.
 */
#define NUMPACK_NN_MEAN 201

/*
 The largest.
 */
#define NUMPACK_NN_AMAX 202

/*
 The smallest.
 */
#define NUMPACK_NN_AMIN 203

/*
 The place of the largest, along one dimension or among all elements, as `INT64`.
 */
#define NUMPACK_NN_ARGMAX 204

/*
 The place of the smallest.
 */
#define NUMPACK_NN_ARGMIN 205

/*
 The mean of the losses; weighted by the classes' weights where targets are indices.
 */
#define NUMPACK_NN_REDUCTION_MEAN 0

/*
 The sum of the losses.
 */
#define NUMPACK_NN_REDUCTION_SUM 1

/*
 All losses, as they are.
 */
#define NUMPACK_NN_REDUCTION_NONE 2

/*
 (x - target)².
 */
#define NUMPACK_NN_MSE 300

/*
 |x - target|.
 */
#define NUMPACK_NN_L1 301

/*
 The binary cross entropy between the sigmoid of x and a target from 0 to 1.
 */
#define NUMPACK_NN_BCE_WITH_LOGITS 302

/*
 The loss of a step is the mean of `numpack_nn_tensor_cross_entropy` without options.
 */
#define NUMPACK_NN_CROSS_ENTROPY 303

/* == Handles ===================================================================================== */

/*
 An array, open for reading. It keeps its rows when the store is changed or its handle freed, but
 for one thing: rows that are replaced are replaced here too, all those of one commit at once.
 */
typedef struct numpack_array numpack_array;

/*
 A file with tensors in it, open for reading: a checkpoint of torch in whatever it is stored, a
 `.safetensors`, `.npy` or `.npz` file, a store, or a package. Nothing found in it is executed.
 Tensors are read when asked for.
 */
typedef struct numpack_checkpoint numpack_checkpoint;

/*
 An open device. It closes when the handles on it and its tensors are gone. Any number of threads
 may use it.
 */
typedef struct numpack_device numpack_device;

/*
 The devices of this machine.
 */
typedef struct numpack_device_list numpack_device_list;

/*
 The arrays of a store or a package in one state of it, in their order.
 */
typedef struct numpack_list numpack_list;

/*
 The rows of an array as memory, also where it is in segments or has dropped rows.
 */
typedef struct numpack_mapped_rows numpack_mapped_rows;

/*
 What has parameters and computes with them. Any number of threads may use one at once; the
 parameters are changed where they are, so whoever holds one sees what becomes of it.
 */
typedef struct numpack_nn_module numpack_nn_module;

/*
 What changes parameters by their gradients, in groups with a learning rate of their own. It keeps
 the parameters. One thread at a time may use it.
 */
typedef struct numpack_nn_optimizer numpack_nn_optimizer;

/*
 The parameters and buffers of a module by their dotted names, as `state_dict` has them in torch.
 */
typedef struct numpack_nn_state numpack_nn_state;

/*
 A training step of a module for inputs of given shapes: what it computes, the loss, the way back, and
 what an optimiser changes. On a device it is recorded once, and done again in one submission. One
 thread at a time may use it.
 */
typedef struct numpack_nn_step numpack_nn_step;

/*
 A tensor that computes, on the host or on a device, and knows what it was computed of: names and
 rules are PyTorch's. Its elements are `BOOL`, `UINT8`, `INT8`, `INT16`, `INT32`, `INT64`,
 `FLOAT16`, `BFLOAT16`, `FLOAT32` or `FLOAT64`, without `INT8`, `INT16` and `FLOAT64` on a device.

 Any number of threads may use one at once. What is computed is a new tensor, or a view of the
 same memory; the caller owns it.
 */
typedef struct numpack_nn_tensor numpack_nn_tensor;

/*
 An object to be saved. Each part that is added gets a number, by which what comes later has it as a
 part; one that several have is one object there, as in Python. One thread at a time may use it.
 */
typedef struct numpack_object numpack_object;

/*
 A package, open for reading as it is. It has the file open.
 */
typedef struct numpack_package numpack_package;

/*
 The rows of an array as memory to work in. It has the store locked. One thread at a time may
 use it.
 */
typedef struct numpack_rows_mut numpack_rows_mut;

/*
 A store, open for reading and writing. It is locked only while a call or a `numpack_writer`
 changes it.
 */
typedef struct numpack_store numpack_store;

/*
 A tensor in memory: elements of one type in some order in a storage, which it may share with
 other tensors, and with whoever lent the memory. The storage lives as long as any of them.

 Many threads may use one tensor, and many tensors of one storage. Reading goes on side by side;
 a function that writes while another uses the same storage, or the other way round, returns
 `NUMPACK_IN_USE`. Access through pointers is the caller's to order: while a function of this
 library reads the storage nobody writes there, and while one writes nobody uses it.
 */
typedef struct numpack_tensor numpack_tensor;

/*
 Changes of a store that become visible and durable together, or not at all. It has the store
 locked. One thread at a time may use it.
 */
typedef struct numpack_writer numpack_writer;

/* == Callbacks and structs ======================================================================= */

/*
 Called as the work goes on, at least once for every 16 MiB: `done` of `total` bytes are
 written. Anything but 0 cancels.
 */
typedef int32_t (*numpack_progress_fn)(uint64_t done, uint64_t total, void *user);

/*
 Called with what the caller should know though the work succeeded. The text is valid during
 the call.
 */
typedef void (*numpack_warning_fn)(const char *message, void *user);

/*
 How `numpack_from_torch_file` converts. Zero means the default of each.
 */
typedef struct {
    /*
     `sizeof(numpack_from_torch_options)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_EXISTING_*`.
     */
    int32_t existing;
    /*
     Convert only what stands at this key or dotted path. NULL: everything.
     */
    const char *key;
    /*
     Upper bound of buffers in bytes. 0: 100 MiB; they stay below 8 MiB all the same.
     */
    uint64_t chunk_size;
    /*
     A `NUMPACK_CRC_*`.
     */
    int32_t crc;
    /*
     Not 0: carry over objects of unknown classes as recipes.
     */
    int32_t keep_objects;
    /*
     Not 0: give each view an array of its own.
     */
    int32_t compact_views;
    /*
     Must be 0.
     */
    int32_t reserved;
    /*
     NULL: not called.
     */
    numpack_progress_fn progress;
    /*
     NULL: warnings are dropped.
     */
    numpack_warning_fn warning;
    /*
     Handed to both callbacks.
     */
    void *user;
} numpack_from_torch_options;

/*
 How `numpack_to_torch_file` converts. Zero means the default of each.
 */
typedef struct {
    /*
     `sizeof(numpack_to_torch_options)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_EXISTING_*`; a file cannot be merged into.
     */
    int32_t existing;
    /*
     `array_count` names: export only these, as a flat dict in this order. NULL: everything.
     */
    const char *const *array_names;
    /*
     How many names.
     */
    size_t array_count;
    /*
     Upper bound of buffers in bytes. 0: 100 MiB; they stay below 8 MiB all the same.
     */
    uint64_t chunk_size;
    /*
     Alignment of each tensor's data in bytes. 0: 64; 4096 is the other choice.
     */
    uint32_t alignment;
    /*
     Must be 0.
     */
    int32_t reserved;
    /*
     NULL: not called.
     */
    numpack_progress_fn progress;
    /*
     NULL: warnings are dropped.
     */
    numpack_warning_fn warning;
    /*
     Handed to both callbacks.
     */
    void *user;
} numpack_to_torch_options;

/*
 How `numpack_export_file` converts. Zero means the default of each.
 */
typedef struct {
    /*
     `sizeof(numpack_export_options)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_EXISTING_*`; a file cannot be merged into.
     */
    int32_t existing;
    /*
     Only what stands at this key or dotted path. NULL: everything.
     */
    const char *key;
    /*
     `array_count` names: export only these tensors. NULL: all.
     */
    const char *const *array_names;
    /*
     How many names.
     */
    size_t array_count;
    /*
     Upper bound of buffers in bytes. 0: 100 MiB; they stay below 8 MiB all the same.
     */
    uint64_t chunk_size;
    /*
     A `NUMPACK_CRC_*`.
     */
    int32_t crc;
    /*
     Not 0: tensors that show the same bytes are written once for each name, not refused.
     */
    int32_t copy_shared;
    /*
     NULL: not called.
     */
    numpack_progress_fn progress;
    /*
     NULL: warnings are dropped.
     */
    numpack_warning_fn warning;
    /*
     Handed to both callbacks.
     */
    void *user;
} numpack_export_options;

/*
 A choice of rows of an array, counted without dropped ones. A negative number counts from the
 end. The functions `numpack_rows_*` make one.
 */
typedef struct {
    /*
     `sizeof(numpack_rows)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_ROWS_*`, which says what of the rest counts.
     */
    int32_t kind;
    /*
     Index: the row. Slice: the first row.
     */
    int64_t start;
    /*
     Slice: the row after the last one.
     */
    int64_t stop;
    /*
     Slice: how far it is from one to the next, not 0; negative: backwards.
     */
    int64_t step;
    /*
     List: `count` rows.
     */
    const int64_t *list;
    /*
     Mask: `count` bytes.
     */
    const uint8_t *mask;
    /*
     List, mask: how many.
     */
    size_t count;
} numpack_rows;

/*
 How a store is changed. Zero means the default of each.
 */
typedef struct {
    /*
     `sizeof(numpack_store_options)`.
     */
    uint32_t struct_size;
    /*
     Not 0: where another writer has the store, a change is `NUMPACK_LOCKED`. 0: it waits.
     */
    int32_t no_wait;
    /*
     Not 0: rows are replaced in their place at once, which is faster. If the program ends before
     the commit, some stay replaced; a power loss may leave parts of rows; readers may see the
     change half-done; and giving it up does not take it back. 0: all or none.
     */
    int32_t in_place;
    /*
     Must be 0.
     */
    int32_t reserved;
} numpack_store_options;

/*
 An array in the caller's memory, which is only borrowed during a call. Elements are
 little-endian. `numpack_view_of` makes one in C order.
 */
typedef struct {
    /*
     `sizeof(numpack_view)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_DTYPE_*`.
     */
    int32_t dtype;
    /*
     How many dimensions. 0: one element, no rows.
     */
    uint32_t ndim;
    /*
     Must be 0.
     */
    int32_t reserved;
    /*
     `ndim` lengths; the first is the number of rows.
     */
    const uint64_t *shape;
    /*
     `ndim` steps in bytes, also negative or 0: element `[i, j, ...]` is at byte
     `offset + i * strides[0] + j * strides[1] + ...` of `data`. NULL: C order without gaps, and
     the elements fill all of `data` from `offset` on.
     */
    const int64_t *strides;
    /*
     The memory.
     */
    const void *data;
    /*
     How many bytes there are at `data`. No other is read.
     */
    size_t nbytes;
    /*
     Where in them the first element is.
     */
    size_t offset;
} numpack_view;

/*
 What is said of one array. The caller sets `struct_size`, a call the rest; the pointers are
 borrowed from the list or the array that was asked.
 */
typedef struct {
    /*
     `sizeof(numpack_array_info)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_DTYPE_*`: the type of the stored elements.
     */
    int32_t dtype;
    /*
     The name, which ends in NUL.
     */
    const char *name;
    /*
     Its length in bytes without that NUL. It is larger than `strlen(name)` if there is a NUL
     within: such an array can be listed, but not named in a call.
     */
    size_t name_length;
    /*
     What the elements stand for where that is not `dtype`, such as `bfloat16`; else NULL.
     */
    const char *logical_dtype;
    /*
     `ndim` lengths, without dropped rows.
     */
    const uint64_t *shape;
    /*
     How many dimensions. 0: a single element.
     */
    uint32_t ndim;
    /*
     Not 0: the array is a part of something, such as the storage behind several tensors of a
     checkpoint, and was no array of its own there.
     */
    int32_t hidden;
    /*
     The number of rows, which is `shape[0]`; 1 for an array of 0 dimensions.
     */
    uint64_t rows;
    /*
     The size of a row in bytes.
     */
    uint64_t row_size;
    /*
     The size of all rows in bytes.
     */
    uint64_t nbytes;
    /*
     How many rows are on the disk: with those that were dropped.
     */
    uint64_t stored_rows;
    /*
     When it was last changed, in microseconds since 1970.
     */
    int64_t modified_micros;
} numpack_array_info;

/*
 How `numpack_pack` makes a package. Zero means the default of each.
 */
typedef struct {
    /*
     `sizeof(numpack_pack_options)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_COMPRESSION_*`.
     */
    int32_t compression;
    /*
     Not 0: a file at the path is replaced. 0: it is `NUMPACK_EXISTS`.
     */
    int32_t overwrite;
    /*
     Must be 0.
     */
    int32_t reserved;
    /*
     NULL: warnings are dropped.
     */
    numpack_warning_fn warning;
    /*
     Handed to the callback.
     */
    void *user;
} numpack_pack_options;

/*
 How `numpack_unpack` makes a store. Zero means the default of each.
 */
typedef struct {
    /*
     `sizeof(numpack_unpack_options)`.
     */
    uint32_t struct_size;
    /*
     Not 0: a store at the path is replaced. 0: it is `NUMPACK_EXISTS`.
     */
    int32_t overwrite;
    /*
     Not 0: where a writer has the store that is to be replaced, that is `NUMPACK_LOCKED`. 0: it
     waits.
     */
    int32_t no_wait;
    /*
     Must be 0.
     */
    int32_t reserved;
    /*
     NULL: warnings are dropped.
     */
    numpack_warning_fn warning;
    /*
     Handed to the callback.
     */
    void *user;
} numpack_unpack_options;

/*
 How `numpack_checkpoint_open` reads. Zero means the default of each.
 */
typedef struct {
    /*
     `sizeof(numpack_checkpoint_options)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_CRC_*`.
     */
    int32_t crc;
} numpack_checkpoint_options;

/*
 What is said of one tensor. The caller sets `struct_size`, a call the rest; the pointers are
 borrowed from the checkpoint.
 */
typedef struct {
    /*
     `sizeof(numpack_tensor_info)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_DTYPE_*`.
     */
    int32_t dtype;
    /*
     The dotted path, which ends in NUL; empty for a tensor that is the whole object.
     */
    const char *name;
    /*
     Its length in bytes without that NUL. It is larger than `strlen(name)` if there is a NUL
     within.
     */
    size_t name_length;
    /*
     `ndim` lengths.
     */
    const uint64_t *shape;
    /*
     `ndim` steps in elements, in the storage.
     */
    const uint64_t *strides;
    /*
     How many dimensions. 0: a single element.
     */
    uint32_t ndim;
    /*
     The number of the storage: tensors of one number share memory.
     */
    uint32_t storage;
    /*
     The first element in the storage, in elements.
     */
    uint64_t offset;
    /*
     The size of the storage in bytes.
     */
    uint64_t storage_nbytes;
    /*
     The size of the elements in C order in bytes: what `numpack_checkpoint_read` fills.
     */
    uint64_t nbytes;
    /*
     The number of the tensor: the same under each of its names.
     */
    uint32_t tensor;
    /*
     Not 0: autograd tracks it.
     */
    int32_t requires_grad;
    /*
     Not 0: it is a `torch.nn.Parameter`.
     */
    int32_t parameter;
    /*
     0.
     */
    int32_t reserved;
} numpack_tensor_info;

/*
 One value. The caller sets `struct_size`, a call the rest; `text` is borrowed from the
 checkpoint. As an input of `numpack_object_add` it is all the caller's.
 */
typedef struct {
    /*
     `sizeof(numpack_node)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_NODE_*`, which says what of the rest counts.
     */
    int32_t kind;
    /*
     A number.
     */
    int64_t integer;
    /*
     A float.
     */
    double real;
    /*
     `length` bytes, which do not end in NUL; of a global its module.
     */
    const char *text;
    /*
     How many.
     */
    size_t length;
    /*
     Of a global its name in the module: `name_length` bytes, which do not end in NUL.
     */
    const char *name;
    /*
     How many.
     */
    size_t name_length;
    /*
     Of a tensor its place in the list; `SIZE_MAX` if it has none.
     */
    size_t index;
    /*
     How many children it has, for `numpack_checkpoint_get_child`.
     */
    size_t children;
} numpack_node;

/*
 Called once with the caller's pointer when what it lent is no longer needed, on the thread that frees
 the last that uses it, such as a tensor of memory. It must not call back into this library for that.
 */
typedef void (*numpack_release_fn)(void *user);

/*
 What is said of a tensor in memory. The caller sets `struct_size`, a call the rest; the pointers
 are borrowed from the tensor.
 */
typedef struct {
    /*
     `sizeof(numpack_tensor_layout)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_DTYPE_*`.
     */
    int32_t dtype;
    /*
     How many dimensions. 0: a single element.
     */
    uint32_t ndim;
    /*
     Not 0: its memory must not be written to.
     */
    int32_t read_only;
    /*
     `ndim` lengths.
     */
    const uint64_t *shape;
    /*
     `ndim` steps in elements, also negative or 0.
     */
    const int64_t *strides;
    /*
     The first element; NULL on a device. Without elements it points to nothing.
     */
    void *data;
    /*
     How many elements there are.
     */
    uint64_t numel;
    /*
     The size of the elements in C order in bytes: what `numpack_tensor_read` fills.
     */
    uint64_t nbytes;
    /*
     How many elements of the storage lie before the first one.
     */
    uint64_t offset;
    /*
     The size of the storage in bytes.
     */
    uint64_t storage_nbytes;
    /*
     Not 0: the elements lie one after another in C order.
     */
    int32_t contiguous;
    /*
     Not 0: operations on it are to be differentiated.
     */
    int32_t requires_grad;
    /*
     Not 0: it is on a device, and not in the memory of this process.
     */
    int32_t on_device;
    /*
     0.
     */
    int32_t reserved;
} numpack_tensor_layout;

/*
 An array as NumPy describes it: `__array_interface__`, version 3.
 */
typedef struct {
    /*
     `sizeof(numpack_array_interface)`.
     */
    uint32_t struct_size;
    /*
     Not 0: the array may not be written to.
     */
    int32_t read_only;
    /*
     Where the element with index 0 is: the first item of `data`.
     */
    void *data;
    /*
     Byte order, kind and size of an element, such as `<f4`, and a NUL.
     */
    const char *typestr;
    /*
     `ndim` lengths.
     */
    const uint64_t *shape;
    /*
     `ndim` steps in bytes; NULL for C order without gaps.
     */
    const int64_t *strides;
    /*
     How many dimensions. 0: a single element.
     */
    uint32_t ndim;
    /*
     Must be 0.
     */
    int32_t reserved;
} numpack_array_interface;

/*
 One element, of whichever type. The functions `numpack_scalar_*` make one.
 */
typedef struct {
    /*
     `sizeof(numpack_scalar)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_SCALAR_*`, which says what of the rest counts.
     */
    int32_t kind;
    /*
     A truth value or an integer.
     */
    int64_t integer;
    /*
     A float, or the real part.
     */
    double real;
    /*
     The imaginary part.
     */
    double imaginary;
} numpack_scalar;

/*
 How `numpack_save_torch`, `numpack_save_tensors` and `numpack_object_save` write. Zero means the default of each.
 */
typedef struct {
    /*
     `sizeof(numpack_save_options)`.
     */
    uint32_t struct_size;
    /*
     Not 0: an existing file is replaced. 0: it is `NUMPACK_EXISTS`.
     */
    int32_t overwrite;
    /*
     Alignment of each tensor's data in bytes. 0: 64; 4096 is the other choice.
     */
    uint32_t alignment;
    /*
     Must be 0.
     */
    int32_t reserved;
} numpack_save_options;

/*
 Called for what is found in a file, the worst names first: `level` is a `NUMPACK_SCAN_*`, `what`
 says it (`os.system: runs a command`), `part` names the pickle or record it is in and may be
 empty, `offset` is the byte there, or -1. Texts are valid during the call. Anything but 0 cancels.
 */
typedef int32_t (*numpack_scan_fn)(int32_t level,
                                   const char *what,
                                   const char *part,
                                   int64_t offset,
                                   void *user);

/*
 Called for each difference: `path` is where, as a dotted path, and `what` says it. Texts are
 valid during the call. Anything but 0 cancels.
 */
typedef int32_t (*numpack_difference_fn)(const char *path, const char *what, void *user);

/*
 Called for each thing that was found: its kind, a `NUMPACK_FAULT_*`; whether it is only a notice
 (not 0), so that no data is wrong or lost; the file; the array, NULL where none is concerned; and
 what is wrong, with the file and the array. The texts are valid during the call. Anything but 0
 cancels.
 */
typedef int32_t (*numpack_fault_fn)(int32_t kind,
                                    int32_t is_notice,
                                    const char *file,
                                    const char *array,
                                    const char *message,
                                    void *user);

/*
 Called for each fault of a file, and for what is odd but loses nothing, a notice: not 0. The text
 is valid during the call. Anything but 0 cancels.
 */
typedef int32_t (*numpack_file_fault_fn)(int32_t is_notice, const char *message, void *user);

/*
 What is said of a device. The caller sets `struct_size`, a call the rest; the texts are borrowed
 from the list or the device that was asked.
 */
typedef struct {
    /*
     `sizeof(numpack_device_info)`.
     */
    uint32_t struct_size;
    /*
     Its place in the list: GPUs first, software last.
     */
    uint32_t index;
    /*
     Its name, for people.
     */
    const char *name;
    /*
     `discrete`, `integrated`, `virtual`, `other`, or `software` for a program on the host.
     */
    const char *kind;
    /*
     The vendor's name, or its number.
     */
    const char *vendor;
    /*
     The UUID, by which it is known from start to start.
     */
    const char *uuid;
    /*
     The driver's name and version.
     */
    const char *driver;
    /*
     Why it cannot be used; NULL if it can.
     */
    const char *problem;
    /*
     Bytes of its memory.
     */
    uint64_t memory;
    /*
     How many bytes of a tensor a kernel sees at once; larger tensors are cut.
     */
    uint64_t max_storage_range;
    /*
     How many bytes a tensor may have.
     */
    uint64_t max_allocation;
    /*
     Bytes that the threads of a group share.
     */
    uint32_t shared_memory;
    /*
     How many threads a group may have.
     */
    uint32_t max_invocations;
    /*
     How many threads go in step.
     */
    uint32_t subgroup_size;
    /*
     0.
     */
    int32_t reserved;
} numpack_device_info;

/*
 How a device is opened. Zero means the default of each.
 */
typedef struct {
    /*
     `sizeof(numpack_device_options)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_VALIDATION_*`: what the layers check, for tests; it costs much time.
     */
    int32_t validation;
    /*
     An index or a UUID, as `numpack_devices` has them. NULL: what the variable
     `NUMPACK_VULKAN_DEVICE` names, or else the first that can be used.
     */
    const char *select;
} numpack_device_options;

/*
 What a device holds and did since it was opened. The caller sets `struct_size`.
 */
typedef struct {
    /*
     `sizeof(numpack_device_usage)`.
     */
    uint32_t struct_size;
    /*
     0.
     */
    int32_t reserved;
    /*
     Bytes of all tensors; views add nothing.
     */
    uint64_t live_bytes;
    /*
     How many pieces of memory those tensors have.
     */
    uint64_t live_buffers;
    /*
     The most that `live_bytes` ever was.
     */
    uint64_t peak_bytes;
    /*
     Bytes in all buffers, those for later use too, until `numpack_device_trim`.
     */
    uint64_t reserved_bytes;
    /*
     Bytes that went to the device.
     */
    uint64_t uploaded_bytes;
    /*
     Bytes that came from it.
     */
    uint64_t downloaded_bytes;
    /*
     How often work was handed to the driver.
     */
    uint64_t submits;
    /*
     How many kernels were recorded.
     */
    uint64_t dispatches;
    /*
     How many copies were recorded that need no kernel.
     */
    uint64_t copies;
    /*
     How many barriers were recorded between them.
     */
    uint64_t barriers;
    /*
     How many kernels were compiled, or taken from the cache.
     */
    uint64_t pipelines;
} numpack_device_usage;

/*
 What is said of a tensor that computes. The caller sets `struct_size`, a call the rest; `shape`
 is borrowed from the tensor.
 */
typedef struct {
    /*
     `sizeof(numpack_nn_tensor_info)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_DTYPE_*`.
     */
    int32_t dtype;
    /*
     `ndim` lengths.
     */
    const uint64_t *shape;
    /*
     How many dimensions. 0: a single element.
     */
    uint32_t ndim;
    /*
     Not 0: it is on a device.
     */
    int32_t on_device;
    /*
     How many elements there are.
     */
    uint64_t numel;
    /*
     The size of the elements in bytes: what `numpack_nn_tensor_read` fills.
     */
    uint64_t nbytes;
    /*
     Not 0: a gradient is computed for it.
     */
    int32_t requires_grad;
    /*
     Not 0: it was not computed of anything that wants a gradient, and keeps its own.
     */
    int32_t is_leaf;
    /*
     Not 0: it has a gradient.
     */
    int32_t has_grad;
    /*
     Not 0: its elements lie one after another in C order.
     */
    int32_t contiguous;
    /*
     Its device's `index`, as `numpack_device_info` has it; -1 on the host.
     */
    int32_t device_index;
    /*
     0.
     */
    int32_t reserved;
} numpack_nn_tensor_info;

/*
 How `numpack_nn_tensor_cross_entropy` and `numpack_nn_tensor_nll_loss` compute. Zero means the
 default of each.
 */
typedef struct {
    /*
     `sizeof(numpack_nn_cross_entropy_options)`.
     */
    uint32_t struct_size;
    /*
     A `NUMPACK_NN_REDUCTION_*`.
     */
    int32_t reduction;
    /*
     A weight for each class, in the logits' type. NULL: 1 for each.
     */
    const numpack_nn_tensor *weight;
    /*
     A target index that counts for nothing. NULL: -100.
     */
    const int64_t *ignore_index;
    /*
     What part of a target is spread over all classes, from 0 to 1.
     */
    double label_smoothing;
} numpack_nn_cross_entropy_options;

/*
 How `numpack_nn_module_transformer_encoder_layer` makes a layer. Zero means the default of each,
 which is PyTorch's.
 */
typedef struct {
    /*
     `sizeof(numpack_nn_transformer_options)`.
     */
    uint32_t struct_size;
    /*
     What is done between the two linear layers: `NUMPACK_NN_RELU`, as for 0, or
     `NUMPACK_NN_GELU`.
     */
    int32_t activation;
    /*
     Columns between the two linear layers. 0: 2048.
     */
    uint64_t dim_feedforward;
    /*
     Added to variances. 0: 1e-5.
     */
    double layer_norm_eps;
    /*
     Not 0: inputs are (batch, length, columns), else (length, batch, columns).
     */
    int32_t batch_first;
    /*
     Not 0: norms come before attention and linear layers, else behind the sums.
     */
    int32_t norm_first;
    /*
     Not 0: nothing has a bias.
     */
    int32_t without_bias;
    /*
     Must be 0.
     */
    int32_t reserved;
} numpack_nn_transformer_options;

/*
 How `numpack_nn_optimizer_sgd` changes parameters. Zero means the default of each.
 */
typedef struct {
    /*
     `sizeof(numpack_nn_sgd_options)`.
     */
    uint32_t struct_size;
    /*
     Not 0: looks ahead along the kept direction.
     */
    int32_t nesterov;
    /*
     The part of the last step's direction that is kept.
     */
    double momentum;
    /*
     What the gradient is lessened by before it is added to that.
     */
    double dampening;
    /*
     What of the parameter is added to its gradient.
     */
    double weight_decay;
} numpack_nn_sgd_options;

/*
 How `numpack_nn_optimizer_adam` changes parameters. Zero means the default of each.
 */
typedef struct {
    /*
     `sizeof(numpack_nn_adam_options)`.
     */
    uint32_t struct_size;
    /*
     Not 0: weight decay leaves the gradient alone, which makes it AdamW.
     */
    int32_t decoupled;
    /*
     What is kept of the mean of the gradients. 0: 0.9.
     */
    double beta1;
    /*
     What is kept of the mean of their squares. 0: 0.999.
     */
    double beta2;
    /*
     Added to the root of the latter. 0: 1e-8.
     */
    double eps;
    /*
     What of the parameter is added to its gradient; or taken off the parameter, times the learning
     rate, where it is decoupled. 0 is none, also for AdamW, for which PyTorch's default is 0.01.
     */
    double weight_decay;
    /*
     Not 0: the largest mean of squares so far is used.
     */
    int32_t amsgrad;
    /*
     Must be 0.
     */
    int32_t reserved;
} numpack_nn_adam_options;

/*
 Computes what a module gives of `x`, which is borrowed: `result` takes a new handle, which the library
 takes over. 0: done. Anything else: it failed, `result` is not looked at, and what called for it
 returns `NUMPACK_CANCELLED`. It is called on the thread that calls for it, and may use the library, but
 not the step that it is part of.
 */
typedef int32_t (*numpack_nn_forward_fn)(const numpack_nn_tensor *x,
                                         numpack_nn_tensor **result,
                                         void *user);

/*
 Computes a loss, a single number, of what a module gave and what it should have given. As
 `numpack_nn_forward_fn` in all else.
 */
typedef int32_t (*numpack_nn_loss_fn)(const numpack_nn_tensor *output,
                                      const numpack_nn_tensor *target,
                                      numpack_nn_tensor **loss,
                                      void *user);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* == Versions and messages ======================================================================= */

/*
 The version of the interface that the library at hand has; compare it with
 `NUMPACK_ABI_VERSION`.
 */
uint32_t numpack_abi_version(void);

/*
 The version of the library, such as `0.1.0`. The text lives as long as the library.
 */
const char *numpack_version(void);

/*
 Copies the message of the last call on this thread that returned a status: why it failed, or
 nothing after a success.

 Writes at most `size` bytes to `buffer`, the last of them NUL, and returns the length of the
 whole message without its NUL. With `buffer` NULL or `size` 0 it only returns the length.
 */
size_t numpack_last_error(char *buffer, size_t size);

/*
 The operating system's error number (`errno`) behind that message, such as `ENOENT` where a file
 is not there; 0 after a success, and where it was not the system that refused. There is one after
 `NUMPACK_IO` as a rule, and after `NUMPACK_NOT_A_STORE` where no folder can be opened at the path.
 */
int32_t numpack_last_os_error(void);

/* == Conversions ================================================================================= */

/*
 Converts a `.pt` file to a NumPack store, streaming; nothing in the file is executed.

 Tensors are named by their dotted paths (`model.encoder.weight`), a bare tensor by the file's
 stem; all else of the object is kept beside them. The change is one commit: on failure,
 cancellation or a crash the output is as it was before.

 `input` and `output` are paths. `options` may be NULL. `tensors` and `bytes`, both may be
 NULL, take the number of arrays written and their bytes.
 */
int32_t numpack_from_torch_file(const char *input,
                                const char *output,
                                const numpack_from_torch_options *options,
                                uint64_t *tensors,
                                uint64_t *bytes);

/*
 Converts a NumPack store to a `.pt` file, streaming.

 A store that came from a checkpoint gives an equal object back, which torch loads with
 `weights_only=True` if it could the first; any other gives a dict of its arrays, which it can.
 The file appears whole or not at all.

 `input` and `output` are paths. `options` may be NULL. `tensors` and `bytes`, both may be
 NULL, take the number of storages written and their bytes.
 */
int32_t numpack_to_torch_file(const char *input,
                              const char *output,
                              const numpack_to_torch_options *options,
                              uint64_t *tensors,
                              uint64_t *bytes);

/*
 Converts any file with tensors to a `.safetensors`, `.npy` or `.npz` file, which the suffix of
 `output` chooses; streaming. Tensors go by their dotted names, a bare one by the stem of the
 input's name. Values that are no tensors are left out, with a warning. The file appears whole or
 not at all.

 `input` and `output` are paths. `options` may be NULL. `tensors` and `bytes`, both may be NULL,
 take the number of tensors written and their bytes. Errors: `NUMPACK_UNSUPPORTED` for what such a
 file cannot hold: an element type it lacks, and, without `copy_shared`, tensors that share bytes.
 */
int32_t numpack_export_file(const char *input,
                            const char *output,
                            const numpack_export_options *options,
                            uint64_t *tensors,
                            uint64_t *bytes);

/* == Element types and rows ====================================================================== */

/*
 The size of an element in bytes; 0 for what is none of `NUMPACK_DTYPE_*`. Of types that pack
 several values it is the size of what holds them.
 */
size_t numpack_dtype_size(int32_t dtype);

/*
 The word for an element type, such as `float32`, which is NumPy's and torch's; NULL for what is
 none of `NUMPACK_DTYPE_*`. The text lives as long as the library.
 */
const char *numpack_dtype_name(int32_t dtype);

/*
 How many rows a choice has of an array of `total` rows: for the size of a buffer, times
 `numpack_array_info.row_size`.

 Errors: `NUMPACK_PARAMETER` for a row that is not there, or a mask of another length.
 */
int32_t numpack_rows_count(const numpack_rows *rows, uint64_t total, uint64_t *count);

/* == Stores ====================================================================================== */

/*
 Opens the store at a path. The caller owns the handle; `numpack_store_free` gives it back.

 `options` may be NULL. Errors: `NUMPACK_NOT_A_STORE` where there is nothing, or something else;
 `NUMPACK_FORMAT` for a damaged store; `NUMPACK_UNSUPPORTED`; `NUMPACK_LIMIT`; `NUMPACK_IO`.
 */
int32_t numpack_store_open(const char *path,
                           const numpack_store_options *options,
                           numpack_store **store);

/*
 Makes a store without arrays, and opens it as `numpack_store_open` does.

 Errors: `NUMPACK_EXISTS` where there is anything but an empty folder.
 */
int32_t numpack_store_create(const char *path,
                             const numpack_store_options *options,
                             numpack_store **store);

/*
 Opens the store at a path, and makes it first if there is nothing. Else as `numpack_store_open`.
 */
int32_t numpack_store_open_or_create(const char *path,
                                     const numpack_store_options *options,
                                     numpack_store **store);

/*
 Shares a handle: it comes back, and is to be freed once more. NULL is fine.
 */
numpack_store *numpack_store_retain(const numpack_store *store);

/*
 Gives a handle back. Arrays, lists and writers that came from it live on. NULL is fine.
 */
void numpack_store_free(numpack_store *store);

/*
 Where the store is, as an absolute path; NULL for NULL. The text lives as long as the handle.
 */
const char *numpack_store_get_path(const numpack_store *store);

/* == Changes, each durable on return ============================================================= */

/*
 Writes `count` arrays, each in the place of one of its name, whatever that one's type and
 shape: all or none, and durable on return.

 `names` are `count` texts, `views` as many views. To write one array of any size in pieces, save
 it with no rows and append to it, within one `numpack_writer`. Types that a store has only as what
 they stand for, such as `BFLOAT16`, are `NUMPACK_TYPE`: `numpack_from_torch` writes those.

 The errors of every change: `NUMPACK_LOCKED` if it is not to wait for another writer,
 `NUMPACK_FORKED` in a forked child, `NUMPACK_CHANGED`, `NUMPACK_POISONED`, and `NUMPACK_IO`, as
 on a full disk. The store is then as before or, where the last step failed, as after: never
 between. A thread that has a `numpack_writer` of the store must not change it otherwise: the
 call would wait for ever.
 */
int32_t numpack_store_save(const numpack_store *store,
                           const char *const *names,
                           const numpack_view *views,
                           size_t count);

/*
 Adds rows at the end of `count` arrays, all or none. Each view has the array's element type and
 dimensions, but for the first.

 Errors: those of every change, `NUMPACK_NOT_FOUND`, and `NUMPACK_PARAMETER` for a view that does
 not fit its array, or an array of 0 dimensions.
 */
int32_t numpack_store_append(const numpack_store *store,
                             const char *const *names,
                             const numpack_view *views,
                             size_t count);

/*
 Replaces the chosen rows of an array by those of a view, in the order of the choice. Of a row
 that is chosen several times, the last one counts.

 Errors: as for `numpack_store_append`, and `NUMPACK_PARAMETER` for a row that is not there, or
 another number of rows in the view.
 */
int32_t numpack_store_replace_rows(const numpack_store *store,
                                   const char *name,
                                   const numpack_rows *rows,
                                   const numpack_view *view);

/*
 Drops the chosen rows of an array. `dropped`, which may be NULL, takes how many those are. Their
 room is freed by `numpack_store_compact`.

 Errors: as for `numpack_store_replace_rows`.
 */
int32_t numpack_store_drop_rows(const numpack_store *store,
                                const char *name,
                                const numpack_rows *rows,
                                uint64_t *dropped);

/*
 Takes `count` arrays out of the store, all or none.

 Errors: those of every change, and `NUMPACK_NOT_FOUND`.
 */
int32_t numpack_store_remove_arrays(const numpack_store *store,
                                    const char *const *names,
                                    size_t count);

/*
 Gives an array another name, which must be free.

 Errors: those of every change, `NUMPACK_NOT_FOUND`, and `NUMPACK_PARAMETER` if there is an array
 of the new name.
 */
int32_t numpack_store_rename_array(const numpack_store *store, const char *from, const char *to);

/*
 Copies an array to another name, which must be free. Dropped rows are not copied.

 Errors: as for `numpack_store_rename_array`.
 */
int32_t numpack_store_clone_array(const numpack_store *store, const char *from, const char *to);

/*
 Makes an array of a data file that lies in the store and that no record names, for instance because
 the program that wrote it died: `NUMPACK_FAULT_ORPHAN` of `numpack_store_verify`, whose `file` is
 the name of the file. It must be one in which an array named `name` lies, and hold whole rows of
 `dtype`, each of the shape of `ndim` lengths at `row`. Rows that the bitmap of that name drops stay
 dropped. `rows`, which may be NULL, takes how many there are then.

 Errors: those of every change, and `NUMPACK_PARAMETER` if there is an array of the name, another
 array has the file, it is not there, or does not hold whole rows.
 */
int32_t numpack_store_adopt_array(const numpack_store *store,
                                  const char *name,
                                  const char *file,
                                  int32_t dtype,
                                  uint32_t ndim,
                                  const uint64_t *row,
                                  uint64_t *rows);

/*
 Frees the room of the dropped rows of an array, or, with `name` NULL, of all arrays, and puts
 segments together. `freed`, which may be NULL, takes how many rows went.

 Errors: those of every change, and `NUMPACK_NOT_FOUND`.
 */
int32_t numpack_store_compact(const numpack_store *store, const char *name, uint64_t *freed);

/*
 Takes all arrays out of the store, and what it knows of the object they were part of.

 Errors: those of every change.
 */
int32_t numpack_store_reset(const numpack_store *store);

/* == Many changes in one commit ================================================================== */

/*
 Begins a change of a store, which is locked until `numpack_writer_commit` or
 `numpack_writer_free`; the caller owns the writer, and one of the two ends it.

 `options` may be NULL: those of the store handle. Errors: those of every change
 (`numpack_store_save`). A thread that has a writer of a store must neither begin another nor
 change the store through its handle: the call would wait for ever, or be `NUMPACK_LOCKED`.
 */
int32_t numpack_store_begin(const numpack_store *store,
                            const numpack_store_options *options,
                            numpack_writer **writer);

/*
 Begins a new store, which appears whole with the commit. `options` may be NULL.

 Errors: `NUMPACK_EXISTS` where there is anything but an empty folder.
 */
int32_t numpack_writer_create(const char *path,
                              const numpack_store_options *options,
                              numpack_writer **writer);

/*
 Begins a new store, which takes the place of the one at the path, damaged or not, with the
 commit. `options` may be NULL.

 Errors: `NUMPACK_NOT_A_STORE` where there is anything but a store or an empty folder.
 */
int32_t numpack_writer_replace(const char *path,
                               const numpack_store_options *options,
                               numpack_writer **writer);

/*
 Makes all changes durable and visible at once, and ends the writer, whatever the result; it must
 not be freed. After an error the store is as before or as after, never between.

 `warning`, which may be NULL, is called with what the caller should know though the work
 succeeded. Errors: those of every change.
 */
int32_t numpack_writer_commit(numpack_writer *writer, numpack_warning_fn warning, void *user);

/*
 Gives all changes up, and ends the writer. NULL is fine. In a forked child the store and its
 lock stay as they are.
 */
void numpack_writer_free(numpack_writer *writer);

/*
 Opens an array as it will be after the commit, with the changes so far; later ones may or may
 not show in it. The caller owns it. An array of 0 dimensions that was saved by this writer shows
 as one row.

 Errors: `NUMPACK_NOT_FOUND`, `NUMPACK_FORKED`.
 */
int32_t numpack_writer_array(const numpack_writer *writer, const char *name, numpack_array **array);

/*
 As `numpack_store_save`, seen after the commit. If it fails, arrays before the one that failed
 are saved.

 After an error of this or any of the following, the writer may be used on.
 */
int32_t numpack_writer_save(numpack_writer *writer,
                            const char *const *names,
                            const numpack_view *views,
                            size_t count);

/*
 As `numpack_store_append`, seen after the commit. If it fails, no array has grown.
 */
int32_t numpack_writer_append(numpack_writer *writer,
                              const char *const *names,
                              const numpack_view *views,
                              size_t count);

/*
 As `numpack_store_replace_rows`, seen after the commit, or at once with
 `numpack_store_options.in_place`.
 */
int32_t numpack_writer_replace_rows(numpack_writer *writer,
                                    const char *name,
                                    const numpack_rows *rows,
                                    const numpack_view *view);

/*
 As `numpack_store_drop_rows`, seen after the commit.
 */
int32_t numpack_writer_drop_rows(numpack_writer *writer,
                                 const char *name,
                                 const numpack_rows *rows,
                                 uint64_t *dropped);

/*
 As `numpack_store_remove_arrays`, seen after the commit. If it fails, arrays before the one that
 failed are removed.
 */
int32_t numpack_writer_remove_arrays(numpack_writer *writer,
                                     const char *const *names,
                                     size_t count);

/*
 As `numpack_store_rename_array`, seen after the commit.
 */
int32_t numpack_writer_rename_array(numpack_writer *writer, const char *from, const char *to);

/*
 As `numpack_store_adopt_array`, seen after the commit.
 */
int32_t numpack_writer_adopt_array(numpack_writer *writer,
                                   const char *name,
                                   const char *file,
                                   int32_t dtype,
                                   uint32_t ndim,
                                   const uint64_t *row,
                                   uint64_t *rows);

/*
 As `numpack_store_clone_array`, seen after the commit.
 */
int32_t numpack_writer_clone_array(numpack_writer *writer, const char *from, const char *to);

/*
 As `numpack_store_compact`, seen after the commit.
 */
int32_t numpack_writer_compact(numpack_writer *writer, const char *name, uint64_t *freed);

/*
 As `numpack_store_reset`, seen after the commit.
 */
int32_t numpack_writer_reset(numpack_writer *writer);

/* == What a store holds ========================================================================== */

/*
 Lists the arrays of a store as it is now, all in one state of it. The caller owns the list;
 `numpack_list_free` gives it back. It does not change with the store.

 Errors: `NUMPACK_FORMAT` if the store is damaged, `NUMPACK_IO`.
 */
int32_t numpack_store_list(const numpack_store *store, numpack_list **list);

/*
 How many arrays there are; 0 for NULL.
 */
size_t numpack_list_count(const numpack_list *list);

/*
 Says what there is of the array at `index`, from 0. What `info` points to lives as long as the
 list.

 Errors: `NUMPACK_PARAMETER` for an index past the last one, or a wrong `info->struct_size`.
 */
int32_t numpack_list_get(const numpack_list *list, size_t index, numpack_array_info *info);

/*
 Finds an array by its name: `index` takes its place in the list.

 Errors: `NUMPACK_NOT_FOUND`.
 */
int32_t numpack_list_find(const numpack_list *list, const char *name, size_t *index);

/*
 Calls `warning` for each thing that a reader should know though the arrays can be read, such as
 that what the store knew of their logical types is lost.
 */
int32_t numpack_list_warnings(const numpack_list *list, numpack_warning_fn warning, void *user);

/*
 Shares a list: it comes back, and is to be freed once more. NULL is fine.
 */
numpack_list *numpack_list_retain(const numpack_list *list);

/*
 Gives a list back, and what it was asked for. NULL is fine.
 */
void numpack_list_free(numpack_list *list);

/* == Reading arrays ============================================================================== */

/*
 Opens an array of a store as it is now; none of its rows is read. The caller owns the handle;
 `numpack_array_free` gives it back. It has the array's file open.

 Errors: `NUMPACK_NOT_FOUND`, and `NUMPACK_FORMAT` if a file of the array is damaged.
 */
int32_t numpack_array_open(const numpack_store *store, const char *name, numpack_array **array);

/*
 Shares an array: it comes back, and is to be freed once more. NULL is fine.
 */
numpack_array *numpack_array_retain(const numpack_array *array);

/*
 Gives an array back, and what it was asked for. NULL is fine.
 */
void numpack_array_free(numpack_array *array);

/*
 Says what there is of an array. What `info` points to lives as long as the array.

 Errors: `NUMPACK_PARAMETER` for a wrong `info->struct_size`.
 */
int32_t numpack_array_get_info(const numpack_array *array, numpack_array_info *info);

/*
 Reads a whole array into `buffer`, whose `size` must be `numpack_array_info.nbytes`: in C order,
 little-endian, without dropped rows.

 Errors of this and the following: `NUMPACK_PARAMETER` for a buffer of another size, or rows that
 are not there; `NUMPACK_IO`; `NUMPACK_FORMAT`. After an error the buffer may be filled in part.
 */
int32_t numpack_array_read(const numpack_array *array, void *buffer, size_t size);

/*
 Reads `count` rows from row `start` on. `size` must be `count` times
 `numpack_array_info.row_size`.
 */
int32_t numpack_array_read_rows(const numpack_array *array,
                                uint64_t start,
                                uint64_t count,
                                void *buffer,
                                size_t size);

/*
 Reads any `size` bytes, from byte `offset` of what `numpack_array_read` gives: for a stream.
 */
int32_t numpack_array_read_bytes(const numpack_array *array,
                                 uint64_t offset,
                                 void *buffer,
                                 size_t size);

/*
 Reads the chosen rows, one after another in the order of the choice. `size` must be
 `numpack_rows_count` times `numpack_array_info.row_size`.

 For many scattered small rows, `numpack_mapped_rows_gather` is faster.
 */
int32_t numpack_array_gather(const numpack_array *array,
                             const numpack_rows *rows,
                             void *buffer,
                             size_t size);

/* == Arrays as memory ============================================================================ */

/*
 Maps a whole array into memory: `data` takes where it is, `nbytes` how long. It is read from the
 disk as it is touched, and must not be written to. It stays until the array is freed; `data` is
 NULL for an array without bytes.

 The caller answers for the file: while it is mapped, nobody may change or shorten it. This
 library replaces rows in place, which then changes them under the reader, in parts; for all else
 it gives a changed array a new file or adds behind the end. The public numpack package also
 shortens files; touching what is cut off ends the process by a signal, `SIGBUS`. Where others
 write, use `numpack_array_read`.

 Errors: `NUMPACK_PARAMETER` for an array in segments, or with dropped rows: it is not one piece
 of a file. `numpack_store_compact` makes it one; `numpack_array_map_rows` maps it as it is. Also
 while a committed change of rows waits to be carried out; the next writer does it.
 */
int32_t numpack_array_map(const numpack_array *array, const void **data, size_t *nbytes);

/*
 Maps the rows of an array, to look at single ones or to gather many. The caller owns the handle,
 which outlives the array and the store; `numpack_mapped_rows_free` gives it back.

 The caller answers for the files as with `numpack_array_map`. Errors: `NUMPACK_PARAMETER` while
 a committed change of rows waits to be carried out.
 */
int32_t numpack_array_map_rows(const numpack_array *array, numpack_mapped_rows **mapped);

/*
 Shares mapped rows: they come back, and are to be freed once more. NULL is fine.
 */
numpack_mapped_rows *numpack_mapped_rows_retain(const numpack_mapped_rows *mapped);

/*
 Gives mapped rows back, and every pointer to one. NULL is fine.
 */
void numpack_mapped_rows_free(numpack_mapped_rows *mapped);

/*
 Points to one row, from 0, counted without dropped ones: `data` takes where it is, at any
 address, and `size` how many bytes it has. It stays as long as the handle.

 Errors: `NUMPACK_PARAMETER` for a row that is not there.
 */
int32_t numpack_mapped_rows_get(const numpack_mapped_rows *mapped,
                                uint64_t row,
                                const void **data,
                                size_t *size);

/*
 Copies `count` rows, in the order and as often as they are named, one after another into
 `buffer`, whose `size` must be `count` times `numpack_array_info.row_size`. A negative number
 counts from the end.

 Errors: `NUMPACK_PARAMETER` for a row that is not there, or a buffer of another size; nothing is
 written then.
 */
int32_t numpack_mapped_rows_gather(const numpack_mapped_rows *mapped,
                                   const int64_t *rows,
                                   size_t count,
                                   void *buffer,
                                   size_t size);

/* == Arrays as memory to work in ================================================================= */

/*
 Maps a whole array into memory that can be written: work in place, without a copy. The caller
 owns the handle; `numpack_rows_mut_free` gives it back, and until then the store is locked.

 What is written is in the file at once, for every reader, and on the disk after
 `numpack_rows_mut_flush`. It is no commit: a crash leaves some of it, and readers see it
 half-done. The caller answers for the file as with `numpack_array_map`.

 Errors: those of every change (`numpack_store_save`), and `NUMPACK_PARAMETER` for an array with
 dropped rows, in segments or of a shared file: `numpack_store_compact` first.
 */
int32_t numpack_store_map_rows_mut(const numpack_store *store,
                                   const char *name,
                                   numpack_rows_mut **rows);

/*
 Points to the memory: `data` takes where it is, `nbytes` how long, C order, little-endian. It
 stays until the handle is freed; `data` is NULL for an array without bytes.

 Errors: `NUMPACK_PARAMETER`.
 */
int32_t numpack_rows_mut_get(numpack_rows_mut *rows, void **data, size_t *nbytes);

/*
 Makes what was written so far durable.

 Errors: `NUMPACK_IO`; what was written since the last flush may then be lost.
 */
int32_t numpack_rows_mut_flush(numpack_rows_mut *rows);

/*
 Gives the memory back, and unlocks the store. What was not flushed reaches the disk when the
 system sees fit. NULL is fine.
 */
void numpack_rows_mut_free(numpack_rows_mut *rows);

/* == Packages: a store in one file =============================================================== */

/*
 Makes a package of the store at a path, in one state of it. The store is not locked; the package
 appears whole or not at all.

 `store` and `package` are paths, the latter outside the store. `options` may be NULL. `files`,
 `size` and `package_size`, each may be NULL, take how many files there are in it, their bytes,
 and those of the package.

 Errors: `NUMPACK_EXISTS`; `NUMPACK_NOT_A_STORE`; `NUMPACK_CHANGED` if the store was changed
 meanwhile again and again; `NUMPACK_FORMAT` for a damaged one; `NUMPACK_IO`.
 */
int32_t numpack_pack(const char *store,
                     const char *package,
                     const numpack_pack_options *options,
                     uint64_t *files,
                     uint64_t *size,
                     uint64_t *package_size);

/*
 Makes a store of a package. Everything is checked before the store appears, whole.

 `package` and `store` are paths. `options` may be NULL. `files` and `size`, both may be NULL,
 take how many files were written, and their bytes.

 Errors: `NUMPACK_EXISTS`; `NUMPACK_NOT_A_STORE` if that is what is to be replaced;
 `NUMPACK_FORMAT` for a damaged package; `NUMPACK_LIMIT`; `NUMPACK_LOCKED`; `NUMPACK_IO`. What was
 at the path is then as it was.
 */
int32_t numpack_unpack(const char *package,
                       const char *store,
                       const numpack_unpack_options *options,
                       uint64_t *files,
                       uint64_t *size);

/*
 Opens a package. The caller owns the handle; `numpack_package_free` gives it back.

 All but the content of the arrays is read and checked. Errors: `NUMPACK_FORMAT`,
 `NUMPACK_UNSUPPORTED`, `NUMPACK_LIMIT`, `NUMPACK_IO`.
 */
int32_t numpack_package_open(const char *path, numpack_package **package);

/*
 Shares a package: it comes back, and is to be freed once more. NULL is fine.
 */
numpack_package *numpack_package_retain(const numpack_package *package);

/*
 Gives a package back. NULL is fine.
 */
void numpack_package_free(numpack_package *package);

/*
 Lists the arrays of a package, as `numpack_store_list` does those of a store.
 */
int32_t numpack_package_list(const numpack_package *package, numpack_list **list);

/*
 Reads one array whole, as `numpack_array_read` does. Nothing but a zlib stream's own checksum is
 checked; `numpack_package_verify` checks all.

 Errors: `NUMPACK_NOT_FOUND`, and those of `numpack_array_read`.
 */
int32_t numpack_package_read(const numpack_package *package,
                             const char *name,
                             void *buffer,
                             size_t size);

/*
 Reads `count` rows of one array from row `start` on, as `numpack_array_read_rows` does. In a
 compressed package all before them is inflated too.

 Errors: as for `numpack_package_read`.
 */
int32_t numpack_package_read_rows(const numpack_package *package,
                                  const char *name,
                                  uint64_t start,
                                  uint64_t count,
                                  void *buffer,
                                  size_t size);

/*
 Reads everything and compares the checksum: with what opening checks, the package then holds a
 sound store.

 Errors: `NUMPACK_FORMAT` if it is damaged, `NUMPACK_IO`.
 */
int32_t numpack_package_verify(const numpack_package *package);

/* == Tensors in files ============================================================================ */

/*
 Opens a file, or the folder of a store or of a distributed checkpoint, told apart by content:
 what torch saves (zip archives, legacy streams, tar, TorchScript, `.pt2`, the index of a sharded
 model), `.safetensors`, `.npy` and `.npz` files, NumPack stores and packages. The caller owns the
 handle; `numpack_checkpoint_free` gives it back.

 `options` may be NULL. Errors: `NUMPACK_IO`; `NUMPACK_FORMAT` for a damaged file;
 `NUMPACK_UNSUPPORTED` for one of another kind, named in the message; `NUMPACK_LIMIT`.
 */
int32_t numpack_checkpoint_open(const char *path,
                                const numpack_checkpoint_options *options,
                                numpack_checkpoint **checkpoint);

/*
 Shares a checkpoint: it comes back, and is to be freed once more. NULL is fine.
 */
numpack_checkpoint *numpack_checkpoint_retain(const numpack_checkpoint *checkpoint);

/*
 Gives a checkpoint back, and what it was asked for, maps too. NULL is fine.
 */
void numpack_checkpoint_free(numpack_checkpoint *checkpoint);

/*
 What kind of file it is, in words, such as `zip archive of torch, version 3`; NULL for NULL. The
 text is borrowed from the checkpoint.
 */
const char *numpack_checkpoint_get_format(const numpack_checkpoint *checkpoint);

/*
 How many tensors are listed: one under several names counts several times. 0 for NULL.
 */
size_t numpack_checkpoint_count(const numpack_checkpoint *checkpoint);

/*
 Says what there is of a tensor, by its place in the list, from 0. What `info` points to lives as
 long as the checkpoint.

 Errors: `NUMPACK_PARAMETER` for a place that is not there, or a wrong `info->struct_size`.
 */
int32_t numpack_checkpoint_get_info(const numpack_checkpoint *checkpoint,
                                    size_t index,
                                    numpack_tensor_info *info);

/*
 Finds a tensor by its name: `index` takes its place in the list.

 Errors: `NUMPACK_NOT_FOUND`.
 */
int32_t numpack_checkpoint_find(const numpack_checkpoint *checkpoint,
                                const char *name,
                                size_t *index);

/*
 Calls `warning` for each thing that was odd about the file so far, though it can be read.
 */
int32_t numpack_checkpoint_warnings(const numpack_checkpoint *checkpoint,
                                    numpack_warning_fn warning,
                                    void *user);

/*
 Reads a tensor into `buffer`, whose `size` must be `numpack_tensor_info.nbytes`: its elements in
 C order, little-endian, conjugation and negation resolved. Its checksum, where the file has one,
 is compared the first time.

 Errors of this and the following: `NUMPACK_PARAMETER` for a buffer of another size or rows that
 are not there; `NUMPACK_FORMAT` for a wrong checksum; `NUMPACK_IO`; `NUMPACK_LIMIT` for a tensor
 that shows far more elements than are stored. After an error the buffer may be filled in part.
 */
int32_t numpack_checkpoint_read(const numpack_checkpoint *checkpoint,
                                size_t index,
                                void *buffer,
                                size_t size);

/*
 The SHA-256 of what `numpack_checkpoint_read` gives, in 32 bytes at `digest`.

 Errors: as there.
 */
int32_t numpack_checkpoint_sha256(const numpack_checkpoint *checkpoint,
                                  size_t index,
                                  uint8_t *digest);

/*
 Reads `count` rows from row `start` on; rows are the first dimension. `size` must be `count`
 times the size of a row: `nbytes / shape[0]`.
 */
int32_t numpack_checkpoint_read_rows(const numpack_checkpoint *checkpoint,
                                     size_t index,
                                     uint64_t start,
                                     uint64_t count,
                                     void *buffer,
                                     size_t size);

/*
 Points to the bytes of a tensor in the file, mapped as memory: `data` takes where they are, at
 any address, `nbytes` how many. They are read from the disk as they are touched, and must not
 be written to. They stay until the checkpoint is freed. No checksum is compared. NULL for a
 tensor without elements.

 The caller answers for the file: while it is mapped, nobody may change or shorten it; touching
 what is cut off ends the process by a signal, `SIGBUS`.

 Errors: `NUMPACK_UNSUPPORTED` where the bytes in the file are not those that
 `numpack_checkpoint_read` gives (a view that steps, a compressed or big-endian file, a tensor in
 several pieces), or it is a store or a package: read it instead, or map an array of a store by
 `numpack_array_map`.
 */
int32_t numpack_checkpoint_map(const numpack_checkpoint *checkpoint,
                               size_t index,
                               const void **data,
                               size_t *nbytes);

/*
 The number of the node that is the whole object. Nodes form a graph, not a tree: two keys may
 lead to one, and a list may contain itself.
 */
int32_t numpack_checkpoint_get_root(const numpack_checkpoint *checkpoint, uint32_t *root);

/*
 Says what a node is. What `node` points to lives as long as the checkpoint.

 Errors: `NUMPACK_PARAMETER` for a number that no node has, or a wrong `node->struct_size`.
 */
int32_t numpack_checkpoint_get_node(const numpack_checkpoint *checkpoint,
                                    uint32_t number,
                                    numpack_node *node);

/*
 A child of a node, from 0: `key` takes the number of its key, or `NUMPACK_NO_NODE` where it has
 none, `value` its own.

 Errors: `NUMPACK_PARAMETER` for a number that no node has, or a child that is not there.
 */
int32_t numpack_checkpoint_get_child(const numpack_checkpoint *checkpoint,
                                     uint32_t number,
                                     size_t child,
                                     uint32_t *key,
                                     uint32_t *value);

/*
 The attributes of a node: `attributes` takes the number of a dict, or `NUMPACK_NO_NODE` where there
 are none. An ordered dict may have some, such as the `_metadata` of a state dict, and a tensor those
 that Python code has set on it; neither is a child.

 Errors: `NUMPACK_PARAMETER` for a number that no node has.
 */
int32_t numpack_checkpoint_get_attributes(const numpack_checkpoint *checkpoint,
                                          uint32_t number,
                                          uint32_t *attributes);

/* == Tensors in memory =========================================================================== */

/*
 A new tensor in C order whose elements are all zero.

 The caller owns it; `numpack_tensor_free` gives it back, here and wherever a tensor is an output.
 Errors: `NUMPACK_PARAMETER`; `NUMPACK_TYPE` for a type no tensor in memory has: bool, integers,
 floats of 8 to 64 bits and complex numbers of them are possible; `NUMPACK_OUT_OF_MEMORY`.
 */
int32_t numpack_tensor_zeros(int32_t dtype,
                             uint32_t ndim,
                             const uint64_t *shape,
                             numpack_tensor **tensor);

/*
 A tensor that shares the memory of a view, of any type a tensor in memory can have. `release` may
 be NULL; where this fails it is not called.

 Strides of the view are multiples of an element, and its memory is aligned to them.
 `numpack_tensor_from_numpy` is the same for what NumPy describes. Errors: `NUMPACK_PARAMETER`,
 `NUMPACK_TYPE`.
 */
int32_t numpack_tensor_share(const numpack_view *view,
                             int32_t read_only,
                             numpack_release_fn release,
                             void *user,
                             numpack_tensor **tensor);

/*
 A tensor of a copy of a view's elements, in C order: of any type a tensor in memory can have,
 with any strides within its memory. Errors: as `numpack_tensor_zeros`.
 */
int32_t numpack_tensor_copy(const numpack_view *view, numpack_tensor **tensor);

/*
 Shares a tensor handle: it comes back, and is to be freed once more. NULL is fine.
 */
numpack_tensor *numpack_tensor_retain(const numpack_tensor *tensor);

/*
 Gives a tensor back; its memory stays as long as another tensor shows it. NULL is fine.
 */
void numpack_tensor_free(numpack_tensor *tensor);

/*
 Says what a tensor is. The pointers in `layout` live as long as the tensor.
 */
int32_t numpack_tensor_get_layout(const numpack_tensor *tensor, numpack_tensor_layout *layout);

/*
 Says whether anybody else holds a tensor's memory: `shared` takes 1 if another tensor shows it or
 it was given to another library by DLPack, else 0. Handles that `numpack_tensor_retain` gave, and
 pointers to the memory, are not counted.
 */
int32_t numpack_tensor_is_shared(const numpack_tensor *tensor, int32_t *shared);

/*
 Says where two tensors' memory is the same: `same` takes 1 if they show one storage, else 0.
 */
int32_t numpack_tensor_shares(const numpack_tensor *tensor,
                              const numpack_tensor *other,
                              int32_t *same);

/* == Sharing with NumPy, and with files ========================================================== */

/*
 A tensor that shares the memory of an array, which must stay until `release` is called with
 `user`; `release` may be NULL. A write on either side is seen on the other. Element type and
 order are kept: an array in Fortran order becomes a tensor that is not contiguous. Where this
 fails, `release` is not called.

 Errors: `NUMPACK_TYPE` for elements that are no numbers. `NUMPACK_SHARING` for an array that is
 read-only, in the other byte order, misaligned, or has strides that are negative or no multiples
 of an element: `numpack_tensor_as_tensor` copies those.
 */
int32_t numpack_tensor_from_numpy(const numpack_array_interface *array,
                                  numpack_release_fn release,
                                  void *user,
                                  numpack_tensor **tensor);

/*
 A tensor of an array's elements: it shares the memory where `numpack_tensor_from_numpy` would and
 `dtype` is the array's own or -1, and copies it else. After a copy `release` is called before
 this returns; where this fails, it is not called.

 Errors: `NUMPACK_TYPE` for elements that are no numbers; `NUMPACK_OUT_OF_MEMORY`.
 */
int32_t numpack_tensor_as_tensor(const numpack_array_interface *array,
                                 int32_t dtype,
                                 numpack_release_fn release,
                                 void *user,
                                 numpack_tensor **tensor);

/*
 A tensor of a copy of an array's elements, always: of type `dtype`, or the array's own for -1.

 Errors: `NUMPACK_TYPE` for elements that are no numbers, and where a gradient is wished for that
 the type has not; `NUMPACK_OUT_OF_MEMORY`.
 */
int32_t numpack_tensor_copy_numpy(const numpack_array_interface *array,
                                  int32_t dtype,
                                  int32_t requires_grad,
                                  numpack_tensor **tensor);

/*
 Describes a tensor as NumPy does: the array shares its memory. What `array` points to lives as
 long as the tensor, which the caller keeps (`numpack_tensor_retain`) as long as the array. The
 caller sets `array->struct_size`.

 Errors: `NUMPACK_SHARING` for a tensor on a device, or one that requires grad; `NUMPACK_TYPE` for
 a type NumPy lacks.
 */
int32_t numpack_tensor_numpy(const numpack_tensor *tensor, numpack_array_interface *array);

/*
 Describes a tensor's memory as a view, for `numpack_store_save`, `numpack_save_torch` and other
 functions that take one. What `view` points to lives as long as the tensor. The caller sets
 `view->struct_size`. Errors: `NUMPACK_SHARING` for a tensor on a device.
 */
int32_t numpack_tensor_get_view(const numpack_tensor *tensor, numpack_view *view);

/*
 Reads tensor `index` of a file into memory of its own: in C order, writable, independent of the
 file. The caller owns it.

 Errors: as `numpack_checkpoint_read`; `NUMPACK_TYPE` for a type no tensor in memory has, such as
 quantised ones; `NUMPACK_OUT_OF_MEMORY`.
 */
int32_t numpack_checkpoint_load(const numpack_checkpoint *checkpoint,
                                size_t index,
                                numpack_tensor **tensor);

/*
 Reads all tensors of a file, as `numpack_checkpoint_load` does, but so that those which show one
 storage share memory here too, with the strides they have in the file. `tensors` takes
 `numpack_checkpoint_count` handles, which the caller owns; `count` says that it has room for them.

 Errors: as `numpack_checkpoint_load`, and `NUMPACK_PARAMETER` for another `count`. Nothing is
 written then.
 */
int32_t numpack_checkpoint_load_all(const numpack_checkpoint *checkpoint,
                                    numpack_tensor **tensors,
                                    size_t count);

/*
 Maps tensor `index` of a file: its memory is the file's, read as it is touched, and read-only;
 its strides are those in the file. It outlives the checkpoint. Checksums are not compared.

 The caller answers for the file: as long as a tensor of it lives, nobody may change or shorten
 it. Errors: as `numpack_checkpoint_map` and `numpack_checkpoint_load`; what cannot be mapped can
 be loaded.
 */
int32_t numpack_checkpoint_load_mapped(const numpack_checkpoint *checkpoint,
                                       size_t index,
                                       numpack_tensor **tensor);

/*
 Reads all rows of an array into a tensor in memory of its own. Its type is the array's in the
 store; `numpack_checkpoint_load` knows of types that a store lacks. The caller owns it.

 Errors: as `numpack_array_read`; `NUMPACK_OUT_OF_MEMORY`.
 */
int32_t numpack_array_load(const numpack_array *array, numpack_tensor **tensor);

/* == Views and copies of tensors ================================================================= */

/*
 One index of a dimension, which goes. Negative dimensions and indices count from the end, here
 and below. The view owns its share of the memory and outlives the tensor, as all views do.

 Errors: `NUMPACK_PARAMETER` for a dimension or an index that is not there, here and below.
 */
int32_t numpack_tensor_select(const numpack_tensor *tensor,
                              int64_t dim,
                              int64_t index,
                              numpack_tensor **view);

/*
 Every `step`-th index of a dimension from `start` to before `stop`, as Python's slices have it:
 both are cut to what is there, and may be `NUMPACK_SLICE_END`. `step` is 1 or more.
 */
int32_t numpack_tensor_slice(const numpack_tensor *tensor,
                             int64_t dim,
                             int64_t start,
                             int64_t stop,
                             int64_t step,
                             numpack_tensor **view);

/*
 `length` indices of a dimension from `start` on.
 */
int32_t numpack_tensor_narrow(const numpack_tensor *tensor,
                              int64_t dim,
                              uint64_t start,
                              uint64_t length,
                              numpack_tensor **view);

/*
 Two dimensions change places.
 */
int32_t numpack_tensor_transpose(const numpack_tensor *tensor,
                                 int64_t a,
                                 int64_t b,
                                 numpack_tensor **view);

/*
 The dimensions in another order: `count` of them, each named once.
 */
int32_t numpack_tensor_permute(const numpack_tensor *tensor,
                               uint32_t count,
                               const int64_t *dims,
                               numpack_tensor **view);

/*
 Without the dimension, if its size is 1.
 */
int32_t numpack_tensor_squeeze(const numpack_tensor *tensor, int64_t dim, numpack_tensor **view);

/*
 Without all dimensions of size 1.
 */
int32_t numpack_tensor_squeeze_all(const numpack_tensor *tensor, numpack_tensor **view);

/*
 One more dimension of size 1, which becomes dimension `dim`.
 */
int32_t numpack_tensor_unsqueeze(const numpack_tensor *tensor, int64_t dim, numpack_tensor **view);

/*
 Dimensions of size 1 become these sizes, new ones come in front, and -1 keeps a size: `count`
 sizes. Elements that are shown more than once cannot be written to.
 */
int32_t numpack_tensor_expand(const numpack_tensor *tensor,
                              uint32_t count,
                              const int64_t *sizes,
                              numpack_tensor **view);

/*
 The same elements in the same order with `count` other sizes, of which one may be -1 and follows
 from the others. Errors: `NUMPACK_PARAMETER` also where that takes a copy.
 */
int32_t numpack_tensor_view(const numpack_tensor *tensor,
                            uint32_t count,
                            const int64_t *sizes,
                            numpack_tensor **view);

/*
 The same, but copied where that is needed.
 */
int32_t numpack_tensor_reshape(const numpack_tensor *tensor,
                               uint32_t count,
                               const int64_t *sizes,
                               numpack_tensor **reshaped);

/*
 One dimension in place of those from `first` to `last`, copied where that is needed.
 */
int32_t numpack_tensor_flatten(const numpack_tensor *tensor,
                               int64_t first,
                               int64_t last,
                               numpack_tensor **flat);

/*
 The same memory without the wish for a gradient.
 */
int32_t numpack_tensor_detach(const numpack_tensor *tensor, numpack_tensor **detached);

/*
 The same memory with the wish for a gradient, or without it. The tensor handed in stays as it is.
 Errors: `NUMPACK_TYPE` for integers and truth values.
 */
int32_t numpack_tensor_require_grad(const numpack_tensor *tensor,
                                    int32_t requires_grad,
                                    numpack_tensor **flagged);

/*
 A copy in memory of its own, in C order, writable. Errors: `NUMPACK_OUT_OF_MEMORY`;
 `NUMPACK_IN_USE`; `NUMPACK_SHARING` on a device.
 */
int32_t numpack_tensor_clone(const numpack_tensor *tensor, numpack_tensor **copy);

/*
 The same memory if the elements lie one after another in C order, else a copy in which they do.
 Errors: as `numpack_tensor_clone`.
 */
int32_t numpack_tensor_contiguous(const numpack_tensor *tensor, numpack_tensor **contiguous);

/*
 The elements as another type: the same memory if they have it already, else a copy.

 Integers wrap; a float loses its fraction on the way to an integer, and one that does not fit
 becomes the nearest integer there is, NaN 0; whatever is not zero is true; a complex number loses
 its imaginary part; floats round to the nearest, of two to the even one. What is too large for an
 8-bit float becomes infinity, NaN in a type without one, but the largest number in
 `FLOAT8_E4M3FN`. Errors: as `numpack_tensor_clone`, and `NUMPACK_TYPE` for a type no tensor in
 memory has.
 */
int32_t numpack_tensor_to_dtype(const numpack_tensor *tensor,
                                int32_t dtype,
                                numpack_tensor **converted);

/*
 The same memory if it is this process's, else a copy from the device.
 Errors: `NUMPACK_OUT_OF_MEMORY`, `NUMPACK_DEVICE`.
 */
int32_t numpack_tensor_cpu(const numpack_tensor *tensor, numpack_tensor **host);

/* == Elements of tensors ========================================================================= */

/*
 A new tensor in C order, each of whose elements is this value; a fraction that the type lacks is
 cut off. The caller owns it. Errors: as `numpack_tensor_zeros`, and `NUMPACK_PARAMETER` for a
 number that the type cannot hold.
 */
int32_t numpack_tensor_full(int32_t dtype,
                            uint32_t ndim,
                            const uint64_t *shape,
                            const numpack_scalar *value,
                            numpack_tensor **tensor);

/*
 Reads one element: `count` indices, one for each dimension; with `count` 0 the only element of a
 tensor that has one. The caller sets `value->struct_size`.

 Errors: `NUMPACK_PARAMETER` for an index that is not there; `NUMPACK_IN_USE`; `NUMPACK_SHARING`
 on a device.
 */
int32_t numpack_tensor_get(const numpack_tensor *tensor,
                           uint32_t count,
                           const int64_t *index,
                           numpack_scalar *value);

/*
 Writes one element, as `numpack_tensor_get` reads it; a fraction that the type lacks is cut off.

 Errors: as there, `NUMPACK_PARAMETER` for a number that the type cannot hold, and
 `NUMPACK_SHARING` for read-only memory.
 */
int32_t numpack_tensor_set(const numpack_tensor *tensor,
                           uint32_t count,
                           const int64_t *index,
                           const numpack_scalar *value);

/*
 Writes a value to every element; a fraction that the type lacks is cut off.

 Errors: as `numpack_tensor_set`, and `NUMPACK_PARAMETER` for a tensor that shows elements more
 than once, as after `numpack_tensor_expand`.
 */
int32_t numpack_tensor_fill(const numpack_tensor *tensor, const numpack_scalar *value);

/*
 Copies the elements of `from` to the same indices of `tensor`, converted as
 `numpack_tensor_to_dtype` does it; `from` is expanded to the shape of `tensor`.

 Errors: as `numpack_tensor_fill`, and `NUMPACK_PARAMETER` for a shape that does not fit.
 */
int32_t numpack_tensor_copy_from(const numpack_tensor *tensor, const numpack_tensor *from);

/*
 Copies all elements in C order into `buffer`, whose `size` is `numpack_tensor_layout.nbytes`.

 Errors: `NUMPACK_PARAMETER` for a buffer of another size; `NUMPACK_IN_USE`; `NUMPACK_SHARING` on
 a device.
 */
int32_t numpack_tensor_read(const numpack_tensor *tensor, void *buffer, size_t size);

/*
 Writes all elements in C order from `buffer`, whose `size` is `numpack_tensor_layout.nbytes`.

 `buffer` is no memory of the tensor's. Errors: as `numpack_tensor_read` and `numpack_tensor_fill`.
 */
int32_t numpack_tensor_write(const numpack_tensor *tensor, const void *buffer, size_t size);

/* == DLPack ====================================================================================== */

/*
 Gives a tensor to another library as a `DLManagedTensorVersioned` of DLPack 1.1. Whoever takes it
 calls its `deleter` once, from any thread; the memory stays until then. With `copied` not 0 it is
 copied first. Strides are always written, read-only memory is flagged.

 Errors: `NUMPACK_SHARING` for a tensor on a device, or one that requires grad;
 `NUMPACK_OUT_OF_MEMORY` and `NUMPACK_IN_USE` for a copy.
 */
int32_t numpack_tensor_to_dlpack(const numpack_tensor *tensor,
                                 int32_t copied,
                                 struct DLManagedTensorVersioned **managed);

/*
 The same in the struct from before version 1, `DLManagedTensor`. Errors: as
 `numpack_tensor_to_dlpack`, and `NUMPACK_SHARING` for read-only memory, which that struct cannot
 say.
 */
int32_t numpack_tensor_to_dlpack_legacy(const numpack_tensor *tensor,
                                        int32_t copied,
                                        struct DLManagedTensor **managed);

/*
 Takes a tensor that another library gives. Its `deleter` is called once, when the last tensor
 that shows the memory is freed, on that thread. Where this fails nothing is taken, and the caller
 still has to call it.

 Errors: `NUMPACK_SHARING` for memory of a device or another major version; `NUMPACK_TYPE` for a
 type no tensor in memory has; `NUMPACK_PARAMETER` for what cannot be.
 */
int32_t numpack_tensor_from_dlpack(struct DLManagedTensorVersioned *managed,
                                   numpack_tensor **tensor);

/*
 The same of a `DLManagedTensor`, the struct from before version 1. Its memory counts as writable.
 */
int32_t numpack_tensor_from_dlpack_legacy(struct DLManagedTensor *managed, numpack_tensor **tensor);

/*
 A destructor for `PyCapsule_New`, of a capsule named `dltensor_versioned` or `dltensor`: calls
 the tensor's deleter if nobody took it, with an exception that is on its way put aside meanwhile.
 Called by Python only. A destructor written in Python would replace the exception.
 */
void numpack_dlpack_capsule_destructor(void *capsule);

/* == Tensors to a file =========================================================================== */

/*
 Writes a dict of `count` tensors as a `.pt` file, which torch loads with `weights_only=True`.
 Each is stored in C order. The file appears whole or not at all.

 `names` are `count` texts, all different, `views` as many views: of any `NUMPACK_DTYPE_*`,
 little-endian, with strides that are multiples of an element and not negative, as torch has
 them. `options` may be NULL.

 Errors: `NUMPACK_PARAMETER`; `NUMPACK_EXISTS`; `NUMPACK_IO`, as on a full disk: what was at the
 path is then as it was.
 */
int32_t numpack_save_torch(const char *path,
                           const char *const *names,
                           const numpack_view *views,
                           size_t count,
                           const numpack_save_options *options);

/*
 Writes a dict of `count` tensors in memory as a `.pt` file, which torch loads with
 `weights_only=True`. Tensors that show one storage do so in the file, and which requires grad is
 kept. The file appears whole or not at all.

 `names` are `count` texts, all different. `options` may be NULL. Errors: as
 `numpack_save_torch`; `NUMPACK_IN_USE` for a tensor that is being written to, `NUMPACK_SHARING`
 for one on a device.
 */
int32_t numpack_save_tensors(const char *path,
                             const char *const *names,
                             const numpack_tensor *const *tensors,
                             size_t count,
                             const numpack_save_options *options);

/*
 Writes `count` tensors in memory as arrays of a store, in one commit: as
 `numpack_from_torch_file` does it from a file with a dict of them. `existing` is a
 `NUMPACK_EXISTING_*`, by default a store that is there is added to.

 `names` are `count` texts, all different. Errors: as `numpack_save_tensors` and
 `numpack_from_torch_file`.
 */
int32_t numpack_from_torch(const char *const *names,
                           const numpack_tensor *const *tensors,
                           size_t count,
                           const char *output,
                           int32_t existing);

/* == Objects to a file =========================================================================== */

/*
 Makes an object without parts. The caller owns it.
 */
int32_t numpack_object_create(numpack_object **object);

/*
 Adds a plain value: `value->kind` is a `NUMPACK_NODE_*` up to `NUMPACK_NODE_BYTEARRAY`, with the fields
 that count for it, or `NUMPACK_NODE_GLOBAL`, such as `torch.float32`. Texts are copied. `number` takes
 its number, counted from 0 on, here and below.

 Errors: `NUMPACK_PARAMETER` for another kind, text that is not UTF-8, and a wrong
 `value->struct_size`.
 */
int32_t numpack_object_add(numpack_object *object,
                           const numpack_node *value,
                           uint32_t *number);

/*
 Adds a container of `count` parts that were added before: `kind` is `NUMPACK_NODE_TUPLE`,
 `NUMPACK_NODE_LIST`, `NUMPACK_NODE_SET` or `NUMPACK_NODE_FROZENSET`.

 Errors: `NUMPACK_PARAMETER` for another kind, and for a part that is not there.
 */
int32_t numpack_object_add_items(numpack_object *object,
                                 int32_t kind,
                                 const uint32_t *items,
                                 size_t count,
                                 uint32_t *number);

/*
 Adds a dict of `count` keys and as many values, in this order: an `OrderedDict` if `ordered` is not 0.
 That may have attributes, such as the `_metadata` of a state dict: `attributes` is the number of a
 dict of them, else `NUMPACK_NO_NODE`. Of a key that comes twice the later value stays.

 Errors: `NUMPACK_PARAMETER` for a part that is not there, and attributes of a dict that is not
 ordered.
 */
int32_t numpack_object_add_dict(numpack_object *object,
                                const uint32_t *keys,
                                const uint32_t *values,
                                size_t count,
                                int32_t ordered,
                                uint32_t attributes,
                                uint32_t *number);

/*
 Adds a tensor, as a `torch.nn.Parameter` if `parameter` is not 0. The object shares it: its memory is
 read when the object is saved, and the handle may be freed before. Tensors that show one storage do so
 in the file, and which requires grad is kept.

 Errors: `NUMPACK_TYPE` for a type that torch has not.
 */
int32_t numpack_object_add_tensor(numpack_object *object,
                                  const numpack_tensor *tensor,
                                  int32_t parameter,
                                  uint32_t *number);

/*
 Writes what a number stands for as a `.pt` file, which torch loads with `weights_only=True` if it has
 no other globals than torch allows there. The file appears whole or not at all, and the elements go
 into it from where they lie. `options` may be NULL.

 Errors: `NUMPACK_PARAMETER` for a number that is not there, and for a list, dict, set or bytearray as
 a key; `NUMPACK_IN_USE` for a tensor that is being written to, `NUMPACK_SHARING` for one on a device;
 `NUMPACK_EXISTS`; `NUMPACK_IO`: what was at the path is then as it was.
 */
int32_t numpack_object_save(const numpack_object *object,
                            uint32_t root,
                            const char *path,
                            const numpack_save_options *options);

/*
 Gives an object back; the tensors in it too. NULL is fine.
 */
void numpack_object_free(numpack_object *object);

/* == What is in a file, and what is not the same in two ========================================== */

/*
 Reads each pickle that can be reached in a file, of whatever kind, and says what unpickling it
 would do; nothing is executed or imported.

 `verdict` takes the worst as a `NUMPACK_SCAN_*`, `weights_only` 1 if `torch.load` would take the
 pickles with `weights_only=True`, else 0. `callback`, which may be NULL, is called for each place
 of a name that is dangerous or unknown, and for whatever else is odd.

 Errors: `NUMPACK_IO`, `NUMPACK_CANCELLED`.
 */
int32_t numpack_scan(const char *path,
                     numpack_scan_fn callback,
                     void *user,
                     int32_t *verdict,
                     int32_t *weights_only);

/*
 Compares two files: kinds of containers, keys and their order, plain values, and of each tensor
 the element type, shape, flags, elements and what it shares its storage with. Strides and the
 invisible rest of storages are not compared.

 `callback`, which may be NULL, is called for each difference, at most `limit` of them; `count`
 takes how many were found: 0 if the files hold the same.

 Errors: as `numpack_checkpoint_read`, and `NUMPACK_CANCELLED`.
 */
int32_t numpack_diff(const numpack_checkpoint *a,
                     const numpack_checkpoint *b,
                     size_t limit,
                     numpack_difference_fn callback,
                     void *user,
                     size_t *count);

/* == Verification ================================================================================ */

/*
 Looks for everything that is wrong with the store at a path. Nothing is written.

 `NUMPACK_OK`: the store is sound; there may be notices. `NUMPACK_FORMAT`: it has faults, and
 `numpack_last_error` has the first. `callback`, which may be NULL, is called for each fault and
 notice. `faults` and `notices`, both may be NULL, take how many there are, and for a store with
 faults too.

 Other errors: `NUMPACK_NOT_A_STORE`; `NUMPACK_CANCELLED`; `NUMPACK_CHANGED` if the store was
 changed meanwhile again and again; `NUMPACK_IO`.
 */
int32_t numpack_store_verify(const char *path,
                             numpack_fault_fn callback,
                             void *user,
                             uint64_t *faults,
                             uint64_t *notices);

/*
 Looks for everything that is wrong with a file of any kind that is read: structure, checksums,
 content. Nothing is written. `numpack_store_verify` says more of a store.

 `NUMPACK_OK`: it is sound; there may be notices. `NUMPACK_FORMAT`: it has faults, and
 `numpack_last_error` has the first. `callback`, which may be NULL, is called for each fault and
 notice. `faults` and `notices`, both may be NULL, take how many there are, and for a file with
 faults too. Other errors: `NUMPACK_IO`; `NUMPACK_UNSUPPORTED`; `NUMPACK_CANCELLED`.
 */
int32_t numpack_verify(const char *path,
                       numpack_file_fault_fn callback,
                       void *user,
                       uint64_t *faults,
                       uint64_t *notices);

/* == Devices ===================================================================================== */

/*
 Lists the devices that Vulkan finds, also those that cannot be used, with the reason. The caller
 owns the list; `numpack_device_list_free` gives it back.

 Errors: `NUMPACK_DEVICE` without a Vulkan loader or driver, saying what to install; here and
 below also if this library was built without Vulkan.
 */
int32_t numpack_devices(numpack_device_list **list);

/*
 How many devices there are; 0 for NULL.
 */
size_t numpack_device_list_count(const numpack_device_list *list);

/*
 Says what the device at `index` is, from 0. What `info` points to lives as long as the list.

 Errors: `NUMPACK_PARAMETER` for an index past the last one.
 */
int32_t numpack_device_list_get(const numpack_device_list *list,
                                size_t index,
                                numpack_device_info *info);

/*
 Shares a list: it comes back, and is to be freed once more. NULL is fine.
 */
numpack_device_list *numpack_device_list_retain(const numpack_device_list *list);

/*
 Gives a list back, and what it was asked for. NULL is fine.
 */
void numpack_device_list_free(numpack_device_list *list);

/*
 Opens a device, which the caller owns. `options` may be NULL.

 Errors: `NUMPACK_DEVICE` where none can be used as asked, saying what there is;
 `NUMPACK_PARAMETER` for a text that names none, also in the variable.
 */
int32_t numpack_device_open(const numpack_device_options *options, numpack_device **device);

/*
 Shares a device handle: it comes back, and is to be freed once more. NULL is fine.
 */
numpack_device *numpack_device_retain(const numpack_device *device);

/*
 Gives a device back; it stays open as long as it has tensors. NULL is fine.
 */
void numpack_device_free(numpack_device *device);

/*
 Says what a device is. What `info` points to lives as long as the device.
 */
int32_t numpack_device_get_info(const numpack_device *device, numpack_device_info *info);

/*
 What a person should know who uses the device, such as that it is no GPU, in one line that lives
 as long as the device: `warning` takes NULL if there is nothing.
 */
int32_t numpack_device_get_warning(const numpack_device *device, const char **warning);

/*
 Says what a device holds and did since it was opened.
 */
int32_t numpack_device_get_usage(const numpack_device *device, numpack_device_usage *usage);

/*
 Waits until all that was asked of a device is done. Nothing else waits, but what reads elements.

 Errors: `NUMPACK_DEVICE` if the device was lost; `NUMPACK_INDEX` for an index among those
 that were computed with since the last wait that led nowhere.
 */
int32_t numpack_device_synchronize(const numpack_device *device);

/*
 Gives memory back to the system that was kept for the next tensors.
 */
int32_t numpack_device_trim(const numpack_device *device);

/*
 A copy of a tensor on a device; the same memory if it is there already. `numpack_tensor_cpu` is
 the way back.

 Errors: `NUMPACK_DEVICE`; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_IN_USE`.
 */
int32_t numpack_tensor_to_device(const numpack_tensor *tensor,
                                 const numpack_device *device,
                                 numpack_tensor **there);

/* == Tensors that compute ======================================================================== */

/*
 A tensor that computes, of a tensor in memory: the elements of the host are copied, those of a
 device are the same memory. It wants a gradient if `from` does.

 Errors: `NUMPACK_TYPE` for a type that nothing is computed with; `NUMPACK_SHARING` for a device's
 tensor whose strides go backwards; `NUMPACK_IN_USE`; `NUMPACK_OUT_OF_MEMORY`.
 */
int32_t numpack_nn_tensor_from_tensor(const numpack_tensor *from, numpack_nn_tensor **tensor);

/*
 The elements as a tensor in memory, to share, view and save: those of the host are copied, those
 of a device are the same memory. It requires grad if this one does; the caller owns it.

 Errors: `NUMPACK_OUT_OF_MEMORY`.
 */
int32_t numpack_nn_tensor_to_tensor(const numpack_nn_tensor *tensor, numpack_tensor **to);

/*
 Shares a tensor handle: it comes back, and is to be freed once more. NULL is fine.
 */
numpack_nn_tensor *numpack_nn_tensor_retain(const numpack_nn_tensor *tensor);

/*
 Gives a tensor back. What was computed of it keeps what it needs. NULL is fine.
 */
void numpack_nn_tensor_free(numpack_nn_tensor *tensor);

/*
 Says what a tensor is. `info->shape` lives as long as the handle.
 */
int32_t numpack_nn_tensor_get_info(const numpack_nn_tensor *tensor, numpack_nn_tensor_info *info);

/*
 Copies all elements in C order into `buffer`, whose `size` is `numpack_nn_tensor_info.nbytes`.
 Those of a device are waited for.

 Errors: `NUMPACK_PARAMETER` for a buffer of another size; `NUMPACK_INDEX` for indices that led
 nowhere on the device; `NUMPACK_DEVICE`.
 */
int32_t numpack_nn_tensor_read(const numpack_nn_tensor *tensor, void *buffer, size_t size);

/*
 The only element, as a double. That of a device is waited for.

 Errors: `NUMPACK_PARAMETER` if there is not exactly one; as `numpack_nn_tensor_read`.
 */
int32_t numpack_nn_tensor_item(const numpack_nn_tensor *tensor, double *value);

/*
 A new tensor on a device, or the host for NULL, each of whose elements is this value.

 Errors: `NUMPACK_TYPE` for a type that nothing is computed with there, and for a complex value;
 `NUMPACK_PARAMETER` for a value that the type cannot hold; `NUMPACK_OUT_OF_MEMORY`;
 `NUMPACK_DEVICE`, here and below.
 */
int32_t numpack_nn_tensor_full(int32_t dtype,
                               uint32_t ndim,
                               const uint64_t *shape,
                               const numpack_scalar *value,
                               const numpack_device *device,
                               numpack_nn_tensor **tensor);

/*
 A new tensor of random numbers, on a device, or the host for NULL. `distribution` is
 `NUMPACK_NN_UNIFORM` or `NUMPACK_NN_NORMAL`; the same seed gives the same numbers everywhere.

 Errors: as `numpack_nn_tensor_full`; a type that is no float is `NUMPACK_TYPE` on the host, and
 `NUMPACK_PARAMETER` on a device.
 */
int32_t numpack_nn_tensor_random(int32_t distribution,
                                 int32_t dtype,
                                 uint32_t ndim,
                                 const uint64_t *shape,
                                 const numpack_device *device,
                                 numpack_nn_tensor **tensor);

/*
 The numbers 0 to `end` - 1 as `INT64`, on a device, or the host for NULL.
 Errors: `NUMPACK_OUT_OF_MEMORY`.
 */
int32_t numpack_nn_tensor_arange(uint64_t end,
                                 const numpack_device *device,
                                 numpack_nn_tensor **tensor);

/*
 Begins the random numbers of the whole process anew: those of `numpack_nn_tensor_random`, of
 dropout, and the first values of modules.
 */
int32_t numpack_nn_manual_seed(uint64_t seed);

/*
 The same elements on a device, or the host for NULL; another handle on the tensor if they are
 there already. Gradients come back. Errors: as `numpack_nn_tensor_full`.
 */
int32_t numpack_nn_tensor_to_device(const numpack_nn_tensor *tensor,
                                    const numpack_device *device,
                                    numpack_nn_tensor **there);

/*
 The elements as another type; another handle on the tensor if they have it already.
 Errors: as `numpack_nn_tensor_full`.
 */
int32_t numpack_nn_tensor_to_dtype(const numpack_nn_tensor *tensor,
                                   int32_t dtype,
                                   numpack_nn_tensor **converted);

/* == Gradients, and changes in place ============================================================= */

/*
 Says whether a gradient is to be computed for this leaf.

 Errors: `NUMPACK_TYPE` for integers and truth values; `NUMPACK_SHARING` where a tensor that was
 computed is to want none (`numpack_nn_tensor_detach` it).
 */
int32_t numpack_nn_tensor_require_grad(const numpack_nn_tensor *tensor, int32_t requires_grad);

/*
 The gradient that `numpack_nn_tensor_backward` left, of this leaf's type, shape and device: the
 same memory. `grad` takes NULL where there is none; the caller owns it.
 */
int32_t numpack_nn_tensor_grad(const numpack_nn_tensor *tensor, numpack_nn_tensor **grad);

/*
 Puts another gradient there, or none for NULL.
 Errors: `NUMPACK_SHARING` for another type, shape or device than the tensor's.
 */
int32_t numpack_nn_tensor_set_grad(const numpack_nn_tensor *tensor, const numpack_nn_tensor *grad);

/*
 The same elements, in the same memory, computed of nothing.
 */
int32_t numpack_nn_tensor_detach(const numpack_nn_tensor *tensor, numpack_nn_tensor **detached);

/*
 Adds the gradient of this tensor to that of each leaf that it was computed of. `grad` is the
 tensor's own gradient, of its type, shape and device; NULL: 1, for a tensor of one element. What
 was kept of the computation is given up, unless `retain_graph` is not 0.

 Errors: `NUMPACK_SHARING` for a tensor of more elements without `grad`, if nothing that it was
 computed of wants a gradient, if what was kept has been given up, or if a tensor that is needed
 was changed in place; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`. After an error all gradients of
 leaves are as they were.
 */
int32_t numpack_nn_tensor_backward(const numpack_nn_tensor *tensor,
                                   const numpack_nn_tensor *grad,
                                   int32_t retain_graph);

/*
 Says whether this thread notes what it computes, so that gradients can be had of it: not 0, as
 threads begin, or 0, and what it computes wants no gradients. `before` takes what was before.
 */
int32_t numpack_nn_set_grad_enabled(int32_t enabled, int32_t *before);

/*
 Copies the elements of `from`, of any type and device, into `tensor`, to whose shape they are
 expanded. On the host, views of the tensor keep what they show.

 Errors: `NUMPACK_SHARING` for a tensor that requires grad, unless
 `numpack_nn_set_grad_enabled(0, …)`; `NUMPACK_PARAMETER` for a shape that does not fit;
 `NUMPACK_TYPE`; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`.
 */
int32_t numpack_nn_tensor_copy_from(const numpack_nn_tensor *tensor, const numpack_nn_tensor *from);

/*
 Writes a value to every element. Errors: as `numpack_nn_tensor_copy_from`.
 */
int32_t numpack_nn_tensor_fill(const numpack_nn_tensor *tensor, const numpack_scalar *value);

/*
 Takes the elements of a tensor in memory, of the same type and shape, if they differ in any bit from
 those of `tensor`, which is on the host; `changed` takes 1 then, else 0. This is for memory that
 `tensor` was made of and somebody has written to: also a leaf that requires grad takes it, and a way
 back that needs what was there says so. Where nothing differs, nothing is copied.

 Errors: `NUMPACK_PARAMETER` for another type or shape, and a `tensor` on a device; `NUMPACK_SHARING`
 for memory on a device; `NUMPACK_IN_USE`; `NUMPACK_OUT_OF_MEMORY`.
 */
int32_t numpack_nn_tensor_refresh(const numpack_nn_tensor *tensor,
                                  const numpack_tensor *from,
                                  int32_t *changed);

/*
 Copies the elements, of the host or a device, into a tensor in memory of the same type and shape, which
 may have strides; straight into it if it is contiguous. Those of a device are waited for.

 Errors: `NUMPACK_PARAMETER` for another type or shape, and for elements of `to` that are the same
 memory; `NUMPACK_SHARING` for memory that is read-only or on a device; `NUMPACK_IN_USE`;
 `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`.
 */
int32_t numpack_nn_tensor_write_to(const numpack_nn_tensor *tensor,
                                   const numpack_tensor *to);

/*
 Has a leaf take the elements of `from`, of the same shape, of any type and device, in the place of its
 own: what moves a parameter, and all who hold it see it there. They are the same memory on a device. Its
 gradient goes, if it does not fit any more.

 Errors: `NUMPACK_PARAMETER` for another shape; `NUMPACK_SHARING` for a tensor that was computed.
 */
int32_t numpack_nn_tensor_set_data(const numpack_nn_tensor *tensor,
                                   const numpack_nn_tensor *from);

/* == What is computed of elements ================================================================ */

/*
 A function of each element: `op` is one of those from `NUMPACK_NN_NEG` to
 `NUMPACK_NN_LOGICAL_NOT`. The gradients of all but the last are known.

 Errors, here and in all that computes: `NUMPACK_TYPE` for elements that the operation does not
 take, which on a device may be `NUMPACK_PARAMETER`, and on a device for those it has not;
 `NUMPACK_PARAMETER` for shapes, dimensions and numbers that it does not take; `NUMPACK_SHARING`
 for tensors on two devices; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`.
 */
int32_t numpack_nn_tensor_unary(const numpack_nn_tensor *tensor,
                                int32_t op,
                                numpack_nn_tensor **result);

/*
 A function of each two elements: `op` is one of those from `NUMPACK_NN_ADD` to
 `NUMPACK_NN_LOGICAL_XOR`. Shapes broadcast and types are promoted as in PyTorch.
 */
int32_t numpack_nn_tensor_binary(const numpack_nn_tensor *tensor,
                                 int32_t op,
                                 const numpack_nn_tensor *other,
                                 numpack_nn_tensor **result);

/*
 The same of two tensors in memory, without tensors that compute to be made of them first: of small
 ones that takes longer than what is computed.

 Errors: those of `numpack_nn_tensor_from_tensor`; `NUMPACK_PARAMETER` for one that requires grad,
 which would get none.
 */
int32_t numpack_nn_tensor_binary_in_memory(const numpack_tensor *tensor,
                                           int32_t op,
                                           const numpack_tensor *other,
                                           numpack_nn_tensor **result);

/*
 The same of each element and a number; if `reversed` is not 0, the number comes first. It takes
 less part in choosing the type of the result than a tensor.
 */
int32_t numpack_nn_tensor_binary_scalar(const numpack_nn_tensor *tensor,
                                        int32_t op,
                                        const numpack_scalar *value,
                                        int32_t reversed,
                                        numpack_nn_tensor **result);

/*
 Of each two elements that of `tensor` where `condition`, of truth values, is true, else that of
 `other`. All three broadcast.
 */
int32_t numpack_nn_tensor_where(const numpack_nn_tensor *tensor,
                                const numpack_nn_tensor *condition,
                                const numpack_nn_tensor *other,
                                numpack_nn_tensor **result);

/*
 Each element, or the bound that it is beyond; either may be NULL, but not both.
 */
int32_t numpack_nn_tensor_clamp(const numpack_nn_tensor *tensor,
                                const double *min,
                                const double *max,
                                numpack_nn_tensor **result);

/*
 One element of those along `count` dimensions, or of all for 0: `op` is one of those from
 `NUMPACK_NN_SUM` on. The dimensions go, or stay with size 1 if `keepdim` is not 0.

 Errors: `NUMPACK_PARAMETER` also for several dimensions of `NUMPACK_NN_ARGMAX` and
 `NUMPACK_NN_ARGMIN`, and where the largest or smallest of nothing is asked for.
 */
int32_t numpack_nn_tensor_reduce(const numpack_nn_tensor *tensor,
                                 int32_t op,
                                 uint32_t count,
                                 const int64_t *dims,
                                 int32_t keepdim,
                                 numpack_nn_tensor **result);

/*
 The variance along `count` dimensions, or of all elements for 0: of n elements divided by
 n - `correction`, which is 1 as a rule.
 */
int32_t numpack_nn_tensor_var(const numpack_nn_tensor *tensor,
                              uint32_t count,
                              const int64_t *dims,
                              double correction,
                              int32_t keepdim,
                              numpack_nn_tensor **result);

/* == Views, joining, picking ===================================================================== */

/*
 One index of a dimension, which goes. Negative dimensions and indices count from the end, here
 and below. On a device a view is changed with its tensor, on the host it keeps what it shows.
 */
int32_t numpack_nn_tensor_select(const numpack_nn_tensor *tensor,
                                 int64_t dim,
                                 int64_t index,
                                 numpack_nn_tensor **view);

/*
 Every `step`-th index of a dimension from `start` to before `stop`, as Python's slices have it:
 both are cut to what is there, and may be `NUMPACK_SLICE_END`. `step` is 1 or more.
 */
int32_t numpack_nn_tensor_slice(const numpack_nn_tensor *tensor,
                                int64_t dim,
                                int64_t start,
                                int64_t stop,
                                int64_t step,
                                numpack_nn_tensor **view);

/*
 `length` indices of a dimension from `start` on.
 */
int32_t numpack_nn_tensor_narrow(const numpack_nn_tensor *tensor,
                                 int64_t dim,
                                 uint64_t start,
                                 uint64_t length,
                                 numpack_nn_tensor **view);

/*
 Two dimensions change places.
 */
int32_t numpack_nn_tensor_transpose(const numpack_nn_tensor *tensor,
                                    int64_t a,
                                    int64_t b,
                                    numpack_nn_tensor **view);

/*
 The dimensions in another order: `count` of them, each named once.
 */
int32_t numpack_nn_tensor_permute(const numpack_nn_tensor *tensor,
                                  uint32_t count,
                                  const int64_t *dims,
                                  numpack_nn_tensor **view);

/*
 Without the dimension, if its size is 1.
 */
int32_t numpack_nn_tensor_squeeze(const numpack_nn_tensor *tensor,
                                  int64_t dim,
                                  numpack_nn_tensor **view);

/*
 One more dimension of size 1, which becomes dimension `dim`.
 */
int32_t numpack_nn_tensor_unsqueeze(const numpack_nn_tensor *tensor,
                                    int64_t dim,
                                    numpack_nn_tensor **view);

/*
 Dimensions of size 1 become these sizes, new ones come in front, and -1 keeps a size: `count`
 sizes.
 */
int32_t numpack_nn_tensor_expand(const numpack_nn_tensor *tensor,
                                 uint32_t count,
                                 const int64_t *sizes,
                                 numpack_nn_tensor **view);

/*
 The same elements in the same order with `count` other sizes, of which one may be -1 and follows
 from the others; copied where strides stand against a view.
 */
int32_t numpack_nn_tensor_reshape(const numpack_nn_tensor *tensor,
                                  uint32_t count,
                                  const int64_t *sizes,
                                  numpack_nn_tensor **reshaped);

/*
 One dimension in place of those from `first` to `last`, copied where that is needed.
 */
int32_t numpack_nn_tensor_flatten(const numpack_nn_tensor *tensor,
                                  int64_t first,
                                  int64_t last,
                                  numpack_nn_tensor **flat);

/*
 Another handle on the tensor if its elements lie one after another in C order, else a copy in
 which they do.
 */
int32_t numpack_nn_tensor_contiguous(const numpack_nn_tensor *tensor,
                                     numpack_nn_tensor **contiguous);

/*
 A copy in memory of its own. Gradients come through.
 */
int32_t numpack_nn_tensor_clone(const numpack_nn_tensor *tensor, numpack_nn_tensor **copy);

/*
 `count` tensors one after another along a dimension; their other sizes are equal.
 */
int32_t numpack_nn_tensor_cat(const numpack_nn_tensor *const *tensors,
                              size_t count,
                              int64_t dim,
                              numpack_nn_tensor **joined);

/*
 `count` tensors of one shape along a new dimension.
 */
int32_t numpack_nn_tensor_stack(const numpack_nn_tensor *const *tensors,
                                size_t count,
                                int64_t dim,
                                numpack_nn_tensor **joined);

/*
 Those of a dimension that `index`, of one dimension and whole numbers, names, in its order.

 Errors: `NUMPACK_INDEX` for an index that is not there; on a device that is said by the next
 call that reads elements, here and below.
 */
int32_t numpack_nn_tensor_index_select(const numpack_nn_tensor *tensor,
                                       int64_t dim,
                                       const numpack_nn_tensor *index,
                                       numpack_nn_tensor **result);

/*
 For each place of `index`, which has as many dimensions, the element that it names along a
 dimension.
 */
int32_t numpack_nn_tensor_gather(const numpack_nn_tensor *tensor,
                                 int64_t dim,
                                 const numpack_nn_tensor *index,
                                 numpack_nn_tensor **result);

/*
 The rows of the matrix `weight` that `index` names, of shape (index…, columns). The row
 `padding_idx` has no gradient; -1: all have.
 */
int32_t numpack_nn_tensor_embedding(const numpack_nn_tensor *weight,
                                    const numpack_nn_tensor *index,
                                    int64_t padding_idx,
                                    numpack_nn_tensor **result);

/* == Products of matrices, softmax, norms, losses ================================================ */

/*
 The product of two matrices, of a matrix and a vector, of two vectors, or of many matrices whose
 outer dimensions broadcast, as `torch.matmul` has it.
 */
int32_t numpack_nn_tensor_matmul(const numpack_nn_tensor *tensor,
                                 const numpack_nn_tensor *other,
                                 numpack_nn_tensor **result);

/*
 `tensor` times `weight`, transposed, plus `bias`, which may be NULL: of shape (…, in) to (…, out).
 The weight has shape (out, in), the bias (out).
 */
int32_t numpack_nn_tensor_linear(const numpack_nn_tensor *tensor,
                                 const numpack_nn_tensor *weight,
                                 const numpack_nn_tensor *bias,
                                 numpack_nn_tensor **result);

/*
 `numpack_nn_tensor_linear`, and what is done with each element of its result, in one where the device
 does that: `op` is one of those that `numpack_nn_module_activation` takes.
 Errors: `NUMPACK_PARAMETER` also for another `op`.
 */
int32_t numpack_nn_tensor_linear_activation(const numpack_nn_tensor *tensor,
                                            const numpack_nn_tensor *weight,
                                            const numpack_nn_tensor *bias,
                                            int32_t op,
                                            numpack_nn_tensor **result);

/*
 e to the power of each element over the sum of those along a dimension; its logarithm if
 `logarithm` is not 0.
 */
int32_t numpack_nn_tensor_softmax(const numpack_nn_tensor *tensor,
                                  int64_t dim,
                                  int32_t logarithm,
                                  numpack_nn_tensor **result);

/*
 (x - mean) / √(variance + eps) over the last `ndim` dimensions, which have this shape, times
 `weight`, plus `bias`, both of this shape or NULL.
 */
int32_t numpack_nn_tensor_layer_norm(const numpack_nn_tensor *tensor,
                                     uint32_t ndim,
                                     const uint64_t *shape,
                                     const numpack_nn_tensor *weight,
                                     const numpack_nn_tensor *bias,
                                     double eps,
                                     numpack_nn_tensor **result);

/*
 x / √(mean of squares + eps) over the last `ndim` dimensions, which have this shape, times
 `weight`, of this shape or NULL. With `eps` NULL it is the type's.
 */
int32_t numpack_nn_tensor_rms_norm(const numpack_nn_tensor *tensor,
                                   uint32_t ndim,
                                   const uint64_t *shape,
                                   const numpack_nn_tensor *weight,
                                   const double *eps,
                                   numpack_nn_tensor **result);

/*
 0 with probability `p`, else x / (1 - p).
 */
int32_t numpack_nn_tensor_dropout(const numpack_nn_tensor *tensor,
                                  double p,
                                  numpack_nn_tensor **result);

/*
 The cross entropy between the probabilities that softmax makes of `tensor`, of shape (classes),
 (batch, classes) or (batch, classes, …), and `target`: class indices of that shape without
 classes, or probabilities of the same shape. `options` may be NULL.

 Errors: `NUMPACK_SHARING` also for a target that wants a gradient; `NUMPACK_INDEX` for classes that
 are not there, where a device's loss is NaN instead.
 */
int32_t numpack_nn_tensor_cross_entropy(const numpack_nn_tensor *tensor,
                                        const numpack_nn_tensor *target,
                                        const numpack_nn_cross_entropy_options *options,
                                        numpack_nn_tensor **loss);

/*
 The same behind a logarithm of softmax, of class indices; label smoothing is not used.
 */
int32_t numpack_nn_tensor_nll_loss(const numpack_nn_tensor *tensor,
                                   const numpack_nn_tensor *target,
                                   const numpack_nn_cross_entropy_options *options,
                                   numpack_nn_tensor **loss);

/*
 A loss of two tensors of one shape: `kind` is `NUMPACK_NN_MSE`, `NUMPACK_NN_L1` or
 `NUMPACK_NN_BCE_WITH_LOGITS`, and `reduction` a `NUMPACK_NN_REDUCTION_*`.
 */
int32_t numpack_nn_tensor_loss(const numpack_nn_tensor *tensor,
                               int32_t kind,
                               const numpack_nn_tensor *target,
                               int32_t reduction,
                               numpack_nn_tensor **loss);

/* == What modules do ============================================================================= */

/*
 What a module computes of a tensor, where its parameters are. The caller owns the result.

 Errors: those of what it computes with (`numpack_nn_tensor_unary`).
 */
int32_t numpack_nn_module_forward(const numpack_nn_module *module,
                                  const numpack_nn_tensor *tensor,
                                  numpack_nn_tensor **result);

/*
 The same of a module of attention or a layer of an encoder, which attends to no more than it may.
 `key_padding_mask` has truth values (batch, keys): true where a key is not attended to, such as padding;
 `attn_mask` (queries, keys) or (batch · heads, queries, keys): truth values likewise, or numbers that
 are added to the scores. Either may be NULL.

 Errors: `NUMPACK_PARAMETER` also for other modules.
 */
int32_t numpack_nn_module_forward_masked(const numpack_nn_module *module,
                                         const numpack_nn_tensor *tensor,
                                         const numpack_nn_tensor *key_padding_mask,
                                         const numpack_nn_tensor *attn_mask,
                                         numpack_nn_tensor **result);

/*
 How many parameters there are; 0 for NULL.
 */
size_t numpack_nn_module_parameter_count(const numpack_nn_module *module);

/*
 The dotted name and the tensor of the parameter at `index`, from 0, both borrowed from the
 module: to keep the tensor, `numpack_nn_tensor_retain` it. One that has two names comes once, by
 the first. Errors: `NUMPACK_PARAMETER` for an index past the last one.
 */
int32_t numpack_nn_module_get_parameter(const numpack_nn_module *module,
                                        size_t index,
                                        const char **name,
                                        const numpack_nn_tensor **tensor);

/*
 The parameters and buffers of a module by all their names: the same memory, wanting no gradients.
 The caller owns the state.
 */
int32_t numpack_nn_module_state(const numpack_nn_module *module, numpack_nn_state **state);

/*
 Copies `count` tensors, of any type and device, into the parameters and buffers of these names.
 If `strict` is not 0, both sides have the same names.

 Errors: `NUMPACK_PARAMETER`, listing all names that are missing or unknown, and all shapes that
 differ; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`. Nothing is changed then.
 */
int32_t numpack_nn_module_load_state(const numpack_nn_module *module,
                                     const char *const *names,
                                     const numpack_nn_tensor *const *tensors,
                                     size_t count,
                                     int32_t strict);

/*
 Moves parameters and buffers to a device, or to the host for NULL. Gradients go.

 Errors: `NUMPACK_TYPE`; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`. Those that were moved already
 stay there.
 */
int32_t numpack_nn_module_to_device(const numpack_nn_module *module, const numpack_device *device);

/*
 Says whether a module is trained, as modules are made for, or used, for 0: dropout is only done
 in training.
 */
int32_t numpack_nn_module_train(const numpack_nn_module *module, int32_t training);

/*
 Leaves all parameters without gradients.
 */
int32_t numpack_nn_module_zero_grad(const numpack_nn_module *module);

/*
 Writes the state of a module as a dict of tensors: a `.pt` file that torch loads, or a store
 where the path ends in `.npk`. If `overwrite` is not 0, what is there is replaced, whole or not
 at all.

 Errors: `NUMPACK_EXISTS`; `NUMPACK_PARAMETER` for another suffix; `NUMPACK_IO`; `NUMPACK_DEVICE`.
 */
int32_t numpack_nn_module_save(const numpack_nn_module *module,
                               const char *path,
                               int32_t overwrite);

/*
 Reads the state of a module from any file of tensors: those whose names begin with `key` and a
 dot, without that, or all for NULL.

 Errors: those of `numpack_checkpoint_open` and `numpack_nn_module_load_state`;
 `NUMPACK_PARAMETER` where there are no such tensors; `NUMPACK_TYPE` for a type that nothing is
 computed with. Nothing is changed then.
 */
int32_t numpack_nn_module_load(const numpack_nn_module *module,
                               const char *path,
                               const char *key,
                               int32_t strict);

/*
 Shares a module handle: it comes back, and is to be freed once more. NULL is fine.
 */
numpack_nn_module *numpack_nn_module_retain(const numpack_nn_module *module);

/*
 Gives a module back; a sequence that it is part of keeps it. NULL is fine.
 */
void numpack_nn_module_free(numpack_nn_module *module);

/* == The kinds of modules ======================================================================== */

/*
 A linear layer, `x` times its weight, transposed, plus its bias: of shape (…, inputs) to
 (…, outputs). Without bias if that is 0. Parameters `weight` and `bias` have the first values that
 PyTorch draws, from other random numbers; they are `FLOAT32` on the host, here and below. The
 caller owns the module. Errors: `NUMPACK_OUT_OF_MEMORY`.
 */
int32_t numpack_nn_module_linear(uint64_t inputs,
                                 uint64_t outputs,
                                 int32_t bias,
                                 numpack_nn_module **module);

/*
 A function of each element: `NUMPACK_NN_RELU`, `NUMPACK_NN_GELU`, `NUMPACK_NN_GELU_TANH`,
 `NUMPACK_NN_SILU`, `NUMPACK_NN_TANH` or `NUMPACK_NN_SIGMOID`.
 Errors: `NUMPACK_PARAMETER` for another.
 */
int32_t numpack_nn_module_activation(int32_t op, numpack_nn_module **module);

/*
 `numpack_nn_tensor_softmax` as a module.
 */
int32_t numpack_nn_module_softmax(int64_t dim, int32_t logarithm, numpack_nn_module **module);

/*
 `numpack_nn_tensor_dropout` in training, else nothing.
 Errors: `NUMPACK_PARAMETER` for another `p` than 0 to 1.
 */
int32_t numpack_nn_module_dropout(double p, numpack_nn_module **module);

/*
 `numpack_nn_tensor_layer_norm` over `ndim` dimensions of this shape, with parameters `weight`, of
 ones, and `bias`, of zeros; without both if `affine` is 0. PyTorch's eps is 1e-5.
 Errors: `NUMPACK_OUT_OF_MEMORY`.
 */
int32_t numpack_nn_module_layer_norm(uint32_t ndim,
                                     const uint64_t *shape,
                                     double eps,
                                     int32_t affine,
                                     numpack_nn_module **module);

/*
 `numpack_nn_tensor_rms_norm` over `ndim` dimensions of this shape, with a parameter `weight` of
 ones. With `eps` NULL it is the type's. Errors: `NUMPACK_OUT_OF_MEMORY`.
 */
int32_t numpack_nn_module_rms_norm(uint32_t ndim,
                                   const uint64_t *shape,
                                   const double *eps,
                                   numpack_nn_module **module);

/*
 `numpack_nn_tensor_embedding` as a module that takes whole numbers, with a parameter `weight` of
 shape (rows, columns).

 Errors: `NUMPACK_PARAMETER` for a `padding_idx` that is no row, nor -1 for none;
 `NUMPACK_OUT_OF_MEMORY`.
 */
int32_t numpack_nn_module_embedding(uint64_t rows,
                                    uint64_t columns,
                                    int64_t padding_idx,
                                    numpack_nn_module **module);

/*
 `numpack_nn_tensor_flatten` as a module; PyTorch's dimensions are 1 and -1.
 */
int32_t numpack_nn_module_flatten(int64_t first, int64_t last, numpack_nn_module **module);

/*
 `count` modules one after another, named by their places. They are shared with the caller's
 handles, which may be freed.
 */
int32_t numpack_nn_module_sequential(const numpack_nn_module *const *modules,
                                     size_t count,
                                     numpack_nn_module **module);

/*
 Attention of a sequence to itself, with several heads, which share `embed_dim` columns. Inputs are
 (batch, length, columns) if `batch_first` is not 0, else (length, batch, columns).

 Errors: `NUMPACK_PARAMETER` where heads cannot share the columns, and for another `dropout` than 0
 to 1; `NUMPACK_OUT_OF_MEMORY`.
 */
int32_t numpack_nn_module_multihead_attention(uint64_t embed_dim,
                                              uint64_t heads,
                                              double dropout,
                                              int32_t bias,
                                              int32_t batch_first,
                                              numpack_nn_module **module);

/*
 A layer of a transformer's encoder: attention, two linear layers, and a sum and norm behind or
 before each. `options` may be NULL. Errors: as `numpack_nn_module_multihead_attention`.
 */
int32_t numpack_nn_module_transformer_encoder_layer(uint64_t embed_dim,
                                                    uint64_t heads,
                                                    double dropout,
                                                    const numpack_nn_transformer_options *options,
                                                    numpack_nn_module **module);

/* == Tensors by name ============================================================================= */

/*
 How many tensors there are; 0 for NULL.
 */
size_t numpack_nn_state_count(const numpack_nn_state *state);

/*
 The name and the tensor at `index`, from 0, both borrowed from the state: to keep the tensor,
 `numpack_nn_tensor_retain` it. Errors: `NUMPACK_PARAMETER` for an index past the last one.
 */
int32_t numpack_nn_state_get(const numpack_nn_state *state,
                             size_t index,
                             const char **name,
                             const numpack_nn_tensor **tensor);

/*
 Shares a state: it comes back, and is to be freed once more. NULL is fine.
 */
numpack_nn_state *numpack_nn_state_retain(const numpack_nn_state *state);

/*
 Gives a state back, and what it was asked for. NULL is fine.
 */
void numpack_nn_state_free(numpack_nn_state *state);

/* == Optimisers ================================================================================== */

/*
 Stochastic gradient descent of `count` parameters with the learning rate `lr`: PyTorch's `SGD`.
 The caller owns the optimiser. `options` may be NULL.

 Errors: `NUMPACK_PARAMETER` for a learning rate below 0; other options are found wrong by the
 first step.
 */
int32_t numpack_nn_optimizer_sgd(const numpack_nn_tensor *const *params,
                                 size_t count,
                                 double lr,
                                 const numpack_nn_sgd_options *options,
                                 numpack_nn_optimizer **optimizer);

/*
 Adam, or AdamW, of `count` parameters with the learning rate `lr`: PyTorch's `Adam` and `AdamW`.
 The caller owns the optimiser. `options` may be NULL. Errors: as `numpack_nn_optimizer_sgd`.
 */
int32_t numpack_nn_optimizer_adam(const numpack_nn_tensor *const *params,
                                  size_t count,
                                  double lr,
                                  const numpack_nn_adam_options *options,
                                  numpack_nn_optimizer **optimizer);

/*
 One more group of `count` parameters, with a learning rate of its own, and all else as the first.
 Errors: `NUMPACK_PARAMETER` for a learning rate below 0.
 */
int32_t numpack_nn_optimizer_add_group(numpack_nn_optimizer *optimizer,
                                       const numpack_nn_tensor *const *params,
                                       size_t count,
                                       double lr);

/*
 Sets the learning rate of a group, counted from 0, for the steps to come.
 Errors: `NUMPACK_PARAMETER` for a group that is not there, and for a learning rate below 0.
 */
int32_t numpack_nn_optimizer_set_lr(numpack_nn_optimizer *optimizer, size_t group, double lr);

/*
 Changes each parameter that has a gradient.

 Errors: `NUMPACK_PARAMETER` for options that cannot be; `NUMPACK_TYPE`; `NUMPACK_OUT_OF_MEMORY`;
 `NUMPACK_DEVICE`. No parameter has changed then.
 */
int32_t numpack_nn_optimizer_step(numpack_nn_optimizer *optimizer);

/*
 Leaves all its parameters without gradients.
 */
int32_t numpack_nn_optimizer_zero_grad(numpack_nn_optimizer *optimizer);

/*
 Gives an optimiser back. NULL is fine.
 */
void numpack_nn_optimizer_free(numpack_nn_optimizer *optimizer);

/*
 Scales the gradients of `count` tensors, all on one device, so that the root of the sum of their
 squares is at most `max_norm`. `norm` takes what it was; for NULL nothing waits for a device.

 Errors: `NUMPACK_PARAMETER` for a negative norm; `NUMPACK_SHARING`; `NUMPACK_OUT_OF_MEMORY`;
 `NUMPACK_DEVICE`. No gradient has changed then.
 */
int32_t numpack_nn_clip_grad_norm(const numpack_nn_tensor *const *params,
                                  size_t count,
                                  double max_norm,
                                  double *norm);

/*
 Cuts each element of the gradients of `count` tensors to between -`value` and `value`.
 Errors: as `numpack_nn_clip_grad_norm`.
 */
int32_t numpack_nn_clip_grad_value(const numpack_nn_tensor *const *params,
                                   size_t count,
                                   double value);

/* == Training steps, recorded once =============================================================== */

/*
 Makes a training step for inputs with the shapes and types of `x` and `y`, without doing it yet: `x` is
 what the module takes, and `loss` compares what it gives with `y`: `NUMPACK_NN_CROSS_ENTROPY`,
 `NUMPACK_NN_MSE`, `NUMPACK_NN_L1` or `NUMPACK_NN_BCE_WITH_LOGITS`, their means. The caller owns the step,
 which keeps the module and the optimiser; the optimiser's learning rates may be set as ever, and the
 next step has them. While the step lives, what else the optimiser is told to do changes the same
 parameters.

 If `x` is on a device, the parameters must be there, in `FLOAT32`, and are moved together in its
 memory. Errors: `NUMPACK_PARAMETER` where they are not; what computing says (`numpack_nn_tensor_unary`).
 */
int32_t numpack_nn_step_create(const numpack_nn_module *module,
                               numpack_nn_optimizer *optimizer,
                               int32_t loss,
                               const numpack_nn_tensor *x,
                               const numpack_nn_tensor *y,
                               numpack_nn_step **step);

/*
 Does the step once more, with these inputs, of any device, which become of the types that it was made
 for. Inputs of other shapes have a step of their own, of which eight are kept. On a device nothing
 waits.

 Errors: what computing says.
 */
int32_t numpack_nn_step_run(numpack_nn_step *step,
                            const numpack_nn_tensor *x,
                            const numpack_nn_tensor *y);

/*
 The loss of the last step, before its update: a tensor without dimensions, where the module is. The
 caller owns it. Errors: `NUMPACK_PARAMETER` before the first step.
 */
int32_t numpack_nn_step_loss(const numpack_nn_step *step, numpack_nn_tensor **loss);

/*
 Gives a step back; parameters stay where they are. NULL is fine.
 */
void numpack_nn_step_free(numpack_nn_step *step);

/* == Modules and losses of one's own ============================================================= */

/*
 A module whose forward is the caller's function. Its parameters are `count` tensors by these names,
 which differ: the same tensors, so whoever changes one sees it in both. Optimisers, states, files,
 sequences and steps take it as any other; a step records what the function computes.

 The function is called on whichever thread uses the module, by several at once if they do; `release`,
 which may be NULL, once when the module is gone, and not if this fails. The caller owns the module.

 Errors: `NUMPACK_PARAMETER` for names that are equal, and no function.
 */
int32_t numpack_nn_module_custom(const char *const *names,
                                 const numpack_nn_tensor *const *tensors,
                                 size_t count,
                                 numpack_nn_forward_fn forward,
                                 numpack_release_fn release,
                                 void *user,
                                 numpack_nn_module **module);

/*
 `numpack_nn_step_create` with a loss that the caller's function computes of what the module gives and
 `y`. On a device the function is called while the step is recorded, for each new shape of inputs, and not
 when it is done again; it cannot read values then. `release`, which may be NULL, is called once when the
 step is gone, and not if this fails.

 Errors: as `numpack_nn_step_create`; `NUMPACK_CANCELLED`; `NUMPACK_PARAMETER` for no function.
 */
int32_t numpack_nn_step_create_custom(const numpack_nn_module *module,
                                      numpack_nn_optimizer *optimizer,
                                      numpack_nn_loss_fn loss,
                                      numpack_release_fn release,
                                      void *user,
                                      const numpack_nn_tensor *x,
                                      const numpack_nn_tensor *y,
                                      numpack_nn_step **step);

/* == What optimisers keep, and their settings ==================================================== */

/*
 What an optimiser keeps, copied, by names such as `0.exp_avg`: the number of the parameter, over all
 groups, and PyTorch's name of the entry: `step`, `exp_avg`, `exp_avg_sq`, `max_exp_avg_sq` of Adam,
 `momentum_buffer` of SGD. Parameters that took no step have none. The caller owns the state.
 Errors: `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`.
 */
int32_t numpack_nn_optimizer_state(const numpack_nn_optimizer *optimizer,
                                   numpack_nn_state **state);

/*
 Has an optimiser keep these `count` tensors, as `numpack_nn_optimizer_state` gives them, and nothing else.
 They are copied to where the parameters are. Not for one whose steps are recorded on a device.

 Errors: `NUMPACK_PARAMETER` for names that are not such, or of other optimisers, and shapes that are not
 the parameters'; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`. Nothing is changed then.
 */
int32_t numpack_nn_optimizer_load_state(numpack_nn_optimizer *optimizer,
                                        const char *const *names,
                                        const numpack_nn_tensor *const *tensors,
                                        size_t count);

/*
 How many groups of parameters there are; 0 for NULL.
 */
size_t numpack_nn_optimizer_group_count(const numpack_nn_optimizer *optimizer);

/*
 A setting of a group, counted from 0, as a number: of SGD `lr`, `momentum`, `dampening`, `weight_decay` and
 `nesterov`, of Adam `lr`, `beta1`, `beta2`, `eps`, `weight_decay`, `amsgrad` and `decoupled`; those that
 are yes or no are 1 or 0. Errors: `NUMPACK_PARAMETER` for a group or name that is not there.
 */
int32_t numpack_nn_optimizer_get_setting(const numpack_nn_optimizer *optimizer,
                                         size_t group,
                                         const char *name,
                                         double *value);

/*
 Sets one for the steps to come; a step that is recorded on a device takes no other than `lr`.

 Errors: `NUMPACK_PARAMETER` for a group or name that is not there, a learning rate below 0, and another
 number than 0 and 1 where it is yes or no; other numbers that cannot be are found wrong by the next step.
 */
int32_t numpack_nn_optimizer_set_setting(numpack_nn_optimizer *optimizer,
                                         size_t group,
                                         const char *name,
                                         double value);

/*
 Writes the states of a module and its optimiser as `{"model": …, "optimizer": …}`, a `.pt` file that torch
 loads, and whose parts its `load_state_dict` takes. If `overwrite` is not 0, what is there is replaced,
 whole or not at all. `numpack_nn_module_load` reads the first part, `numpack_nn_optimizer_load` the second.

 Errors: `NUMPACK_EXISTS`; `NUMPACK_IO`; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`.
 */
int32_t numpack_nn_save_training(const char *path,
                                 const numpack_nn_module *module,
                                 const numpack_nn_optimizer *optimizer,
                                 int32_t overwrite);

/*
 Reads what an optimiser kept, as `numpack_nn_save_training` or torch wrote it, from below `key`, such as
 `optimizer`, or as the whole file for NULL. Settings stay as they are. Not for an optimiser whose steps
 are recorded on a device.

 Errors: those of `numpack_checkpoint_open`, and `NUMPACK_PARAMETER` for a key that is not there, or what
 is no state of such an optimiser. Nothing is changed then.
 */
int32_t numpack_nn_optimizer_load(numpack_nn_optimizer *optimizer,
                                  const char *path,
                                  const char *key);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/* == Structs at hand ============================================================================= */

/* Every row. */
static inline numpack_rows numpack_rows_all(void) {
    numpack_rows rows;
    rows.struct_size = (uint32_t)sizeof rows;
    rows.kind = NUMPACK_ROWS_ALL;
    rows.start = 0;
    rows.stop = 0;
    rows.step = 0;
    rows.list = NULL;
    rows.mask = NULL;
    rows.count = 0;
    return rows;
}

/* One row; a negative number counts from the end. */
static inline numpack_rows numpack_rows_index(int64_t row) {
    numpack_rows rows = numpack_rows_all();
    rows.kind = NUMPACK_ROWS_INDEX;
    rows.start = row;
    return rows;
}

/* Every `step`-th row from `start` to before `stop`, either of which may be NUMPACK_ROWS_END. */
static inline numpack_rows numpack_rows_slice(int64_t start, int64_t stop, int64_t step) {
    numpack_rows rows = numpack_rows_all();
    rows.kind = NUMPACK_ROWS_SLICE;
    rows.start = start;
    rows.stop = stop;
    rows.step = step;
    return rows;
}

/* `count` rows, which are borrowed. */
static inline numpack_rows numpack_rows_list(const int64_t *list, size_t count) {
    numpack_rows rows = numpack_rows_all();
    rows.kind = NUMPACK_ROWS_LIST;
    rows.list = list;
    rows.count = count;
    return rows;
}

/* The rows whose byte, of `count` that are borrowed, is not 0. */
static inline numpack_rows numpack_rows_mask(const uint8_t *mask, size_t count) {
    numpack_rows rows = numpack_rows_all();
    rows.kind = NUMPACK_ROWS_MASK;
    rows.mask = mask;
    rows.count = count;
    return rows;
}

/* An array in C order without gaps, whose shape and `nbytes` bytes of data are borrowed. */
static inline numpack_view numpack_view_of(int32_t dtype, uint32_t ndim, const uint64_t *shape,
                                           const void *data, size_t nbytes) {
    numpack_view view;
    view.struct_size = (uint32_t)sizeof view;
    view.dtype = dtype;
    view.ndim = ndim;
    view.reserved = 0;
    view.shape = shape;
    view.strides = NULL;
    view.data = data;
    view.nbytes = nbytes;
    view.offset = 0;
    return view;
}

/* A truth value. */
static inline numpack_scalar numpack_scalar_bool(int value) {
    numpack_scalar scalar;
    scalar.struct_size = (uint32_t)sizeof scalar;
    scalar.kind = NUMPACK_SCALAR_BOOL;
    scalar.integer = value != 0;
    scalar.real = 0;
    scalar.imaginary = 0;
    return scalar;
}

/* An integer. */
static inline numpack_scalar numpack_scalar_int(int64_t value) {
    numpack_scalar scalar = numpack_scalar_bool(0);
    scalar.kind = NUMPACK_SCALAR_INT;
    scalar.integer = value;
    return scalar;
}

/* An integer that may be beyond INT64_MAX. */
static inline numpack_scalar numpack_scalar_uint(uint64_t value) {
    numpack_scalar scalar = numpack_scalar_bool(0);
    scalar.kind = NUMPACK_SCALAR_UINT;
    scalar.integer = (int64_t)value;
    return scalar;
}

/* A float. */
static inline numpack_scalar numpack_scalar_float(double value) {
    numpack_scalar scalar = numpack_scalar_bool(0);
    scalar.kind = NUMPACK_SCALAR_FLOAT;
    scalar.real = value;
    return scalar;
}

/* A complex number. */
static inline numpack_scalar numpack_scalar_complex(double real, double imaginary) {
    numpack_scalar scalar = numpack_scalar_float(real);
    scalar.kind = NUMPACK_SCALAR_COMPLEX;
    scalar.imaginary = imaginary;
    return scalar;
}

#endif /* NUMPACK_H */

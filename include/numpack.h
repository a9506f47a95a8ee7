/* libnumpack: tensors in files, without PyTorch or Python.
 *
 * - A function returns a status. NUMPACK_OK is 0; after any other, numpack_last_error has a
 *   message for this thread.
 * - Inputs come first, then outputs. An output is written only on success; a NULL output is
 *   skipped.
 * - Paths and names are UTF-8 and end in NUL. NULL where something is required is
 *   NUMPACK_PARAMETER, not a crash.
 * - Option structs begin with struct_size, set to their sizeof; all else may be zero and then has
 *   its default. A NULL options pointer means all defaults.
 * - Callbacks take `void *user` last and are called on the calling thread.
 * - Every function may be called from any thread, also at the same time. Nothing a caller hands in
 *   is kept after the call.
 *
 * This file is generated from the Rust sources by `cargo xtask header`. */

#ifndef NUMPACK_H
#define NUMPACK_H

#include <stddef.h>
#include <stdint.h>

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
 An argument cannot be: NULL, not UTF-8, an unknown constant, a name that is not there.
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
 The version of the interface. A library with another number is not compatible.
 */
#define NUMPACK_ABI_VERSION 1

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

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Converts a `.pt` file to a NumPack store, streaming; nothing in the file is executed.

 Tensors are named by their dotted paths (`model.encoder.weight`), a bare tensor by the file's
 stem; all else of the object is kept beside them. The change is one commit: on failure,
 cancellation or a crash the output is as it was before.

 `input` and `output` are paths. `options` may be NULL. `tensors` and `bytes`, both may be
 NULL, take the number of arrays written and their bytes.

 # Safety
 Each pointer is NULL or valid as the conventions say: text ends in NUL, `options` points to
 `struct_size` bytes, outputs are writable. Callbacks must not unwind or jump out.
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

 # Safety
 As for `numpack_from_torch_file`; `array_names` points to `array_count` texts.
 */
int32_t numpack_to_torch_file(const char *input,
                              const char *output,
                              const numpack_to_torch_options *options,
                              uint64_t *tensors,
                              uint64_t *bytes);

/*
 Copies the message of the last call on this thread that returned a status: why it failed, or
 nothing after a success.

 Writes at most `size` bytes to `buffer`, the last of them NUL, and returns the length of the
 whole message without its NUL. With `buffer` NULL or `size` 0 it only returns the length.

 # Safety
 `buffer` is NULL or points to `size` writable bytes.
 */
size_t numpack_last_error(char *buffer, size_t size);

/*
 The version of the interface that the library at hand has; compare it with
 `NUMPACK_ABI_VERSION`.
 */
uint32_t numpack_abi_version(void);

/*
 The version of the library, such as `0.1.0`. The text lives as long as the library.
 */
const char *numpack_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* NUMPACK_H */

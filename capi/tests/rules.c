/* Every rule of the interface that a C program can see. Usage: rules CHECKPOINT FOLDER */
#include "check.h"

#include <errno.h>

static int32_t stop_at_once(uint64_t done, uint64_t total, void *user) {
    (void)done;
    (void)total;
    ++*(int *)user;
    return 1;
}

static int32_t go_on(uint64_t done, uint64_t total, void *user) {
    uint64_t *last = user;
    CHECK(done <= total);
    CHECK(done >= *last);
    *last = done;
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    const char *checkpoint = argv[1];
    char store[1024], metadata[1100], back[1024], text[512];
    join(store, sizeof store, argv[2], "rules.npk");
    join(metadata, sizeof metadata, store, "metadata.npkm");
    join(back, sizeof back, argv[2], "rules.pt");

    CHECK(numpack_abi_version() == NUMPACK_ABI_VERSION);
    CHECK(strlen(numpack_version()) >= 5);

    /* NULL where something is required. */
    CHECK(numpack_from_torch_file(NULL, store, NULL, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_from_torch_file(checkpoint, NULL, NULL, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_to_torch_file(NULL, NULL, NULL, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(!exists(metadata));

    /* The message: whole, cut, measured. */
    size_t length = numpack_last_error(NULL, 0);
    CHECK(length > 5);
    CHECK(numpack_last_error(text, sizeof text) == length && strlen(text) == length);
    CHECK(numpack_last_error(text, 4) == length && strlen(text) == 3);

    /* Wrong constants, sizes and text. */
    numpack_from_torch_options options;
    memset(&options, 0, sizeof options);
    const uint32_t bad_sizes[] = {0, 4, sizeof options - 1, 1u << 20};
    for (size_t i = 0; i < sizeof bad_sizes / sizeof *bad_sizes; i++) {
        options.struct_size = bad_sizes[i];
        CHECK(numpack_from_torch_file(checkpoint, store, &options, NULL, NULL) ==
              NUMPACK_PARAMETER);
    }
    options.struct_size = sizeof options;
    options.existing = 77;
    CHECK(numpack_from_torch_file(checkpoint, store, &options, NULL, NULL) == NUMPACK_PARAMETER);
    options.existing = 0;
    options.crc = -1;
    CHECK(numpack_from_torch_file(checkpoint, store, &options, NULL, NULL) == NUMPACK_PARAMETER);
    options.crc = 0;
    options.reserved = 1;
    CHECK(numpack_from_torch_file(checkpoint, store, &options, NULL, NULL) == NUMPACK_PARAMETER);
    options.reserved = 0;
    CHECK(numpack_from_torch_file("\xff\xfe", store, &options, NULL, NULL) == NUMPACK_PARAMETER);
    options.key = "no.such.key";
    CHECK(numpack_from_torch_file(checkpoint, store, &options, NULL, NULL) == NUMPACK_PARAMETER);
    options.key = NULL;
    CHECK(numpack_from_torch_file("/no/such/file.pt", store, NULL, NULL, NULL) == NUMPACK_IO);
    CHECK(!exists(metadata));

    /* What the system said is there too, of this thread's last call. */
    CHECK(numpack_last_os_error() == ENOENT);
    CHECK(numpack_from_torch_file("\xff", store, NULL, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_last_os_error() == 0);
    join(text, sizeof text, checkpoint, "below");
    CHECK(numpack_from_torch_file(text, store, NULL, NULL, NULL) == NUMPACK_IO);
    CHECK(numpack_last_os_error() == ENOTDIR);
    numpack_store *opened = NULL;
    CHECK(numpack_store_open(store, NULL, &opened) == NUMPACK_NOT_A_STORE);
    CHECK(numpack_last_os_error() == ENOENT);
    CHECK(numpack_store_open(checkpoint, NULL, &opened) == NUMPACK_NOT_A_STORE);
    CHECK(numpack_last_os_error() == ENOTDIR);
    CHECK(numpack_store_open(argv[2], NULL, &opened) == NUMPACK_NOT_A_STORE);
    CHECK(numpack_last_os_error() == 0);
    join(text, sizeof text, argv[2], "no/such/folder.pt");
    CHECK(numpack_save_tensors(text, NULL, NULL, 0, NULL) == NUMPACK_IO);
    CHECK(numpack_last_os_error() == ENOENT);

    /* Outputs are untouched by a failure. */
    uint64_t tensors = 12345, bytes = 54321;
    CHECK(numpack_from_torch_file("/no/such/file.pt", store, NULL, &tensors, &bytes) ==
          NUMPACK_IO);
    CHECK(tensors == 12345 && bytes == 54321);

    /* A callback that stops. */
    int calls = 0;
    options.progress = stop_at_once;
    options.user = &calls;
    CHECK(numpack_from_torch_file(checkpoint, store, &options, NULL, NULL) == NUMPACK_CANCELLED);
    CHECK(calls == 1);
    CHECK(!exists(metadata));

    /* The whole way, twice, and what is there already. */
    uint64_t last = 0;
    options.progress = go_on;
    options.user = &last;
    CHECK(numpack_from_torch_file(checkpoint, store, &options, &tensors, &bytes) == NUMPACK_OK);
    CHECK(numpack_last_error(NULL, 0) == 0 && numpack_last_os_error() == 0);
    CHECK(tensors > 10 && bytes > 100000 && last == bytes);
    CHECK(exists(metadata));
    options.progress = NULL;
    options.existing = NUMPACK_EXISTING_REFUSE;
    CHECK(numpack_from_torch_file(checkpoint, store, &options, NULL, NULL) == NUMPACK_EXISTS);
    options.existing = NUMPACK_EXISTING_REPLACE;
    CHECK(numpack_from_torch_file(checkpoint, store, &options, NULL, NULL) == NUMPACK_OK);

    numpack_to_torch_options to;
    memset(&to, 0, sizeof to);
    to.struct_size = sizeof to;
    to.alignment = 3;
    CHECK(numpack_to_torch_file(store, back, &to, NULL, NULL) == NUMPACK_PARAMETER);
    to.alignment = 4096;
    CHECK(numpack_to_torch_file(store, back, &to, &tensors, &bytes) == NUMPACK_OK);
    CHECK(exists(back) && tensors > 10);
    to.existing = NUMPACK_EXISTING_REFUSE;
    CHECK(numpack_to_torch_file(store, back, &to, NULL, NULL) == NUMPACK_EXISTS);
    to.existing = 0;
    const char *names[] = {"no such array"};
    to.array_names = names;
    to.array_count = 1;
    CHECK(numpack_to_torch_file(store, back, &to, NULL, NULL) == NUMPACK_PARAMETER);
    to.array_names = NULL;
    CHECK(numpack_to_torch_file(store, back, &to, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_to_torch_file(checkpoint, back, NULL, NULL, NULL) != NUMPACK_OK);

    /* A store is no checkpoint, and says so. */
    CHECK(numpack_from_torch_file(metadata, store, NULL, NULL, NULL) != NUMPACK_OK);

    return finish();
}

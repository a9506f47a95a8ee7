/* Reading arrays, maps, packages, verification. */
#include "check.h"

static const uint8_t bytes[] = {0, 1, 10, 11, 20, 21, 30, 31};

static void arrays(const numpack_store *store) {
    uint8_t out[8];
    numpack_array *array = NULL;
    numpack_array_info info;
    info.struct_size = sizeof info;
    CHECK(numpack_array_open(store, "none", &array) == NUMPACK_NOT_FOUND && array == NULL);
    CHECK(numpack_array_open(store, NULL, &array) == NUMPACK_PARAMETER);
    CHECK(numpack_array_open(store, "a", NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_array_open(NULL, "a", &array) == NUMPACK_PARAMETER);
    CHECK(numpack_array_open(store, "a", &array) == NUMPACK_OK);
    CHECK(numpack_array_get_info(array, &info) == NUMPACK_OK && info.nbytes == 8);
    CHECK(info.rows == 4 && info.row_size == 2 && strcmp(info.name, "a") == 0);
    CHECK(numpack_array_get_info(array, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_array_get_info(NULL, &info) == NUMPACK_PARAMETER);

    CHECK(numpack_array_read(array, out, 8) == NUMPACK_OK && memcmp(out, bytes, 8) == 0);
    CHECK(numpack_array_read(array, out, 7) == NUMPACK_PARAMETER);
    CHECK(numpack_array_read(array, NULL, 8) == NUMPACK_PARAMETER);
    CHECK(numpack_array_read(NULL, out, 8) == NUMPACK_PARAMETER);
    CHECK(numpack_array_read_rows(array, 1, 2, out, 4) == NUMPACK_OK);
    CHECK(memcmp(out, bytes + 2, 4) == 0);
    CHECK(numpack_array_read_rows(array, 4, 0, NULL, 0) == NUMPACK_OK);
    CHECK(numpack_array_read_rows(array, 3, 2, out, 4) == NUMPACK_PARAMETER);
    CHECK(numpack_array_read_rows(array, 1, 2, out, 5) == NUMPACK_PARAMETER);
    CHECK(numpack_array_read_rows(array, 1, UINT64_MAX, out, 8) == NUMPACK_PARAMETER);
    CHECK(numpack_array_read_rows(NULL, 0, 1, out, 2) == NUMPACK_PARAMETER);
    CHECK(numpack_array_read_bytes(array, 3, out, 5) == NUMPACK_OK);
    CHECK(memcmp(out, bytes + 3, 5) == 0);
    CHECK(numpack_array_read_bytes(array, 4, out, 5) == NUMPACK_PARAMETER);
    CHECK(numpack_array_read_bytes(NULL, 0, out, 5) == NUMPACK_PARAMETER);

    const int64_t list[] = {-1, 0, -1, 2}, bad[] = {4};
    const uint8_t mask[] = {0, 1, 1, 0};
    numpack_rows rows = numpack_rows_list(list, 4);
    CHECK(numpack_array_gather(array, &rows, out, 8) == NUMPACK_OK);
    CHECK(memcmp(out, "\36\37\0\1\36\37\24\25", 8) == 0);
    rows = numpack_rows_mask(mask, 4);
    CHECK(numpack_array_gather(array, &rows, out, 4) == NUMPACK_OK);
    CHECK(memcmp(out, bytes + 2, 4) == 0);
    rows = numpack_rows_slice(-1, NUMPACK_ROWS_END, -3);
    CHECK(numpack_array_gather(array, &rows, out, 4) == NUMPACK_OK);
    CHECK(memcmp(out, "\36\37\0\1", 4) == 0);
    rows = numpack_rows_index(-4);
    CHECK(numpack_array_gather(array, &rows, out, 2) == NUMPACK_OK && memcmp(out, bytes, 2) == 0);
    rows = numpack_rows_all();
    CHECK(numpack_array_gather(array, &rows, out, 8) == NUMPACK_OK && memcmp(out, bytes, 8) == 0);
    CHECK(numpack_array_gather(array, &rows, out, 4) == NUMPACK_PARAMETER);
    CHECK(numpack_array_gather(array, NULL, out, 8) == NUMPACK_PARAMETER);
    CHECK(numpack_array_gather(NULL, &rows, out, 8) == NUMPACK_PARAMETER);
    rows = numpack_rows_list(bad, 1);
    CHECK(numpack_array_gather(array, &rows, out, 2) == NUMPACK_PARAMETER);

    numpack_array *again = numpack_array_retain(array);
    numpack_array_free(array);
    CHECK(numpack_array_read(again, out, 8) == NUMPACK_OK);
    numpack_array_free(again);
    numpack_array_free(NULL);
    CHECK(numpack_array_retain(NULL) == NULL);
}

static void maps(const numpack_store *store) {
    const void *data = NULL, *second = NULL;
    size_t size = 0;
    uint8_t out[6];
    numpack_array *array = NULL, *empty = NULL;
    numpack_mapped_rows *mapped = NULL;
    CHECK(numpack_array_open(store, "a", &array) == NUMPACK_OK);
    CHECK(numpack_array_map(NULL, &data, &size) == NUMPACK_PARAMETER);
    CHECK(numpack_array_map(array, &data, &size) == NUMPACK_OK && size == 8);
    CHECK(memcmp(data, bytes, 8) == 0 && (size_t)data % 64 == 0);
    CHECK(numpack_array_map(array, &second, NULL) == NUMPACK_OK && second == data);
    numpack_array_free(array);

    CHECK(save_bytes(store, "empty", NULL, 0, 2) == NUMPACK_OK);
    CHECK(numpack_array_open(store, "empty", &empty) == NUMPACK_OK);
    CHECK(numpack_array_map(empty, &data, &size) == NUMPACK_OK && size == 0 && data == NULL);
    numpack_array_free(empty);

    /* With dropped rows it is not one piece; its rows can be mapped all the same. */
    numpack_rows rows = numpack_rows_index(1);
    CHECK(save_bytes(store, "holes", bytes, 4, 2) == NUMPACK_OK);
    CHECK(numpack_store_drop_rows(store, "holes", &rows, NULL) == NUMPACK_OK);
    CHECK(numpack_array_open(store, "holes", &array) == NUMPACK_OK);
    CHECK(numpack_array_map(array, &data, &size) == NUMPACK_PARAMETER);
    CHECK(numpack_array_map_rows(array, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_array_map_rows(NULL, &mapped) == NUMPACK_PARAMETER && mapped == NULL);
    CHECK(numpack_array_map_rows(array, &mapped) == NUMPACK_OK);
    numpack_array_free(array);
    const int64_t list[] = {-1, 0, 1}, bad[] = {0, 3, 0};
    CHECK(numpack_mapped_rows_gather(mapped, list, 3, out, 6) == NUMPACK_OK);
    CHECK(memcmp(out, "\36\37\0\1\24\25", 6) == 0);
    CHECK(numpack_mapped_rows_gather(mapped, bad, 3, out, 6) == NUMPACK_PARAMETER);
    CHECK(numpack_mapped_rows_gather(mapped, list, 3, out, 5) == NUMPACK_PARAMETER);
    CHECK(numpack_mapped_rows_gather(mapped, NULL, 3, out, 6) == NUMPACK_PARAMETER);
    CHECK(numpack_mapped_rows_gather(mapped, list, 3, NULL, 6) == NUMPACK_PARAMETER);
    CHECK(numpack_mapped_rows_gather(NULL, list, 3, out, 6) == NUMPACK_PARAMETER);
    CHECK(memcmp(out, "\36\37\0\1\24\25", 6) == 0);
    CHECK(numpack_mapped_rows_get(mapped, 1, &data, &size) == NUMPACK_OK && size == 2);
    CHECK(memcmp(data, bytes + 4, 2) == 0);
    CHECK(numpack_mapped_rows_get(mapped, 3, &data, &size) == NUMPACK_PARAMETER);
    CHECK(numpack_mapped_rows_get(NULL, 0, &data, &size) == NUMPACK_PARAMETER);
    numpack_mapped_rows *again = numpack_mapped_rows_retain(mapped);
    numpack_mapped_rows_free(mapped);
    CHECK(memcmp(data, bytes + 4, 2) == 0);
    numpack_mapped_rows_free(again);
    numpack_mapped_rows_free(NULL);
    CHECK(numpack_mapped_rows_retain(NULL) == NULL);
}

static void work_in_place(numpack_store *store) {
    const uint8_t bytes[] = {1, 2, 3, 4};
    numpack_rows_mut *rows = NULL;
    void *data = NULL;
    size_t size = 0;
    CHECK(save_bytes(store, "work", bytes, 2, 2) == NUMPACK_OK);
    CHECK(numpack_store_map_rows_mut(NULL, "work", &rows) == NUMPACK_PARAMETER);
    CHECK(numpack_store_map_rows_mut(store, NULL, &rows) == NUMPACK_PARAMETER);
    CHECK(numpack_store_map_rows_mut(store, "work", NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_store_map_rows_mut(store, "none", &rows) == NUMPACK_NOT_FOUND && rows == NULL);
    CHECK(numpack_store_map_rows_mut(store, "work", &rows) == NUMPACK_OK);
    CHECK(numpack_rows_mut_get(rows, &data, &size) == NUMPACK_OK && size == 4);
    ((uint8_t *)data)[3] = 40;
    CHECK(numpack_rows_mut_flush(rows) == NUMPACK_OK);
    CHECK(holds(store, "work", "\1\2\3\50", 4));
    numpack_rows_mut_free(rows);
    numpack_rows_mut_free(NULL);
    CHECK(numpack_rows_mut_get(NULL, &data, &size) == NUMPACK_PARAMETER);
    CHECK(numpack_rows_mut_flush(NULL) == NUMPACK_PARAMETER);
    numpack_rows row = numpack_rows_index(0);
    CHECK(numpack_store_drop_rows(store, "work", &row, NULL) == NUMPACK_OK);
    CHECK(numpack_store_map_rows_mut(store, "work", &rows) == NUMPACK_PARAMETER);
    CHECK(numpack_store_compact(store, "work", NULL) == NUMPACK_OK);
    CHECK(numpack_store_map_rows_mut(store, "work", &rows) == NUMPACK_OK);
    numpack_rows_mut_free(rows);
    const char *name = "work";
    CHECK(numpack_store_remove_arrays(store, &name, 1) == NUMPACK_OK);
}

static void packages(const char *folder, const char *store_path) {
    char path[1100], copy[1100], inside[1200];
    uint64_t files = 0, size = 0, package_size = 0;
    join(path, sizeof path, folder, "reading.npkg");
    join(copy, sizeof copy, folder, "copy.npk");
    join(inside, sizeof inside, store_path, "inside.npkg");
    CHECK(numpack_pack(NULL, path, NULL, NULL, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_pack(store_path, NULL, NULL, NULL, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_pack(store_path, inside, NULL, NULL, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_pack(copy, path, NULL, NULL, NULL, NULL) == NUMPACK_NOT_A_STORE);
    numpack_pack_options options;
    memset(&options, 0, sizeof options);
    CHECK(numpack_pack(store_path, path, &options, NULL, NULL, NULL) == NUMPACK_PARAMETER);
    options.struct_size = sizeof options;
    options.compression = 2;
    CHECK(numpack_pack(store_path, path, &options, NULL, NULL, NULL) == NUMPACK_PARAMETER);
    options.compression = NUMPACK_COMPRESSION_ZLIB;
    options.reserved = 1;
    CHECK(numpack_pack(store_path, path, &options, NULL, NULL, NULL) == NUMPACK_PARAMETER);
    options.reserved = 0;
    CHECK(!exists(path));
    CHECK(numpack_pack(store_path, path, &options, &files, &size, &package_size) == NUMPACK_OK);
    CHECK(files > 3 && size > 8 && package_size > size / 2 && exists(path));
    CHECK(numpack_pack(store_path, path, &options, NULL, NULL, NULL) == NUMPACK_EXISTS);
    options.overwrite = 1;
    options.compression = NUMPACK_COMPRESSION_NONE;
    CHECK(numpack_pack(store_path, path, &options, NULL, NULL, NULL) == NUMPACK_OK);

    /* As it is. */
    uint8_t out[8];
    numpack_package *package = NULL;
    numpack_list *list = NULL;
    size_t index = 0;
    numpack_array_info info;
    info.struct_size = sizeof info;
    CHECK(numpack_package_open(NULL, &package) == NUMPACK_PARAMETER);
    CHECK(numpack_package_open(path, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_package_open(copy, &package) == NUMPACK_IO);
    join(inside, sizeof inside, store_path, "metadata.npkm");
    CHECK(numpack_package_open(inside, &package) == NUMPACK_FORMAT && package == NULL);
    CHECK(numpack_package_open(path, &package) == NUMPACK_OK);
    CHECK(numpack_package_list(package, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_package_list(NULL, &list) == NUMPACK_PARAMETER);
    CHECK(numpack_package_list(package, &list) == NUMPACK_OK && numpack_list_count(list) == 3);
    CHECK(numpack_list_find(list, "holes", &index) == NUMPACK_OK);
    CHECK(numpack_list_get(list, index, &info) == NUMPACK_OK);
    CHECK(info.rows == 3 && info.stored_rows == 4 && info.nbytes == 6);
    numpack_list_free(list);
    CHECK(numpack_package_read(package, "a", out, 8) == NUMPACK_OK && memcmp(out, bytes, 8) == 0);
    CHECK(numpack_package_read(package, "a", out, 7) == NUMPACK_PARAMETER);
    CHECK(numpack_package_read(package, "none", out, 7) == NUMPACK_NOT_FOUND);
    CHECK(numpack_package_read(package, NULL, out, 8) == NUMPACK_PARAMETER);
    CHECK(numpack_package_read(package, "a", NULL, 8) == NUMPACK_PARAMETER);
    CHECK(numpack_package_read(NULL, "a", out, 8) == NUMPACK_PARAMETER);
    CHECK(numpack_package_read_rows(package, "holes", 1, 2, out, 4) == NUMPACK_OK);
    CHECK(memcmp(out, bytes + 4, 4) == 0);
    CHECK(numpack_package_read_rows(package, "holes", 2, 2, out, 4) == NUMPACK_PARAMETER);
    CHECK(numpack_package_read_rows(package, "none", 0, 1, out, 2) == NUMPACK_NOT_FOUND);
    CHECK(numpack_package_read_rows(NULL, "a", 0, 1, out, 2) == NUMPACK_PARAMETER);
    CHECK(numpack_package_verify(package) == NUMPACK_OK);
    CHECK(numpack_package_verify(NULL) == NUMPACK_PARAMETER);
    numpack_package *again = numpack_package_retain(package);
    numpack_package_free(package);
    CHECK(numpack_package_verify(again) == NUMPACK_OK);
    numpack_package_free(again);
    numpack_package_free(NULL);
    CHECK(numpack_package_retain(NULL) == NULL);

    /* And back. */
    numpack_store *store = NULL;
    CHECK(numpack_unpack(NULL, copy, NULL, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_unpack(path, NULL, NULL, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_unpack(inside, copy, NULL, NULL, NULL) == NUMPACK_FORMAT);
    numpack_unpack_options back;
    memset(&back, 0, sizeof back);
    CHECK(numpack_unpack(path, copy, &back, &files, &size) == NUMPACK_PARAMETER);
    back.struct_size = sizeof back;
    back.no_wait = 1;
    CHECK(numpack_unpack(path, copy, &back, &files, &size) == NUMPACK_OK && files > 3);
    CHECK(numpack_unpack(path, copy, &back, &files, &size) == NUMPACK_EXISTS);
    back.overwrite = 1;
    CHECK(numpack_unpack(path, copy, &back, &files, &size) == NUMPACK_OK);
    CHECK(numpack_unpack(path, folder, &back, &files, &size) == NUMPACK_NOT_A_STORE);
    CHECK(numpack_store_open(copy, NULL, &store) == NUMPACK_OK && holds(store, "a", bytes, 8));
    numpack_store_free(store);

    /* A damaged one: the content of an array, which opening does not read. */
    FILE *file = fopen(path, "r+b");
    unsigned char whole[4096];
    size_t length = fread(whole, 1, sizeof whole, file);
    for (size_t i = 0; i + 8 <= length; i++) {
        if (memcmp(whole + i, bytes, 8) == 0) {
            whole[i] ^= 1;
            break;
        }
    }
    rewind(file);
    CHECK(fwrite(whole, 1, length, file) == length && fclose(file) == 0);
    CHECK(numpack_package_open(path, &package) == NUMPACK_OK);
    CHECK(numpack_package_verify(package) == NUMPACK_FORMAT);
    numpack_package_free(package);
    CHECK(numpack_unpack(path, copy, &back, &files, &size) == NUMPACK_FORMAT);
    CHECK(numpack_store_open(copy, NULL, &store) == NUMPACK_OK && holds(store, "a", bytes, 8));
    numpack_store_free(store);
}

struct seen {
    int faults, notices;
    char array[16];
    int32_t answer;
};

static int32_t see(int32_t kind, int32_t is_notice, const char *file, const char *array,
                   const char *message, void *user) {
    struct seen *seen = user;
    CHECK(strlen(message) > 10 && strstr(message, file));
    CHECK(kind == (is_notice ? NUMPACK_FAULT_SURPLUS : NUMPACK_FAULT_DATA));
    if (is_notice) {
        seen->notices++;
    } else {
        seen->faults++;
        snprintf(seen->array, sizeof seen->array, "%s", array);
    }
    return seen->answer;
}

static void verification(const char *folder, const char *path) {
    char data[1200], text[512];
    uint64_t faults = 9, notices = 9;
    struct seen seen = {0, 0, "", 0};
    CHECK(numpack_store_verify(NULL, NULL, NULL, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_store_verify("/no/such/store", NULL, NULL, &faults, NULL) ==
          NUMPACK_NOT_A_STORE);
    CHECK(numpack_store_verify(folder, see, &seen, &faults, NULL) == NUMPACK_NOT_A_STORE);
    CHECK(faults == 9 && seen.faults == 0);
    CHECK(numpack_store_verify(path, see, &seen, &faults, &notices) == NUMPACK_OK);
    CHECK(faults == 0 && notices == 0 && seen.faults + seen.notices == 0);

    join(data, sizeof data, path, "data_a.npkd");
    FILE *file = fopen(data, "ab");
    CHECK(file && fwrite("more", 1, 4, file) == 4 && fclose(file) == 0);
    CHECK(numpack_store_verify(path, see, &seen, &faults, &notices) == NUMPACK_OK);
    CHECK(faults == 0 && notices == 1 && seen.faults == 0 && seen.notices == 1);

    file = fopen(data, "wb");
    CHECK(file && fwrite("short", 1, 5, file) == 5 && fclose(file) == 0);
    CHECK(numpack_store_verify(path, see, &seen, &faults, &notices) == NUMPACK_FORMAT);
    CHECK(numpack_last_error(text, sizeof text) > 0 && strstr(text, "data_a.npkd"));
    CHECK(faults == 1 && notices == 0 && seen.faults == 1 && strcmp(seen.array, "a") == 0);
    seen.answer = 1;
    CHECK(numpack_store_verify(path, see, &seen, &faults, &notices) == NUMPACK_CANCELLED);
    CHECK(numpack_store_verify(path, NULL, NULL, NULL, NULL) == NUMPACK_FORMAT);

    /* What is damaged is refused. */
    numpack_store *store = NULL;
    numpack_array *array = NULL;
    CHECK(numpack_store_open(path, NULL, &store) == NUMPACK_OK);
    CHECK(numpack_array_open(store, "a", &array) == NUMPACK_FORMAT && array == NULL);
    numpack_store_free(store);
}

/* What a checkpoint's arrays stand for. */
static void logical_types(const char *checkpoint, const char *folder) {
    char path[1100];
    join(path, sizeof path, folder, "checkpoint.npk");
    numpack_store *store = NULL;
    numpack_list *list = NULL;
    numpack_array_info info;
    info.struct_size = sizeof info;
    int halves = 0, scalars = 0;
    CHECK(numpack_from_torch_file(checkpoint, path, NULL, NULL, NULL) == NUMPACK_OK);
    CHECK(numpack_store_open(path, NULL, &store) == NUMPACK_OK);
    CHECK(numpack_store_list(store, &list) == NUMPACK_OK && numpack_list_count(list) > 10);
    for (size_t i = 0; i < numpack_list_count(list); i++) {
        size_t found = 0;
        CHECK(numpack_list_get(list, i, &info) == NUMPACK_OK);
        CHECK(strlen(info.name) == info.name_length);
        CHECK(numpack_list_find(list, info.name, &found) == NUMPACK_OK && found == i);
        CHECK(info.nbytes == info.rows * info.row_size);
        halves += info.logical_dtype && strcmp(info.logical_dtype, "bfloat16") == 0;
        scalars += info.ndim == 0;
    }
    CHECK(halves > 0 && scalars > 0);
    numpack_list_free(list);
    numpack_store_free(store);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    char path[1024];
    join(path, sizeof path, argv[2], "reading.npk");
    numpack_store *store = NULL;
    CHECK(numpack_store_create(path, NULL, &store) == NUMPACK_OK);
    CHECK(save_bytes(store, "a", bytes, 4, 2) == NUMPACK_OK);
    arrays(store);
    maps(store);
    work_in_place(store);
    numpack_store_free(store);
    packages(argv[2], path);
    verification(argv[2], path);
    logical_types(argv[1], argv[2]);
    return finish();
}

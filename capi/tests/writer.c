/* Many changes in one commit: made, given up, and for new stores. */
#include "check.h"

static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8};
static const uint64_t two[] = {2, 1};

static int32_t save(numpack_writer *writer, const char *name, uint64_t rows) {
    const uint64_t shape[] = {rows, 1};
    numpack_view view = numpack_view_of(NUMPACK_DTYPE_UINT8, 2, shape, bytes, (size_t)rows);
    return numpack_writer_save(writer, &name, &view, 1);
}

static int32_t append(numpack_writer *writer, const char *name, uint64_t rows) {
    const uint64_t shape[] = {rows, 1};
    numpack_view view = numpack_view_of(NUMPACK_DTYPE_UINT8, 2, shape, bytes, (size_t)rows);
    return numpack_writer_append(writer, &name, &view, 1);
}

static void commit_and_give_up(const numpack_store *store) {
    const char *names[] = {"a", "b"}, *gone = "gone";
    numpack_writer *writer = NULL, *second = NULL;
    numpack_view view = numpack_view_of(NUMPACK_DTYPE_UINT8, 2, two, bytes + 6, 2);
    numpack_rows rows = numpack_rows_slice(0, 2, 1);
    uint64_t n = 0;
    CHECK(numpack_store_begin(NULL, NULL, &writer) == NUMPACK_PARAMETER);
    CHECK(numpack_store_begin(store, NULL, NULL) == NUMPACK_PARAMETER);

    CHECK(numpack_store_begin(store, NULL, &writer) == NUMPACK_OK);
    CHECK(save(writer, "a", 3) == NUMPACK_OK && save(writer, "gone", 2) == NUMPACK_OK);
    CHECK(append(writer, "a", 2) == NUMPACK_OK);
    CHECK(numpack_writer_replace_rows(writer, "a", &rows, &view) == NUMPACK_OK);
    CHECK(numpack_writer_clone_array(writer, "a", "copy") == NUMPACK_OK);
    CHECK(numpack_writer_rename_array(writer, "copy", "b") == NUMPACK_OK);
    CHECK(numpack_writer_drop_rows(writer, "b", &rows, &n) == NUMPACK_OK && n == 2);
    CHECK(numpack_writer_compact(writer, "b", &n) == NUMPACK_OK);
    CHECK(numpack_writer_compact(writer, NULL, &n) == NUMPACK_OK);
    CHECK(numpack_writer_remove_arrays(writer, &gone, 1) == NUMPACK_OK);

    /* Errors, after which it may be used on. */
    CHECK(append(writer, "none", 1) == NUMPACK_NOT_FOUND);
    CHECK(numpack_writer_replace_rows(writer, "a", &rows, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_replace_rows(writer, "a", NULL, &view) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_drop_rows(writer, "none", &rows, &n) == NUMPACK_NOT_FOUND);
    CHECK(numpack_writer_remove_arrays(writer, &gone, 1) == NUMPACK_NOT_FOUND);
    CHECK(numpack_writer_rename_array(writer, "a", "b") == NUMPACK_PARAMETER);
    CHECK(numpack_writer_clone_array(writer, "a", "b") == NUMPACK_PARAMETER);
    CHECK(numpack_writer_compact(writer, "none", &n) == NUMPACK_NOT_FOUND);
    CHECK(numpack_writer_save(writer, NULL, &view, 1) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_append(writer, names, NULL, 1) == NUMPACK_PARAMETER);

    /* What it will be, and what it is as yet. */
    const uint8_t expected[] = {7, 8, 3, 1, 2};
    uint8_t now[5];
    numpack_array *array = NULL;
    CHECK(numpack_writer_array(writer, "none", &array) == NUMPACK_NOT_FOUND);
    CHECK(numpack_writer_array(writer, "a", NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_array(NULL, "a", &array) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_array(writer, NULL, &array) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_array(writer, "a", &array) == NUMPACK_OK);
    CHECK(numpack_array_read(array, now, 5) == NUMPACK_OK && memcmp(now, expected, 5) == 0);
    numpack_array_free(array);
    CHECK(numpack_array_open(store, "a", &array) == NUMPACK_NOT_FOUND);

    /* One writer at a time. */
    numpack_store_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.no_wait = 1;
    CHECK(numpack_store_begin(store, &options, &second) == NUMPACK_LOCKED && second == NULL);
    options.struct_size = 3;
    CHECK(numpack_store_begin(store, &options, &second) == NUMPACK_PARAMETER);

    CHECK(numpack_writer_commit(writer, NULL, NULL) == NUMPACK_OK);
    CHECK(holds(store, "a", expected, 5) && holds(store, "b", expected + 2, 3));

    /* Given up, nothing has been. */
    CHECK(numpack_store_begin(store, NULL, &writer) == NUMPACK_OK);
    CHECK(numpack_writer_reset(writer) == NUMPACK_OK && save(writer, "c", 1) == NUMPACK_OK);
    numpack_writer_free(writer);
    CHECK(holds(store, "a", expected, 5) && holds(store, "b", expected + 2, 3));
    CHECK(!holds(store, "c", bytes, 1));

    /* In place: seen at once, and not taken back. */
    options.struct_size = sizeof options;
    options.in_place = 1;
    CHECK(numpack_store_begin(store, &options, &writer) == NUMPACK_OK);
    rows = numpack_rows_list(NULL, 0);
    view.nbytes = 0;
    const uint64_t none[] = {0, 1};
    view.shape = none;
    CHECK(numpack_writer_replace_rows(writer, "a", &rows, &view) == NUMPACK_OK);
    rows = numpack_rows_index(0);
    const uint64_t one[] = {1, 1};
    view = numpack_view_of(NUMPACK_DTYPE_UINT8, 2, one, bytes, 1);
    CHECK(numpack_writer_replace_rows(writer, "a", &rows, &view) == NUMPACK_OK);
    numpack_writer_free(writer);
    CHECK(holds(store, "a", "\1\10\3\1\2", 5));

    CHECK(numpack_writer_commit(NULL, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(save(NULL, "a", 1) == NUMPACK_PARAMETER && append(NULL, "a", 1) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_replace_rows(NULL, "a", &rows, &view) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_drop_rows(NULL, "a", &rows, &n) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_remove_arrays(NULL, names, 2) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_rename_array(NULL, "a", "c") == NUMPACK_PARAMETER);
    CHECK(numpack_writer_clone_array(NULL, "a", "c") == NUMPACK_PARAMETER);
    CHECK(numpack_writer_compact(NULL, NULL, &n) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_reset(NULL) == NUMPACK_PARAMETER);
    numpack_writer_free(NULL);
}

static void count_warning(const char *message, void *user) {
    CHECK(strlen(message) > 0);
    ++*(int *)user;
}

static void new_stores(const char *folder, const char *path) {
    char fresh[1100], stray[1200];
    numpack_writer *writer = NULL;
    numpack_store *store = NULL;
    join(fresh, sizeof fresh, folder, "fresh.npk");
    CHECK(numpack_writer_create(path, NULL, &writer) == NUMPACK_EXISTS);
    CHECK(numpack_writer_create(NULL, NULL, &writer) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_create(fresh, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_replace(folder, NULL, &writer) == NUMPACK_NOT_A_STORE);
    CHECK(numpack_writer_replace(NULL, NULL, &writer) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_replace(fresh, NULL, NULL) == NUMPACK_PARAMETER);

    CHECK(numpack_writer_create(fresh, NULL, &writer) == NUMPACK_OK);
    CHECK(save(writer, "x", 3) == NUMPACK_OK && !exists(fresh));
    numpack_writer_free(writer);
    CHECK(!exists(fresh));
    CHECK(numpack_writer_create(fresh, NULL, &writer) == NUMPACK_OK);
    /* An array of any size, in pieces. */
    CHECK(save(writer, "x", 0) == NUMPACK_OK);
    CHECK(append(writer, "x", 4) == NUMPACK_OK && append(writer, "x", 2) == NUMPACK_OK);
    CHECK(numpack_writer_commit(writer, NULL, NULL) == NUMPACK_OK);
    CHECK(numpack_store_open(fresh, NULL, &store) == NUMPACK_OK);
    CHECK(holds(store, "x", "\1\2\3\4\1\2", 6));

    /* What is none of a store's is told of. */
    join(stray, sizeof stray, fresh, "stray.txt");
    FILE *file = fopen(stray, "wb");
    CHECK(file && fclose(file) == 0);
    int warnings = 0;
    CHECK(numpack_writer_replace(fresh, NULL, &writer) == NUMPACK_OK);
    CHECK(save(writer, "y", 3) == NUMPACK_OK && holds(store, "x", bytes, 0) == 0);
    CHECK(numpack_writer_commit(writer, count_warning, &warnings) == NUMPACK_OK);
    CHECK(warnings == 1);
    CHECK(holds(store, "y", bytes, 3) && !holds(store, "x", "\1\2\3\4\1\2", 6));
    numpack_store_free(store);
}

/* Another store has taken the place of the one that is changed. */
static void changed(const char *folder, const char *path) {
    char moved[1100], other[1100];
    numpack_store *store = NULL;
    numpack_writer *writer = NULL;
    join(moved, sizeof moved, folder, "moved.npk");
    join(other, sizeof other, folder, "fresh.npk");
    CHECK(numpack_store_open(path, NULL, &store) == NUMPACK_OK);
    CHECK(numpack_store_begin(store, NULL, &writer) == NUMPACK_OK);
    CHECK(save(writer, "late", 1) == NUMPACK_OK);
    CHECK(rename(path, moved) == 0 && rename(other, path) == 0);
    CHECK(numpack_writer_commit(writer, NULL, NULL) == NUMPACK_CHANGED);
    CHECK(!holds(store, "late", bytes, 1) && holds(store, "y", bytes, 3));
    numpack_store_free(store);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    char path[1024];
    join(path, sizeof path, argv[2], "writer.npk");
    numpack_store *store = NULL;
    CHECK(numpack_store_create(path, NULL, &store) == NUMPACK_OK);
    commit_and_give_up(store);
    numpack_store_free(store);
    new_stores(argv[2], path);
    changed(argv[2], path);
    return finish();
}

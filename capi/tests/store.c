/* Stores: opening, and every change that is durable on return. */
#include "check.h"

static void opening(const char *folder, const char *path) {
    char other[1100], text[512];
    numpack_store *store = NULL, *again = NULL;
    CHECK(numpack_store_open(path, NULL, &store) == NUMPACK_NOT_A_STORE);
    CHECK(numpack_store_open(folder, NULL, &store) == NUMPACK_NOT_A_STORE);
    CHECK(numpack_store_open(NULL, NULL, &store) == NUMPACK_PARAMETER);
    CHECK(numpack_store_open("\xff", NULL, &store) == NUMPACK_PARAMETER);
    CHECK(numpack_store_create(path, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_last_error(text, sizeof text) > 0 && strstr(text, "store"));
    CHECK(numpack_store_open_or_create(NULL, NULL, &store) == NUMPACK_PARAMETER);

    numpack_store_options options;
    memset(&options, 0, sizeof options);
    CHECK(numpack_store_create(path, &options, &store) == NUMPACK_PARAMETER);
    options.struct_size = sizeof options;
    options.reserved = 1;
    CHECK(numpack_store_create(path, &options, &store) == NUMPACK_PARAMETER);
    options.reserved = 0;
    CHECK(store == NULL && numpack_store_open(path, NULL, &store) == NUMPACK_NOT_A_STORE);

    CHECK(numpack_store_create(path, &options, &store) == NUMPACK_OK);
    CHECK(strcmp(numpack_store_get_path(store), path) == 0);
    CHECK(numpack_store_create(path, NULL, &again) == NUMPACK_EXISTS && again == NULL);
    CHECK(numpack_store_open(path, &options, &again) == NUMPACK_OK);
    numpack_store_free(again);
    CHECK(numpack_store_open_or_create(path, NULL, &again) == NUMPACK_OK);
    numpack_store_free(again);
    join(other, sizeof other, folder, "other.npk");
    CHECK(numpack_store_open_or_create(other, NULL, &again) == NUMPACK_OK);
    numpack_store_free(again);

    /* Two owners, and none. */
    again = numpack_store_retain(store);
    CHECK(again == store);
    numpack_store_free(store);
    CHECK(strcmp(numpack_store_get_path(again), path) == 0);
    numpack_store_free(again);
    numpack_store_free(NULL);
    CHECK(numpack_store_retain(NULL) == NULL && numpack_store_get_path(NULL) == NULL);
}

static void saving(const numpack_store *store) {
    const float numbers[] = {1, 2, 3, 4, 5, 6};
    const float turned[] = {1, 4, 2, 5, 3, 6}, backwards[] = {6, 5, 4, 3, 2, 1}, fours[] = {4, 4};
    const uint64_t shape[] = {2, 3}, turned_shape[] = {3, 2}, six[] = {6}, two[] = {2};
    const int64_t turned_strides[] = {4, 12}, back[] = {-4}, still[] = {0};
    const char *names[] = {"plain", "turned", "backwards", "scalar", "tail", "fours"};
    numpack_view views[6];
    views[0] = numpack_view_of(NUMPACK_DTYPE_FLOAT32, 2, shape, numbers, sizeof numbers);
    views[1] = numpack_view_of(NUMPACK_DTYPE_FLOAT32, 2, turned_shape, numbers, sizeof numbers);
    views[1].strides = turned_strides;
    views[2] = numpack_view_of(NUMPACK_DTYPE_FLOAT32, 1, six, numbers, sizeof numbers);
    views[2].strides = back;
    views[2].offset = 20;
    views[3] = numpack_view_of(NUMPACK_DTYPE_FLOAT32, 0, NULL, numbers, 4);
    views[4] = numpack_view_of(NUMPACK_DTYPE_FLOAT32, 1, two, numbers, sizeof numbers);
    views[4].offset = 16;
    views[5] = numpack_view_of(NUMPACK_DTYPE_FLOAT32, 1, two, numbers, sizeof numbers);
    views[5].strides = still;
    views[5].offset = 12;
    CHECK(numpack_store_save(store, names, views, 6) == NUMPACK_OK);
    CHECK(holds(store, "plain", numbers, 24) && holds(store, "turned", turned, 24));
    CHECK(holds(store, "backwards", backwards, 24) && holds(store, "scalar", numbers, 4));
    CHECK(holds(store, "tail", numbers + 4, 8) && holds(store, "fours", fours, 8));
    CHECK(numpack_store_save(store, NULL, NULL, 0) == NUMPACK_OK);

    /* What cannot be, and leaves all as it is. */
    numpack_view bad[2];
    bad[0] = views[5];
    const char *both[] = {"plain", "next"};
    bad[1] = views[0];
    bad[1].dtype = 14;
    CHECK(numpack_store_save(store, both, bad, 2) == NUMPACK_PARAMETER);
    bad[1].dtype = -1;
    CHECK(numpack_store_save(store, both, bad, 2) == NUMPACK_PARAMETER);
    bad[1].dtype = NUMPACK_DTYPE_BFLOAT16;
    CHECK(numpack_store_save(store, both, bad, 2) == NUMPACK_TYPE);
    bad[1] = views[0];
    bad[1].nbytes--;
    CHECK(numpack_store_save(store, both, bad, 2) == NUMPACK_PARAMETER);
    bad[1] = views[0];
    bad[1].offset = 25;
    CHECK(numpack_store_save(store, both, bad, 2) == NUMPACK_PARAMETER);
    bad[1] = views[1];
    bad[1].offset = 4;
    CHECK(numpack_store_save(store, both, bad, 2) == NUMPACK_PARAMETER);
    bad[1] = views[0];
    bad[1].data = NULL;
    CHECK(numpack_store_save(store, both, bad, 2) == NUMPACK_PARAMETER);
    bad[1] = views[0];
    bad[1].shape = NULL;
    CHECK(numpack_store_save(store, both, bad, 2) == NUMPACK_PARAMETER);
    bad[1] = views[0];
    bad[1].shape = (const uint64_t *)(const void *)((const char *)shape + 1);
    CHECK(numpack_store_save(store, both, bad, 2) == NUMPACK_PARAMETER);
    bad[1] = views[0];
    bad[1].ndim = 65;
    uint64_t many[65];
    for (int i = 0; i < 65; i++) {
        many[i] = 1;
    }
    many[0] = 6;
    bad[1].shape = many;
    CHECK(numpack_store_save(store, both, bad, 2) == NUMPACK_PARAMETER);
    bad[1] = views[0];
    bad[1].reserved = 1;
    CHECK(numpack_store_save(store, both, bad, 2) == NUMPACK_PARAMETER);
    bad[1] = views[0];
    bad[1].struct_size = 8;
    CHECK(numpack_store_save(store, both, bad, 2) == NUMPACK_PARAMETER);
    both[1] = NULL;
    CHECK(numpack_store_save(store, both, views, 2) == NUMPACK_PARAMETER);
    both[1] = "__libnumpack__";
    CHECK(numpack_store_save(store, both, bad, 2) == NUMPACK_PARAMETER);
    CHECK(numpack_store_save(store, NULL, views, 1) == NUMPACK_PARAMETER);
    CHECK(numpack_store_save(store, names, NULL, 1) == NUMPACK_PARAMETER);
    CHECK(numpack_store_save(NULL, names, views, 1) == NUMPACK_PARAMETER);
    CHECK(holds(store, "plain", numbers, 24) && !holds(store, "next", numbers, 24));

    /* Structs of a later version: longer, and what this one does not know must be 0. */
    struct {
        numpack_view view;
        uint64_t later;
    } longer[2];
    memset(longer, 0, sizeof longer);
    for (int i = 0; i < 2; i++) {
        longer[i].view = views[i];
        longer[i].view.struct_size = sizeof longer[i];
    }
    CHECK(numpack_store_save(store, names, &longer[0].view, 2) == NUMPACK_OK);
    CHECK(holds(store, "plain", numbers, 24) && holds(store, "turned", turned, 24));
    longer[1].later = 1;
    CHECK(numpack_store_save(store, names, &longer[0].view, 2) == NUMPACK_PARAMETER);
}

static void listing(const numpack_store *store) {
    numpack_list *list = NULL;
    CHECK(numpack_store_list(store, &list) == NUMPACK_OK && numpack_list_count(list) == 6);
    struct {
        numpack_array_info info;
        uint64_t later;
    } longer;
    numpack_array_info info;
    info.struct_size = sizeof info;
    size_t index = 99;
    CHECK(numpack_list_find(list, "turned", &index) == NUMPACK_OK && index == 1);
    CHECK(numpack_list_get(list, index, &info) == NUMPACK_OK);
    CHECK(strcmp(info.name, "turned") == 0 && info.name_length == 6 && info.ndim == 2);
    CHECK(info.shape[0] == 3 && info.shape[1] == 2 && info.dtype == NUMPACK_DTYPE_FLOAT32);
    CHECK(info.rows == 3 && info.row_size == 8 && info.nbytes == 24 && info.stored_rows == 3);
    CHECK(info.logical_dtype == NULL && info.hidden == 0 && info.modified_micros > 0);
    CHECK(numpack_list_find(list, "scalar", &index) == NUMPACK_OK && index == 3);
    longer.info.struct_size = sizeof longer;
    longer.later = 7;
    CHECK(numpack_list_get(list, index, &longer.info) == NUMPACK_OK && longer.later == 0);
    CHECK(longer.info.ndim == 0 && longer.info.rows == 1 && longer.info.row_size == 4);
    CHECK(longer.info.nbytes == 4 && longer.info.struct_size == sizeof longer);

    CHECK(numpack_list_find(list, "turne", &index) == NUMPACK_NOT_FOUND && index == 3);
    CHECK(numpack_list_find(list, NULL, &index) == NUMPACK_PARAMETER);
    CHECK(numpack_list_get(list, 6, &info) == NUMPACK_PARAMETER);
    CHECK(numpack_list_get(list, 0, NULL) == NUMPACK_PARAMETER);
    info.struct_size = sizeof info - 1;
    CHECK(numpack_list_get(list, 0, &info) == NUMPACK_PARAMETER);
    CHECK(numpack_list_get(NULL, 0, &info) == NUMPACK_PARAMETER);
    CHECK(numpack_list_warnings(list, NULL, NULL) == NUMPACK_OK);
    CHECK(numpack_list_warnings(NULL, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_store_list(NULL, &list) == NUMPACK_PARAMETER);
    CHECK(numpack_store_list(store, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_list_count(NULL) == 0);
    numpack_list *again = numpack_list_retain(list);
    numpack_list_free(list);
    CHECK(numpack_list_count(again) == 6);
    numpack_list_free(again);
    numpack_list_free(NULL);
    CHECK(numpack_list_retain(NULL) == NULL);
}

static void appending(const numpack_store *store) {
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8};
    CHECK(save_bytes(store, "a", bytes, 2, 2) == NUMPACK_OK);
    CHECK(save_bytes(store, "b", bytes, 2, 1) == NUMPACK_OK);
    const char *names[] = {"a", "b"};
    const uint64_t two[] = {2, 2}, one[] = {1, 1};
    numpack_view views[2];
    views[0] = numpack_view_of(NUMPACK_DTYPE_UINT8, 2, two, bytes + 4, 4);
    views[1] = numpack_view_of(NUMPACK_DTYPE_UINT8, 2, one, bytes + 2, 1);
    CHECK(numpack_store_append(store, names, views, 2) == NUMPACK_OK);
    CHECK(holds(store, "a", bytes, 8) && holds(store, "b", bytes, 3));

    /* All or none. */
    views[1] = views[0];
    CHECK(numpack_store_append(store, names, views, 2) == NUMPACK_PARAMETER);
    views[1] = numpack_view_of(NUMPACK_DTYPE_INT8, 2, one, bytes, 1);
    CHECK(numpack_store_append(store, names, views, 2) == NUMPACK_PARAMETER);
    views[1].dtype = NUMPACK_DTYPE_UINT8;
    names[1] = "c";
    CHECK(numpack_store_append(store, names, views, 2) == NUMPACK_NOT_FOUND);
    names[1] = "scalar";
    CHECK(numpack_store_append(store, names, views, 2) == NUMPACK_PARAMETER);
    CHECK(numpack_store_append(NULL, names, views, 2) == NUMPACK_PARAMETER);
    CHECK(numpack_store_append(store, NULL, views, 2) == NUMPACK_PARAMETER);
    CHECK(numpack_store_append(store, names, NULL, 2) == NUMPACK_PARAMETER);
    CHECK(holds(store, "a", bytes, 8) && holds(store, "b", bytes, 3));
}

static void rows(const numpack_store *store) {
    const uint8_t bytes[] = {0, 1, 2, 3, 4, 5}, nines[] = {90, 91, 92, 93, 94, 95};
    const uint64_t one[] = {1, 1}, two[] = {2, 1}, three[] = {3, 1}, six[] = {6, 1};
    const int64_t list[] = {-1, 0}, twice[] = {1, 1}, bad[] = {0, 6};
    const uint8_t mask[] = {0, 1, 0, 7, 0, 0};
    numpack_view view = numpack_view_of(NUMPACK_DTYPE_UINT8, 2, one, nines, 1);

    struct {
        numpack_rows rows;
        const uint64_t *shape;
        uint8_t after[6];
    } cases[6];
    memset(cases, 0, sizeof cases);
    cases[0].rows = numpack_rows_all();
    cases[0].shape = six;
    memcpy(cases[0].after, nines, 6);
    cases[1].rows = numpack_rows_index(-2);
    cases[1].shape = one;
    memcpy(cases[1].after, "\0\1\2\3\x5a\5", 6);
    cases[2].rows = numpack_rows_slice(NUMPACK_ROWS_END, NUMPACK_ROWS_END, -2);
    cases[2].shape = three;
    memcpy(cases[2].after, "\0\x5c\2\x5b\4\x5a", 6);
    cases[3].rows = numpack_rows_list(list, 2);
    cases[3].shape = two;
    memcpy(cases[3].after, "\x5b\1\2\3\4\x5a", 6);
    cases[4].rows = numpack_rows_mask(mask, 6);
    cases[4].shape = two;
    memcpy(cases[4].after, "\0\x5a\2\x5b\4\5", 6);
    cases[5].rows = numpack_rows_list(twice, 2);
    cases[5].shape = two;
    memcpy(cases[5].after, "\0\x5b\2\3\4\5", 6);
    for (size_t i = 0; i < 6; i++) {
        CHECK(save_bytes(store, "r", bytes, 6, 1) == NUMPACK_OK);
        view.shape = cases[i].shape;
        view.nbytes = (size_t)cases[i].shape[0];
        CHECK(numpack_store_replace_rows(store, "r", &cases[i].rows, &view) == NUMPACK_OK);
        CHECK(holds(store, "r", cases[i].after, 6));
        uint64_t count = 0, dropped = 0;
        CHECK(numpack_rows_count(&cases[i].rows, 6, &count) == NUMPACK_OK);
        CHECK(count == cases[i].shape[0]);
        CHECK(numpack_store_drop_rows(store, "r", &cases[i].rows, &dropped) == NUMPACK_OK);
        CHECK(dropped == (i == 5 ? 1 : count));
    }

    CHECK(save_bytes(store, "r", bytes, 6, 1) == NUMPACK_OK);
    numpack_rows some = numpack_rows_list(bad, 2);
    uint64_t dropped = 77;
    view.shape = two;
    view.nbytes = 2;
    CHECK(numpack_store_replace_rows(store, "r", &some, &view) == NUMPACK_PARAMETER);
    CHECK(numpack_store_drop_rows(store, "r", &some, &dropped) == NUMPACK_PARAMETER);
    CHECK(numpack_rows_count(&some, 6, &dropped) == NUMPACK_PARAMETER);
    some = numpack_rows_mask(mask, 5);
    CHECK(numpack_store_drop_rows(store, "r", &some, &dropped) == NUMPACK_PARAMETER);
    some = numpack_rows_slice(0, 2, 0);
    CHECK(numpack_store_drop_rows(store, "r", &some, &dropped) == NUMPACK_PARAMETER);
    some.kind = 5;
    CHECK(numpack_store_drop_rows(store, "r", &some, &dropped) == NUMPACK_PARAMETER);
    some.struct_size = 0;
    CHECK(numpack_store_drop_rows(store, "r", &some, &dropped) == NUMPACK_PARAMETER);
    some = numpack_rows_list(NULL, 2);
    CHECK(numpack_store_drop_rows(store, "r", &some, &dropped) == NUMPACK_PARAMETER);
    some = numpack_rows_slice(0, 3, 1);
    CHECK(numpack_store_replace_rows(store, "r", &some, &view) == NUMPACK_PARAMETER);
    CHECK(numpack_store_replace_rows(store, "r", &some, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_store_replace_rows(store, "r", NULL, &view) == NUMPACK_PARAMETER);
    CHECK(numpack_store_replace_rows(store, NULL, &some, &view) == NUMPACK_PARAMETER);
    CHECK(numpack_store_replace_rows(NULL, "r", &some, &view) == NUMPACK_PARAMETER);
    CHECK(numpack_store_replace_rows(store, "none", &some, &view) == NUMPACK_NOT_FOUND);
    CHECK(numpack_store_drop_rows(store, "none", &some, &dropped) == NUMPACK_NOT_FOUND);
    CHECK(numpack_store_drop_rows(store, "r", NULL, &dropped) == NUMPACK_PARAMETER);
    CHECK(numpack_store_drop_rows(store, NULL, &some, &dropped) == NUMPACK_PARAMETER);
    CHECK(numpack_store_drop_rows(NULL, "r", &some, &dropped) == NUMPACK_PARAMETER);
    CHECK(numpack_rows_count(NULL, 6, &dropped) == NUMPACK_PARAMETER && dropped == 77);
    CHECK(holds(store, "r", bytes, 6));

    /* Dropped rows take room until they are compacted. */
    CHECK(numpack_store_drop_rows(store, "r", &some, NULL) == NUMPACK_OK);
    CHECK(holds(store, "r", bytes + 3, 3));
    CHECK(numpack_store_compact(store, "none", &dropped) == NUMPACK_NOT_FOUND);
    CHECK(numpack_store_compact(NULL, NULL, &dropped) == NUMPACK_PARAMETER && dropped == 77);
    CHECK(numpack_store_compact(store, "r", &dropped) == NUMPACK_OK && dropped == 3);
    CHECK(numpack_store_compact(store, NULL, &dropped) == NUMPACK_OK && dropped == 0);
    CHECK(holds(store, "r", bytes + 3, 3));
}

static void whole_arrays(const numpack_store *store) {
    const uint8_t bytes[] = {1, 2};
    const char *names[] = {"copy", "moved"};
    CHECK(save_bytes(store, "x", bytes, 2, 1) == NUMPACK_OK);
    CHECK(numpack_store_clone_array(store, "x", "copy") == NUMPACK_OK);
    CHECK(numpack_store_clone_array(store, "x", "copy") == NUMPACK_PARAMETER);
    CHECK(numpack_store_clone_array(store, "none", "other") == NUMPACK_NOT_FOUND);
    CHECK(numpack_store_clone_array(store, NULL, "other") == NUMPACK_PARAMETER);
    CHECK(numpack_store_clone_array(store, "x", NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_store_clone_array(NULL, "x", "other") == NUMPACK_PARAMETER);
    CHECK(numpack_store_rename_array(store, "x", "copy") == NUMPACK_PARAMETER);
    CHECK(numpack_store_rename_array(store, "none", "other") == NUMPACK_NOT_FOUND);
    CHECK(numpack_store_rename_array(store, NULL, "other") == NUMPACK_PARAMETER);
    CHECK(numpack_store_rename_array(store, "x", NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_store_rename_array(NULL, "x", "other") == NUMPACK_PARAMETER);
    CHECK(numpack_store_rename_array(store, "x", "moved") == NUMPACK_OK);
    CHECK(holds(store, "moved", bytes, 2) && holds(store, "copy", bytes, 2));
    CHECK(!holds(store, "x", bytes, 2));
    names[1] = "none";
    CHECK(numpack_store_remove_arrays(store, names, 2) == NUMPACK_NOT_FOUND);
    CHECK(holds(store, "copy", bytes, 2));
    names[1] = "moved";
    CHECK(numpack_store_remove_arrays(store, NULL, 2) == NUMPACK_PARAMETER);
    CHECK(numpack_store_remove_arrays(NULL, names, 2) == NUMPACK_PARAMETER);
    CHECK(numpack_store_remove_arrays(store, names, 2) == NUMPACK_OK);
    CHECK(!holds(store, "copy", bytes, 2) && !holds(store, "moved", bytes, 2));

    numpack_list *list = NULL;
    CHECK(numpack_store_reset(NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_store_reset(store) == NUMPACK_OK);
    CHECK(numpack_store_list(store, &list) == NUMPACK_OK && numpack_list_count(list) == 0);
    numpack_list_free(list);
}

/* A data file that no record names becomes an array, by a call and in a commit. */
static void orphans(const numpack_store *store, const char *path) {
    const char *const files[] = {"data_o.npkd", "data_p.npkd"};
    const uint8_t bytes[] = {1, 0, 2, 0, 3, 0};
    const uint64_t row[] = {1}, wide[] = {2};
    for (size_t i = 0; i < 2; i++) {
        char file[1024];
        join(file, sizeof file, path, files[i]);
        FILE *out = fopen(file, "wb");
        CHECK(out && fwrite(bytes, 1, sizeof bytes, out) == sizeof bytes && fclose(out) == 0);
    }
    uint64_t n = 77;
    const int32_t u16 = NUMPACK_DTYPE_UINT16;
    CHECK(numpack_store_adopt_array(NULL, "o", files[0], u16, 1, row, &n) == NUMPACK_PARAMETER);
    CHECK(numpack_store_adopt_array(store, NULL, files[0], u16, 1, row, &n) == NUMPACK_PARAMETER);
    CHECK(numpack_store_adopt_array(store, "o", NULL, u16, 1, row, &n) == NUMPACK_PARAMETER);
    CHECK(numpack_store_adopt_array(store, "o", files[0], -1, 1, row, &n) == NUMPACK_PARAMETER);
    CHECK(numpack_store_adopt_array(store, "o", files[0], u16, 1, NULL, &n) == NUMPACK_PARAMETER);
    CHECK(numpack_store_adopt_array(store, "o", files[1], u16, 1, row, &n) == NUMPACK_PARAMETER);
    CHECK(numpack_store_adopt_array(store, "o", files[0], u16, 1, wide, &n) == NUMPACK_PARAMETER);
    CHECK(numpack_store_adopt_array(store, "q", "data_q.npkd", u16, 0, NULL, &n) ==
          NUMPACK_PARAMETER);
    CHECK(n == 77);
    CHECK(numpack_store_adopt_array(store, "o", files[0], u16, 1, row, &n) == NUMPACK_OK && n == 3);
    CHECK(holds(store, "o", bytes, 6));
    CHECK(numpack_store_adopt_array(store, "o", files[0], u16, 1, row, &n) == NUMPACK_PARAMETER);

    numpack_writer *writer = NULL;
    CHECK(numpack_store_begin(store, NULL, &writer) == NUMPACK_OK);
    CHECK(numpack_writer_adopt_array(NULL, "p", files[1], u16, 0, NULL, &n) == NUMPACK_PARAMETER);
    CHECK(numpack_writer_adopt_array(writer, "p", files[1], u16, 0, NULL, NULL) == NUMPACK_OK);
    CHECK(!holds(store, "p", bytes, 6));
    CHECK(numpack_writer_commit(writer, NULL, NULL) == NUMPACK_OK);
    CHECK(holds(store, "p", bytes, 6));
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    char path[1024];
    join(path, sizeof path, argv[2], "store.npk");
    opening(argv[2], path);
    numpack_store *store = NULL;
    CHECK(numpack_store_open(path, NULL, &store) == NUMPACK_OK);
    saving(store);
    listing(store);
    appending(store);
    rows(store);
    orphans(store, path);
    whole_arrays(store);
    numpack_store_free(store);

    CHECK(numpack_dtype_size(NUMPACK_DTYPE_COMPLEX128) == 16);
    CHECK(numpack_dtype_size(14) == 0 && numpack_dtype_size(-1) == 0);
    CHECK(strcmp(numpack_dtype_name(NUMPACK_DTYPE_FLOAT32), "float32") == 0);
    CHECK(numpack_dtype_name(14) == NULL && numpack_dtype_name(256) == NULL);
    return finish();
}

/* Keeps rows in a store: makes it, adds to it, reads, drops, and packs it.
 *
 *     cc store.c -lnumpack -o store
 *     ./store embeddings.npk embeddings.npkg
 */
#include <numpack.h>

#include <stdio.h>
#include <stdlib.h>

enum { COLUMNS = 4 };

static void check(int32_t status) {
    if (status != NUMPACK_OK) {
        char message[1024];
        numpack_last_error(message, sizeof message);
        fprintf(stderr, "store: %s\n", message);
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s STORE PACKAGE\n", argv[0]);
        return 2;
    }
    const char *names[] = {"vectors", "ids"};
    const float vectors[2][COLUMNS] = {{1, 2, 3, 4}, {5, 6, 7, 8}};
    const int64_t ids[2] = {100, 101};
    const uint64_t vectors_shape[] = {2, COLUMNS}, ids_shape[] = {2};
    numpack_view rows[2];
    rows[0] = numpack_view_of(NUMPACK_DTYPE_FLOAT32, 2, vectors_shape, vectors, sizeof vectors);
    rows[1] = numpack_view_of(NUMPACK_DTYPE_INT64, 1, ids_shape, ids, sizeof ids);

    /* Each call is durable when it returns; what it changes, it changes in all arrays or none. */
    numpack_store *store;
    check(numpack_store_create(argv[1], NULL, &store));
    check(numpack_store_save(store, names, rows, 2));
    check(numpack_store_append(store, names, rows, 2));

    /* The third row goes, from both at once. */
    numpack_writer *writer;
    numpack_rows third = numpack_rows_index(2);
    check(numpack_store_begin(store, NULL, &writer));
    check(numpack_writer_drop_rows(writer, names[0], &third, NULL));
    check(numpack_writer_drop_rows(writer, names[1], &third, NULL));
    check(numpack_writer_commit(writer, NULL, NULL));

    /* The last row and the first. */
    numpack_array *array;
    numpack_array_info info;
    info.struct_size = sizeof info;
    const int64_t some[] = {-1, 0};
    numpack_rows chosen = numpack_rows_list(some, 2);
    float read[2][COLUMNS];
    check(numpack_array_open(store, names[0], &array));
    check(numpack_array_get_info(array, &info));
    check(numpack_array_gather(array, &chosen, read, sizeof read));
    printf("%s: %llu rows of %s, the last begins with %g, the first with %g\n", info.name,
           (unsigned long long)info.rows, numpack_dtype_name(info.dtype), read[0][0], read[1][0]);
    numpack_array_free(array);
    numpack_store_free(store);

    uint64_t files, bytes;
    check(numpack_pack(argv[1], argv[2], NULL, &files, NULL, &bytes));
    printf("%s: %llu files, %llu bytes\n", argv[2], (unsigned long long)files,
           (unsigned long long)bytes);
    return 0;
}

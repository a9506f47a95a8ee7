/* What the test programs share. Each is called as PROGRAM CHECKPOINT FOLDER. */
#include <numpack.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            char text_[512];                                                                 \
            numpack_last_error(text_, sizeof text_);                                         \
            fprintf(stderr, "line %d: %s (last error: %s)\n", __LINE__, #condition, text_);  \
            failures++;                                                                      \
        }                                                                                    \
    } while (0)

static inline void join(char *out, size_t size, const char *folder, const char *name) {
    snprintf(out, size, "%s/%s", folder, name);
}

static inline int exists(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file) {
        fclose(file);
    }
    return file != NULL;
}

/* Saves one array of bytes, of so many rows and columns. */
static inline int32_t save_bytes(const numpack_store *store, const char *name,
                                 const uint8_t *bytes, uint64_t rows, uint64_t columns) {
    const uint64_t shape[] = {rows, columns};
    numpack_view view =
        numpack_view_of(NUMPACK_DTYPE_UINT8, 2, shape, bytes, (size_t)(rows * columns));
    return numpack_store_save(store, &name, &view, 1);
}

/* Whether an array of a store holds exactly these bytes. */
static inline int holds(const numpack_store *store, const char *name, const void *expected,
                        size_t size) {
    unsigned char bytes[256];
    numpack_array *array = NULL;
    if (numpack_array_open(store, name, &array) != NUMPACK_OK) {
        return 0;
    }
    int32_t status = numpack_array_read(array, bytes, size);
    numpack_array_free(array);
    return status == NUMPACK_OK && memcmp(bytes, expected, size) == 0;
}

static inline int finish(void) {
    if (failures == 0) {
        puts("all rules hold");
    }
    return failures == 0 ? 0 : 1;
}

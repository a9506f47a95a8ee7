/* What the programs that compute share. */
#include "check.h"

#include <math.h>

/* A tensor of floats. */
static inline numpack_nn_tensor *floats(uint32_t ndim, const uint64_t *shape, const float *values) {
    size_t count = 1;
    for (uint32_t i = 0; i < ndim; i++) {
        count *= (size_t)shape[i];
    }
    numpack_view view =
        numpack_view_of(NUMPACK_DTYPE_FLOAT32, ndim, shape, values, count * sizeof *values);
    numpack_tensor *memory = NULL;
    numpack_nn_tensor *tensor = NULL;
    CHECK(numpack_tensor_copy(&view, &memory) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_from_tensor(memory, &tensor) == NUMPACK_OK);
    numpack_tensor_free(memory);
    return tensor;
}

static inline numpack_nn_tensor *row(float a, float b, float c) {
    const uint64_t shape[] = {3};
    const float values[] = {a, b, c};
    return floats(1, shape, values);
}

static inline numpack_nn_tensor *integers(uint64_t count, const int64_t *values) {
    numpack_view view = numpack_view_of(NUMPACK_DTYPE_INT64, 1, &count, values,
                                        (size_t)count * sizeof *values);
    numpack_tensor *memory = NULL;
    numpack_nn_tensor *tensor = NULL;
    CHECK(numpack_tensor_copy(&view, &memory) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_from_tensor(memory, &tensor) == NUMPACK_OK);
    numpack_tensor_free(memory);
    return tensor;
}

/* Whether a tensor has these floats, within some millionths; it is freed. */
static inline int are(numpack_nn_tensor *tensor, size_t count, const float *expected) {
    float values[64];
    int fits = numpack_nn_tensor_read(tensor, values, count * sizeof *values) == NUMPACK_OK;
    for (size_t i = 0; fits && i < count; i++) {
        fits = fabsf(values[i] - expected[i]) <= 4e-6f * (1 + fabsf(expected[i]));
    }
    numpack_nn_tensor_free(tensor);
    return fits;
}

static inline int are3(numpack_nn_tensor *tensor, float a, float b, float c) {
    const float expected[] = {a, b, c};
    return are(tensor, 3, expected);
}

static inline double item(numpack_nn_tensor *tensor) {
    double value = NAN;
    CHECK(numpack_nn_tensor_item(tensor, &value) == NUMPACK_OK);
    numpack_nn_tensor_free(tensor);
    return value;
}

static inline numpack_nn_tensor_info info_of(const numpack_nn_tensor *tensor) {
    numpack_nn_tensor_info info;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    CHECK(numpack_nn_tensor_get_info(tensor, &info) == NUMPACK_OK);
    return info;
}

static inline numpack_nn_tensor *unary(const numpack_nn_tensor *tensor, int32_t op) {
    numpack_nn_tensor *out = NULL;
    CHECK(numpack_nn_tensor_unary(tensor, op, &out) == NUMPACK_OK);
    return out;
}

/* Tensors that compute and memory that others write to; what is put in the place of elements; layers and
 * activations in one; attention with masks. */
#include "nn.h"

static numpack_tensor *memory_of(float *values, uint64_t rows, uint64_t columns) {
    const uint64_t shape[] = {rows, columns};
    numpack_view view = numpack_view_of(NUMPACK_DTYPE_FLOAT32, 2, shape, values,
                                        (size_t)(rows * columns) * sizeof *values);
    numpack_tensor *memory = NULL;
    CHECK(numpack_tensor_share(&view, 0, NULL, NULL, &memory) == NUMPACK_OK);
    return memory;
}

/* Two tensors in memory broadcast like others, have strides, and get no gradient. */
static void of_memory(void) {
    float values[] = {1, 2, 3, 4}, tens[] = {10, 20};
    numpack_tensor *memory = memory_of(values, 2, 2), *row = memory_of(tens, 1, 2);
    numpack_tensor *turned = NULL, *leaf = NULL;
    numpack_nn_tensor *out = NULL;
    CHECK(numpack_tensor_transpose(memory, 0, 1, &turned) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_binary_in_memory(turned, NUMPACK_NN_ADD, row, &out) == NUMPACK_OK);
    const float sums[] = {11, 23, 12, 24};
    CHECK(are(out, 4, sums));
    CHECK(numpack_nn_tensor_binary_in_memory(row, NUMPACK_NN_SUB, turned, &out) == NUMPACK_OK);
    const float rest[] = {9, 17, 8, 16};
    CHECK(are(out, 4, rest));
    out = NULL;
    CHECK(numpack_nn_tensor_binary_in_memory(row, NUMPACK_NN_NEG, row, &out) == NUMPACK_PARAMETER);
    CHECK(numpack_tensor_require_grad(row, 1, &leaf) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_binary_in_memory(memory, NUMPACK_NN_ADD, leaf, &out) ==
          NUMPACK_PARAMETER);
    CHECK(out == NULL);
    numpack_tensor_free(leaf);
    numpack_tensor_free(turned);
    numpack_tensor_free(row);
    numpack_tensor_free(memory);
}

/* What is written to memory comes into the tensor, and only that. */
static void refreshing(void) {
    float values[] = {1, 2, 3, 4};
    numpack_tensor *memory = memory_of(values, 2, 2), *turned = NULL, *other = NULL;
    numpack_nn_tensor *x = NULL, *out = NULL, *grad = NULL;
    int32_t changed = 7;
    CHECK(numpack_nn_tensor_from_tensor(memory, &x) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_require_grad(x, 1) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_refresh(x, memory, &changed) == NUMPACK_OK && changed == 0);
    CHECK(numpack_nn_tensor_unary(x, NUMPACK_NN_SQUARE, &out) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_reduce(out, NUMPACK_NN_SUM, 0, NULL, 0, &grad) == NUMPACK_OK);
    numpack_nn_tensor_free(out);
    /* Minus 0 and 0 are equal, and not the same bits. */
    values[3] = 0;
    CHECK(numpack_nn_tensor_refresh(x, memory, &changed) == NUMPACK_OK && changed == 1);
    values[3] = -0.0f;
    CHECK(numpack_nn_tensor_refresh(x, memory, &changed) == NUMPACK_OK && changed == 1);
    CHECK(numpack_nn_tensor_refresh(x, memory, &changed) == NUMPACK_OK && changed == 0);
    const float expected[] = {1, 2, 3, 0};
    CHECK(are(numpack_nn_tensor_retain(x), 4, expected));
    /* The way back needs what was there. */
    CHECK(numpack_nn_tensor_backward(grad, NULL, 0) == NUMPACK_SHARING);
    numpack_nn_tensor_free(grad);

    CHECK(numpack_tensor_transpose(memory, 0, 1, &turned) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_refresh(x, turned, NULL) == NUMPACK_OK);
    const float columns[] = {1, 3, 2, 0};
    CHECK(are(numpack_nn_tensor_retain(x), 4, columns));
    CHECK(numpack_nn_tensor_refresh(x, turned, &changed) == NUMPACK_OK && changed == 0);
    CHECK(numpack_tensor_narrow(memory, 0, 0, 1, &other) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_refresh(x, other, &changed) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_tensor_write_to(x, other) == NUMPACK_PARAMETER);
    numpack_tensor_free(other);
    CHECK(numpack_tensor_to_dtype(memory, NUMPACK_DTYPE_INT32, &other) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_refresh(x, other, &changed) == NUMPACK_PARAMETER && changed == 0);

    /* And the other way, into memory with strides too. */
    CHECK(numpack_nn_tensor_write_to(x, memory) == NUMPACK_OK);
    CHECK(memcmp(values, columns, sizeof values) != 0 && values[1] == 3 && values[2] == 2);
    CHECK(numpack_nn_tensor_write_to(x, turned) == NUMPACK_OK && values[1] == 2);
    CHECK(numpack_nn_tensor_transpose(x, 0, 1, &out) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_write_to(out, turned) == NUMPACK_OK && values[1] == 3);
    numpack_nn_tensor_free(out);
    numpack_tensor_free(other);
    numpack_tensor_free(turned);
    numpack_tensor_free(memory);
    numpack_nn_tensor_free(x);
}

static void taking_other_elements(void) {
    numpack_nn_tensor *x = row(1, 2, 3), *from = row(4, 5, 6), *wide = NULL, *sum = NULL;
    const uint64_t one = 1;
    const float four = 4;
    CHECK(numpack_nn_tensor_require_grad(x, 1) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_reduce(x, NUMPACK_NN_SUM, 0, NULL, 0, &sum) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_backward(sum, NULL, 0) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_set_data(sum, sum) == NUMPACK_SHARING);
    numpack_nn_tensor_free(sum);
    CHECK(numpack_nn_tensor_set_data(x, from) == NUMPACK_OK && info_of(x).has_grad);
    CHECK(are3(numpack_nn_tensor_retain(x), 4, 5, 6) && info_of(x).requires_grad);
    CHECK(numpack_nn_tensor_to_dtype(from, NUMPACK_DTYPE_FLOAT64, &wide) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_set_data(x, wide) == NUMPACK_OK && !info_of(x).has_grad);
    CHECK(info_of(x).dtype == NUMPACK_DTYPE_FLOAT64);
    numpack_nn_tensor *single = floats(1, &one, &four);
    CHECK(numpack_nn_tensor_set_data(x, single) == NUMPACK_PARAMETER);
    numpack_nn_tensor_free(single);
    numpack_nn_tensor_free(wide);
    numpack_nn_tensor_free(from);
    numpack_nn_tensor_free(x);
}

/* The same as one after the other, there and back. */
static void layers_with_activations(void) {
    const uint64_t shape[] = {2, 3};
    const float values[] = {1, -2, 0.5f, -1, 3, 2};
    const int32_t all[] = {NUMPACK_NN_RELU, NUMPACK_NN_GELU, NUMPACK_NN_GELU_TANH,
                           NUMPACK_NN_SILU, NUMPACK_NN_TANH, NUMPACK_NN_SIGMOID};
    numpack_nn_tensor *x = row(1, -0.5f, 1), *weight = floats(2, shape, values);
    CHECK(numpack_nn_tensor_require_grad(weight, 1) == NUMPACK_OK);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        float found[2][8];
        for (int fused = 0; fused < 2; fused++) {
            numpack_nn_tensor *out = NULL, *y = NULL, *sum = NULL, *grad = NULL;
            if (fused) {
                CHECK(numpack_nn_tensor_linear_activation(x, weight, NULL, all[i], &out) ==
                      NUMPACK_OK);
            } else {
                CHECK(numpack_nn_tensor_linear(x, weight, NULL, &y) == NUMPACK_OK);
                CHECK(numpack_nn_tensor_unary(y, all[i], &out) == NUMPACK_OK);
            }
            CHECK(numpack_nn_tensor_reduce(out, NUMPACK_NN_SUM, 0, NULL, 0, &sum) == NUMPACK_OK);
            CHECK(numpack_nn_tensor_set_grad(weight, NULL) == NUMPACK_OK);
            CHECK(numpack_nn_tensor_backward(sum, NULL, 0) == NUMPACK_OK);
            CHECK(numpack_nn_tensor_grad(weight, &grad) == NUMPACK_OK);
            CHECK(numpack_nn_tensor_read(out, found[fused], 8) == NUMPACK_OK);
            CHECK(numpack_nn_tensor_read(grad, found[fused] + 2, 24) == NUMPACK_OK);
            numpack_nn_tensor_free(grad);
            numpack_nn_tensor_free(sum);
            numpack_nn_tensor_free(out);
            numpack_nn_tensor_free(y);
        }
        for (int k = 0; k < 8; k++) {
            CHECK(fabsf(found[0][k] - found[1][k]) < 1e-6f);
        }
        CHECK(found[0][0] > 0);
    }
    numpack_nn_tensor *out = NULL;
    CHECK(numpack_nn_tensor_linear_activation(x, weight, NULL, NUMPACK_NN_EXP, &out) ==
          NUMPACK_PARAMETER);
    numpack_nn_tensor_free(weight);
    numpack_nn_tensor_free(x);
}

static numpack_nn_tensor *flags(uint64_t rows, uint64_t columns, const uint8_t *values) {
    const uint64_t shape[] = {rows, columns};
    numpack_view view =
        numpack_view_of(NUMPACK_DTYPE_BOOL, 2, shape, values, (size_t)(rows * columns));
    numpack_tensor *memory = NULL;
    numpack_nn_tensor *tensor = NULL;
    CHECK(numpack_tensor_copy(&view, &memory) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_from_tensor(memory, &tensor) == NUMPACK_OK);
    numpack_tensor_free(memory);
    return tensor;
}

/* Of a sequence whose last element is hidden, the rest is what a shorter sequence gives. */
static void attention_with_masks(void) {
    const uint64_t longer[] = {1, 3, 2}, shorter[] = {1, 2, 2};
    const float values[] = {1, -1, 0.5f, 2, 9, -7};
    const uint8_t padding[] = {0, 0, 1}, hidden[] = {0, 0, 1, 0, 0, 1, 0, 0, 1};
    numpack_nn_tensor *x = floats(3, longer, values), *part = floats(3, shorter, values);
    numpack_nn_tensor *rows = flags(1, 3, padding), *pairs = flags(3, 3, hidden);
    numpack_nn_module *modules[3] = {NULL, NULL, NULL};
    numpack_nn_transformer_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.batch_first = 1;
    options.dim_feedforward = 4;
    CHECK(numpack_nn_module_multihead_attention(2, 1, 0, 1, 1, &modules[0]) == NUMPACK_OK);
    CHECK(numpack_nn_module_transformer_encoder_layer(2, 2, 0, &options, &modules[1]) ==
          NUMPACK_OK);
    CHECK(numpack_nn_module_linear(2, 2, 1, &modules[2]) == NUMPACK_OK);
    numpack_nn_tensor *out = NULL;
    for (int m = 0; m < 2; m++) {
        float wanted[4], found[6], plain[6];
        CHECK(numpack_nn_module_forward(modules[m], part, &out) == NUMPACK_OK);
        CHECK(numpack_nn_tensor_read(out, wanted, sizeof wanted) == NUMPACK_OK);
        numpack_nn_tensor_free(out);
        CHECK(numpack_nn_module_forward_masked(modules[m], x, NULL, NULL, &out) == NUMPACK_OK);
        CHECK(numpack_nn_tensor_read(out, plain, sizeof plain) == NUMPACK_OK);
        numpack_nn_tensor_free(out);
        for (int by = 0; by < 2; by++) {
            CHECK(numpack_nn_module_forward_masked(modules[m], x, by ? NULL : rows,
                                                   by ? pairs : NULL, &out) == NUMPACK_OK);
            CHECK(numpack_nn_tensor_read(out, found, sizeof found) == NUMPACK_OK);
            numpack_nn_tensor_free(out);
            float differ = 0;
            for (int k = 0; k < 4; k++) {
                CHECK(fabsf(wanted[k] - found[k]) < 1e-5f);
                const float apart = fabsf(plain[k] - found[k]);
                differ = apart > differ ? apart : differ;
            }
            /* The encoder's last norm of two columns gives 1 and -1. */
            CHECK(m == 1 || differ > 1e-4f);
        }
    }
    CHECK(numpack_nn_module_forward_masked(modules[2], x, rows, NULL, &out) == NUMPACK_PARAMETER);
    for (int m = 0; m < 3; m++) {
        numpack_nn_module_free(modules[m]);
    }
    numpack_nn_tensor_free(pairs);
    numpack_nn_tensor_free(rows);
    numpack_nn_tensor_free(part);
    numpack_nn_tensor_free(x);
}

int main(void) {
    of_memory();
    refreshing();
    taking_other_elements();
    layers_with_activations();
    attention_with_masks();
    return finish();
}

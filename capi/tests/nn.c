/* Tensors that compute, gradients, modules and optimisers, on the host. */
#include "nn.h"

static numpack_nn_tensor *sum(const numpack_nn_tensor *tensor) {
    numpack_nn_tensor *out = NULL;
    CHECK(numpack_nn_tensor_reduce(tensor, NUMPACK_NN_SUM, 0, NULL, 0, &out) == NUMPACK_OK);
    return out;
}

static void gradients(void) {
    numpack_nn_tensor *x = row(1, 2, 3), *grad = row(0, 0, 0), *none = NULL;
    CHECK(info_of(x).is_leaf && !info_of(x).requires_grad && !info_of(x).has_grad);
    CHECK(numpack_nn_tensor_grad(x, &none) == NUMPACK_OK && none == NULL);
    CHECK(numpack_nn_tensor_require_grad(x, 1) == NUMPACK_OK);
    /* x² has the gradient 2 x. */
    numpack_nn_tensor *square = unary(x, NUMPACK_NN_SQUARE), *loss = sum(square), *found = NULL;
    CHECK(info_of(loss).requires_grad && !info_of(loss).is_leaf && info_of(loss).ndim == 0);
    CHECK(numpack_nn_tensor_backward(loss, NULL, 1) == NUMPACK_OK);
    CHECK(info_of(x).has_grad);
    CHECK(numpack_nn_tensor_grad(x, &found) == NUMPACK_OK && are3(found, 2, 4, 6));
    /* They add up, until they are taken away. */
    CHECK(numpack_nn_tensor_backward(loss, NULL, 0) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_grad(x, &found) == NUMPACK_OK && are3(found, 4, 8, 12));
    CHECK(numpack_nn_tensor_backward(loss, NULL, 0) == NUMPACK_SHARING);
    CHECK(numpack_nn_tensor_set_grad(x, NULL) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_grad(x, &found) == NUMPACK_OK && found == NULL);
    numpack_nn_tensor_free(square);
    numpack_nn_tensor_free(loss);

    /* Of more elements it needs a gradient of its own, which fits. */
    square = unary(x, NUMPACK_NN_SQUARE);
    CHECK(numpack_nn_tensor_backward(square, NULL, 0) == NUMPACK_SHARING);
    CHECK(numpack_nn_tensor_fill(grad, &(numpack_scalar){sizeof(numpack_scalar),
                                                         NUMPACK_SCALAR_INT, 10, 0, 0}) ==
          NUMPACK_OK);
    CHECK(numpack_nn_tensor_backward(square, grad, 0) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_grad(x, &found) == NUMPACK_OK && are3(found, 20, 40, 60));
    CHECK(numpack_nn_tensor_set_grad(x, grad) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_grad(x, &found) == NUMPACK_OK && are3(found, 10, 10, 10));

    /* In place: only what wants no gradient, or while nothing is noted. */
    int32_t before = -1;
    CHECK(numpack_nn_tensor_copy_from(x, grad) == NUMPACK_SHARING);
    CHECK(numpack_nn_set_grad_enabled(0, &before) == NUMPACK_OK && before == 1);
    CHECK(numpack_nn_tensor_copy_from(x, grad) == NUMPACK_OK);
    numpack_nn_tensor *unnoted = unary(x, NUMPACK_NN_EXP);
    CHECK(!info_of(unnoted).requires_grad);
    CHECK(numpack_nn_set_grad_enabled(before, &before) == NUMPACK_OK && before == 0);
    numpack_nn_tensor *detached = NULL;
    CHECK(numpack_nn_tensor_detach(x, &detached) == NUMPACK_OK);
    CHECK(!info_of(detached).requires_grad && are3(detached, 10, 10, 10));
    CHECK(numpack_nn_tensor_require_grad(square, 0) == NUMPACK_SHARING);
    numpack_nn_tensor_free(unnoted);
    numpack_nn_tensor_free(square);
    numpack_nn_tensor_free(grad);
    numpack_nn_tensor_free(x);
}

static void made(void) {
    const uint64_t shape[] = {2, 3};
    numpack_nn_tensor *t = NULL, *other = NULL;
    numpack_scalar seven = numpack_scalar_int(7), i = numpack_scalar_complex(0, 1);
    CHECK(numpack_nn_tensor_full(NUMPACK_DTYPE_INT16, 2, shape, &seven, NULL, &t) == NUMPACK_OK);
    numpack_nn_tensor_info info = info_of(t);
    CHECK(info.dtype == NUMPACK_DTYPE_INT16 && info.ndim == 2 && info.shape[1] == 3);
    CHECK(info.numel == 6 && info.nbytes == 12 && info.contiguous && !info.on_device);
    CHECK(info.device_index == -1 && info.reserved == 0);
    int16_t read[6];
    CHECK(numpack_nn_tensor_read(t, read, sizeof read) == NUMPACK_OK && read[5] == 7);
    CHECK(numpack_nn_tensor_read(t, read, 10) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_tensor_require_grad(t, 1) == NUMPACK_TYPE);
    CHECK(numpack_nn_tensor_to_dtype(t, NUMPACK_DTYPE_FLOAT32, &other) == NUMPACK_OK);
    CHECK(info_of(other).dtype == NUMPACK_DTYPE_FLOAT32);
    numpack_nn_tensor_free(other);
    other = NULL;
    CHECK(numpack_nn_tensor_to_dtype(t, NUMPACK_DTYPE_COMPLEX64, &other) == NUMPACK_TYPE);
    CHECK(numpack_nn_tensor_full(NUMPACK_DTYPE_FLOAT32, 2, shape, &i, NULL, &other) ==
          NUMPACK_TYPE);
    const uint64_t huge[] = {UINT64_MAX, UINT64_MAX};
    CHECK(numpack_nn_tensor_random(NUMPACK_NN_NORMAL, NUMPACK_DTYPE_FLOAT32, 2, huge, NULL,
                                   &other) == NUMPACK_OUT_OF_MEMORY);
    CHECK(other == NULL);
    numpack_nn_tensor *again = numpack_nn_tensor_retain(t);
    CHECK(again == t);
    numpack_nn_tensor_free(again);
    numpack_nn_tensor_free(t);

    /* The same seed, the same numbers. */
    CHECK(numpack_nn_manual_seed(42) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_random(NUMPACK_NN_UNIFORM, NUMPACK_DTYPE_FLOAT32, 2, shape, NULL,
                                   &t) == NUMPACK_OK);
    CHECK(numpack_nn_manual_seed(42) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_random(NUMPACK_NN_UNIFORM, NUMPACK_DTYPE_FLOAT32, 2, shape, NULL,
                                   &other) == NUMPACK_OK);
    float values[6];
    CHECK(numpack_nn_tensor_read(t, values, sizeof values) == NUMPACK_OK);
    CHECK(values[0] >= 0 && values[0] < 1 && values[0] != values[1]);
    CHECK(are(other, 6, values));
    numpack_nn_tensor_free(t);

    /* Memory and back. */
    CHECK(numpack_nn_tensor_arange(4, NULL, &t) == NUMPACK_OK);
    numpack_tensor *memory = NULL;
    int64_t counted[4];
    CHECK(numpack_nn_tensor_to_tensor(t, &memory) == NUMPACK_OK);
    CHECK(numpack_tensor_read(memory, counted, sizeof counted) == NUMPACK_OK && counted[3] == 3);
    CHECK(numpack_nn_tensor_to_device(t, NULL, &other) == NUMPACK_OK);
    CHECK(info_of(other).numel == 4);
    double value;
    CHECK(numpack_nn_tensor_item(t, &value) == NUMPACK_PARAMETER);
    numpack_nn_tensor_free(other);
    numpack_nn_tensor_free(t);
    numpack_tensor_free(memory);
    numpack_tensor *complex_memory = NULL;
    CHECK(numpack_tensor_zeros(NUMPACK_DTYPE_COMPLEX64, 2, shape, &complex_memory) == NUMPACK_OK);
    t = NULL;
    CHECK(numpack_nn_tensor_from_tensor(complex_memory, &t) == NUMPACK_TYPE && t == NULL);
    numpack_tensor_free(complex_memory);
}

static void elements(void) {
    numpack_nn_tensor *x = row(-1, 0.5f, 4), *y = row(2, 2, 2), *out = NULL, *is = NULL;
    CHECK(are3(unary(x, NUMPACK_NN_RELU), 0, 0.5f, 4));
    CHECK(are3(unary(x, NUMPACK_NN_SIGMOID), 0.26894143f, 0.62245935f, 0.9820138f));
    CHECK(numpack_nn_tensor_unary(x, 17, &out) == NUMPACK_PARAMETER && out == NULL);
    CHECK(numpack_nn_tensor_binary(x, NUMPACK_NN_MUL, y, &out) == NUMPACK_OK);
    CHECK(are3(out, -2, 1, 8));
    CHECK(numpack_nn_tensor_binary(x, NUMPACK_NN_MAXIMUM, y, &out) == NUMPACK_OK);
    CHECK(are3(out, 2, 2, 4));
    CHECK(numpack_nn_tensor_binary(x, NUMPACK_NN_GT, y, &is) == NUMPACK_OK);
    uint8_t truth[3];
    CHECK(info_of(is).dtype == NUMPACK_DTYPE_BOOL);
    CHECK(numpack_nn_tensor_read(is, truth, 3) == NUMPACK_OK && !truth[0] && truth[2]);
    CHECK(numpack_nn_tensor_where(x, is, y, &out) == NUMPACK_OK && are3(out, 2, 2, 4));
    CHECK(numpack_nn_tensor_unary(is, NUMPACK_NN_EXP, &out) == NUMPACK_OK);
    numpack_nn_tensor_free(out);
    CHECK(numpack_nn_tensor_unary(is, NUMPACK_NN_NEG, &out) == NUMPACK_TYPE);

    numpack_scalar two = numpack_scalar_float(2);
    CHECK(numpack_nn_tensor_binary_scalar(x, NUMPACK_NN_SUB, &two, 0, &out) == NUMPACK_OK);
    CHECK(are3(out, -3, -1.5f, 2));
    CHECK(numpack_nn_tensor_binary_scalar(x, NUMPACK_NN_SUB, &two, 1, &out) == NUMPACK_OK);
    CHECK(are3(out, 3, 1.5f, -2));
    CHECK(numpack_nn_tensor_binary_scalar(x, NUMPACK_NN_DIV, &two, 1, &out) == NUMPACK_OK);
    CHECK(are3(out, -2, 4, 0.5f));
    CHECK(numpack_nn_tensor_binary_scalar(x, NUMPACK_NN_POW, &two, 1, &out) == NUMPACK_OK);
    CHECK(are3(out, 0.5f, 1.41421356f, 16));
    numpack_nn_tensor_free(is);
    CHECK(numpack_nn_tensor_binary_scalar(x, NUMPACK_NN_LT, &two, 1, &is) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_read(is, truth, 3) == NUMPACK_OK && !truth[1] && truth[2]);
    double low = 0, high = 1;
    CHECK(numpack_nn_tensor_clamp(x, &low, &high, &out) == NUMPACK_OK && are3(out, 0, 0.5f, 1));
    CHECK(numpack_nn_tensor_clamp(x, NULL, &high, &out) == NUMPACK_OK && are3(out, -1, 0.5f, 1));
    numpack_nn_tensor_free(is);

    CHECK(numpack_nn_tensor_reduce(x, NUMPACK_NN_AMAX, 0, NULL, 0, &out) == NUMPACK_OK);
    CHECK(item(out) == 4);
    int64_t last = -1, no_such = 1;
    CHECK(numpack_nn_tensor_reduce(x, NUMPACK_NN_ARGMAX, 1, &last, 1, &out) == NUMPACK_OK);
    CHECK(info_of(out).ndim == 1 && item(out) == 2);
    CHECK(numpack_nn_tensor_reduce(x, NUMPACK_NN_SUM, 1, &no_such, 0, &out) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_tensor_var(y, 0, NULL, 1, 0, &out) == NUMPACK_OK && item(out) == 0);
    numpack_nn_tensor_free(x);
    numpack_nn_tensor_free(y);
}

static void layers(void) {
    const uint64_t shape[] = {2, 3};
    const float values[] = {1, 2, 3, 4, 5, 6};
    numpack_nn_tensor *x = floats(2, shape, values), *turned = NULL, *out = NULL, *part = NULL;
    CHECK(numpack_nn_tensor_transpose(x, 0, 1, &turned) == NUMPACK_OK);
    CHECK(info_of(turned).shape[0] == 3 && !info_of(turned).contiguous);
    CHECK(numpack_nn_tensor_matmul(x, turned, &out) == NUMPACK_OK);
    const float products[] = {14, 32, 32, 77};
    CHECK(are(out, 4, products));
    CHECK(numpack_nn_tensor_matmul(x, x, &out) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_tensor_linear(x, x, NULL, &out) == NUMPACK_OK && are(out, 4, products));
    CHECK(numpack_nn_tensor_select(x, 0, -1, &out) == NUMPACK_OK && are3(out, 4, 5, 6));
    CHECK(numpack_nn_tensor_slice(x, 1, NUMPACK_SLICE_END, NUMPACK_SLICE_END, 2, &part) ==
          NUMPACK_OK);
    const float picked[] = {1, 3, 4, 6};
    CHECK(are(part, 4, picked));
    const int64_t sizes[] = {3, -1}, dims[] = {1, 0};
    CHECK(numpack_nn_tensor_reshape(x, 2, sizes, &out) == NUMPACK_OK && are(out, 6, values));
    CHECK(numpack_nn_tensor_permute(turned, 2, dims, &out) == NUMPACK_OK && are(out, 6, values));
    CHECK(numpack_nn_tensor_flatten(turned, 0, -1, &out) == NUMPACK_OK);
    CHECK(info_of(out).ndim == 1);
    numpack_nn_tensor_free(out);
    const numpack_nn_tensor *two[] = {x, x};
    CHECK(numpack_nn_tensor_cat(two, 2, 0, &out) == NUMPACK_OK && info_of(out).shape[0] == 4);
    numpack_nn_tensor_free(out);
    CHECK(numpack_nn_tensor_stack(two, 2, 0, &out) == NUMPACK_OK && info_of(out).ndim == 3);
    numpack_nn_tensor_free(out);
    const int64_t rows[] = {1, 0}, beyond[] = {7, 0};
    numpack_nn_tensor *index = integers(2, rows), *bad = integers(2, beyond);
    const float swapped[] = {4, 5, 6, 1, 2, 3};
    CHECK(numpack_nn_tensor_index_select(x, 0, index, &out) == NUMPACK_OK && are(out, 6, swapped));
    CHECK(numpack_nn_tensor_embedding(x, index, -1, &out) == NUMPACK_OK && are(out, 6, swapped));
    CHECK(numpack_nn_tensor_embedding(x, bad, -1, &out) == NUMPACK_INDEX);

    CHECK(numpack_nn_tensor_softmax(x, -1, 0, &out) == NUMPACK_OK);
    const float shares[] = {0.09003057f, 0.24472847f, 0.66524096f,
                            0.09003057f, 0.24472847f, 0.66524096f};
    CHECK(are(out, 6, shares));
    const uint64_t three = 3;
    CHECK(numpack_nn_tensor_layer_norm(x, 1, &three, NULL, NULL, 0, &out) == NUMPACK_OK);
    const float normed[] = {-1.2247449f, 0, 1.2247449f, -1.2247449f, 0, 1.2247449f};
    CHECK(are(out, 6, normed));
    CHECK(numpack_nn_tensor_dropout(x, 0, &out) == NUMPACK_OK && are(out, 6, values));
    CHECK(numpack_nn_tensor_dropout(x, 2, &out) == NUMPACK_PARAMETER);

    /* -log of the shares of classes 1 and 0, and their mean. */
    CHECK(numpack_nn_tensor_cross_entropy(x, index, NULL, &out) == NUMPACK_OK);
    CHECK(fabs(item(out) - (1.40760596 + 2.40760596) / 2) < 1e-5);
    numpack_nn_cross_entropy_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.reduction = NUMPACK_NN_REDUCTION_NONE;
    CHECK(numpack_nn_tensor_cross_entropy(x, index, &options, &out) == NUMPACK_OK);
    const float each[] = {1.40760596f, 2.40760596f};
    CHECK(are(out, 2, each));
    const int64_t ignored = 0;
    options.reduction = NUMPACK_NN_REDUCTION_MEAN;
    options.ignore_index = &ignored;
    CHECK(numpack_nn_tensor_cross_entropy(x, index, &options, &out) == NUMPACK_OK);
    CHECK(fabs(item(out) - 1.40760596) < 1e-5);
    numpack_nn_tensor *other = unary(x, NUMPACK_NN_NEG);
    CHECK(numpack_nn_tensor_loss(x, NUMPACK_NN_L1, other, NUMPACK_NN_REDUCTION_SUM, &out) ==
          NUMPACK_OK);
    CHECK(item(out) == 42);
    CHECK(numpack_nn_tensor_loss(x, NUMPACK_NN_MSE, other, 9, &out) == NUMPACK_PARAMETER);
    numpack_nn_tensor_free(other);
    numpack_nn_tensor_free(index);
    numpack_nn_tensor_free(bad);
    numpack_nn_tensor_free(turned);
    numpack_nn_tensor_free(x);
}

/* 10 numbers to 20, to 2. */
static numpack_nn_module *classifier(void) {
    numpack_nn_module *parts[3] = {NULL, NULL, NULL}, *model = NULL;
    CHECK(numpack_nn_module_linear(10, 20, 1, &parts[0]) == NUMPACK_OK);
    CHECK(numpack_nn_module_activation(NUMPACK_NN_RELU, &parts[1]) == NUMPACK_OK);
    CHECK(numpack_nn_module_linear(20, 2, 1, &parts[2]) == NUMPACK_OK);
    CHECK(numpack_nn_module_sequential((const numpack_nn_module *const *)parts, 3, &model) ==
          NUMPACK_OK);
    for (int i = 0; i < 3; i++) {
        numpack_nn_module_free(parts[i]);
    }
    return model;
}

enum { PARAMETERS = 4 };

static void parameters(const numpack_nn_module *model, const numpack_nn_tensor **params) {
    CHECK(numpack_nn_module_parameter_count(model) == PARAMETERS);
    for (size_t i = 0; i < PARAMETERS; i++) {
        CHECK(numpack_nn_module_get_parameter(model, i, NULL, &params[i]) == NUMPACK_OK);
    }
}

static double loss_of(const numpack_nn_module *model, const numpack_nn_tensor *x,
                      const numpack_nn_tensor *y, int is_trained) {
    numpack_nn_tensor *logits = NULL, *loss = NULL;
    CHECK(numpack_nn_module_forward(model, x, &logits) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_cross_entropy(logits, y, NULL, &loss) == NUMPACK_OK);
    if (is_trained) {
        CHECK(numpack_nn_tensor_backward(loss, NULL, 0) == NUMPACK_OK);
    }
    numpack_nn_tensor_free(logits);
    return item(loss);
}

static void training(const char *folder) {
    const uint64_t shape[] = {100, 10};
    const int64_t columns = 1;
    numpack_scalar zero = numpack_scalar_float(0);
    numpack_nn_tensor *x = NULL, *sums = NULL, *positive = NULL, *y = NULL;
    CHECK(numpack_nn_manual_seed(0) == NUMPACK_OK);
    numpack_nn_module *model = classifier();
    CHECK(numpack_nn_tensor_random(NUMPACK_NN_NORMAL, NUMPACK_DTYPE_FLOAT32, 2, shape, NULL, &x) ==
          NUMPACK_OK);
    CHECK(numpack_nn_tensor_reduce(x, NUMPACK_NN_SUM, 1, &columns, 0, &sums) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_binary_scalar(sums, NUMPACK_NN_GT, &zero, 0, &positive) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_to_dtype(positive, NUMPACK_DTYPE_INT64, &y) == NUMPACK_OK);

    const numpack_nn_tensor *params[PARAMETERS];
    parameters(model, params);
    const char *name = NULL;
    CHECK(numpack_nn_module_get_parameter(model, 2, &name, NULL) == NUMPACK_OK);
    CHECK(strcmp(name, "2.weight") == 0);
    CHECK(numpack_nn_module_get_parameter(model, PARAMETERS, &name, NULL) == NUMPACK_PARAMETER);
    numpack_nn_optimizer *adam = NULL, *sgd = NULL;
    numpack_nn_adam_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.amsgrad = 1;
    CHECK(numpack_nn_optimizer_adam(params, 2, 0.01, &options, &adam) == NUMPACK_OK);
    CHECK(numpack_nn_optimizer_add_group(adam, params + 2, 2, 1) == NUMPACK_OK);
    CHECK(numpack_nn_optimizer_set_lr(adam, 1, 0.01) == NUMPACK_OK);
    CHECK(numpack_nn_optimizer_set_lr(adam, 2, 0.01) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_optimizer_set_lr(adam, 0, -1) == NUMPACK_PARAMETER);
    const double first = loss_of(model, x, y, 0);
    for (int epoch = 0; epoch < 100; epoch++) {
        CHECK(numpack_nn_optimizer_zero_grad(adam) == NUMPACK_OK);
        loss_of(model, x, y, 1);
        CHECK(numpack_nn_optimizer_step(adam) == NUMPACK_OK);
    }
    const double last = loss_of(model, x, y, 1);
    CHECK(first > 0.5 && last < 0.2);

    /* What is clipped, and SGD. */
    double norm = 0, clipped = 0;
    CHECK(numpack_nn_clip_grad_norm(params, PARAMETERS, 1e-3, &norm) == NUMPACK_OK && norm > 1e-3);
    CHECK(numpack_nn_clip_grad_norm(params, PARAMETERS, 1, &clipped) == NUMPACK_OK);
    CHECK(fabs(clipped - 1e-3) < 1e-5);
    CHECK(numpack_nn_clip_grad_value(params, PARAMETERS, 1e-9) == NUMPACK_OK);
    CHECK(numpack_nn_clip_grad_norm(params, PARAMETERS, -1, NULL) == NUMPACK_PARAMETER);
    numpack_nn_sgd_options with = {sizeof with, 1, 0.9, 0, 0};
    CHECK(numpack_nn_module_zero_grad(model) == NUMPACK_OK);
    CHECK(numpack_nn_optimizer_sgd(params, PARAMETERS, 0.1, &with, &sgd) == NUMPACK_OK);
    for (int epoch = 0; epoch < 10; epoch++) {
        loss_of(model, x, y, 1);
        CHECK(numpack_nn_optimizer_step(sgd) == NUMPACK_OK);
        CHECK(numpack_nn_optimizer_zero_grad(sgd) == NUMPACK_OK);
    }
    const double later = loss_of(model, x, y, 0);
    CHECK(later < last);

    /* The same as one step. */
    numpack_nn_step *step = NULL;
    numpack_nn_tensor *loss = NULL;
    double value = 0;
    CHECK(numpack_nn_step_create(model, sgd, 299, x, y, &step) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_step_create(model, sgd, NUMPACK_NN_CROSS_ENTROPY, x, y, &step) == NUMPACK_OK);
    CHECK(numpack_nn_step_loss(step, &loss) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_optimizer_set_lr(sgd, 0, 0) == NUMPACK_OK);
    CHECK(numpack_nn_step_run(step, x, y) == NUMPACK_OK);
    CHECK(numpack_nn_step_run(step, y, y) == NUMPACK_TYPE);
    CHECK(numpack_nn_step_run(step, x, y) == NUMPACK_OK);
    CHECK(numpack_nn_step_loss(step, &loss) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_item(loss, &value) == NUMPACK_OK && value == later);
    CHECK(loss_of(model, x, y, 0) == later);
    numpack_nn_tensor_free(loss);
    numpack_nn_step_free(step);

    /* To a file, to a store, and back. */
    char path[512], store[512], wrong[512];
    join(path, sizeof path, folder, "classifier.pt");
    join(store, sizeof store, folder, "classifier.npk");
    join(wrong, sizeof wrong, folder, "classifier.txt");
    CHECK(numpack_nn_module_save(model, path, 0) == NUMPACK_OK);
    CHECK(numpack_nn_module_save(model, path, 0) == NUMPACK_EXISTS);
    CHECK(numpack_nn_module_save(model, path, 1) == NUMPACK_OK);
    CHECK(numpack_nn_module_save(model, store, 0) == NUMPACK_OK);
    CHECK(numpack_nn_module_save(model, wrong, 0) == NUMPACK_PARAMETER && !exists(wrong));
    const char *const both[] = {path, store};
    for (int i = 0; i < 2; i++) {
        numpack_nn_module *other = classifier();
        CHECK(loss_of(other, x, y, 0) != later);
        CHECK(numpack_nn_module_load(other, both[i], "no.such", 1) == NUMPACK_PARAMETER);
        CHECK(numpack_nn_module_load(other, both[i], NULL, 1) == NUMPACK_OK);
        CHECK(loss_of(other, x, y, 0) == later);
        numpack_nn_module_free(other);
    }

    /* The state, by hand. */
    numpack_nn_state *state = NULL;
    const numpack_nn_tensor *weight = NULL;
    numpack_nn_module *linear = NULL;
    CHECK(numpack_nn_module_state(model, &state) == NUMPACK_OK);
    CHECK(numpack_nn_state_count(state) == PARAMETERS);
    CHECK(numpack_nn_state_get(state, 0, &name, &weight) == NUMPACK_OK);
    CHECK(strcmp(name, "0.weight") == 0 && !info_of(weight).requires_grad);
    CHECK(numpack_nn_module_linear(10, 20, 0, &linear) == NUMPACK_OK);
    CHECK(numpack_nn_module_load_state(linear, &name, &weight, 1, 1) == NUMPACK_PARAMETER);
    name = "weight";
    CHECK(numpack_nn_module_load_state(linear, &name, &weight, 1, 1) == NUMPACK_OK);
    numpack_nn_module_free(linear);
    numpack_nn_state_free(state);

    numpack_nn_optimizer_free(adam);
    numpack_nn_optimizer_free(sgd);
    numpack_nn_module_free(model);
    numpack_nn_tensor_free(x);
    numpack_nn_tensor_free(sums);
    numpack_nn_tensor_free(positive);
    numpack_nn_tensor_free(y);
}

static void modules(void) {
    numpack_nn_module *module = NULL;
    numpack_nn_tensor *x = NULL, *y = NULL;
    const uint64_t shape[] = {2, 5, 8}, last = 8;
    CHECK(numpack_nn_tensor_random(NUMPACK_NN_NORMAL, NUMPACK_DTYPE_FLOAT32, 3, shape, NULL, &x) ==
          NUMPACK_OK);
    numpack_nn_transformer_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.dim_feedforward = 16;
    options.batch_first = 1;
    numpack_nn_module *all[9];
    size_t count = 0;
    CHECK(numpack_nn_module_transformer_encoder_layer(8, 2, 0.1, &options, &all[count++]) ==
          NUMPACK_OK);
    CHECK(numpack_nn_module_parameter_count(all[0]) == 12);
    CHECK(numpack_nn_module_multihead_attention(8, 2, 0, 1, 1, &all[count++]) == NUMPACK_OK);
    CHECK(numpack_nn_module_layer_norm(1, &last, 1e-5, 1, &all[count++]) == NUMPACK_OK);
    CHECK(numpack_nn_module_rms_norm(1, &last, NULL, &all[count++]) == NUMPACK_OK);
    CHECK(numpack_nn_module_dropout(0.5, &all[count++]) == NUMPACK_OK);
    CHECK(numpack_nn_module_flatten(1, -1, &all[count++]) == NUMPACK_OK);
    CHECK(numpack_nn_module_softmax(-1, 0, &all[count++]) == NUMPACK_OK);
    CHECK(numpack_nn_module_sequential((const numpack_nn_module *const *)all, count, &module) ==
          NUMPACK_OK);
    for (size_t i = 0; i < count; i++) {
        numpack_nn_module_free(all[i]);
    }
    CHECK(numpack_nn_module_train(module, 0) == NUMPACK_OK);
    CHECK(numpack_nn_module_to_device(module, NULL) == NUMPACK_OK);
    CHECK(numpack_nn_module_forward(module, x, &y) == NUMPACK_OK);
    CHECK(info_of(y).ndim == 2 && info_of(y).shape[1] == 40);
    CHECK(fabs(item(sum(y)) - 2) < 1e-5);
    numpack_nn_tensor_free(y);
    numpack_nn_module_free(module);
    numpack_nn_tensor_free(x);

    const int64_t words[] = {2, 0};
    x = integers(2, words);
    CHECK(numpack_nn_module_embedding(3, 4, 0, &module) == NUMPACK_OK);
    CHECK(numpack_nn_module_forward(module, x, &y) == NUMPACK_OK && info_of(y).shape[1] == 4);
    float rows[8];
    CHECK(numpack_nn_tensor_read(y, rows, sizeof rows) == NUMPACK_OK && rows[4] == 0);
    numpack_nn_tensor_free(y);
    numpack_nn_tensor_free(x);
    numpack_nn_module_free(module);

    module = NULL;
    CHECK(numpack_nn_module_embedding(3, 4, 3, &module) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_module_embedding(3, 4, -2, &module) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_module_activation(NUMPACK_NN_EXP, &module) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_module_dropout(1.5, &module) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_module_multihead_attention(8, 3, 0, 1, 1, &module) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_module_linear(UINT64_MAX, 2, 1, &module) == NUMPACK_OUT_OF_MEMORY);
    CHECK(module == NULL);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    made();
    gradients();
    elements();
    layers();
    modules();
    training(argv[2]);
    return finish();
}

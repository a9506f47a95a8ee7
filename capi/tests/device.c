/* Devices, tensors on them, and what is computed there. It is run where there is a device. */
#include "check.h"

#include <math.h>

static numpack_device *gpu = NULL;

static void listed(void) {
    numpack_device_list *list = NULL;
    CHECK(numpack_devices(&list) == NUMPACK_OK);
    CHECK(numpack_device_list_count(list) >= 1 && numpack_device_list_count(NULL) == 0);
    numpack_device_info info;
    info.struct_size = sizeof info;
    CHECK(numpack_device_list_get(list, 0, &info) == NUMPACK_OK);
    CHECK(info.index == 0 && strlen(info.name) > 0 && strlen(info.vendor) > 0);
    CHECK(strlen(info.uuid) == 36 && strlen(info.driver) > 0 && info.problem == NULL);
    CHECK(info.memory > 0 && info.max_storage_range >= 1 << 27 && info.max_invocations >= 128);
    CHECK(numpack_device_list_get(list, 1000, &info) == NUMPACK_PARAMETER);

    numpack_device_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.select = info.uuid;
    options.validation = NUMPACK_VALIDATION_OFF;
    CHECK(numpack_device_open(&options, &gpu) == NUMPACK_OK);
    numpack_device_info opened;
    opened.struct_size = sizeof opened;
    CHECK(numpack_device_get_info(gpu, &opened) == NUMPACK_OK);
    CHECK(strcmp(opened.uuid, info.uuid) == 0 && strcmp(opened.kind, info.kind) == 0);
    const char *warning = "";
    CHECK(numpack_device_get_warning(gpu, &warning) == NUMPACK_OK);
    CHECK((warning != NULL) == (strcmp(info.kind, "software") == 0));

    numpack_device *none = NULL;
    options.select = "99";
    CHECK(numpack_device_open(&options, &none) == NUMPACK_DEVICE);
    options.select = "no such";
    CHECK(numpack_device_open(&options, &none) == NUMPACK_PARAMETER);
    options.select = NULL;
    options.validation = 3;
    CHECK(numpack_device_open(&options, &none) == NUMPACK_PARAMETER && none == NULL);
    numpack_device_list_free(list);
}

static numpack_device_usage usage(void) {
    numpack_device_usage found;
    found.struct_size = sizeof found;
    CHECK(numpack_device_get_usage(gpu, &found) == NUMPACK_OK);
    return found;
}

/* Memory goes there, is the same to what computes, and comes back. */
static void shared(void) {
    const uint64_t shape[] = {2, 3};
    const float values[] = {1, 2, 3, 4, 5, 6};
    float read[6];
    numpack_view view =
        numpack_view_of(NUMPACK_DTYPE_FLOAT32, 2, shape, values, sizeof values);
    numpack_tensor *here = NULL, *there = NULL, *back = NULL;
    numpack_nn_tensor *x = NULL;
    CHECK(numpack_tensor_copy(&view, &here) == NUMPACK_OK);
    CHECK(numpack_tensor_to_device(here, gpu, &there) == NUMPACK_OK);
    CHECK(numpack_tensor_read(there, read, sizeof read) == NUMPACK_SHARING);
    CHECK(usage().live_bytes == sizeof values && usage().uploaded_bytes >= sizeof values);
    CHECK(numpack_nn_tensor_from_tensor(there, &x) == NUMPACK_OK);
    numpack_scalar nine = numpack_scalar_float(9);
    CHECK(numpack_nn_tensor_fill(x, &nine) == NUMPACK_OK);
    CHECK(numpack_tensor_cpu(there, &back) == NUMPACK_OK);
    CHECK(numpack_tensor_read(back, read, sizeof read) == NUMPACK_OK && read[5] == 9);
    CHECK(usage().live_bytes == sizeof values);
    numpack_tensor_free(back);
    numpack_tensor_free(here);
    numpack_tensor_free(there);
    CHECK(numpack_nn_tensor_read(x, read, sizeof read) == NUMPACK_OK && read[0] == 9);
    numpack_nn_tensor_free(x);
    CHECK(numpack_device_synchronize(gpu) == NUMPACK_OK);
    CHECK(numpack_device_trim(gpu) == NUMPACK_OK && usage().live_bytes == 0);
}

static void computed(void) {
    const uint64_t shape[] = {2, 3};
    numpack_scalar three = numpack_scalar_float(3);
    numpack_nn_tensor *x = NULL, *here = NULL, *square = NULL, *sum = NULL, *grad = NULL;
    numpack_nn_tensor *out = NULL;
    CHECK(numpack_nn_tensor_full(NUMPACK_DTYPE_FLOAT32, 2, shape, &three, gpu, &x) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_full(NUMPACK_DTYPE_FLOAT32, 2, shape, &three, NULL, &here) ==
          NUMPACK_OK);
    CHECK(numpack_nn_tensor_require_grad(x, 1) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_unary(x, NUMPACK_NN_SQUARE, &square) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_reduce(square, NUMPACK_NN_SUM, 0, NULL, 0, &sum) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_backward(sum, NULL, 0) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_grad(x, &grad) == NUMPACK_OK);
    float read[6];
    double value = 0;
    CHECK(numpack_nn_tensor_read(grad, read, sizeof read) == NUMPACK_OK && read[5] == 6);
    CHECK(numpack_nn_tensor_item(sum, &value) == NUMPACK_OK && value == 54);
    numpack_nn_tensor_info info;
    info.struct_size = sizeof info;
    CHECK(numpack_nn_tensor_get_info(grad, &info) == NUMPACK_OK && info.on_device);
    numpack_device_info opened;
    opened.struct_size = sizeof opened;
    CHECK(numpack_device_get_info(gpu, &opened) == NUMPACK_OK);
    CHECK(info.device_index == (int32_t)opened.index);

    /* Two devices, types that devices lack, more than there is. */
    CHECK(numpack_nn_tensor_binary(x, NUMPACK_NN_ADD, here, &out) == NUMPACK_SHARING);
    CHECK(numpack_nn_tensor_to_dtype(x, NUMPACK_DTYPE_FLOAT64, &out) == NUMPACK_TYPE);
    CHECK(numpack_nn_tensor_full(NUMPACK_DTYPE_INT8, 2, shape, &three, gpu, &out) ==
          NUMPACK_TYPE);
    const uint64_t huge = (uint64_t)1 << 50;
    CHECK(numpack_nn_tensor_full(NUMPACK_DTYPE_FLOAT32, 1, &huge, &three, gpu, &out) ==
          NUMPACK_OUT_OF_MEMORY);
    CHECK(out == NULL);

    /* An index that leads nowhere is said by the next read. */
    const uint64_t one = 1;
    numpack_scalar seven = numpack_scalar_int(7);
    numpack_nn_tensor *index = NULL;
    CHECK(numpack_nn_tensor_full(NUMPACK_DTYPE_INT64, 1, &one, &seven, gpu, &index) ==
          NUMPACK_OK);
    CHECK(numpack_nn_tensor_index_select(x, 0, index, &out) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_read(out, read, 12) == NUMPACK_INDEX);
    numpack_nn_tensor_free(out);
    numpack_nn_tensor_free(index);
    numpack_nn_tensor_free(x);
    numpack_nn_tensor_free(here);
    numpack_nn_tensor_free(square);
    numpack_nn_tensor_free(sum);
    numpack_nn_tensor_free(grad);
}

/* A module goes there and back with its values, and is saved from there. */
static void moved(const char *folder) {
    char path[512];
    join(path, sizeof path, folder, "linear.pt");
    numpack_nn_module *linear = NULL, *other = NULL;
    const numpack_nn_tensor *weight = NULL;
    float before[6], after[6];
    CHECK(numpack_nn_module_linear(3, 2, 1, &linear) == NUMPACK_OK);
    CHECK(numpack_nn_module_get_parameter(linear, 0, NULL, &weight) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_read(weight, before, sizeof before) == NUMPACK_OK);
    CHECK(numpack_nn_module_to_device(linear, gpu) == NUMPACK_OK);
    numpack_nn_tensor_info info;
    info.struct_size = sizeof info;
    CHECK(numpack_nn_tensor_get_info(weight, &info) == NUMPACK_OK && info.on_device);
    CHECK(numpack_nn_module_save(linear, path, 0) == NUMPACK_OK);
    CHECK(numpack_nn_module_linear(3, 2, 1, &other) == NUMPACK_OK);
    CHECK(numpack_nn_module_load(other, path, NULL, 1) == NUMPACK_OK);
    CHECK(numpack_nn_module_get_parameter(other, 0, NULL, &weight) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_read(weight, after, sizeof after) == NUMPACK_OK);
    CHECK(memcmp(before, after, sizeof before) == 0);
    numpack_nn_module_free(linear);
    numpack_nn_module_free(other);
}

static void recorded(void) {
    numpack_nn_module *first = NULL, *relu = NULL, *last = NULL, *model = NULL;
    CHECK(numpack_nn_module_linear(10, 20, 1, &first) == NUMPACK_OK);
    CHECK(numpack_nn_module_activation(NUMPACK_NN_RELU, &relu) == NUMPACK_OK);
    CHECK(numpack_nn_module_linear(20, 2, 1, &last) == NUMPACK_OK);
    const numpack_nn_module *const parts[] = {first, relu, last};
    CHECK(numpack_nn_module_sequential(parts, 3, &model) == NUMPACK_OK);
    CHECK(numpack_nn_module_to_device(model, gpu) == NUMPACK_OK);

    const uint64_t rows[] = {64, 10};
    const int64_t one = 1;
    const numpack_scalar zero = numpack_scalar_float(0);
    numpack_nn_tensor *x = NULL, *sums = NULL, *positive = NULL, *y = NULL, *loss = NULL;
    CHECK(numpack_nn_tensor_random(NUMPACK_NN_NORMAL, NUMPACK_DTYPE_FLOAT32, 2, rows, gpu, &x) ==
          NUMPACK_OK);
    CHECK(numpack_nn_tensor_reduce(x, NUMPACK_NN_SUM, 1, &one, 0, &sums) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_binary_scalar(sums, NUMPACK_NN_GT, &zero, 0, &positive) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_to_dtype(positive, NUMPACK_DTYPE_INT64, &y) == NUMPACK_OK);

    const numpack_nn_tensor *params[4];
    for (size_t i = 0; i < 4; i++) {
        CHECK(numpack_nn_module_get_parameter(model, i, NULL, &params[i]) == NUMPACK_OK);
    }
    numpack_nn_optimizer *adam = NULL;
    numpack_nn_step *step = NULL;
    CHECK(numpack_nn_optimizer_adam(params, 4, 0.01, NULL, &adam) == NUMPACK_OK);
    CHECK(numpack_nn_step_create(model, adam, NUMPACK_NN_CROSS_ENTROPY, x, y, &step) == NUMPACK_OK);
    double before = 0, after = 0;
    numpack_device_usage usage, later;
    usage.struct_size = later.struct_size = sizeof usage;
    for (int i = 0; i < 101; i++) {
        CHECK(numpack_nn_step_run(step, x, y) == NUMPACK_OK);
        if (i == 0) {
            CHECK(numpack_nn_step_loss(step, &loss) == NUMPACK_OK);
            CHECK(numpack_nn_tensor_item(loss, &before) == NUMPACK_OK);
            numpack_nn_tensor_free(loss);
            CHECK(numpack_device_get_usage(gpu, &usage) == NUMPACK_OK);
        }
    }
    CHECK(numpack_device_get_usage(gpu, &later) == NUMPACK_OK);
    CHECK(later.submits - usage.submits == 100 && later.dispatches - usage.dispatches <= 700);
    CHECK(later.uploaded_bytes == usage.uploaded_bytes);
    CHECK(numpack_nn_step_loss(step, &loss) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_item(loss, &after) == NUMPACK_OK);
    CHECK(before > 0.5 && after < 0.25);
    numpack_nn_tensor_free(loss);

    /* It keeps what it needs, and lets it go. */
    numpack_nn_optimizer_free(adam);
    numpack_nn_module_free(model);
    CHECK(numpack_nn_step_run(step, x, y) == NUMPACK_OK);
    numpack_nn_step_free(step);
    numpack_nn_module_free(first);
    numpack_nn_module_free(relu);
    numpack_nn_module_free(last);
    numpack_nn_tensor_free(x);
    numpack_nn_tensor_free(sums);
    numpack_nn_tensor_free(positive);
    numpack_nn_tensor_free(y);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    listed();
    shared();
    computed();
    moved(argv[2]);
    recorded();
    numpack_device_free(gpu);
    return finish();
}

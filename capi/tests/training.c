/* Modules and losses of one's own, what optimisers keep, and their settings.
 * Usage: training CHECKPOINT FOLDER */
#include "nn.h"

static const uint64_t x_shape[] = {4, 3}, y_shape[] = {4, 2};
static const float x_values[] = {1, 2, -1, 0.5f, -0.5f, 2, 3, 1, 0, -2, 0.25f, 1};
static const float y_values[] = {1, 0, 0, 1, 1, 1, 0, 0};

/* A linear layer by functions of the library, and how often it was called. */
typedef struct {
    numpack_nn_tensor *weight, *bias;
    int forwards, losses, releases, fails;
} own;

static int32_t forward(const numpack_nn_tensor *x, numpack_nn_tensor **result, void *user) {
    own *mine = user;
    mine->forwards++;
    if (mine->fails == 1) {
        return 7;
    }
    if (mine->fails == 2) {
        return 0;
    }
    return numpack_nn_tensor_linear(x, mine->weight, mine->bias, result) == NUMPACK_OK ? 0 : 1;
}

static int32_t loss(const numpack_nn_tensor *output, const numpack_nn_tensor *target,
                    numpack_nn_tensor **result, void *user) {
    numpack_nn_tensor *difference = NULL, *square = NULL;
    ((own *)user)->losses++;
    int32_t status = numpack_nn_tensor_binary(output, NUMPACK_NN_SUB, target, &difference);
    if (status == NUMPACK_OK) {
        square = unary(difference, NUMPACK_NN_SQUARE);
        status = numpack_nn_tensor_reduce(square, NUMPACK_NN_MEAN, 0, NULL, 0, result);
    }
    numpack_nn_tensor_free(square);
    numpack_nn_tensor_free(difference);
    return status;
}

static void on_release(void *user) {
    ((own *)user)->releases++;
}

static numpack_nn_tensor *copy_of(const numpack_nn_tensor *tensor) {
    numpack_nn_tensor *detached = NULL, *copy = NULL;
    CHECK(numpack_nn_tensor_detach(tensor, &detached) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_clone(detached, &copy) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_require_grad(copy, 1) == NUMPACK_OK);
    numpack_nn_tensor_free(detached);
    return copy;
}

static numpack_nn_optimizer *adam_of(const numpack_nn_module *module) {
    const numpack_nn_tensor *params[2];
    numpack_nn_optimizer *adam = NULL;
    CHECK(numpack_nn_module_parameter_count(module) == 2);
    for (size_t i = 0; i < 2; i++) {
        CHECK(numpack_nn_module_get_parameter(module, i, NULL, &params[i]) == NUMPACK_OK);
    }
    CHECK(numpack_nn_optimizer_adam(params, 2, 0.1, NULL, &adam) == NUMPACK_OK);
    return adam;
}

/* One step without a recorded one; its loss. */
static double step_of(const numpack_nn_module *module, numpack_nn_optimizer *optimizer,
                      const numpack_nn_tensor *x, const numpack_nn_tensor *y) {
    numpack_nn_tensor *out = NULL, *found = NULL;
    CHECK(numpack_nn_optimizer_zero_grad(optimizer) == NUMPACK_OK);
    CHECK(numpack_nn_module_forward(module, x, &out) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_loss(out, NUMPACK_NN_MSE, y, NUMPACK_NN_REDUCTION_MEAN, &found) ==
          NUMPACK_OK);
    CHECK(numpack_nn_tensor_backward(found, NULL, 0) == NUMPACK_OK);
    CHECK(numpack_nn_optimizer_step(optimizer) == NUMPACK_OK);
    numpack_nn_tensor_free(out);
    return item(found);
}

static double run(numpack_nn_step *step, const numpack_nn_tensor *x, const numpack_nn_tensor *y) {
    numpack_nn_tensor *found = NULL;
    CHECK(numpack_nn_step_run(step, x, y) == NUMPACK_OK);
    CHECK(numpack_nn_step_loss(step, &found) == NUMPACK_OK);
    return item(found);
}

/* The same losses by the library's layer, by a function, and by functions in a step; on a device too. */
static void own_modules(const numpack_device *device) {
    static const char *const names[] = {"weight", "bias"};
    numpack_nn_tensor *x = floats(2, x_shape, x_values), *y = floats(2, y_shape, y_values);
    numpack_nn_tensor *there_x = NULL, *there_y = NULL;
    numpack_nn_module *native = NULL, *customs[2] = {NULL, NULL}, *around = NULL;
    own mine[2];
    memset(mine, 0, sizeof mine);
    CHECK(numpack_nn_tensor_to_device(x, device, &there_x) == NUMPACK_OK);
    CHECK(numpack_nn_tensor_to_device(y, device, &there_y) == NUMPACK_OK);
    CHECK(numpack_nn_module_linear(3, 2, 1, &native) == NUMPACK_OK);
    CHECK(numpack_nn_module_to_device(native, device) == NUMPACK_OK);
    for (int i = 0; i < 2; i++) {
        const numpack_nn_tensor *param = NULL;
        CHECK(numpack_nn_module_get_parameter(native, 0, NULL, &param) == NUMPACK_OK);
        mine[i].weight = copy_of(param);
        CHECK(numpack_nn_module_get_parameter(native, 1, NULL, &param) == NUMPACK_OK);
        mine[i].bias = copy_of(param);
        const numpack_nn_tensor *tensors[] = {mine[i].weight, mine[i].bias};
        CHECK(numpack_nn_module_custom(names, tensors, 2, forward, on_release, &mine[i],
                                       &customs[i]) == NUMPACK_OK);
        const char *const twice[] = {"a", "a"};
        CHECK(numpack_nn_module_custom(twice, tensors, 2, forward, on_release, &mine[i],
                                       &around) == NUMPACK_PARAMETER);
        CHECK(numpack_nn_module_custom(names, tensors, 2, NULL, on_release, &mine[i],
                                       &around) == NUMPACK_PARAMETER);
        CHECK(mine[i].releases == 0);
    }
    numpack_nn_optimizer *by_native = adam_of(native), *by_function = adam_of(customs[0]);
    numpack_nn_optimizer *by_step = adam_of(customs[1]);
    const numpack_nn_module *const one = customs[1];
    CHECK(numpack_nn_module_sequential(&one, 1, &around) == NUMPACK_OK);
    numpack_nn_step *step = NULL;
    CHECK(numpack_nn_step_create_custom(around, by_step, NULL, on_release, &mine[1], there_x,
                                        there_y, &step) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_step_create_custom(around, by_step, loss, on_release, &mine[1], there_x,
                                        there_y, &step) == NUMPACK_OK);
    for (int i = 0; i < 10; i++) {
        const double wanted = step_of(native, by_native, there_x, there_y);
        CHECK(fabs(step_of(customs[0], by_function, there_x, there_y) - wanted) < 1e-6);
        CHECK(fabs(run(step, x, y) - wanted) < 1e-6);
    }
    CHECK(mine[0].forwards == 10 && mine[0].losses == 0);
    /* What is recorded is called once. */
    CHECK(mine[1].forwards == (device ? 1 : 10) && mine[1].losses == (device ? 1 : 10));

    numpack_nn_tensor *out = NULL;
    mine[0].fails = 1;
    CHECK(numpack_nn_module_forward(customs[0], there_x, &out) == NUMPACK_CANCELLED);
    mine[0].fails = 2;
    CHECK(numpack_nn_module_forward(customs[0], there_x, &out) == NUMPACK_PARAMETER && !out);

    numpack_nn_module_free(customs[0]);
    CHECK(mine[0].releases == 1);
    numpack_nn_module_free(customs[1]);
    numpack_nn_module_free(around);
    CHECK(mine[1].releases == 0);
    /* It had the module and the loss. */
    numpack_nn_step_free(step);
    CHECK(mine[1].releases == 2);
    numpack_nn_optimizer_free(by_native);
    numpack_nn_optimizer_free(by_function);
    numpack_nn_optimizer_free(by_step);
    numpack_nn_module_free(native);
    for (int i = 0; i < 2; i++) {
        numpack_nn_tensor_free(mine[i].weight);
        numpack_nn_tensor_free(mine[i].bias);
    }
    numpack_nn_tensor_free(there_x);
    numpack_nn_tensor_free(there_y);
    numpack_nn_tensor_free(x);
    numpack_nn_tensor_free(y);
}

/* What an optimiser keeps goes to another by memory and by files, and both go on alike. */
static void states(const char *folder) {
    char path[1024];
    join(path, sizeof path, folder, "training.pt");
    numpack_nn_tensor *x = floats(2, x_shape, x_values), *y = floats(2, y_shape, y_values);
    numpack_nn_module *module = NULL, *others[2] = {NULL, NULL};
    CHECK(numpack_nn_module_linear(3, 2, 1, &module) == NUMPACK_OK);
    numpack_nn_optimizer *adam = adam_of(module);
    numpack_nn_state *kept = NULL;
    CHECK(numpack_nn_optimizer_state(adam, &kept) == NUMPACK_OK);
    CHECK(numpack_nn_state_count(kept) == 0);
    numpack_nn_state_free(kept);
    step_of(module, adam, x, y);
    step_of(module, adam, x, y);
    CHECK(numpack_nn_optimizer_state(adam, &kept) == NUMPACK_OK);
    const char *names[6];
    const numpack_nn_tensor *tensors[6];
    CHECK(numpack_nn_state_count(kept) == 6);
    for (size_t i = 0; i < 6; i++) {
        CHECK(numpack_nn_state_get(kept, i, &names[i], &tensors[i]) == NUMPACK_OK);
    }
    CHECK(strcmp(names[0], "0.step") == 0 && strcmp(names[4], "1.exp_avg") == 0);
    CHECK(item(numpack_nn_tensor_retain(tensors[0])) == 2);
    CHECK(info_of(tensors[2]).ndim == 2 && strcmp(names[2], "0.exp_avg_sq") == 0);
    CHECK(numpack_nn_save_training(path, module, adam, 0) == NUMPACK_OK);
    CHECK(numpack_nn_save_training(path, module, adam, 0) == NUMPACK_EXISTS);
    CHECK(numpack_nn_save_training(path, module, adam, 1) == NUMPACK_OK);

    numpack_nn_optimizer *loaded[2];
    for (int i = 0; i < 2; i++) {
        CHECK(numpack_nn_module_linear(3, 2, 1, &others[i]) == NUMPACK_OK);
        CHECK(numpack_nn_module_load(others[i], path, "model", 1) == NUMPACK_OK);
        loaded[i] = adam_of(others[i]);
    }
    CHECK(numpack_nn_optimizer_load_state(loaded[0], names, tensors, 6) == NUMPACK_OK);
    CHECK(numpack_nn_optimizer_load(loaded[1], path, "optimizer") == NUMPACK_OK);
    CHECK(numpack_nn_optimizer_load(loaded[1], path, "no.such") == NUMPACK_PARAMETER);
    CHECK(numpack_nn_optimizer_load(loaded[1], "/no/such.pt", NULL) == NUMPACK_IO);
    const double wanted = step_of(module, adam, x, y);
    for (int i = 0; i < 2; i++) {
        CHECK(step_of(others[i], loaded[i], x, y) == wanted);
    }
    const double next = step_of(module, adam, x, y);
    for (int i = 0; i < 2; i++) {
        CHECK(step_of(others[i], loaded[i], x, y) == next);
    }
    const char *const wrong[] = {"exp_avg", "0.no_such", "7.exp_avg", "1.exp_avg"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(numpack_nn_optimizer_load_state(adam, &wrong[i], &tensors[1], 1) ==
              NUMPACK_PARAMETER);
    }
    for (int i = 0; i < 2; i++) {
        numpack_nn_optimizer_free(loaded[i]);
        numpack_nn_module_free(others[i]);
    }
    numpack_nn_state_free(kept);
    numpack_nn_optimizer_free(adam);
    numpack_nn_module_free(module);
    numpack_nn_tensor_free(x);
    numpack_nn_tensor_free(y);
}

static double setting(const numpack_nn_optimizer *optimizer, size_t group, const char *name) {
    double value = NAN;
    CHECK(numpack_nn_optimizer_get_setting(optimizer, group, name, &value) == NUMPACK_OK);
    return value;
}

static void settings(void) {
    static const char *const of_adam[] = {"lr",           "beta1",   "beta2",    "eps",
                                          "weight_decay", "amsgrad", "decoupled"};
    static const char *const of_sgd[] = {"lr", "momentum", "dampening", "weight_decay", "nesterov"};
    static const double adams[] = {0.1, 0.9, 0.999, 1e-8, 0, 0, 0};
    numpack_nn_tensor *x = row(1, 2, 3), *grad = row(1, 1, 1);
    const numpack_nn_tensor *const params[] = {x};
    numpack_nn_optimizer *adam = NULL, *sgd = NULL;
    double value = 5;
    CHECK(numpack_nn_optimizer_adam(params, 1, 0.1, NULL, &adam) == NUMPACK_OK);
    for (size_t i = 0; i < 7; i++) {
        CHECK(setting(adam, 0, of_adam[i]) == adams[i]);
        CHECK(numpack_nn_optimizer_set_setting(adam, 0, of_adam[i], 1) == NUMPACK_OK);
        CHECK(setting(adam, 0, of_adam[i]) == 1);
    }
    CHECK(numpack_nn_optimizer_get_setting(adam, 0, "momentum", &value) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_optimizer_get_setting(adam, 1, "lr", &value) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_optimizer_set_setting(adam, 0, "lr", -1) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_optimizer_set_setting(adam, 0, "amsgrad", 0.5) == NUMPACK_PARAMETER);
    CHECK(value == 5 && setting(adam, 0, "lr") == 1);

    CHECK(numpack_nn_optimizer_sgd(params, 1, 0.5, NULL, &sgd) == NUMPACK_OK);
    CHECK(numpack_nn_optimizer_group_count(sgd) == 1);
    CHECK(numpack_nn_optimizer_group_count(NULL) == 0);
    CHECK(numpack_nn_optimizer_add_group(sgd, NULL, 0, 0.25) == NUMPACK_OK);
    CHECK(numpack_nn_optimizer_group_count(sgd) == 2 && setting(sgd, 1, "lr") == 0.25);
    for (size_t i = 1; i < 5; i++) {
        CHECK(setting(sgd, 0, of_sgd[i]) == 0);
    }
    /* They count: the weight decays by as much as the gradient takes off. */
    CHECK(numpack_nn_optimizer_set_setting(sgd, 0, "weight_decay", 1) == NUMPACK_OK);
    CHECK(setting(sgd, 1, "weight_decay") == 0);
    CHECK(numpack_nn_tensor_set_grad(x, grad) == NUMPACK_OK);
    CHECK(numpack_nn_optimizer_step(sgd) == NUMPACK_OK);
    CHECK(are3(numpack_nn_tensor_retain(x), 0, 0.5f, 1));
    /* Nesterov without momentum cannot be. */
    CHECK(numpack_nn_optimizer_set_setting(sgd, 0, "nesterov", 1) == NUMPACK_OK);
    CHECK(numpack_nn_optimizer_step(sgd) == NUMPACK_PARAMETER);
    CHECK(numpack_nn_optimizer_set_setting(sgd, 0, "momentum", 0.5) == NUMPACK_OK);
    CHECK(numpack_nn_optimizer_step(sgd) == NUMPACK_OK);
    numpack_nn_optimizer_free(adam);
    numpack_nn_optimizer_free(sgd);
    numpack_nn_tensor_free(grad);
    numpack_nn_tensor_free(x);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    numpack_device *device = NULL;
    own_modules(NULL);
    /* Also recorded, where there is a device. */
    if (numpack_device_open(NULL, &device) == NUMPACK_OK) {
        own_modules(device);
        numpack_device_free(device);
    }
    states(argv[2]);
    settings();
    return finish();
}

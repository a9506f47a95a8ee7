/* Trains a small classifier: whether ten numbers add up to more than 0.
 *
 *     cc classifier.c -lnumpack -o classifier
 *     ./classifier cpu
 *     ./classifier vulkan
 */
#include <numpack.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 100, COLUMNS = 10, EPOCHS = 100, PARAMETERS = 4 };

static void check(int32_t status) {
    if (status != NUMPACK_OK) {
        char message[1024];
        numpack_last_error(message, sizeof message);
        fprintf(stderr, "classifier: %s\n", message);
        exit(1);
    }
}

/* Linear, ReLU, linear; the module keeps its parts. */
static numpack_nn_module *make_model(void) {
    numpack_nn_module *parts[3], *model;
    check(numpack_nn_module_linear(COLUMNS, 20, 1, &parts[0]));
    check(numpack_nn_module_activation(NUMPACK_NN_RELU, &parts[1]));
    check(numpack_nn_module_linear(20, 2, 1, &parts[2]));
    check(numpack_nn_module_sequential((const numpack_nn_module *const *)parts, 3, &model));
    for (int i = 0; i < 3; i++) {
        numpack_nn_module_free(parts[i]);
    }
    return model;
}

/* For each row of x, 1 if its numbers add up to more than 0, else 0. */
static numpack_nn_tensor *make_target(const numpack_nn_tensor *x) {
    numpack_nn_tensor *sums, *positive, *target;
    const int64_t columns = 1;
    const numpack_scalar zero = numpack_scalar_float(0);
    check(numpack_nn_tensor_reduce(x, NUMPACK_NN_SUM, 1, &columns, 0, &sums));
    check(numpack_nn_tensor_binary_scalar(sums, NUMPACK_NN_GT, &zero, 0, &positive));
    check(numpack_nn_tensor_to_dtype(positive, NUMPACK_DTYPE_INT64, &target));
    numpack_nn_tensor_free(sums);
    numpack_nn_tensor_free(positive);
    return target;
}

int main(int argc, char **argv) {
    if (argc != 2 || (strcmp(argv[1], "cpu") != 0 && strcmp(argv[1], "vulkan") != 0)) {
        fprintf(stderr, "usage: %s cpu|vulkan\n", argv[0]);
        return 2;
    }
    /* NULL is the host. */
    numpack_device *device = NULL;
    if (strcmp(argv[1], "vulkan") == 0) {
        const char *warning;
        check(numpack_device_open(NULL, &device));
        check(numpack_device_get_warning(device, &warning));
        if (warning) {
            fprintf(stderr, "classifier: %s\n", warning);
        }
    }

    check(numpack_nn_manual_seed(0));
    numpack_nn_module *model = make_model();
    check(numpack_nn_module_to_device(model, device));
    numpack_nn_tensor *x;
    const uint64_t shape[] = {ROWS, COLUMNS};
    check(numpack_nn_tensor_random(NUMPACK_NN_NORMAL, NUMPACK_DTYPE_FLOAT32, 2, shape, device, &x));
    numpack_nn_tensor *target = make_target(x);

    const numpack_nn_tensor *params[PARAMETERS];
    for (size_t i = 0; i < PARAMETERS; i++) {
        check(numpack_nn_module_get_parameter(model, i, NULL, &params[i]));
    }
    numpack_nn_optimizer *optimizer;
    check(numpack_nn_optimizer_adam(params, PARAMETERS, 0.01, NULL, &optimizer));

    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        numpack_nn_tensor *logits, *loss;
        check(numpack_nn_module_forward(model, x, &logits));
        check(numpack_nn_tensor_cross_entropy(logits, target, NULL, &loss));
        check(numpack_nn_optimizer_zero_grad(optimizer));
        check(numpack_nn_tensor_backward(loss, NULL, 0));
        check(numpack_nn_optimizer_step(optimizer));
        /* Only this waits for the device. */
        if (epoch == 1 || epoch % 10 == 0) {
            double value;
            check(numpack_nn_tensor_item(loss, &value));
            printf("epoch %d: loss %.4f\n", epoch, value);
        }
        numpack_nn_tensor_free(logits);
        numpack_nn_tensor_free(loss);
    }

    numpack_nn_optimizer_free(optimizer);
    numpack_nn_tensor_free(target);
    numpack_nn_tensor_free(x);
    numpack_nn_module_free(model);
    numpack_device_free(device);
    return 0;
}

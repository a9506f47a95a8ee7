/* What the generated program calls the functions with: valid handles, texts, structs and memory.
 * Each is made anew for every call, in the slot of its parameter, so that a change can be seen.
 * Called as PROGRAM FOLDER, in which it works. */
#define _POSIX_C_SOURCE 200809L
#include <numpack.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 8, SLOT_SIZE = 8192, PATTERN = 0xa5, NUMBERS = SLOT_SIZE / 8 };

/* What a call is expected to return. */
enum expected { OK, PARAMETER, FAILURE, ANY, OK_WITH_DEVICE };

struct one {
    const char *what;
    enum expected expected;
};

static _Alignas(64) unsigned char slots[SLOTS][SLOT_SIZE];
static unsigned char before[SLOTS][SLOT_SIZE];
static const char *function, *what;
static unsigned long calls = 0, failures = 0;
static int serial = 0, is_dirty = 1;
/* NULL where there is none. */
static numpack_device *the_device = NULL;
static char store_folder[64];

static void fail(const char *problem, int32_t status) {
    char text[512];
    numpack_last_error(text, sizeof text);
    fprintf(stderr, "%s, %s: %s (status %d, last error: %s)\n", function, what, problem, status,
            text);
    failures++;
}

/* The world itself has to work. */
static void need(int32_t status) {
    if (status != NUMPACK_OK) {
        fail("cannot make what the call needs", status);
        exit(1);
    }
}

static void begin(const char *name, const char *one) {
    function = name;
    what = one;
    memset(slots, PATTERN, sizeof slots);
}

static void remember(void) {
    memcpy(before, slots, sizeof slots);
    calls++;
}

static int is_unchanged(int slot) {
    return memcmp(before[slot], slots[slot], SLOT_SIZE) == 0;
}

/* Inputs, which are the slots of `inputs`, stay as they are; outputs after a failure too. */
static void judge_memory(int32_t status, unsigned inputs) {
    for (int i = 0; i < SLOTS; i++) {
        if ((status != NUMPACK_OK || (inputs >> i & 1)) && !is_unchanged(i)) {
            fail("memory that was not to be written has changed", status);
        }
    }
}

static void judge(int32_t status, enum expected expected, unsigned inputs) {
    if (status < 0 || status > LAST_STATUS || status == NUMPACK_PANIC) {
        fail("no status that may be", status);
    }
    if ((status == NUMPACK_OK) != (numpack_last_error(NULL, 0) == 0)) {
        fail("the message does not fit the status", status);
    }
    if (numpack_last_os_error() != 0 && status != NUMPACK_IO && status != NUMPACK_NOT_A_STORE) {
        fail("the system's error number does not fit the status", status);
    }
    if (expected == OK_WITH_DEVICE) {
        expected = the_device ? OK : ANY;
    }
    if ((expected == OK && status != NUMPACK_OK) ||
        (expected == PARAMETER && status != NUMPACK_PARAMETER) ||
        (expected == FAILURE && status == NUMPACK_OK)) {
        static const char *const names[] = {"NUMPACK_OK", "NUMPACK_PARAMETER", "an error"};
        char problem[64];
        snprintf(problem, sizeof problem, "%s was expected", names[expected]);
        fail(problem, status);
    }
    judge_memory(status, inputs);
}

/* == Memory =================================================================================== */

static void *slot(int i) {
    return slots[i];
}

static char *text(int i, const char *from) {
    return strcpy((char *)slots[i], from);
}

static char *long_text(int i) {
    memset(slots[i], 'x', 6000);
    slots[i][6000] = 0;
    return (char *)slots[i];
}

/* As many equal texts as there may be asked for. */
static const char *const *texts(int i, const char *one) {
    const char **list = (const char **)slots[i];
    for (int k = 0; k < NUMBERS; k++) {
        list[k] = one;
    }
    return list;
}

static const void *handles(int i, const void *one) {
    const void **list = (const void **)slots[i];
    for (int k = 0; k < NUMBERS; k++) {
        list[k] = one;
    }
    return list;
}

/* Numbers, the rest of which are all equal. */
static int64_t *numbers(int i, int64_t first, int64_t second, int64_t rest) {
    int64_t *list = (int64_t *)slots[i];
    for (int k = 0; k < NUMBERS; k++) {
        list[k] = k == 0 ? first : k == 1 ? second : rest;
    }
    return list;
}

static uint64_t *unsigned_numbers(int i, uint64_t first, uint64_t second, uint64_t rest) {
    return (uint64_t *)numbers(i, (int64_t)first, (int64_t)second, (int64_t)rest);
}

static double *real(int i) {
    double *one = (double *)slots[i];
    *one = 0.5;
    return one;
}

/* == Paths ==================================================================================== */

/* A path where nothing is yet. */
static char *new_path(int i) {
    snprintf((char *)slots[i], 64, "new-%d", serial++);
    return (char *)slots[i];
}

static char *new_state_path(int i) {
    snprintf((char *)slots[i], 64, "new-%d.pt", serial++);
    return (char *)slots[i];
}

/* == Structs ================================================================================== */

static const uint64_t array_shape[] = {3, 4}, tensor_shape[] = {2, 3};
static const uint64_t huge_shape[] = {UINT64_MAX, INT64_MAX, UINT64_MAX};
static const int64_t huge_strides[] = {INT64_MAX, INT64_MIN, INT64_MAX};
/* Long enough for any `ndim` or `count` that is tried. */
static uint64_t ones[NUMBERS];
static int64_t row_list[NUMBERS];
static uint8_t row_mask[NUMBERS];
static const unsigned char array_bytes[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static _Alignas(64) float tensor_floats[6] = {0, 1, 2, 3, 4, 5};

/* The struct at the start of a slot, the rest of which is zero. */
#define STRUCT(T, i) ((T *)memset(slots[i], 0, SLOT_SIZE))

static numpack_view *valid_views(int i) {
    numpack_view *list = STRUCT(numpack_view, i);
    for (int k = 0; k < 4; k++) {
        list[k] = numpack_view_of(NUMPACK_DTYPE_UINT8, 2, array_shape, array_bytes, 12);
    }
    return list;
}

static numpack_view *valid_view(int i) {
    numpack_view *one = STRUCT(numpack_view, i);
    *one = numpack_view_of(NUMPACK_DTYPE_UINT8, 2, array_shape, array_bytes, 12);
    return one;
}

static numpack_rows *valid_rows(int i) {
    numpack_rows *all = STRUCT(numpack_rows, i);
    *all = numpack_rows_all();
    all->list = row_list;
    all->mask = row_mask;
    all->count = 3;
    all->step = 1;
    return all;
}

static numpack_scalar *valid_scalar(int i) {
    *STRUCT(numpack_scalar, i) = numpack_scalar_float(1);
    return slot(i);
}

static numpack_node *valid_node(int i) {
    numpack_node *value = STRUCT(numpack_node, i);
    value->struct_size = sizeof *value;
    value->kind = NUMPACK_NODE_INT;
    return value;
}

static numpack_array_interface *valid_array_interface(int i) {
    numpack_array_interface *array = STRUCT(numpack_array_interface, i);
    array->struct_size = sizeof *array;
    array->data = tensor_floats;
    array->typestr = "<f4";
    array->shape = tensor_shape;
    array->ndim = 2;
    return array;
}

/* == Callbacks ================================================================================ */

static void on_warning(const char *message, void *user) {
    (void)message;
    (void)user;
}

static int32_t on_file_fault(int32_t is_notice, const char *message, void *user) {
    (void)is_notice, (void)message, (void)user;
    return 0;
}

static int32_t on_scan(int32_t level, const char *found, const char *part, int64_t offset,
                       void *user) {
    (void)level, (void)found, (void)part, (void)offset, (void)user;
    return 0;
}

static int32_t on_difference(const char *path, const char *found, void *user) {
    (void)path, (void)found, (void)user;
    return 0;
}

static int32_t on_fault(int32_t kind, int32_t is_notice, const char *file, const char *array,
                        const char *message, void *user) {
    (void)kind, (void)is_notice, (void)file, (void)array, (void)message, (void)user;
    return 0;
}

static void on_release(void *user) {
    (void)user;
}

static int32_t on_forward(const numpack_nn_tensor *x, numpack_nn_tensor **result, void *user) {
    (void)user;
    *result = numpack_nn_tensor_retain(x);
    return 0;
}

static int32_t on_loss(const numpack_nn_tensor *output, const numpack_nn_tensor *target,
                       numpack_nn_tensor **loss, void *user) {
    (void)user;
    return numpack_nn_tensor_loss(output, NUMPACK_NN_MSE, target, NUMPACK_NN_REDUCTION_MEAN, loss);
}

static int32_t on_progress(uint64_t done, uint64_t total, void *user) {
    (void)done, (void)total, (void)user;
    return 0;
}

/* == Handles ================================================================================== */

/* The path of a store with one array, `a`; another one where a call may have changed it. */
static const char *store_path(void) {
    if (is_dirty) {
        snprintf(store_folder, sizeof store_folder, "store-%d", serial++);
        numpack_store *store = NULL;
        const char *name = "a";
        numpack_view one =
            numpack_view_of(NUMPACK_DTYPE_UINT8, 2, array_shape, array_bytes, 12);
        need(numpack_store_create(store_folder, NULL, &store));
        need(numpack_store_save(store, &name, &one, 1));
        numpack_store_free(store);
        is_dirty = 0;
    }
    return store_folder;
}

/* A data file that no record names, for the functions that want one. */
static void put_orphan(void) {
    if (strstr(function, "_adopt_array") == NULL) {
        return;
    }
    char orphan[100];
    snprintf(orphan, sizeof orphan, "%s/data_orphan.npkd", store_path());
    FILE *file = fopen(orphan, "wb");
    if (!file || fwrite(tensor_floats, 1, 24, file) != 24 || fclose(file) != 0) {
        fail("cannot make what the call needs", 0);
        exit(1);
    }
    is_dirty = 1;
}

static numpack_store *make_store(void) {
    const char *path = store_path();
    put_orphan();
    numpack_store *store = NULL;
    need(numpack_store_open(path, NULL, &store));
    return store;
}

static numpack_writer *make_writer(void) {
    numpack_store *store = make_store();
    numpack_writer *writer = NULL;
    need(numpack_store_begin(store, NULL, &writer));
    numpack_store_free(store);
    return writer;
}

static numpack_list *make_list(void) {
    numpack_store *store = make_store();
    numpack_list *list = NULL;
    need(numpack_store_list(store, &list));
    numpack_store_free(store);
    return list;
}

static numpack_array *make_array(void) {
    numpack_store *store = make_store();
    numpack_array *array = NULL;
    need(numpack_array_open(store, "a", &array));
    numpack_store_free(store);
    return array;
}

static numpack_mapped_rows *make_mapped_rows(void) {
    numpack_array *array = make_array();
    numpack_mapped_rows *mapped = NULL;
    need(numpack_array_map_rows(array, &mapped));
    numpack_array_free(array);
    return mapped;
}

static numpack_rows_mut *make_rows_mut(void) {
    numpack_store *store = make_store();
    numpack_rows_mut *mapped = NULL;
    need(numpack_store_map_rows_mut(store, "a", &mapped));
    numpack_store_free(store);
    return mapped;
}

static numpack_package *make_package(void) {
    numpack_package *package = NULL;
    need(numpack_package_open("good.npkg", &package));
    return package;
}

static numpack_checkpoint *make_checkpoint(void) {
    numpack_checkpoint *checkpoint = NULL;
    need(numpack_checkpoint_open("good.pt", NULL, &checkpoint));
    return checkpoint;
}

static uint32_t root_of(const numpack_checkpoint *checkpoint) {
    uint32_t root = 0;
    need(numpack_checkpoint_get_root(checkpoint, &root));
    return root;
}

static numpack_tensor *make_tensor(void) {
    numpack_tensor *tensor = NULL;
    need(numpack_tensor_zeros(NUMPACK_DTYPE_FLOAT32, 2, tensor_shape, &tensor));
    return tensor;
}

/* One with an integer. */
static numpack_object *make_object(void) {
    numpack_node value = {sizeof value, NUMPACK_NODE_INT, 7, 0, NULL, 0, NULL, 0, 0, 0};
    numpack_object *object = NULL;
    need(numpack_object_create(&object));
    need(numpack_object_add(object, &value, NULL));
    return object;
}

static numpack_device *make_device(void) {
    return numpack_device_retain(the_device);
}

static numpack_device_list *make_device_list(void) {
    numpack_device_list *list = NULL;
    if (the_device) {
        need(numpack_devices(&list));
    }
    return list;
}

static int is(const char *text, const char *other) {
    return strcmp(text, other) == 0;
}

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), of_end = strlen(end);
    return length >= of_end && is(text + length - of_end, end);
}

/* What the function wants for the parameter of this name: (2, 3) floats, or what fits them. */
static numpack_nn_tensor *make_nn_tensor(const char *name) {
    static const uint64_t turned[] = {3, 2}, square[] = {2, 2}, batch[] = {1, 2, 3};
    int32_t dtype = NUMPACK_DTYPE_FLOAT32;
    uint32_t ndim = 2;
    const uint64_t *shape = tensor_shape;
    if ((is(name, "tensor") && ends_with(function, "_backward")) || ends_with(function, "_item") ||
        (is(name, "grad") && ends_with(function, "_backward"))) {
        ndim = 0;
    } else if (ends_with(function, "_masked")) {
        /* (batch, length, columns), (batch, keys), (queries, keys). */
        int is_mask = is(name, "attn_mask") || is(name, "key_padding_mask");
        dtype = is_mask ? NUMPACK_DTYPE_BOOL : dtype;
        ndim = is_mask ? 2 : 3;
        shape = is(name, "attn_mask") ? square : batch;
    } else if (is(name, "condition")) {
        dtype = NUMPACK_DTYPE_BOOL;
    } else if (is(name, "other") && ends_with(function, "_matmul")) {
        shape = turned;
    } else if (is(name, "bias") && strstr(function, "_tensor_linear")) {
        ndim = 1;
    } else if (is(name, "y")) {
        shape = square;
    } else if (is(name, "index")) {
        dtype = NUMPACK_DTYPE_INT64;
        ndim = ends_with(function, "_gather") ? 2 : 1;
    } else if (is(name, "target") && !ends_with(function, "tensor_loss")) {
        dtype = NUMPACK_DTYPE_INT64;
        ndim = 1;
    }
    numpack_scalar zero = numpack_scalar_int(0);
    numpack_nn_tensor *tensor = NULL;
    need(numpack_nn_tensor_full(dtype, ndim, shape, &zero, NULL, &tensor));
    if (is(name, "tensor") && ends_with(function, "_backward")) {
        need(numpack_nn_tensor_require_grad(tensor, 1));
    }
    return tensor;
}

static numpack_nn_module *make_nn_module(void) {
    numpack_nn_module *module = NULL;
    if (ends_with(function, "_masked")) {
        need(numpack_nn_module_multihead_attention(3, 1, 0, 1, 1, &module));
        return module;
    }
    need(numpack_nn_module_linear(3, 2, 1, &module));
    return module;
}

static numpack_nn_state *make_nn_state(void) {
    numpack_nn_module *module = make_nn_module();
    numpack_nn_state *state = NULL;
    need(numpack_nn_module_state(module, &state));
    numpack_nn_module_free(module);
    return state;
}

static numpack_nn_optimizer *make_nn_optimizer(void) {
    const numpack_nn_tensor *param = make_nn_tensor("param");
    numpack_nn_optimizer *optimizer = NULL;
    need(numpack_nn_optimizer_sgd(&param, 1, 0.1, NULL, &optimizer));
    numpack_nn_tensor_free((numpack_nn_tensor *)param);
    return optimizer;
}

/* One that was done once. */
static numpack_nn_step *make_nn_step(void) {
    numpack_nn_module *module = make_nn_module();
    numpack_nn_optimizer *optimizer = make_nn_optimizer();
    numpack_nn_tensor *x = make_nn_tensor("x"), *y = make_nn_tensor("y");
    numpack_nn_step *step = NULL;
    need(numpack_nn_step_create(module, optimizer, NUMPACK_NN_MSE, x, y, &step));
    need(numpack_nn_step_run(step, x, y));
    numpack_nn_tensor_free(x);
    numpack_nn_tensor_free(y);
    numpack_nn_optimizer_free(optimizer);
    numpack_nn_module_free(module);
    return step;
}

/* The beginnings of DLPack's structs, as far as they are needed to give them back. */
struct DLManagedTensorVersioned {
    uint32_t version[2];
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensorVersioned *self);
};

struct DLManagedTensor {
    struct {
        void *data;
        int32_t device[2];
        int32_t ndim;
        uint8_t dtype[4];
        int64_t *shape, *strides;
        uint64_t byte_offset;
    } dl_tensor;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensor *self);
};

static struct DLManagedTensorVersioned *make_managed(void) {
    numpack_tensor *tensor = make_tensor();
    struct DLManagedTensorVersioned *managed = NULL;
    need(numpack_tensor_to_dlpack(tensor, 0, &managed));
    numpack_tensor_free(tensor);
    return managed;
}

static struct DLManagedTensor *make_managed_legacy(void) {
    numpack_tensor *tensor = make_tensor();
    struct DLManagedTensor *managed = NULL;
    need(numpack_tensor_to_dlpack_legacy(tensor, 0, &managed));
    numpack_tensor_free(tensor);
    return managed;
}

/* == The whole ================================================================================ */

static void start(int argc, char **argv) {
    function = "start";
    what = "";
    if (argc != 2 || chdir(argv[1]) != 0) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        exit(2);
    }
    for (int i = 0; i < NUMBERS; i++) {
        ones[i] = 1;
    }
    const char *name = "t";
    numpack_view tensor =
        numpack_view_of(NUMPACK_DTYPE_FLOAT32, 2, tensor_shape, tensor_floats, 24);
    need(numpack_save_torch("good.pt", &name, &tensor, 1, NULL));
    need(numpack_pack(store_path(), "good.npkg", NULL, NULL, NULL, NULL));
    const char *weight = "model.weight";
    need(numpack_save_torch("state.pt", &weight, &tensor, 1, NULL));
    numpack_nn_module *module = make_nn_module();
    numpack_nn_optimizer *optimizer = make_nn_optimizer();
    need(numpack_nn_save_training("training.pt", module, optimizer, 0));
    numpack_nn_optimizer_free(optimizer);
    numpack_nn_module_free(module);
    (void)numpack_device_open(NULL, &the_device);
}

static int finish(int functions) {
    numpack_device_free(the_device);
    if (failures > 0) {
        fprintf(stderr, "%lu failures\n", failures);
        return 1;
    }
    printf("%d functions, %lu calls\n", functions, calls);
    return 0;
}

/* Whole objects, put together and written. Usage: object CHECKPOINT FOLDER */
#include "check.h"

static numpack_node node_of(int32_t kind) {
    numpack_node value;
    memset(&value, 0, sizeof value);
    value.struct_size = sizeof value;
    value.kind = kind;
    return value;
}

static uint32_t add(numpack_object *object, const numpack_node *value) {
    uint32_t number = NUMPACK_NO_NODE;
    CHECK(numpack_object_add(object, value, &number) == NUMPACK_OK);
    return number;
}

static uint32_t add_text(numpack_object *object, int32_t kind, const char *text, size_t length) {
    numpack_node value = node_of(kind);
    value.text = text;
    value.length = length;
    return add(object, &value);
}

static uint32_t add_str(numpack_object *object, const char *text) {
    return add_text(object, NUMPACK_NODE_STR, text, strlen(text));
}

static uint32_t add_int(numpack_object *object, int64_t integer) {
    numpack_node value = node_of(NUMPACK_NODE_INT);
    value.integer = integer;
    return add(object, &value);
}

static numpack_tensor *floats(const float *values, uint64_t count) {
    numpack_view view =
        numpack_view_of(NUMPACK_DTYPE_FLOAT32, 1, &count, values, (size_t)count * sizeof *values);
    numpack_tensor *tensor = NULL;
    CHECK(numpack_tensor_copy(&view, &tensor) == NUMPACK_OK);
    return tensor;
}

/* {"model": OrderedDict(weight=Parameter, part=…) with _metadata, "epoch": 3, "names": ["a", ("b", None)],
 * "blob": b"\0\xff"}; the number of the whole. */
static uint32_t training(numpack_object *object) {
    const float values[] = {1, 2, 3, 4};
    numpack_tensor *weight = floats(values, 4), *part = NULL, *wanting = NULL;
    uint32_t keys[4], parts[4], model = 0, list = 0, root = 0, attributes = 0, tuple = 0;
    CHECK(numpack_tensor_narrow(weight, 0, 1, 2, &part) == NUMPACK_OK);
    CHECK(numpack_tensor_require_grad(weight, 1, &wanting) == NUMPACK_OK);
    keys[0] = add_str(object, "weight");
    keys[1] = add_str(object, "part");
    CHECK(numpack_object_add_tensor(object, wanting, 1, &parts[0]) == NUMPACK_OK);
    CHECK(numpack_object_add_tensor(object, part, 0, &parts[1]) == NUMPACK_OK);
    /* The object has its share. */
    numpack_tensor_free(weight);
    numpack_tensor_free(wanting);
    numpack_tensor_free(part);
    uint32_t inner = 0, name = add_str(object, "_metadata");
    CHECK(numpack_object_add_dict(object, NULL, NULL, 0, 0, NUMPACK_NO_NODE, &inner) ==
          NUMPACK_OK);
    CHECK(numpack_object_add_dict(object, &name, &inner, 1, 0, NUMPACK_NO_NODE, &attributes) ==
          NUMPACK_OK);
    CHECK(numpack_object_add_dict(object, keys, parts, 2, 1, attributes, &model) == NUMPACK_OK);
    CHECK(numpack_object_add_dict(object, keys, parts, 2, 0, attributes, &list) ==
          NUMPACK_PARAMETER);

    numpack_node none = node_of(NUMPACK_NODE_NONE);
    parts[0] = add_str(object, "b");
    parts[1] = add(object, &none);
    CHECK(numpack_object_add_items(object, NUMPACK_NODE_TUPLE, parts, 2, &tuple) == NUMPACK_OK);
    parts[0] = add_str(object, "a");
    parts[1] = tuple;
    CHECK(numpack_object_add_items(object, NUMPACK_NODE_LIST, parts, 2, &list) == NUMPACK_OK);
    CHECK(numpack_object_add_items(object, NUMPACK_NODE_DICT, parts, 2, &root) ==
          NUMPACK_PARAMETER);
    keys[0] = add_str(object, "model");
    keys[1] = add_str(object, "epoch");
    keys[2] = add_str(object, "names");
    keys[3] = add_str(object, "blob");
    parts[0] = model;
    parts[1] = add_int(object, 3);
    parts[2] = list;
    parts[3] = add_text(object, NUMPACK_NODE_BYTES, "\0\xff", 2);
    CHECK(numpack_object_add_dict(object, keys, parts, 4, 0, NUMPACK_NO_NODE, &root) ==
          NUMPACK_OK);
    return root;
}

static numpack_node get(const numpack_checkpoint *checkpoint, uint32_t number) {
    numpack_node node = node_of(0);
    CHECK(numpack_checkpoint_get_node(checkpoint, number, &node) == NUMPACK_OK);
    return node;
}

static uint32_t child(const numpack_checkpoint *checkpoint, uint32_t number, size_t index) {
    uint32_t value = NUMPACK_NO_NODE;
    CHECK(numpack_checkpoint_get_child(checkpoint, number, index, NULL, &value) == NUMPACK_OK);
    return value;
}

static void read_back(const char *path) {
    numpack_checkpoint *checkpoint = NULL;
    numpack_tensor_info weight, part;
    memset(&weight, 0, sizeof weight);
    memset(&part, 0, sizeof part);
    weight.struct_size = part.struct_size = sizeof weight;
    uint32_t root = 0, attributes = 0;
    float values[2] = {0, 0};
    CHECK(numpack_checkpoint_open(path, NULL, &checkpoint) == NUMPACK_OK);
    CHECK(numpack_checkpoint_get_info(checkpoint, 0, &weight) == NUMPACK_OK);
    CHECK(numpack_checkpoint_get_info(checkpoint, 1, &part) == NUMPACK_OK);
    CHECK(strcmp(weight.name, "model.weight") == 0 && strcmp(part.name, "model.part") == 0);
    CHECK(weight.parameter == 1 && weight.requires_grad == 1 && part.parameter == 0);
    CHECK(weight.storage == part.storage && part.offset == 1 && part.storage_nbytes == 16);
    CHECK(numpack_checkpoint_read(checkpoint, 1, values, sizeof values) == NUMPACK_OK);
    CHECK(values[0] == 2 && values[1] == 3);

    CHECK(numpack_checkpoint_get_root(checkpoint, &root) == NUMPACK_OK);
    CHECK(get(checkpoint, root).kind == NUMPACK_NODE_DICT && get(checkpoint, root).children == 4);
    uint32_t model = child(checkpoint, root, 0);
    CHECK(get(checkpoint, model).kind == NUMPACK_NODE_ORDERED_DICT);
    CHECK(numpack_checkpoint_get_attributes(checkpoint, model, &attributes) == NUMPACK_OK);
    uint32_t key = 0, inner = 0;
    CHECK(numpack_checkpoint_get_child(checkpoint, attributes, 0, &key, &inner) == NUMPACK_OK);
    CHECK(get(checkpoint, key).length == 9 && get(checkpoint, inner).kind == NUMPACK_NODE_DICT);
    CHECK(numpack_checkpoint_get_attributes(checkpoint, root, &attributes) == NUMPACK_OK);
    CHECK(attributes == NUMPACK_NO_NODE);
    CHECK(get(checkpoint, child(checkpoint, root, 1)).integer == 3);
    uint32_t names = child(checkpoint, root, 2);
    CHECK(get(checkpoint, names).kind == NUMPACK_NODE_LIST);
    CHECK(get(checkpoint, child(checkpoint, names, 1)).kind == NUMPACK_NODE_TUPLE);
    numpack_node blob = get(checkpoint, child(checkpoint, root, 3));
    CHECK(blob.kind == NUMPACK_NODE_BYTES && blob.length == 2 &&
          memcmp(blob.text, "\0\xff", 2) == 0);
    numpack_checkpoint_free(checkpoint);
}

static void refused(const char *folder) {
    char path[1024];
    numpack_object *object = NULL;
    uint32_t number = 0, list = 0, dict = 0;
    CHECK(numpack_object_create(NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_object_create(&object) == NUMPACK_OK);
    numpack_node value = node_of(NUMPACK_NODE_STR);
    value.text = "\xff";
    value.length = 1;
    CHECK(numpack_object_add(object, &value, &number) == NUMPACK_PARAMETER);
    value.kind = NUMPACK_NODE_SURROGATE_STR;
    CHECK(numpack_object_add(object, &value, &number) == NUMPACK_PARAMETER);
    for (int32_t kind = NUMPACK_NODE_TUPLE; kind <= NUMPACK_NODE_OBJECT; kind++) {
        value.kind = kind == NUMPACK_NODE_GLOBAL ? -1 : kind;
        CHECK(numpack_object_add(object, &value, &number) == NUMPACK_PARAMETER);
    }
    number = add_int(object, 1);
    CHECK(number == 0);
    CHECK(numpack_object_add_items(object, NUMPACK_NODE_LIST, &number, 1, &list) == NUMPACK_OK);
    CHECK(list == 1);
    uint32_t missing = 2;
    CHECK(numpack_object_add_items(object, NUMPACK_NODE_LIST, &missing, 1, &dict) ==
          NUMPACK_PARAMETER);
    CHECK(numpack_object_add_dict(object, &list, &number, 1, 0, NUMPACK_NO_NODE, &dict) ==
          NUMPACK_OK);
    join(path, sizeof path, folder, "refused.pt");
    CHECK(numpack_object_save(object, dict, path, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_object_save(object, 77, path, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_object_save(NULL, 0, path, NULL) == NUMPACK_PARAMETER);
    CHECK(!exists(path));
    /* A plain value is an object too; what is there is kept. */
    CHECK(numpack_object_save(object, list, path, NULL) == NUMPACK_OK && exists(path));
    CHECK(numpack_object_save(object, list, path, NULL) == NUMPACK_EXISTS);
    numpack_save_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.overwrite = 1;
    CHECK(numpack_object_save(object, number, path, &options) == NUMPACK_OK);
    numpack_object_free(object);
    numpack_object_free(NULL);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    char path[1024];
    numpack_object *object = NULL;
    join(path, sizeof path, argv[2], "object.pt");
    CHECK(numpack_object_create(&object) == NUMPACK_OK);
    uint32_t root = training(object);
    CHECK(numpack_object_save(object, root, path, NULL) == NUMPACK_OK);
    numpack_object_free(object);
    read_back(path);
    refused(argv[2]);
    return finish();
}

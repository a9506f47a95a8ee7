/* Lists the tensors of a checkpoint, and reads one.
 *
 *     cc tensors.c -lnumpack -o tensors
 *     ./tensors model.pt encoder.bias
 */
#include <numpack.h>

#include <stdio.h>
#include <stdlib.h>

static void check(int32_t status) {
    if (status != NUMPACK_OK) {
        char message[1024];
        numpack_last_error(message, sizeof message);
        fprintf(stderr, "tensors: %s\n", message);
        exit(1);
    }
}

static void list(const numpack_checkpoint *checkpoint) {
    for (size_t i = 0; i < numpack_checkpoint_count(checkpoint); i++) {
        numpack_tensor_info info;
        info.struct_size = sizeof info;
        check(numpack_checkpoint_get_info(checkpoint, i, &info));
        printf("%s: %s", info.name, numpack_dtype_name(info.dtype));
        for (uint32_t d = 0; d < info.ndim; d++) {
            printf(" %llu", (unsigned long long)info.shape[d]);
        }
        printf("\n");
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s CHECKPOINT NAME\n", argv[0]);
        return 2;
    }
    numpack_checkpoint *checkpoint;
    check(numpack_checkpoint_open(argv[1], NULL, &checkpoint));
    list(checkpoint);

    /* Of whatever type, as floats: read into memory of its own, and converted. */
    size_t index;
    numpack_tensor *tensor, *floats;
    numpack_tensor_layout layout;
    layout.struct_size = sizeof layout;
    check(numpack_checkpoint_find(checkpoint, argv[2], &index));
    check(numpack_checkpoint_load(checkpoint, index, &tensor));
    check(numpack_tensor_to_dtype(tensor, NUMPACK_DTYPE_FLOAT32, &floats));
    check(numpack_tensor_get_layout(floats, &layout));
    float *values = malloc((size_t)layout.nbytes + 1);
    if (values == NULL) {
        fprintf(stderr, "tensors: not enough memory\n");
        return 1;
    }
    check(numpack_tensor_read(floats, values, (size_t)layout.nbytes));
    double sum = 0;
    for (uint64_t i = 0; i < layout.numel; i++) {
        sum += values[i];
    }
    printf("the %llu elements of %s add up to %.9g\n", (unsigned long long)layout.numel, argv[2],
           sum);
    free(values);
    numpack_tensor_free(floats);
    numpack_tensor_free(tensor);
    numpack_checkpoint_free(checkpoint);
    return 0;
}

/* Converts a checkpoint to a store or back, whichever the names say.
 *
 *     cc convert.c -lnumpack -o convert
 *     ./convert model.pt model.npk
 */
#include <numpack.h>

#include <stdio.h>
#include <string.h>

static void print_warning(const char *message, void *user) {
    (void)user;
    fprintf(stderr, "warning: %s\n", message);
}

static int fail(void) {
    char message[1024];
    numpack_last_error(message, sizeof message);
    fprintf(stderr, "convert: %s\n", message);
    return 1;
}

static int ends_with(const char *text, const char *suffix) {
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s IN OUT\n", argv[0]);
        return 2;
    }
    uint64_t count, bytes;
    if (ends_with(argv[2], ".npk")) {
        numpack_from_torch_options options = {0};
        options.struct_size = sizeof options;
        options.existing = NUMPACK_EXISTING_REPLACE;
        options.warning = print_warning;
        if (numpack_from_torch_file(argv[1], argv[2], &options, &count, &bytes) != NUMPACK_OK) {
            return fail();
        }
    } else if (numpack_to_torch_file(argv[1], argv[2], NULL, &count, &bytes) != NUMPACK_OK) {
        return fail();
    }
    printf("%s: %llu arrays, %llu bytes\n", argv[2], (unsigned long long)count,
           (unsigned long long)bytes);
    return 0;
}

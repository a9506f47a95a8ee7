/* All that a C++ program can see, each part in a file of its own. */
#include "parts.hpp"

#include "check.hpp"

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    CHECK(numpack::is_compatible() && numpack::version().size() >= 5);
    stores(argv[2]);
    packages(argv[2]);
    checkpoints(argv[1], argv[2]);
    tensors();
    sharing();
    callbacks(argv[1], argv[2]);
    computing(argv[2]);
    return finish();
}

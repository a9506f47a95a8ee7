/* The part that is compiled without exceptions. */
#include "linked.hpp"

#include <numpack.hpp>

std::uint64_t counted_without_exceptions(const char *path) {
    static_assert(!NUMPACK_EXCEPTIONS, "compile this with -fno-exceptions");
    const auto checkpoint = numpack::checkpoint::try_open(path);
    return checkpoint ? checkpoint->size() : 0;
}

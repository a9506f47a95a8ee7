/* The part that is compiled with exceptions. */
#include "linked.hpp"

#include "check.hpp"

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    CHECK(NUMPACK_EXCEPTIONS && numpack::checkpoint::open(argv[1]).size() == 44);
    CHECK(thrown_by([&] { numpack::checkpoint::open(argv[2] + std::string("/none")); }) ==
          numpack::status::io);
    CHECK(counted_without_exceptions(argv[1]) == 44 && counted_without_exceptions("none") == 0);
    return finish();
}

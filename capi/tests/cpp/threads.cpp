/* Many threads read views of one tensor, and rows of one array. */
#include "check.hpp"

#include <atomic>
#include <thread>

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    constexpr int count = 8, columns = 64;
    std::atomic<int> released{0}, failed{0};
    struct owner {
        std::atomic<int> *released;
        explicit owner(std::atomic<int> &counter) : released(&counter) {}
        owner(owner &&other) noexcept : released(std::exchange(other.released, nullptr)) {}
        ~owner() {
            if (released != nullptr) {
                ++*released;
            }
        }
    };
    std::vector<std::int32_t> memory(count * columns);
    for (std::size_t i = 0; i < memory.size(); i++) {
        memory[i] = std::int32_t(i);
    }
    numpack::tensor tensor = numpack::tensor::share(memory, {count, columns}, owner(released));
    const numpack::checkpoint checkpoint = numpack::checkpoint::open(argv[1]);
    numpack::store store = numpack::store::create(join(argv[2], "threads.npk"));
    store.save("rows", {memory, {count, columns}});
    const numpack::array array = store.array("rows");
    const std::vector<float> bias = checkpoint.to_vector<float>("model.hidden.bias");

    std::vector<std::thread> threads;
    for (int n = 0; n < count; n++) {
        threads.emplace_back([&, n, mine = tensor, arrays = array] {
            for (int round = 0; round < 50; round++) {
                const numpack::tensor row = mine.select(0, n);
                const auto direct = row.data<const std::int32_t>();
                const auto copied = row.to_vector<std::int32_t>();
                std::vector<std::int32_t> stored(columns);
                arrays.read_rows(std::uint64_t(n), 1, stored);
                failed += !std::equal(direct.begin(), direct.end(), copied.begin());
                failed += copied != stored || copied[0] != n * columns;
                failed += tensor.get<int>({n, -1}) != n * columns + columns - 1;
                failed += checkpoint.to_vector<float>("model.hidden.bias") != bias;
                /* Each thread has a message of its own. */
                const auto wrong = mine.try_select(0, count + n);
                failed += wrong.status() != numpack::status::parameter ||
                          wrong.message().find(std::to_string(count + n)) == std::string::npos;
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    CHECK(failed == 0 && released == 0);
    threads.clear();
    tensor = {};
    CHECK(released == 1);
    return finish();
}

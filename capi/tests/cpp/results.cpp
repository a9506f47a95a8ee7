/* The functions that return results, without exceptions and run-time type information. */
#include "check.hpp"

#include <cerrno>

#if NUMPACK_EXCEPTIONS
#error "this is to be compiled with -fno-exceptions"
#endif

using numpack::dtype;
using numpack::status;
using numpack::tensor;

static void stores(const std::string &folder) {
    const std::string path = join(folder, "results.npk");
    const auto nothing = numpack::store::try_open(path);
    CHECK(nothing.status() == status::not_a_store && nothing.failure().os_error == ENOENT);
    auto store = numpack::store::try_create(path);
    CHECK(store && store.status() == status::ok && store.message().empty());
    const std::vector<float> values = {1, 2, 3, 4};
    CHECK(store->try_save("a", {values, {2, 2}}));
    CHECK(store->try_drop_rows("a", numpack::rows::index(0)).value_or(0) == 1);
    auto array = store->try_array("a");
    std::vector<float> row(2);
    CHECK(array && array->try_read(row) && row[0] == 3);
    CHECK(array->try_map<float>().status() == status::parameter);
    std::vector<double> doubles(1);
    const auto refused = array->try_read(doubles);
    CHECK(!refused && refused.failure().code == status::type);
    CHECK(refused.message().find("float32") != std::string::npos);
    CHECK(store->try_array("none").status() == status::not_found);
    CHECK(store->try_array(std::string_view("a\0", 2)).status() == status::parameter);
    auto writer = store->try_begin();
    CHECK(writer && writer->try_rename_array("a", "b") && writer->try_commit());
    std::size_t count = 0;
    const auto list = store->try_list();
    for (auto &info : *list) {
        CHECK(info.name == "b");
        count++;
    }
    CHECK(count == 1);
    const auto found = numpack::try_verify_store(path);
    CHECK(found && found->is_sound());
}

static void checkpoints(const char *path, const std::string &folder) {
    auto checkpoint = numpack::checkpoint::try_open(path);
    CHECK(checkpoint && checkpoint->size() == 44);
    const auto bias = checkpoint->try_to_vector<float>("model.hidden.bias");
    auto loaded = checkpoint->try_load("model.hidden.bias");
    CHECK(bias && loaded && loaded->try_to_vector<float>().value_or({}) == *bias);
    CHECK(checkpoint->try_load(44).status() == status::parameter);
    CHECK(checkpoint->try_load("none").status() == status::not_found);
    const auto root = checkpoint->try_root();
    CHECK(root && root->try_find("epoch")->integer() == 3);
    int calls = 0;
    numpack::from_torch_options options;
    options.progress = [&](std::uint64_t, std::uint64_t) { return ++calls < 1; };
    CHECK(numpack::try_from_torch_file(path, join(folder, "stopped.npk"), options).status() ==
          status::cancelled);
    CHECK(calls == 1);
}

static void tensors() {
    int released = 0;
    std::vector<float> memory = {1, 2, 3, 4};
    {
        auto t = tensor::try_share(memory, {2, 2}, witness(released));
        CHECK(t && t->try_data<float>()->data() == memory.data());
        CHECK(t->try_set({1, 1}, 40) && memory[3] == 40);
        CHECK(t->try_transpose(0, 1)->try_get<double>({1, 0}).value_or(0) == 2);
        CHECK(t->try_get<double>({2, 0}).status() == status::parameter);
        CHECK(t->try_data<int>().status() == status::type && released == 0);
    }
    CHECK(released == 1);
    CHECK(tensor::try_share(memory, {5}, witness(released)).status() == status::parameter);
    CHECK(released == 2);
    CHECK(tensor::try_zeros(dtype::quint4x2, {1}).status() == status::type);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    stores(argv[2]);
    checkpoints(argv[1], argv[2]);
    tensors();
    return finish();
}

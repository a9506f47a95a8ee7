/* Checkpoints: listed, read, mapped, loaded, walked, converted, written. What torch says of each
 * tensor is compared by the caller, with the files that `values` leaves. */
#include "parts.hpp"

#include "check.hpp"

#include <set>

using numpack::dtype;
using numpack::status;

/* A half of a program's own. */
struct brain_float {
    std::uint16_t bits;
    operator float() const {
        const std::uint32_t wide = std::uint32_t(bits) << 16;
        float value;
        std::memcpy(&value, &wide, sizeof value);
        return value;
    }
};
template <>
struct numpack::dtype_traits<brain_float> {
    static constexpr dtype value = dtype::bfloat16;
};

/* A line for each tensor, and its elements in a file, once they are the same by every way. */
static void values(const numpack::checkpoint &checkpoint, const std::string &folder) {
    std::ofstream list(join(folder, "tensors.txt"));
    std::size_t index = 0;
    const std::vector<numpack::tensor> all = checkpoint.load_all();
    CHECK(all.size() == checkpoint.size());
    for (auto &info : checkpoint) {
        list << info.name << '\t' << numpack::name(info.dtype) << '\t' << info.storage << '\t';
        for (auto length : info.shape) {
            list << length << ' ';
        }
        list << '\n';
        const auto bytes = checkpoint.to_vector<std::byte>(index);
        std::vector<std::byte> raw(info.nbytes), loaded(info.nbytes), mapped(info.nbytes);
        CHECK(numpack_checkpoint_read(checkpoint.c(), index, raw.data(), raw.size()) == NUMPACK_OK);
        all[index].read(loaded);
        CHECK(bytes == loaded);
        checkpoint.load(index).read(loaded);
        checkpoint.load_mapped(info.name).read(mapped);
        CHECK(bytes == raw && bytes == loaded && bytes == mapped);
        CHECK(checkpoint.find(info.name) == index);
        const std::string name = std::to_string(index++) + ".bin";
        write_file(join(folder, name.c_str()),
                   {reinterpret_cast<const char *>(bytes.data()), bytes.size()});
    }
    CHECK(index == checkpoint.size());
}

static void reading(const std::string &path) {
    numpack::checkpoint checkpoint = numpack::checkpoint::open(path);
    CHECK(checkpoint.format() == "zip archive of torch, version 3" && checkpoint.size() == 44);
    checkpoint.warnings([](std::string_view) { CHECK(!"there is nothing to warn of"); });
    const char *name = "model.embedding.weight";
    const numpack::tensor_info info = checkpoint[name];
    CHECK(info.dtype == dtype::float32 && equal(info.shape, {192, 48}) && info.strides[0] == 48);
    CHECK(info.nbytes == 192 * 48 * 4 && !info.requires_grad && !info.parameter);
    CHECK(info.storage == checkpoint["model.output.weight"].storage);

    const std::vector<float> all = checkpoint.to_vector<float>(name);
    std::vector<float> rows(96);
    checkpoint.read_rows(name, 190, 2, rows);
    CHECK(std::equal(rows.begin(), rows.end(), all.end() - 96));
    const auto mapped = checkpoint.map<float>(name);
    CHECK(std::equal(mapped.begin(), mapped.end(), all.begin(), all.end()));
    CHECK(checkpoint.map(name).size() == info.nbytes);
    CHECK(thrown_by([&] { checkpoint.read(name, rows); }) == status::parameter);
    CHECK(thrown_by([&] { checkpoint.to_vector<double>(name); }) == status::type);
    CHECK(thrown_by([&] { checkpoint.map<double>(name); }) == status::type);
    CHECK(thrown_by([&] { checkpoint.get(44); }) == status::parameter);
    CHECK(thrown_by([&] { checkpoint.load("none"); }) == status::not_found);
    CHECK(thrown_by([&] { numpack::checkpoint::open("no/such/file"); }) == status::io);

    /* A type of the program's own, and what torch rounded to it. */
    const auto halves = checkpoint.to_vector<brain_float>("model_bf16.embedding.weight");
    bool is_near = halves.size() == all.size();
    for (std::size_t i = 0; i < halves.size(); i++) {
        const float off = halves[i] - all[i];
        is_near = is_near && off <= 0.004f && off >= -0.004f;
    }
    CHECK(is_near);

    /* A tensor of the file outlives it, and cannot be written to. */
    numpack::tensor tensor = checkpoint.load_mapped(name);
    numpack::tensor own = checkpoint.load(name);
    const numpack::checkpoint again = checkpoint;
    checkpoint = {};
    CHECK(again.size() == 44 && checkpoint.size() == 0 && checkpoint.format().empty());
    CHECK(thrown_by([&] { checkpoint.load(name); }) == status::parameter);
    CHECK(tensor.data<const float>()[7] == all[7]);
    CHECK(thrown_by([&] { tensor.data<float>(); }) == status::sharing);
    CHECK(thrown_by([&] { tensor.set({0, 0}, 1.0); }) == status::sharing);
    own.set({0, 7}, 1.5);
    CHECK(own.data<float>()[7] == 1.5f && tensor.get<float>({0, 7}) == all[7]);
}

/* Every node that can be reached, with what its tensors are. */
static void walk(const numpack::checkpoint &checkpoint, const numpack::node &node,
                 std::set<std::uint32_t> &seen, std::set<std::string> &names) {
    if (!seen.insert(node.number()).second) {
        return;
    }
    if (node.kind() == numpack::node_kind::tensor) {
        CHECK(node.index().has_value());
        names.emplace(checkpoint.get(*node.index()).name);
    }
    for (auto &entry : node) {
        walk(checkpoint, entry.value, seen, names);
    }
}

static void walking(const std::string &path) {
    const numpack::checkpoint checkpoint = numpack::checkpoint::open(path);
    const numpack::node root = checkpoint.root();
    CHECK(root.kind() == numpack::node_kind::dict && root["epoch"].integer() == 3);
    CHECK(root["config"]["name"].text() == "tiny-language-model");
    CHECK(root["config"]["betas"].get(1).value.real() == 0.98);
    CHECK(!root["config"]["betas"].get(1).key);
    CHECK(root["config"]["activation"]["slope"].kind() == numpack::node_kind::none);
    CHECK(root["loss_history"].size() == 60);
    CHECK(root["loss_history"].get(0).value.kind() == numpack::node_kind::real);
    CHECK(thrown_by([&] { root["none"]; }) == status::not_found);
    CHECK(thrown_by([&] { root.get(root.size()); }) == status::parameter);
    CHECK(thrown_by([&] { checkpoint.node_of(NUMPACK_NO_NODE); }) == status::parameter);
    std::set<std::uint32_t> seen;
    std::set<std::string> names;
    walk(checkpoint, root, seen, names);
    /* Every tensor of the list is somewhere in the object. */
    CHECK(names.size() == checkpoint.size() && names.count("rng_state") == 1);
}

static void converting(const std::string &path, const std::string &folder) {
    const std::string store = join(folder, "converted.npk"), back = join(folder, "back.pt");
    numpack::from_torch_options options;
    options.existing = numpack::existing::refuse;
    const numpack::converted made = numpack::from_torch_file(path, store, options);
    CHECK(made.tensors > 10 && made.bytes > 100000);
    CHECK(thrown_by([&] { numpack::from_torch_file(path, store, options); }) == status::exists);
    options.key = "no.such.key";
    options.existing = numpack::existing::replace;
    CHECK(thrown_by([&] { numpack::from_torch_file(path, store, options); }) == status::parameter);
    CHECK(numpack::to_torch_file(store, back).tensors > 10);
    CHECK(numpack::checkpoint::open(back).to_vector<float>("model.norm.bias") ==
          numpack::checkpoint::open(path).to_vector<float>("model.norm.bias"));
    CHECK(thrown_by([&] { numpack::checkpoint::open(store).map(0); }) == status::unsupported);

    numpack::to_torch_options some;
    some.array_names = {"model.norm.bias", "model.norm.weight"};
    numpack::to_torch_file(store, back, some);
    CHECK(numpack::checkpoint::open(back).size() == 2);
    some.array_names = {"none"};
    CHECK(thrown_by([&] { numpack::to_torch_file(store, back, some); }) == status::parameter);
    CHECK(thrown_by([&] { numpack::to_torch_file(path, back); }) != status::ok);

    /* From memory, also what does not lie in C order. */
    const std::string written = join(folder, "written.pt");
    const auto turned =
        numpack::tensor::copy(std::vector<std::int16_t>{1, 2, 3, 4, 5, 6}, {2, 3}).transpose(0, 1);
    const std::vector<double> doubles = {0.5};
    numpack::save_torch(written, {{"turned", turned.as_view()}, {"doubles", doubles}});
    CHECK(thrown_by([&] { numpack::save_torch(written, {{"d", doubles}}); }) == status::exists);
    const numpack::checkpoint read = numpack::checkpoint::open(written);
    CHECK((read.to_vector<std::int16_t>("turned") == std::vector<std::int16_t>{1, 4, 2, 5, 3, 6}));
    CHECK(read.to_vector<double>("doubles") == doubles && read.get(1).name == "doubles");
    const std::vector<numpack::named_view> twice = {{"d", doubles}, {"d", doubles}};
    CHECK(thrown_by([&] { numpack::save_torch(written, twice, {true, 0}); }) == status::parameter);
}

static void saving_objects(const std::string &folder) {
    const std::string path = join(folder, "object.pt");
    numpack::object object = numpack::object::create();
    const auto weight = object.add_tensor(
        numpack::tensor::copy(std::vector<float>{1, 2, 3}, {3}), true);
    const auto name = object.add_text("weight");
    const auto metadata = object.add_dict({{object.add_text("_metadata"), object.add_none()}});
    const auto model = object.add_dict({{name, weight}}, true, metadata);
    const auto pair = object.add_items(numpack::node_kind::tuple,
                                       {object.add_real(0.5), object.add_bool(true)});
    const auto root = object.add_dict({{object.add_text("model"), model},
                                       {object.add_text("epoch"), object.add_integer(3)},
                                       {object.add_text("pair"), pair}});
    object.save(root, path);
    CHECK(thrown_by([&] { object.save(root, path); }) == status::exists);
    CHECK(thrown_by([&] { object.add_dict({{name, 99}}); }) == status::parameter);
    const auto read = numpack::checkpoint::open(path);
    CHECK(read["model.weight"].parameter);
    CHECK((read.to_vector<float>("model.weight") == std::vector<float>{1, 2, 3}));
    CHECK(read.root()["epoch"].integer() == 3 && !read.root().attributes());
    CHECK(read.root()["model"].attributes()->get(0).key->text() == "_metadata");
    CHECK(read.root()["pair"].get(0).value.real() == 0.5);
}

void checkpoints(const std::string &checkpoint, const std::string &folder) {
    values(numpack::checkpoint::open(checkpoint), folder);
    reading(checkpoint);
    walking(checkpoint);
    converting(checkpoint, folder);
    saving_objects(folder);
}

/* Stores: saving, rows, many changes in one commit, arrays as memory, packages, verification. */
#include "parts.hpp"

#include "check.hpp"

#include <array>
#include <fstream>

using numpack::array_view;
using numpack::dtype;
using numpack::rows;
using numpack::status;

static std::vector<float> floats(const numpack::store &store, const char *name) {
    return store.array(name).to_vector<float>();
}

static void round_trip(const std::string &path) {
    CHECK(thrown_by([&] { numpack::store::open(path); }) == status::not_a_store);
    numpack::store store = numpack::store::create(path);
    CHECK(thrown_by([&] { numpack::store::create(path); }) == status::exists);
    CHECK(thrown_by([&] { numpack::store::create(path + std::string("\0b", 2)); }) == status::parameter);
    CHECK(store.path() == path);

    const std::vector<float> vectors = {1, 2, 3, 4, 5, 6};
    const std::int64_t ids[] = {100, 101, 102};
    store.save({{"vectors", {vectors, {3, 2}}}, {"ids", ids}});
    CHECK(floats(store, "vectors") == vectors);
    /* The bytes, by the C interface alone. */
    numpack_array *raw = nullptr;
    std::int64_t seen[3];
    CHECK(numpack_array_open(store.c(), "ids", &raw) == NUMPACK_OK);
    CHECK(numpack_array_read(raw, seen, sizeof seen) == NUMPACK_OK);
    CHECK(std::memcmp(seen, ids, sizeof seen) == 0);
    numpack_array_free(raw);

    const numpack::list list = store.list();
    std::vector<std::string> names;
    for (auto &info : list) {
        names.emplace_back(info.name);
    }
    CHECK(names.size() == 2 && list.size() == 2 && !list.empty());
    const numpack::array_info info = list["vectors"];
    CHECK(info.dtype == dtype::float32 && equal(info.shape, {3, 2}) && info.nbytes == 24);
    CHECK(info.rows == 3 && info.row_size == 8 && info.logical_dtype.empty() && !info.hidden);
    CHECK(thrown_by([&] { list.get(2); }) == status::parameter);
    CHECK(thrown_by([&] { list.find("none"); }) == status::not_found);
    list.warnings([](std::string_view) { CHECK(!"there is nothing to warn of"); });

    /* Turned, by strides. */
    store.save("turned", array_view(dtype::float32, {2, 3}, vectors, {4, 8}));
    CHECK((floats(store, "turned") == std::vector<float>{1, 3, 5, 2, 4, 6}));

    /* Several names at once, one of which has a NUL within: nothing of it is done. */
    const std::string bad("vec\0tors", 8);
    CHECK(thrown_by([&] { store.save({{"new", ids}, {bad, ids}}); }) == status::parameter);
    CHECK(thrown_by([&] { store.array("new"); }) == status::not_found);
    CHECK(thrown_by([&] { store.compact(std::string_view("\0", 1)); }) == status::parameter);
    CHECK(thrown_by([&] { store.save("x", array_view(vectors, {7})); }) == status::parameter);
}

static void changes(const std::string &path) {
    numpack::store store = numpack::store::open(path);
    const std::vector<float> more = {7, 8};
    store.append("vectors", {more, {1, 2}});
    store.append({{"ids", std::array<std::int64_t, 1>{103}}});
    CHECK((floats(store, "vectors") == std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}));
    CHECK(thrown_by([&] { store.append("vectors", std::vector<double>{1}); }) == status::parameter);
    CHECK(thrown_by([&] { store.append("none", more); }) == status::not_found);

    store.replace_rows("vectors", rows::index(-1), {std::vector<float>{70, 80}, {1, 2}});
    CHECK(store.drop_rows("vectors", rows::list({0, 2})) == 2);
    CHECK((floats(store, "vectors") == std::vector<float>{3, 4, 70, 80}));
    CHECK(store.drop_rows("ids", rows::mask({1, 0, 1, 0})) == 2);
    CHECK(store.drop_rows("ids", rows::list({})) == 0);
    CHECK(store.compact("vectors") == 2 && store.compact() == 2);
    CHECK(thrown_by([&] { store.drop_rows("ids", rows::index(9)); }) == status::parameter);
    CHECK(rows::slice(rows::end, rows::end, -2).count(5) == 3 && rows::all().count(4) == 4);
    CHECK(thrown_by([&] { (void)rows::mask({1}).count(2); }) == status::parameter);

    store.clone_array("ids", "copy");
    store.rename_array("copy", "moved");
    CHECK(thrown_by([&] { store.rename_array("moved", "ids"); }) == status::parameter);
    CHECK(thrown_by([&] { store.remove_arrays({"moved", "none"}); }) == status::not_found);
    const std::vector<std::string> gone = {"moved", "turned"};
    store.remove_arrays(gone);
    CHECK(store.list().size() == 2);

    /* A data file that no record names. */
    std::ofstream(path + "/data_lost.npkd", std::ios::binary) << "abcdef";
    const std::array<std::uint64_t, 1> pair = {2};
    CHECK(thrown_by([&] {
              store.adopt_array("lost", "data_lost.npkd", numpack::dtype::int32, pair);
          }) == status::parameter);
    CHECK(store.adopt_array("lost", "data_lost.npkd", numpack::dtype::uint8, pair) == 3);
    CHECK(store.array("lost").to_vector<std::uint8_t>().at(5) == 'f');
    store.remove_arrays({"lost"});
}

static void one_commit(const std::string &path, const std::string &folder) {
    numpack::store store = numpack::store::open(path, {/* no_wait */ true, false});
    const std::vector<float> row = {9, 9};
    {
        numpack::writer given_up = store.begin();
        given_up.append("vectors", {row, {1, 2}});
        CHECK(thrown_by([&] { store.reset(); }) == status::locked);
    }
    CHECK(floats(store, "vectors").size() == 4);
    numpack::writer writer = store.begin({true, false});
    writer.append("vectors", {row, {1, 2}});
    CHECK(writer.drop_rows("vectors", rows::slice(0, 1)) == 1);
    CHECK((writer.array("vectors").to_vector<float>() == std::vector<float>{70, 80, 9, 9}));
    CHECK(floats(store, "vectors").size() == 4);
    numpack::writer moved = std::move(writer);
    moved.commit();
    CHECK(!moved);
    CHECK(thrown_by([&] { moved.commit(); }) == status::parameter);
    CHECK((floats(store, "vectors") == std::vector<float>{70, 80, 9, 9}));

    const std::string fresh = join(folder, "fresh.npk");
    CHECK(thrown_by([&] { numpack::writer::create(path); }) == status::exists);
    numpack::writer created = numpack::writer::create(fresh);
    created.save("x", row);
    CHECK(!exists(fresh + "/metadata.npkm"));
    created.commit();
    numpack::writer replacing = numpack::writer::replace(fresh);
    replacing.save("y", row);
    replacing.commit();
    CHECK(numpack::store::open(fresh).list().get(0).name == "y");
}

static void as_memory(const std::string &path) {
    numpack::store store = numpack::store::open_or_create(path);
    numpack::array array = store.array("vectors");
    numpack::array same = array.share();
    array = {};
    CHECK(thrown_by([&] { (void)array.info(); }) == status::parameter);
    float two[2];
    same.read_rows(1, 1, two);
    CHECK(two[0] == 9 && two[1] == 9);
    std::vector<std::byte> bytes(4);
    same.read_bytes(4, bytes);
    const float eighty = 80;
    CHECK(std::memcmp(bytes.data(), &eighty, 4) == 0);
    std::vector<float> gathered(4);
    same.gather(rows::list({-1, 0}), gathered);
    CHECK((gathered == std::vector<float>{9, 9, 70, 80}));
    /* Another size, another type. */
    CHECK(thrown_by([&] { same.read(two); }) == status::parameter);
    std::vector<double> doubles(2);
    CHECK(thrown_by([&] { same.read(doubles); }) == status::type);
    /* With a dropped row it is not one piece of a file. */
    CHECK(thrown_by([&] { same.map<float>(); }) == status::parameter);
    CHECK(store.compact("vectors") == 1);
    const numpack::array whole = store.array("vectors");
    CHECK(thrown_by([&] { whole.map<std::int32_t>(); }) == status::type);
    CHECK(whole.map<float>()[1] == 80 && whole.map().size() == 16);

    numpack::mapped_rows mapped = same.map_rows();
    const numpack::mapped_rows shared = mapped;
    same = {};
    mapped = {};
    CHECK(shared.dtype() == dtype::float32 && shared.row(1).size() == 8);
    shared.gather({1, 0}, gathered);
    CHECK((gathered == std::vector<float>{9, 9, 70, 80}));
    CHECK(thrown_by([&] { shared.gather({2}, two); }) == status::parameter);
    CHECK(thrown_by([&] { shared.gather({1, 0}, doubles); }) == status::type);

    {
        numpack::rows_mut work = store.map_rows_mut("vectors");
        CHECK(thrown_by([&] { work.data<double>(); }) == status::type);
        work.data<float>()[0] = 71;
        work.flush();
    }
    CHECK(floats(store, "vectors")[0] == 71);
    CHECK(thrown_by([&] { store.map_rows_mut("none"); }) == status::not_found);
}

static void verified(const std::string &path) {
    const numpack::verification sound = numpack::verify_store(path);
    CHECK(sound.is_sound() && sound.notices == 0 && sound.message.empty());
    write_file(join(path, "data_vectors.npkd"), "short");
    std::string array;
    const numpack::verification faulty = numpack::verify_store(path, [&](const numpack::fault &f) {
        array = f.array;
        CHECK(f.kind == numpack::fault_kind::data && !f.is_notice);
        CHECK(f.message.find(f.file) != std::string_view::npos);
    });
    CHECK(!faulty.is_sound() && faulty.faults == 1 && array == "vectors");
    CHECK(faulty.message.find("data_vectors.npkd") != std::string::npos);
    const auto stop = [](const numpack::fault &) { return false; };
    CHECK(thrown_by([&] { numpack::verify_store(path, stop); }) == status::cancelled);
    CHECK(thrown_by([&] { numpack::verify_store("/no/such/store"); }) == status::not_a_store);
    CHECK(thrown_by([&] { numpack::store::open(path).array("vectors"); }) == status::format);
}

void stores(const std::string &folder) {
    const std::string path = join(folder, "cpp.npk");
    round_trip(path);
    changes(path);
    one_commit(path, folder);
    as_memory(path);
    verified(path);
}

void packages(const std::string &folder) {
    const std::string path = join(folder, "packed.npk"), package = join(folder, "packed.npkg");
    const std::vector<float> values = {1, 2, 3, 4};
    numpack::store::create(path).save("a", {values, {2, 2}});
    numpack::pack_options options;
    options.compression = numpack::compression::zlib;
    const numpack::packed made = numpack::pack(path, package, options);
    CHECK(made.files > 0 && made.size > 0 && made.package_size == read_file(package).size());
    CHECK(thrown_by([&] { numpack::pack(path, package); }) == status::exists);
    options.overwrite = true;
    numpack::pack(path, package, options);

    const numpack::package opened = numpack::package::open(package);
    opened.verify();
    const numpack::package shared = opened.share();
    std::vector<float> all(4), row(2);
    shared.read("a", all);
    shared.read_rows("a", 1, 1, row);
    CHECK(all == values && row[0] == 3 && shared.list()["a"].dtype == dtype::float32);
    std::vector<std::byte> bytes(16);
    shared.read("a", bytes);
    CHECK(std::memcmp(bytes.data(), values.data(), 16) == 0);
    std::vector<std::int32_t> integers(4);
    CHECK(thrown_by([&] { shared.read("a", integers); }) == status::type);
    CHECK(thrown_by([&] { shared.read("none", all); }) == status::not_found);
    const std::string other = join(folder, "other.npkg");
    write_file(other, "this is no package, though it is long enough to be looked into for one");
    CHECK(thrown_by([&] { numpack::package::open(other); }) == status::format);
    CHECK(thrown_by([&] { numpack::package::open("no/such/file"); }) == status::io);

    const std::string back = join(folder, "unpacked.npk");
    CHECK(numpack::unpack(package, back).files == made.files);
    CHECK(floats(numpack::store::open(back), "a") == values);
    CHECK(thrown_by([&] { numpack::unpack(package, back); }) == status::exists);
}

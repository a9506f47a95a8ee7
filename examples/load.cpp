// Lists the tensors of a checkpoint, loads those of 32-bit floats into plain vectors, and looks at
// one of them.
//
//     c++ -std=c++17 load.cpp -lnumpack -o load
//     ./load model.pt encoder.weight
#include <numpack.hpp>

#include <iostream>
#include <map>
#include <string>
#include <vector>

int main(int argc, char **argv) {
    if (argc != 3) {
        std::cerr << "usage: " << argv[0] << " CHECKPOINT NAME\n";
        return 2;
    }
    std::map<std::string, std::vector<float>> weights;
    std::size_t elements = 0;
    try {
        const auto checkpoint = numpack::checkpoint::open(argv[1]);
        // What `info` says of a tensor is borrowed from the checkpoint.
        for (auto &info : checkpoint) {
            std::cout << info.name << ": " << numpack::name(info.dtype);
            for (auto length : info.shape) {
                std::cout << ' ' << length;
            }
            std::cout << '\n';
            if (info.dtype == numpack::dtype::float32) {
                weights.emplace(info.name, checkpoint.to_vector<float>(info.name));
            }
        }
        // Only some rows, into memory that is there already.
        const auto info = checkpoint[argv[2]];
        std::vector<float> row(info.shape[1]);
        checkpoint.read_rows(info.name, 0, 1, row);
        // As another type: loaded as a tensor, and converted.
        const auto doubles = checkpoint.load(info.name).to(numpack::dtype::float64);
        std::cout << "the first row of " << info.name << " has " << row.size()
                  << " elements and begins with " << row[0] << ", as a double "
                  << doubles.get<double>({0, 0}) << '\n';
    } catch (const numpack::error &error) {
        std::cerr << "load: " << error.what() << '\n';
        return 1;
    }
    for (const auto &[name, values] : weights) {
        elements += values.size();
    }
    std::cout << weights.size() << " vectors of " << elements << " floats\n";
    return 0;
}

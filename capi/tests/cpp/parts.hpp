/* The parts of the test program that `main.cpp` runs. */
#include <string>

void stores(const std::string &folder);
void packages(const std::string &folder);
void checkpoints(const std::string &checkpoint, const std::string &folder);
void tensors();
void sharing();
void callbacks(const std::string &checkpoint, const std::string &folder);
void computing(const std::string &folder);

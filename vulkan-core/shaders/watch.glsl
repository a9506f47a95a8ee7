// Indices that lead nowhere are noted where the next read finds them: how many, one of them (its lower and
// upper word), and how many there would have been to choose from. WATCH is the binding.
layout(set = 0, binding = WATCH, std430) buffer Watch { uint data_watch[]; };

void note(uvec2 index, uint size) {
    if (atomicAdd(data_watch[0], 1u) == 0u) {
        data_watch[1] = index.x;
        data_watch[2] = index.y;
        data_watch[3] = size;
    }
}

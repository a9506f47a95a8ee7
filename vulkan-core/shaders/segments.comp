// Lists of the places of equal indices, each in their order. Where a list begins may differ from run to run;
// what is in it does not.

layout(local_size_x_id = 0) in;

layout(constant_id = 1) const uint OP = 0u;
layout(constant_id = 2) const uint IS_LONG = 0u;

layout(push_constant) uniform Push {
    uint count;
    uint size;
    // Where the first index is, and the parts of the other buffer.
    uint start;
    uint slots;
    uint counts;
    uint filled;
    uint starts;
    uint ends;
    uint total;
} push;

// The lists come first.
layout(set = 0, binding = 0, std430) buffer Work { uint work[]; };
layout(set = 0, binding = 1, std430) readonly buffer Index { uint data_index[]; };
#define WATCH 2
#include "watch.glsl"

const uint COUNT = 0u, DIVIDE = 1u, FILL = 2u, ORDER = 3u;

uvec2 index_of(uint k) {
    uint at = push.start + k;
    if (IS_LONG == 1u) return uvec2(data_index[2u * at], data_index[2u * at + 1u]);
    return uvec2(data_index[at], int(data_index[at]) < 0 ? 0xffffffffu : 0u);
}

void main() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (OP == DIVIDE) {
        if (i >= push.size) return;
        uint n = work[push.counts + i];
        uint first = n == 0u ? 0u : atomicAdd(work[push.total], n);
        work[push.starts + i] = first;
        work[push.ends + i] = first + n;
        return;
    }
    if (i >= push.count) return;
    if (OP == ORDER) {
        // Those whose indices lead nowhere are in no list.
        if (i >= work[push.total]) return;
        uint k = work[push.slots + i];
        uint row = index_of(k).x;
        uint first = work[push.starts + row], end = work[push.ends + row];
        uint before = first;
        for (uint p = first; p < end; p++) before += work[push.slots + p] < k ? 1u : 0u;
        work[before] = k;
        return;
    }
    uvec2 index = index_of(i);
    bool inside = index.y == 0u && index.x < push.size;
    if (OP == COUNT) {
        if (inside) atomicAdd(work[push.counts + index.x], 1u);
        else note(index, push.size);
    } else if (inside) {
        uint p = work[push.starts + index.x] + atomicAdd(work[push.filled + index.x], 1u);
        work[push.slots + p] = i;
    }
}

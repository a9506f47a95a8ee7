// Each element of a product by itself, by one invocation or by several, whose sums another dispatch adds:
// for products with a vector, and those that have few elements.

layout(local_size_x_id = 0) in;

#include "matrix.glsl"

void main() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= push.count * push.parts) {
        sum_row(i - push.count * push.parts);
        return;
    }
    uint element = i / push.parts, part = i % push.parts;
    uint matrix = element / (push.m * push.n);
    uint at = element - matrix * push.m * push.n;
    uint row = at / push.n, column = at % push.n;
    uint a = matrix_a(matrix) + row * push.a_row, b = matrix_b(matrix) + column * push.b_column;

    vec4 sums = vec4(0.0);
    uint first = 0u;
    if (READ_A == SUMMED && READ_B == SUMMED) {
        uint whole = push.k / 4u;
        for (uint q = part; q < whole; q += push.parts) sums += four_a(a + 4u * q) * four_b(b + 4u * q);
        first = 4u * whole;
    }
    float sum = (sums.x + sums.y) + (sums.z + sums.w);
    for (uint k = first + part; k < push.k; k += push.parts)
        sum += load_a(a + k * push.a_k) * load_b(b + k * push.b_k);
    put(i, finish(sum, i, column));
}

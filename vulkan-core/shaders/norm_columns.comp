// The gradients for a norm's weight and bias: for each column the sum of gradient times normal element, and
// that of the gradient, over PARTS parts of the rows, in the order of the rows.

layout(local_size_x_id = 0) in;

layout(constant_id = 3) const uint T_A = 0u;
layout(constant_id = 4) const uint T_B = 0u;

layout(push_constant) uniform Push {
    uint rows;
    uint columns;
    uint parts;
    // Of the elements and of the gradient: where they begin, and from one row to the next.
    uint start[2];
    uint row_stride[2];
    // In the result, from the sums for the weight to those for the bias.
    uint apart;
} push;

layout(set = 0, binding = 0, std430) buffer Out { float data_out[]; };
layout(set = 0, binding = 1, std430) readonly buffer A { uint data_a[]; };
layout(set = 0, binding = 2, std430) readonly buffer B { uint data_b[]; };
layout(set = 0, binding = 3, std430) readonly buffer Moments { vec2 data_moments[]; };

#include "elements.glsl"

#define FLOATS(NAME, T, DATA)                                                                     \
    float NAME(uint at) {                                                                         \
        if (T == F32) return uintBitsToFloat(DATA[at]);                                           \
        uint bits = (DATA[at >> 1] >> ((at & 1u) * 16u)) & 0xffffu;                               \
        return T == F16 ? half_to_float(bits) : uintBitsToFloat(bits << 16);                      \
    }

FLOATS(load_a, T_A, data_a)
FLOATS(load_b, T_B, data_b)

void main() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= push.columns * push.parts) return;
    // Neighbours read what lies side by side.
    uint part = i / push.columns, column = i - part * push.columns;
    vec2 total = vec2(0.0), lost = vec2(0.0);
    for (uint row = part; row < push.rows; row += push.parts) {
        vec2 moments = data_moments[row];
        float x = load_a(push.start[0] + row * push.row_stride[0] + column);
        float g = load_b(push.start[1] + row * push.row_stride[1] + column);
        precise vec2 summand = vec2(g * ((x - moments.x) * moments.y), g) - lost;
        precise vec2 sum = total + summand;
        lost = (sum - total) - summand;
        total = sum;
    }
    total -= lost;
    data_out[i] = total.x;
    data_out[push.apart + i] = total.y;
}

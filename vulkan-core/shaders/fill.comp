// The same bits in each element, or numbers that go up: start + i * step.
#define INPUTS 0
#include "pointwise.glsl"
#include "long.glsl"

const uint FILL = 0u, FLOATS = 1u;

uvec2 compute(uint i, uvec2 a, uvec2 b, uvec2 c) {
    uvec2 first = uvec2(push.scalar[0], push.scalar[1]);
    if (OP == FILL) return first;
    if (OP == FLOATS) {
        precise float value = uintBitsToFloat(push.scalar[0]) + float(i) * uintBitsToFloat(push.scalar[1]);
        return from_float(T_OUT, value);
    }
    uvec2 step = uvec2(push.scalar[2], push.scalar[3]);
    return from_long(T_OUT, long_sum(first, long_product(uvec2(i, 0u), step)));
}

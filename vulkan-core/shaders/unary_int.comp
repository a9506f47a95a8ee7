// A function of each integer, computed in 64 bits.
#define INPUTS 1
#include "pointwise.glsl"
#include "long.glsl"

const uint NEG = 0u, ABS = 1u, RELU = 3u, CLAMP = 4u, SQUARE = 6u;

uvec2 apply(uvec2 x) {
    bool below = int(x.y) < 0;
    if (OP == NEG) return long_negative(x);
    if (OP == ABS) return below ? long_negative(x) : x;
    if (OP == RELU) return below ? uvec2(0u) : x;
    if (OP == SQUARE) return long_product(x, x);
    uvec2 low = uvec2(push.scalar[0], push.scalar[1]), high = uvec2(push.scalar[2], push.scalar[3]);
    uvec2 y = long_less(x, low) ? low : x;
    return long_less(high, y) ? high : y;
}

uvec2 compute(uint i, uvec2 a, uvec2 b, uvec2 c) {
    return from_long(T_OUT, apply(widen(T_A, a)));
}

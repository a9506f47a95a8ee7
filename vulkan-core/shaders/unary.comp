// A function of each element, computed as a float: FUNCTION one of those of `math.glsl`, or if there is
// none, one of the short ones below, by OP.
#define INPUTS 1
#include "pointwise.glsl"
#include "math.glsl"

const uint NEG = 0u, ABS = 1u, SQRT = 2u, RELU = 3u, CLAMP = 4u, RECIPROCAL = 5u, SQUARE = 6u, RSQRT = 7u;

#ifndef FUNCTION
#define FUNCTION short_
float short_(float x) {
    // The sign is a bit, of NaN too.
    if (OP == NEG) return uintBitsToFloat(floatBitsToUint(x) ^ 0x80000000u);
    if (OP == ABS) return uintBitsToFloat(floatBitsToUint(x) & 0x7fffffffu);
    if (OP == SQRT) return x < 0.0 ? NAN : sqrt(x);
    if (OP == RELU) return x > 0.0 || is_nan(x) ? x : 0.0;
    if (OP == RECIPROCAL) return 1.0 / x;
    if (OP == SQUARE) return x * x;
    if (OP == RSQRT) return x < 0.0 ? NAN : x == 0.0 ? uintBitsToFloat(0x7f800000u | floatBitsToUint(x)) : 1.0 / sqrt(x);
    float low = uintBitsToFloat(push.scalar[0]), high = uintBitsToFloat(push.scalar[1]);
    float y = x < low ? low : x;
    return y > high ? high : y;
}
#endif

uvec2 compute(uint i, uvec2 a, uvec2 b, uvec2 c) {
    return from_float(T_OUT, FUNCTION(as_float(T_A, a)));
}

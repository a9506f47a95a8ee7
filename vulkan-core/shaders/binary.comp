// A function of two elements, computed as floats: FUNCTION one of those of `math.glsl`, or if there is
// none, one of the short ones below, by OP.
#define INPUTS 2
#include "pointwise.glsl"
#include "math.glsl"

const uint ADD = 0u, SUB = 1u, MUL = 2u, DIV = 3u, MAXIMUM = 5u, MINIMUM = 6u, EQ = 7u, NE = 8u,
    LT = 9u, LE = 10u, GT = 11u, GE = 12u;

#ifndef FUNCTION
#define FUNCTION short_
float short_(float a, float b) {
    if (OP == ADD) return a + b;
    if (OP == SUB) return a - b;
    if (OP == MUL) return a * b;
    if (OP == DIV) return a / b;
    if (OP == MAXIMUM) return is_nan(a) ? a : is_nan(b) ? b : max(a, b);
    if (OP == MINIMUM) return is_nan(a) ? a : is_nan(b) ? b : min(a, b);
    // No compiler is trusted with NaN.
    bool ordered = !is_nan(a) && !is_nan(b);
    bool yes;
    if (OP == EQ) yes = ordered && a == b;
    else if (OP == NE) yes = !ordered || a != b;
    else if (OP == LT) yes = ordered && a < b;
    else if (OP == LE) yes = ordered && a <= b;
    else if (OP == GT) yes = ordered && a > b;
    else yes = ordered && a >= b;
    return yes ? 1.0 : 0.0;
}
#endif

uvec2 compute(uint i, uvec2 a, uvec2 b, uvec2 c) {
    float second = SCALAR == 1u ? uintBitsToFloat(push.scalar[0]) : as_float(T_B, b);
    return from_float(T_OUT, FUNCTION(as_float(T_A, a), second));
}

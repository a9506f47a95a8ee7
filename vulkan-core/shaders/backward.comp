// The gradient of a function of elements: A is the result's, B what the function took or gave, and of functions
// of two elements C the other one. FUNCTION is one of those below, or if there is none, one of the short
// ones by OP.
#ifdef SECOND
#define INPUTS 3
#else
#define INPUTS 2
#endif
#include "pointwise.glsl"
#include "math.glsl"

const uint EXP = 0u, LOG = 1u, SQRT = 2u, TANH = 3u, SIGMOID = 4u, RELU = 5u, ABS = 6u, CLAMP = 7u,
    RSQRT = 8u, RECIPROCAL = 9u, SQUARE = 10u;
const uint DIV = 0u, MAXIMUM = 1u, MINIMUM = 2u;

#if defined(SHORT) && !defined(SECOND)
float short_backward(float g, float x) {
    if (OP == EXP) return g * x;
    if (OP == LOG) return g / x;
    if (OP == SQRT) return g / (x + x);
    // 1 - x^2 as a product, of which one factor is exact.
    if (OP == TANH) return g * (1.0 - x) * (1.0 + x);
    if (OP == SIGMOID) return g * (1.0 - x) * x;
    if (OP == RELU) return x > 0.0 || is_nan(x) ? g : 0.0;
    if (OP == ABS) return is_nan(x) || x == 0.0 ? g * 0.0 : x > 0.0 ? g : -g;
    // From left to right, so that nothing is too large or too small on the way to what is neither.
    if (OP == RSQRT) return g * -0.5 * x * x * x;
    if (OP == RECIPROCAL) return -(g * x * x);
    if (OP == SQUARE) return g * x * 2.0;
    // Of two bounds those that there are.
    bool above = (push.scalar[2] & 1u) == 0u || (x > uintBitsToFloat(push.scalar[0]) && !is_nan(x));
    bool below = (push.scalar[2] & 2u) == 0u || (x < uintBitsToFloat(push.scalar[1]) && !is_nan(x));
    return above && below ? g : 0.0;
}
#elif defined(SHORT)
// Of the second of two that are divided, and of the first of two that are compared.
float short_backward(float g, float a, float b) {
    if (OP == DIV) return -(g * ((a / b) / b));
    if (is_nan(a) || is_nan(b)) return g * 0.0;
    if (a == b) return g * 0.5;
    return (OP == MAXIMUM) == (a > b) ? g : g * 0.0;
}
#elif defined(SECOND)
float pow_backward(float g, float a, float b) {
    if (b == 0.0) return 0.0;
    // b - 1 is rounded, and may be a whole number where b is none.
    if (a < 0.0 && floor(b) != b) return NAN;
    return g * (b * pow_(a, b - 1.0));
}
float exponent_backward(float g, float a, float b) {
    if (a == 0.0 && b >= 0.0) return g * 0.0;
    return g * (pow_(a, b) * log_(a));
}
#else
float sin_backward(float g, float x) { return g * cos_(x); }
float cos_backward(float g, float x) { return -(g * sin_(x)); }

float silu_backward(float g, float x) {
    // The sigmoid itself may be too small to be normal.
    if (x < -110.0) return x == -INFINITY ? NAN : g * -0.0;
    if (x < -20.0) return g * (exp_scaled(x, 0.0, 30) * (1.0 + x)) * 9.3132257461547852e-10;
    float s = sigmoid_(x);
    // 1 - s, which does not cancel.
    float other = sigmoid_(-x);
    return g * (s + s * (x * other));
}

float gelu_backward(float g, float x) {
    if (abs(x) > 14.0) return abs(x) == INFINITY ? NAN : x > 0.0 ? g : g * -0.0;
    float density = 0.3989422804014327 * exp_(-0.5 * x * x);
    return g * (normal_cdf(x) + x * density);
}

float gelu_tanh_backward(float g, float x) {
    if (abs(x) > 14.0) return abs(x) == INFINITY ? NAN : x > 0.0 ? g : g * -0.0;
    // Half of 1 + tanh u is s = sigmoid(2u), and half of 1 - tanh^2 u is 2 s (1 - s).
    float u = 0.79788456080286535 * (x + 0.044715 * x * x * x);
    float s = sigmoid_(2.0 * u), other = sigmoid_(-2.0 * u);
    float slope = 0.79788456080286535 * (1.0 + 0.134145 * x * x);
    return g * (s + 2.0 * x * s * other * slope);
}
#endif

uvec2 compute(uint i, uvec2 a, uvec2 b, uvec2 c) {
    float g = as_float(T_A, a), x = as_float(T_B, b);
#ifdef SECOND
    float y = SCALAR == 1u ? uintBitsToFloat(push.scalar[0]) : as_float(T_C, c);
    return from_float(T_OUT, FUNCTION(g, x, y));
#else
    return from_float(T_OUT, FUNCTION(g, x));
#endif
}

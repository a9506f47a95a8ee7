// A function of two integers, computed in 64 bits.
#define INPUTS 2
#include "pointwise.glsl"
#include "long.glsl"

const uint ADD = 0u, SUB = 1u, MUL = 2u, MAXIMUM = 5u, MINIMUM = 6u, EQ = 7u, NE = 8u, LT = 9u,
    LE = 10u, GT = 11u, GE = 12u, AND = 13u, OR = 14u;

uvec2 apply(uvec2 a, uvec2 b) {
    if (OP == ADD) return long_sum(a, b);
    if (OP == SUB) return long_sum(a, long_negative(b));
    if (OP == MUL) return long_product(a, b);
    if (OP == MAXIMUM) return long_less(a, b) ? b : a;
    if (OP == MINIMUM) return long_less(b, a) ? b : a;
    if (OP == AND) return a & b;
    if (OP == OR) return a | b;
    bool yes;
    if (OP == EQ) yes = a == b;
    else if (OP == NE) yes = a != b;
    else if (OP == LT) yes = long_less(a, b);
    else if (OP == LE) yes = !long_less(b, a);
    else if (OP == GT) yes = long_less(b, a);
    else if (OP == GE) yes = !long_less(a, b);
    else return a ^ b;
    return uvec2(yes ? 1u : 0u, 0u);
}

uvec2 compute(uint i, uvec2 a, uvec2 b, uvec2 c) {
    uvec2 second = SCALAR == 1u ? uvec2(push.scalar[0], push.scalar[1]) : widen(T_B, b);
    return from_long(T_OUT, apply(widen(T_A, a), second));
}

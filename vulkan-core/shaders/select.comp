// Of two elements the one that a truth value in a third tensor says: bits as they are.
#define INPUTS 3
#include "pointwise.glsl"

uvec2 compute(uint i, uvec2 a, uvec2 b, uvec2 c) {
    uvec2 other = SCALAR == 1u ? uvec2(push.scalar[0], push.scalar[1]) : c;
    return a.x != 0u ? b : other;
}

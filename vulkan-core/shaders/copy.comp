// Each element as it is.
#define INPUTS 1
#include "pointwise.glsl"

uvec2 compute(uint i, uvec2 a, uvec2 b, uvec2 c) {
    return a;
}

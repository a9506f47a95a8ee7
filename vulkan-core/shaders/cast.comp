// Each element as another type.
#define INPUTS 1
#include "pointwise.glsl"

uvec2 compute(uint i, uvec2 a, uvec2 b, uvec2 c) {
    if (is_float(T_A)) return from_float(T_OUT, as_float(T_A, a));
    return from_long(T_OUT, widen(T_A, a));
}

// Arithmetic of int64 by its two words, the lower one first. It wraps.

bool long_less(uvec2 a, uvec2 b) {
    return a.y == b.y ? a.x < b.x : int(a.y) < int(b.y);
}

uvec2 long_sum(uvec2 a, uvec2 b) {
    uint carry;
    uint low = uaddCarry(a.x, b.x, carry);
    return uvec2(low, a.y + b.y + carry);
}

uvec2 long_negative(uvec2 a) {
    return uvec2(~a.x + 1u, ~a.y + (a.x == 0u ? 1u : 0u));
}

uvec2 long_product(uvec2 a, uvec2 b) {
    uint high, low;
    umulExtended(a.x, b.x, high, low);
    return uvec2(low, high + a.x * b.y + a.y * b.x);
}

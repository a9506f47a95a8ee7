// Random numbers that depend on their place in a stream alone (Philox4x32-10; the mapping is that of
// `ops/random.rs`), and dropout by them. The result is a tensor of its own, whose last four elements have
// room.
#include "flat.glsl"

layout(set = 0, binding = 0, std430) buffer Out { uint data_out[]; };
layout(set = 0, binding = 1, std430) readonly buffer A { uint data_a[]; };
// Of two words each: the key, the number that offsets count from, and the one behind all that were drawn.
layout(set = 0, binding = 2, std430) buffer There { uint there[]; };

// Whether these are used, or key and number come with the other numbers.
layout(constant_id = 5) const uint IS_THERE = 0u;

#include "elements.glsl"
#include "math.glsl"

const uint UNIFORM = 0u, NORMAL = 1u, BERNOULLI = 2u, KEPT = 3u, DROPOUT = 4u;

uvec4 philox(uvec2 key, uvec2 place) {
    uvec4 c = uvec4(place, 0u, 0u);
    for (uint i = 0u; i < 10u; i++) {
        uint high, low, high_too, low_too;
        umulExtended(0xd2511f53u, c.x, high, low);
        umulExtended(0xcd9e8d57u, c.z, high_too, low_too);
        c = uvec4(high_too ^ c.y ^ key.x, low_too, high ^ c.w ^ key.y, low);
        key += uvec2(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}

// By Box and Muller; a word gives 24 bits.
float normal(uint a, uint b, bool odd) {
    float radius = sqrt(-2.0 * log_sum(float((a >> 8) + 1u) * 5.9604644775390625e-8).x);
    // The angle as the nearest quarter of the circle and what is left.
    uint turn = b >> 8;
    uint quarter = (turn + 0x200000u) >> 22;
    float r = float(int(turn) - int(quarter << 22)) * 3.7450702829e-7;
    if (odd) quarter += 3u;
    float y = (quarter & 1u) == 0u ? cos_part(r) : sin_part(r);
    return radius * (((quarter + 1u) & 2u) == 0u ? y : -y);
}

uvec2 load_a(uint at) {
    if (T_A == F16 || T_A == BF16) return uvec2((data_a[at >> 1] >> ((at & 1u) * 16u)) & 0xffffu, 0u);
    return uvec2(data_a[at], 0u);
}

uvec2 element(uint i, uvec4 block, uint word) {
    uint w = block[word];
    if (OP == UNIFORM) {
        uint bits = T_OUT == F16 ? 11u : T_OUT == BF16 ? 8u : 24u;
        return from_float(T_OUT, scale(float(w >> (32u - bits)), -int(bits)));
    }
    if (OP == NORMAL) {
        bool upper = word >= 2u;
        return from_float(T_OUT, normal(upper ? block.z : block.x, upper ? block.w : block.y, (word & 1u) == 1u));
    }
    bool below = w >> 8 < push.scalar[4];
    if (OP == BERNOULLI) return uvec2(below ? 1u : 0u, 0u);
    if (OP == KEPT) return uvec2(below ? 0u : 1u, 0u);
    float x = as_float(T_A, load_a(push.start[1] + min(i, push.n - 1u)));
    return from_float(T_OUT, below ? 0.0 : x * scalar(5u));
}

uvec2 sum(uvec2 a, uvec2 b) {
    uint carry;
    uint low = uaddCarry(a.x, b.x, carry);
    return uvec2(low, a.y + b.y + carry);
}

// Notes how far numbers were drawn, if that is farther than before.
void note(uvec2 start, uvec2 offset) {
    uvec2 drawn = sum(offset, uvec2(push.n, 0u));
    uvec2 known = sum(uvec2(there[4], there[5]), sum(~start, uvec2(1u, 0u)));
    if (drawn.y > known.y || (drawn.y == known.y && drawn.x > known.x)) {
        uvec2 behind = sum(start, drawn);
        there[4] = behind.x;
        there[5] = behind.y;
    }
}

void main() {
    uint first = first_element();
    if (first >= push.n) return;
    uvec2 key = uvec2(push.scalar[0], push.scalar[1]);
    uvec2 place = uvec2(push.scalar[2], push.scalar[3]);
    if (IS_THERE == 1u) {
        key = uvec2(there[0], there[1]);
        uvec2 start = uvec2(there[2], there[3]);
        if (first == 0u) note(start, place);
        place = sum(start, place);
    }
    uint carry;
    uint low = uaddCarry(place.x, first, carry);
    uint high = place.y + carry;
    uvec4 block = uvec4(0u);
    uint v[4];
    for (uint k = 0u; k < 4u; k++) {
        uint number = uaddCarry(low, k, carry);
        uint above = high + carry;
        // A number's block is that of the one before, or the next one.
        if (k == 0u || (number & 3u) == 0u) block = philox(key, uvec2((number >> 2) | (above << 30), above >> 2));
        v[k] = element(first + k, block, number & 3u).x;
    }
    // The result begins with a word, and a quarter of one.
    if (per_word(T_OUT) == 0u) {
        for (uint k = 0u; k < 4u; k++) data_out[first + k] = v[k];
    } else if (per_word(T_OUT) == 1u) {
        data_out[first >> 1] = v[0] | v[1] << 16;
        data_out[(first >> 1) + 1u] = v[2] | v[3] << 16;
    } else {
        data_out[first >> 2] = v[0] | v[1] << 8 | v[2] << 16 | v[3] << 24;
    }
}

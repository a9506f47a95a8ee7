// Elements of every type, in buffers of 32-bit words.
//
// A kernel needs no 8-bit, 16-bit or 64-bit arithmetic of the device: an element is its bits, in the low
// word or, for int64, in both. What is narrower than a word is converted by integer arithmetic, rounding
// to the nearest and to even, so that every device gives the same bits.

const uint F32 = 0u, F16 = 1u, BF16 = 2u, I32 = 3u, I64 = 4u, U8 = 5u, BOOL = 6u;

bool is_float(uint t) { return t <= BF16; }
// How many elements a word has, as a shift.
uint per_word(uint t) { return t >= U8 ? 2u : (t == F16 || t == BF16) ? 1u : 0u; }

// binary16 to binary32, exactly.
float half_to_float(uint h) {
    uint sign = (h & 0x8000u) << 16;
    uint magnitude = h & 0x7fffu;
    if (magnitude >= 0x7c00u) return uintBitsToFloat(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
    if (magnitude >= 0x400u) return uintBitsToFloat(sign | ((magnitude << 13) + 0x38000000u));
    // Below the smallest normal number: so many times 2^-24.
    float small = float(magnitude) * 5.9604644775390625e-8;
    return uintBitsToFloat(sign | floatBitsToUint(small));
}

// binary32 to binary16, to the nearest, ties to even.
uint float_to_half(float value) {
    uint bits = floatBitsToUint(value);
    uint sign = (bits >> 16) & 0x8000u;
    uint magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return sign | 0x7e00u;
    if (magnitude >= 0x477ff000u) return sign | 0x7c00u;
    if (magnitude >= 0x38800000u) {
        uint rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
        return sign | ((rounded - 0x38000000u) >> 13);
    }
    if (magnitude < 0x33000000u) return sign;
    uint shift = 126u - (magnitude >> 23);
    uint whole = (magnitude & 0x7fffffu) | 0x800000u;
    uint result = whole >> shift;
    uint rest = whole & ((1u << shift) - 1u);
    uint middle = 1u << (shift - 1u);
    if (rest > middle || (rest == middle && (result & 1u) == 1u)) result += 1u;
    return sign | result;
}

// binary32 to its upper half, to the nearest, ties to even.
uint float_to_bfloat(float value) {
    uint bits = floatBitsToUint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;
    return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

bool is_nan(float value) { return (floatBitsToUint(value) & 0x7fffffffu) > 0x7f800000u; }

// What an int64 is as a float, to the nearest, ties to even.
float long_to_float(uvec2 v) {
    bool negative = int(v.y) < 0;
    if (negative) {
        v = uvec2(~v.x + 1u, ~v.y + (v.x == 0u ? 1u : 0u));
    }
    float magnitude;
    if (v.y == 0u && v.x < 0x1000000u) {
        magnitude = float(v.x);
    } else {
        uint top = v.y != 0u ? 32u + uint(findMSB(v.y)) : uint(findMSB(v.x));
        // The top bit goes to place 31; whatever falls off below is noted in the last bit.
        uint kept;
        bool more;
        if (top >= 32u) {
            uint down = top - 31u;
            kept = down == 32u ? v.y : (v.x >> down) | (v.y << (32u - down));
            more = down == 32u ? v.x != 0u : (v.x & ((1u << down) - 1u)) != 0u;
        } else {
            kept = v.x << (31u - top);
            more = false;
        }
        uint rest = kept & 0xffu;
        uint result = kept >> 8;
        if (rest > 0x80u || (rest == 0x80u && (more || (result & 1u) == 1u))) result += 1u;
        // 24 bits, of which the first is 1; a carry out of them counts the exponent up.
        magnitude = uintBitsToFloat(((127u + top) << 23) + (result - 0x800000u));
    }
    return negative ? -magnitude : magnitude;
}

// What an int32 is as a float, to the nearest, ties to even, whatever the device rounds to.
float int_to_float(int v) {
    return long_to_float(uvec2(uint(v), v < 0 ? 0xffffffffu : 0u));
}

// The integer part of a float as int64; beyond the type's ends, the end; of NaN, 0.
uvec2 float_to_long(float value) {
    uint bits = floatBitsToUint(value);
    uint magnitude = bits & 0x7fffffffu;
    bool negative = bits >> 31 == 1u;
    if (magnitude > 0x7f800000u || magnitude < 0x3f800000u) return uvec2(0u);
    uint exponent = (magnitude >> 23) - 127u;
    if (exponent >= 63u) return negative ? uvec2(0u, 0x80000000u) : uvec2(0xffffffffu, 0x7fffffffu);
    uint whole = (magnitude & 0x7fffffu) | 0x800000u;
    uvec2 v;
    if (exponent <= 23u) {
        v = uvec2(whole >> (23u - exponent), 0u);
    } else {
        uint up = exponent - 23u;
        v = up >= 32u ? uvec2(0u, whole << (up - 32u))
                      : uvec2(whole << up, whole >> (32u - up));
    }
    if (negative) v = uvec2(~v.x + 1u, ~v.y + (v.x == 0u ? 1u : 0u));
    return v;
}

// An integer type's bits as int64.
uvec2 widen(uint t, uvec2 bits) {
    if (t == I64) return bits;
    if (t == I32) return uvec2(bits.x, int(bits.x) < 0 ? 0xffffffffu : 0u);
    return uvec2(bits.x, 0u);
}

// A type's bits as a float.
float as_float(uint t, uvec2 bits) {
    if (t == F32) return uintBitsToFloat(bits.x);
    if (t == F16) return half_to_float(bits.x);
    if (t == BF16) return uintBitsToFloat(bits.x << 16);
    if (t == I32) return int_to_float(int(bits.x));
    if (t == I64) return long_to_float(bits);
    return float(bits.x);
}

// A float as a type's bits: rounded to floats, the integer part for integers, what is not 0 for bool.
uvec2 from_float(uint t, float value) {
    if (t == F32) return uvec2(floatBitsToUint(value), 0u);
    if (t == F16) return uvec2(float_to_half(value), 0u);
    if (t == BF16) return uvec2(float_to_bfloat(value), 0u);
    if (t == BOOL) return uvec2((floatBitsToUint(value) & 0x7fffffffu) != 0u ? 1u : 0u, 0u);
    uvec2 v = float_to_long(value);
    if (t == I64) return v;
    bool negative = int(v.y) < 0;
    if (t == I32) {
        bool fits = v.y == (int(v.x) < 0 ? 0xffffffffu : 0u);
        return uvec2(fits ? v.x : negative ? 0x80000000u : 0x7fffffffu, 0u);
    }
    return uvec2(negative ? 0u : (v.y != 0u || v.x > 255u) ? 255u : v.x, 0u);
}

// An int64 as a type's bits: the low bits for integers, what is not 0 for bool.
uvec2 from_long(uint t, uvec2 v) {
    if (t == I64) return v;
    if (t == I32) return uvec2(v.x, 0u);
    if (t == U8) return uvec2(v.x & 0xffu, 0u);
    if (t == BOOL) return uvec2((v.x | v.y) != 0u ? 1u : 0u, 0u);
    return from_float(t, long_to_float(v));
}

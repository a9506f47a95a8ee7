# Element types: the C interface's numbers, their names, and what shows them in Julia.

struct ElementType
    number::Int32
    name::Symbol
    type::DataType
end

const ELEMENT_TYPES = [
    ElementType(number, name, type) for (number, name, type) in (
        (0, :bool, Bool), (1, :uint8, UInt8), (2, :uint16, UInt16), (3, :uint32, UInt32), 
        (4, :uint64, UInt64),
        (5, :int8, Int8), (6, :int16, Int16), (7, :int32, Int32), (8, :int64, Int64), (9, :float16, Float16),
        (10, :float32, Float32), (11, :float64, Float64), (12, :complex64, ComplexF32),
        (13, :complex128, ComplexF64), (32, :bfloat16, UInt16), (33, :complex32, ComplexF16),
        (34, :bcomplex32, UInt32), (35, :float8_e4m3fn, UInt8), (36, :float8_e4m3fnuz, UInt8),
        (37, :float8_e5m2, UInt8), (38, :float8_e5m2fnuz, UInt8), (39, :float8_e8m0fnu, UInt8),
        (40, :float4_e2m1fn_x2, UInt8), (41, :qint8, Int8), (42, :quint8, UInt8), (43, :qint32, Int32),
        (44, :quint4x2, UInt8), (45, :quint2x4, UInt8), (46, :bits8, UInt8), (47, :bits16, UInt16),
        (48, :bits1x8, UInt8), (49, :bits2x4, UInt8), (50, :bits4x2, UInt8),
    )
]

"""The type that the C interface calls so."""
function element_type(number::Integer)
    place = findfirst(t -> t.number == number, ELEMENT_TYPES)
    place === nothing && error("element type $number is unknown; use a newer version of this package")
    return ELEMENT_TYPES[place]
end

function element_type(name::Symbol)
    place = findfirst(t -> t.name === name, ELEMENT_TYPES)
    place === nothing && throw(ArgumentError(
        "$name is no element type; the types are $(join((t.name for t in ELEMENT_TYPES), ", "))"))
    return ELEMENT_TYPES[place]
end

"""The type whose elements Julia's are; nothing where there is none."""
function element_type(::Type{T}) where {T}
    T === ComplexF16 && return element_type(:complex32)
    # Those that only show bits come later in the list.
    place = findfirst(t -> t.type === T, ELEMENT_TYPES)
    return place === nothing ? nothing : ELEMENT_TYPES[place]
end

"""
    Raw(dtype, bits)

Elements of a type that Julia lacks, by their bits, for [`NumPack.save`](@ref): `UInt16` for `:bfloat16`,
`UInt8` for `:float8_e4m3fn`, `:float8_e5m2` and the other types of 8 bits.

```jldoctest
julia> NumPack.save("half.pt", "w" => Raw(:bfloat16, [0x3f80, 0xc000]))

julia> NumPack.load("half.pt", "w"; as = Float32)
2-element Vector{Float32}:
  1.0
 -2.0
```
"""
struct Raw{A<:AbstractArray}
    dtype::Symbol
    bits::A

    function Raw(dtype::Symbol, bits::A) where {A<:AbstractArray}
        wanted = element_type(dtype).type
        eltype(bits) === wanted ||
            throw(ArgumentError("elements of $dtype are given as $wanted, not as $(eltype(bits))"))
        return new{A}(dtype, bits)
    end
end

# Floats of 8 bits: of the exponent and the fraction, the bias of the exponent, and which bits are no number
# or infinity.
const FLOAT8 = Dict(
    :float8_e4m3fn => (4, 3, 7, :last), :float8_e4m3fnuz => (4, 3, 8, :negative_zero),
    :float8_e5m2 => (5, 2, 15, :ieee), :float8_e5m2fnuz => (5, 2, 16, :negative_zero),
)

function float8(bits::UInt8, exponent_bits, fraction_bits, bias, special)
    sign = bits < 0x80 ? 1.0f0 : -1.0f0
    exponent = Int(bits >> fraction_bits) & (1 << exponent_bits - 1)
    fraction = Int(bits) & (1 << fraction_bits - 1)
    if special === :negative_zero
        bits == 0x80 && return NaN32
    elseif special === :last
        bits & 0x7f == 0x7f && return NaN32
    elseif exponent == 1 << exponent_bits - 1
        return fraction == 0 ? sign * Inf32 : NaN32
    end
    exponent == 0 && return sign * ldexp(Float32(fraction), 1 - bias - fraction_bits)
    return sign * ldexp(Float32(fraction + 1 << fraction_bits), exponent - bias - fraction_bits)
end

"""The function that makes `Float32` of a type's bits; nothing for types that are numbers of Julia already."""
function decoder(dtype::Symbol)
    dtype === :bfloat16 && return bits -> reinterpret(Float32, UInt32(bits) << 16)
    dtype === :float8_e8m0fnu && return bits -> bits == 0xff ? NaN32 : ldexp(1.0f0, Int(bits) - 127)
    haskey(FLOAT8, dtype) || return nothing
    table = [float8(UInt8(bits), FLOAT8[dtype]...) for bits in 0:255]
    return bits -> table[bits+1]
end

"""Elements as numbers of another type."""
function converted(A, dtype::Symbol, as::Type)
    decode = decoder(dtype)
    decode === nothing || return convert(AbstractArray{as}, map(decode, A))
    shown = element_type(dtype)
    # Types that only show bits, packed and quantised ones, have no numbers of their own.
    element_type(shown.type).name === dtype ||
        throw(ArgumentError("elements of $dtype have no values as $as; take their bits, without `as`"))
    return convert(AbstractArray{as}, A)
end

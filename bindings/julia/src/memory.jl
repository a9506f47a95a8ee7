# How arrays lie in memory. Files have C order, the last index steps fastest; Julia's arrays the other way
# round. So the same bytes are an array of the reversed size, and what is shown is that array with its
# dimensions turned.

"""The array whose bytes are `A`'s, with the indices in the order that Python has."""
turned(A::AbstractArray{<:Any,0}) = A
turned(A::AbstractArray{<:Any,1}) = A
# As `PermutedDimsArray(A, (2, 1))`, and BLAS knows it.
turned(A::AbstractArray{<:Number,2}) = transpose(A)
turned(A::AbstractArray{<:Any,N}) where {N} = PermutedDimsArray(A, ntuple(i -> N + 1 - i, N))

"""
An array in memory that the library lends, which it keeps alive. Read-only; `copy` gives an `Array`.
"""
struct MappedArray{T,N} <: DenseArray{T,N}
    pointer::Ptr{T}
    size::NTuple{N,Int}
    owner::Handle
end

Base.size(A::MappedArray) = A.size
Base.IndexStyle(::Type{<:MappedArray}) = IndexLinear()
Base.elsize(::Type{<:MappedArray{T}}) where {T} = sizeof(T)
Base.strides(A::MappedArray{T,N}) where {T,N} = ntuple(i -> prod(A.size[1:i-1]), N)
Base.unsafe_convert(::Type{Ptr{T}}, A::MappedArray{T}) where {T} = A.pointer

Base.@propagate_inbounds function Base.getindex(A::MappedArray{T}, i::Int) where {T}
    @boundscheck checkbounds(A, i)
    owner = A.owner
    return GC.@preserve owner element(A.pointer, i)
end

element(pointer::Ptr, i) = unsafe_load(pointer, i)
# A file may hold any byte, and a Bool that is neither breaks programs.
element(pointer::Ptr{Bool}, i) = unsafe_load(Ptr{UInt8}(pointer), i) != 0

Base.setindex!(::MappedArray, value, ::Int) =
    throw(ArgumentError("a mapped array is read-only; change a copy of it, or the store by replace!"))

"""Makes truth values of bytes that a file had."""
sound(A::AbstractArray) = A
function sound(A::Array{Bool})
    GC.@preserve A begin
        bytes = unsafe_wrap(Array, Ptr{UInt8}(pointer(A)), length(A))
        bytes .= bytes .!= 0
    end
    return A
end

"""
Where an array's first element is, and its steps in bytes; nothing where it does not lie in memory by steps.
"""
place(A::AbstractArray) = nothing
place(A::StridedArray) = (Ptr{UInt8}(pointer(A)), collect(Int64, strides(A)) .* sizeof(eltype(A)))

function place(A::PermutedDimsArray{<:Any,<:Any,order}) where {order}
    found = place(parent(A))
    return found === nothing ? nothing : (found[1], found[2][collect(order)])
end

place(A::Union{Transpose{<:Number},Adjoint{<:Real}}) = place_of_transpose(parent(A))

function place_of_transpose(A)
    found = place(A)
    found === nothing && return nothing
    pointer, steps = found
    return pointer, ndims(A) == 1 ? [steps[1], steps[1]] : reverse(steps)
end

function place(A::SubArray{<:Any,<:Any,<:Union{PermutedDimsArray,Transpose,Adjoint}})
    found = place(parent(A))
    indices = parentindices(A)
    (found === nothing || !all(i -> i isa Union{Integer,AbstractRange}, indices)) && return nothing
    length(indices) == length(found[2]) || return nothing
    pointer, steps = found
    isempty(A) && return pointer, zeros(Int64, ndims(A))
    pointer += sum((Int(first(i)) - 1) * s for (i, s) in zip(indices, steps))
    return pointer, Int64[s * step(i) for (i, s) in zip(indices, steps) if i isa AbstractRange]
end

"""An array as the C interface takes it; `kept` is whose memory it is."""
struct Layout
    kept::Any
    dtype::Int32
    shape::Vector{UInt64}
    strides::Vector{Int64}
    first::Ptr{UInt8}
    lowest::Int
    nbytes::Int
end

function Layout(A::AbstractArray)
    T = eltype(A)
    found = element_type(T)
    found === nothing && throw(ArgumentError(
        "elements of type $T cannot be stored; give Bool, numbers of up to 64 bits, or complex floats"))
    return Layout(A, found.number)
end

Layout(A::Raw) = Layout(A.bits, element_type(A.dtype).number)
Layout(x::Number) = Layout(fill(x))
Layout(x) = throw(ArgumentError("a $(typeof(x)) cannot be stored; give an array or a number"))

function Layout(A::AbstractArray, dtype::Int32; copied = false)
    found = place(A)
    if found === nothing
        copied && error("a copy of a $(typeof(A)) has no place in memory")
        return Layout(Array(A), dtype; copied = true)
    end
    pointer, strides = found
    shape = collect(UInt64, size(A))
    isempty(A) && return Layout(A, dtype, shape, zeros(Int64, ndims(A)), pointer, 0, 0)
    reach = [(Int(n) - 1) * s for (n, s) in zip(shape, strides)]
    lowest = sum(Int[min(r, 0) for r in reach])
    highest = sum(Int[max(r, 0) for r in reach])
    return Layout(A, dtype, shape, strides, pointer, lowest, highest - lowest + sizeof(eltype(A)))
end

"""The same as the only row of an array with one dimension more."""
as_row(l::Layout) = Layout(l.kept, l.dtype, [1; l.shape], [0; l.strides], l.first, l.lowest, l.nbytes)

"""Calls `f` with a vector of views of the C interface, good during the call."""
function with_views(f, layouts::Vector{Layout})
    GC.@preserve layouts begin
        f(CView[
            make(CView; dtype = l.dtype, ndim = length(l.shape), shape = pointer(l.shape),
                 strides = pointer(l.strides), data = l.first + l.lowest, nbytes = l.nbytes,
                 offset = -l.lowest)
            for l in layouts
        ])
    end
end

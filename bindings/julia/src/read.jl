# Reading arrays of stores: whole, by rows, mapped, or row by row when asked for.

"""An array in one state of its store."""
struct StoredArray
    handle::Handle
    info::ArrayInfo
end

function StoredArray(from::Changing, name)
    out = Ref{Ptr{Cvoid}}(C_NULL)
    use(pointer -> check(c_array(from, pointer, String(name), out)), from.handle)
    handle = Handle(out[], "array", :array_free)
    info = use(handle) do pointer
        ArrayInfo(ask(CArrayInfo) do info
            @native array_get_info(pointer::Ptr{Cvoid}, info::Ptr{CArrayInfo})::Int32
        end)
    end
    return StoredArray(handle, info)
end

function with_array(f, from, name)
    array = StoredArray(from, name)
    try
        return f(array)
    finally
        close(array.handle)
    end
end

"""Room for elements of a shape in Python's order."""
room(T, shape) = Array{T}(undef, reverse(shape))

function read_all(array::StoredArray)
    buffer = room(array.info.eltype, array.info.shape)
    use(array.handle) do pointer
        check(@native array_read(pointer::Ptr{Cvoid}, buffer::Ptr{Cvoid}, sizeof(buffer)::Csize_t)::Int32)
    end
    return sound(buffer)
end

function read_rows(array::StoredArray, choice::Choice)
    buffer = room(array.info.eltype, (choice.count, Base.tail(array.info.shape)...))
    with_rows(choice) do rows
        use(array.handle) do pointer
            check(@native array_gather(pointer::Ptr{Cvoid}, rows::Ptr{CRows}, buffer::Ptr{Cvoid},
                                       sizeof(buffer)::Csize_t)::Int32)
        end
    end
    return sound(buffer)
end

function mapped(array::StoredArray)
    data, size = Ref{Ptr{Cvoid}}(C_NULL), Ref{Csize_t}(0)
    use(array.handle) do pointer
        check(@native array_map(pointer::Ptr{Cvoid}, data::Ptr{Ptr{Cvoid}}, size::Ptr{Csize_t})::Int32)
    end
    return lent(array.info.eltype, array.info.shape, data[], size[], array.handle, array.info.name)
end

"""Memory that the library lends as an array, in Python's order."""
function lent(T, shape, data, size, owner, name)
    size == prod(shape) * sizeof(T) || error("the map of $name has $size bytes, and its shape is $shape")
    UInt(data) % Base.datatype_alignment(T) == 0 ||
        throw(ArgumentError("$name lies in the file where it cannot be mapped; load it without `mmap`"))
    dims = reverse(shape)
    return turned(MappedArray{T,length(dims)}(data, dims, owner))
end

"""
An array of a store whose elements are read when they are asked for: an `AbstractArray` that keeps the state
of the store that it was opened in. The first index chooses rows; only these are read.
"""
struct LazyArray{T,N} <: AbstractArray{T,N}
    array::StoredArray
    size::NTuple{N,Int}
end

LazyArray(array::StoredArray) =
    LazyArray{array.info.eltype,length(array.info.shape)}(array, array.info.shape)

Base.size(A::LazyArray) = A.size

function Base.getindex(A::LazyArray{T,N}, index::Vararg{Int,N}) where {T,N}
    checkbounds(A, index...)
    place = 0
    for i in 1:N
        place = place * A.size[i] + index[i] - 1
    end
    out = Array{T}(undef, 1)
    use(A.array.handle) do pointer
        check(@native array_read_bytes(pointer::Ptr{Cvoid}, (place * sizeof(T))::UInt64, out::Ptr{Cvoid},
                                       sizeof(T)::Csize_t)::Int32)
    end
    return sound(out)[1]
end

const Index = Union{Integer,Colon,AbstractVector{<:Integer}}

function Base.getindex(A::LazyArray{T,N}, rows::Index, others::Vararg{Index}) where {T,N}
    length(others) == N - 1 || return invoke(getindex, Tuple{AbstractArray,Vararg{Any}}, A, rows, others...)
    read = finished(read_rows(A.array, choose(rows, A.size[1])), A.array.info.dtype, rows, nothing)
    others isa Tuple{Vararg{Colon}} && return read
    return rows isa Integer ? read[others...] : read[:, others...]
end

Base.Array(A::LazyArray) = Array(turned(read_all(A.array)))
Base.setindex!(::LazyArray, value, ::Int...) =
    throw(ArgumentError("a lazy array is read-only; change the store by replace!"))

"""
    NumPack.load(store, name; rows = :, mmap = false, lazy = false, as = nothing)
    NumPack.load(path, name; …)
    NumPack.load(path; …)

Loads an array of a store, or a tensor of a checkpoint, a package, or a `.safetensors` or `.npz` file. Without
a name it loads all of them, as a `Dict`, or, where the file holds one tensor and no more, as `.npy` files do,
that one.

An array that has the shape `(1000, 128)` in Python has the size `(1000, 128)`, and its `a[0, 1]` is
`A[1, 2]`. In files the last index steps fastest, in Julia's own arrays the first, so what comes is a turned view
of the array that was read, without a copy: a `transpose` of two dimensions, which BLAS knows, and a
`PermutedDimsArray` of more. `parent(A)` is the array itself, of the reversed size; `Array(A)` a copy that
lies as Julia's arrays do.

| Option | |
|---|---|
| `rows` | only these rows: a number, for which there is a dimension less; a range; a vector of numbers or of `Bool` |
| `mmap` | the file's own memory, read-only, which is read as it is touched. It stays while anything refers to it, after the store is closed too. Nobody may change the file meanwhile; where others write, use `lazy` |
| `lazy` | of a store: an array that reads the rows that it is asked for |
| `as` | elements of this type, such as `Float32` of `bfloat16` |

Types that Julia lacks come as their bits: `bfloat16` as `UInt16`, floats of 8 bits as `UInt8`.
[`NumPack.info`](@ref) says which type they are, `as` makes numbers of them.

```jldoctest
julia> NumPack.save("l.npk", "a" => [10i + j for i in 1:4, j in 1:3]);

julia> NumPack.load("l.npk", "a"; rows = [4, 1]) == [41 42 43; 11 12 13]
true

julia> A = NumPack.load("l.npk", "a"; mmap = true);

julia> size(A), A[4, 3], A[:, 2] == [12, 22, 32, 42]
((4, 3), 43, true)

julia> NumPack.load("l.npk", "a"; lazy = true)[2:3, 1] == [21, 31]
true
```
"""
function load(from::Changing, name; rows = :, mmap::Bool = false, lazy::Bool = false, as = nothing)
    options(rows, mmap, lazy, as)
    array = StoredArray(from, name)
    lazy && return LazyArray(array)
    mmap && return mapped(array)
    try
        info = array.info
        if rows isa Colon
            read = read_all(array)
        else
            read = read_rows(array, choose(rows, rows_of(info.shape, name)))
        end
        return finished(read, info.dtype, rows, as)
    finally
        close(array.handle)
    end
end

function options(rows, mmap, lazy, as)
    mmap && lazy && throw(ArgumentError("choose one of mmap and lazy"))
    (mmap || lazy) && !(rows isa Colon && as === nothing) &&
        throw(ArgumentError("rows and as are for what is read now; index the array that mmap or lazy gives"))
end

"""What was read as it is shown: of another type, one row with a dimension less, turned."""
function finished(read, dtype, rows, as)
    as === nothing || (read = converted(read, dtype, as))
    rows isa Integer || return turned(read)
    ndims(read) == 1 && return read[1]
    return turned(reshape(read, Base.front(size(read))))
end

function load(path::AbstractString, name::Union{AbstractString,Symbol}; options...)
    if is_store(path)
        store = Store(path)
        # Of tensors that share memory only one is an array; the others are known to the checkpoint.
        haskey(store, name) && return closing(store -> load(store, name; options...), store)
        close(store)
    end
    return Checkpoint(checkpoint -> load(checkpoint, name; options...), path)
end

function load(path::AbstractString; options...)
    Checkpoint(path) do checkpoint
        names = keys(checkpoint)
        # A tensor that is the whole object has no name.
        names == [""] && return load(checkpoint, ""; options...)
        return Dict(name => load(checkpoint, name; options...) for name in names)
    end
end

is_store(path) = isfile(joinpath(path, "metadata.npkm"))

"""
    store[name]
    store[name, rows]

An array, or rows of it, as [`NumPack.load`](@ref) loads them.
"""
Base.getindex(from::Changing, name::Union{AbstractString,Symbol}) = load(from, name)
Base.getindex(from::Changing, name::Union{AbstractString,Symbol}, rows) = load(from, name; rows = rows)

"""
    NumPack.info(store, name)
    NumPack.info(checkpoint, name)

What one array or tensor is, as in [`NumPack.list`](@ref).

```jldoctest
julia> NumPack.save("i.pt", "w" => Raw(:bfloat16, zeros(UInt16, 5, 2)));

julia> info = NumPack.info(Checkpoint("i.pt"), "w");

julia> info.dtype, info.eltype, info.shape
(:bfloat16, UInt16, (5, 2))
```
"""
info(from::Changing, name::Union{AbstractString,Symbol}) = with_array(array -> array.info, from, name)

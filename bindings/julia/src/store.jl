# Stores: opening, making, listing.

"""
    Store(path; create = false, wait = true)
    Store(f, path; …)

Opens the store at a path for reading and writing. With `create`, one that is not there is made first. `f` is
called with the store, which is closed after it; without `f` it is closed by `close`, or when nothing refers
to it.

A store is locked only while something changes it. Where another writer is at it, a change waits, and other
tasks run; without `wait` it is a [`NumPackError`](@ref) with the status `:locked`. Tasks and threads may
share a store.

Errors: [`NumPackError`](@ref) with the status `:not_a_store` where there is nothing, or something else;
`:format` for a damaged store.

```jldoctest
julia> Store("scores.npk"; create = true) do store
           store["scores"] = [0.5, 0.25]
           append!(store, "scores", [1.0])
           store["scores"]
       end
3-element Vector{Float64}:
 0.5
 0.25
 1.0
```
"""
struct Store
    handle::Handle
    wait::Bool
    """The task that is in a `batch` of this store."""
    batching::Base.RefValue{Union{Nothing,Task}}
end

# Waiting is ours: see `patiently`.
const CHANGES = make(CStoreOptions; no_wait = 1)

function Store(path::AbstractString; create::Bool = false, wait::Bool = true)
    out = Ref{Ptr{Cvoid}}(C_NULL)
    options = Ref(CHANGES)
    patiently(wait) do
        if create
            @native store_open_or_create(path::Cstring, options::Ptr{CStoreOptions},
                                          out::Ptr{Ptr{Cvoid}})::Int32
        else
            @native store_open(path::Cstring, options::Ptr{CStoreOptions}, out::Ptr{Ptr{Cvoid}})::Int32
        end
    end
    return Store(Handle(out[], "store", :store_free), wait, Ref{Union{Nothing,Task}}(nothing))
end

Store(f::Function, path::AbstractString; options...) = closing(f, Store(path; options...))

function closing(f, opened)
    try
        return f(opened)
    finally
        close(opened)
    end
end

"""
    NumPack.open(path; wait = true)
    NumPack.open(f, path; …)

Opens the store at a path, as [`Store`](@ref) does.
"""
open(path::AbstractString; wait::Bool = true) = Store(path; wait = wait)
open(f::Function, path::AbstractString; options...) = closing(f, open(path; options...))

"""
    NumPack.create(path; overwrite = false, wait = true)
    NumPack.create(f, path; …)

Makes a store without arrays, and opens it as [`Store`](@ref) does. With `overwrite`, a store that is there is
replaced; nothing else ever is.

Errors: [`NumPackError`](@ref) with the status `:exists` where there is anything but an empty folder.

```jldoctest
julia> NumPack.create(length, "empty.npk")
0
```
"""
function create(path::AbstractString; overwrite::Bool = false, wait::Bool = true)
    writer = new_writer(path; overwrite = overwrite, wait = wait)
    commit(writer)
    return open(path; wait = wait)
end

create(f::Function, path::AbstractString; options...) = closing(f, create(path; options...))

Base.close(store::Store) = close(store.handle)
Base.isopen(store::Store) = isopen(store.handle)

function path(store::Store)
    use(store.handle) do pointer
        unsafe_string(@native store_get_path(pointer::Ptr{Cvoid})::Ptr{UInt8})
    end
end

"""
What is known of an array: its `name`, the `dtype` that it stands for, such as `:bfloat16`, the `eltype` and
`shape` that it is loaded with, its size in bytes, and when it was `modified`, in microseconds since 1970.
`hidden` is an array that is only a part of something: what several tensors of a checkpoint share.
"""
struct ArrayInfo
    name::String
    dtype::Symbol
    eltype::DataType
    shape::Dims
    nbytes::Int
    modified::Int64
    hidden::Bool
end

function ArrayInfo(info::CArrayInfo)
    stored = element_type(info.dtype)
    dtype = info.logical_dtype == C_NULL ? stored.name : Symbol(unsafe_string(info.logical_dtype))
    type, shape = stored.type, dims(info.shape, info.ndim)
    # Complex numbers of halves are stored as pairs, along one dimension more.
    if dtype in (:complex32, :bcomplex32) && !isempty(shape) && last(shape) == 2
        type, shape = element_type(dtype).type, Base.front(shape)
    end
    return ArrayInfo(unsafe_string(info.name, info.name_length), dtype, type, shape, info.nbytes,
                     info.modified_micros, info.hidden != 0)
end

dims(shape::Ptr{UInt64}, ndim) = ntuple(i -> Int(unsafe_load(shape, i)), Int(ndim))

Base.show(io::IO, info::ArrayInfo) = print(io, info.name, ": ", info.dtype, info.shape)

"""
    NumPack.list(store)
    NumPack.list(checkpoint)

What each array or tensor is: `name`, `dtype`, `shape` and more, in their order, all in one state of the
store.

```jldoctest
julia> NumPack.save("two.npk", "a" => zeros(Float32, 1000, 128), "b" => trues(3));

julia> Store(NumPack.list, "two.npk")
2-element Vector{NumPack.ArrayInfo}:
 a: float32(1000, 128)
 b: bool(3,)
```
"""
function list(store::Store)
    out = Ref{Ptr{Cvoid}}(C_NULL)
    use(store.handle) do pointer
        check(@native store_list(pointer::Ptr{Cvoid}, out::Ptr{Ptr{Cvoid}})::Int32)
    end
    listed = Handle(out[], "list", :list_free)
    use(listed) do pointer
        count = @native list_count(pointer::Ptr{Cvoid})::Csize_t
        return map(1:count) do i
            ArrayInfo(ask(CArrayInfo) do info
                @native list_get(pointer::Ptr{Cvoid}, (i - 1)::Csize_t, info::Ptr{CArrayInfo})::Int32
            end)
        end
    end
end

Base.keys(store::Store) = String[info.name for info in list(store) if !info.hidden]
Base.length(store::Store) = length(keys(store))
Base.isempty(store::Store) = length(store) == 0
Base.haskey(store::Store, name::Union{AbstractString,Symbol}) =
    any(info -> info.name == String(name), list(store))

function Base.show(io::IO, store::Store)
    isopen(store) || return print(io, "Store (closed)")
    print(io, "Store(", repr(path(store)), ")")
end

function Base.show(io::IO, ::MIME"text/plain", store::Store)
    show(io, store)
    isopen(store) || return
    for info in list(store)
        info.hidden || print(io, "\n  ", info)
    end
end

# Changes of stores: each durable when its call returns, or many in one commit.

"""
What changes a store in one commit; [`batch`](@ref) gives one.
"""
struct Writer
    handle::Handle
end

const Changing = Union{Store,Writer}

function change(f, store::Store)
    store.batching[] === current_task() &&
        throw(ArgumentError("this is within a batch of the store; use the writer that the batch gives"))
    use(pointer -> patiently(() -> f(pointer), store.wait), store.handle)
end

change(f, writer::Writer) = use(pointer -> check(f(pointer)), writer.handle)

for (T, prefix) in ((:Store, :store), (:Writer, :writer))
    call(name) = Symbol(prefix, :_, name)
    @eval begin
        c_save(::$T, pointer, names, views) = @native $(call(:save))(pointer::Ptr{Cvoid}, names::Ptr{Cstring},
            views::Ptr{CView}, length(views)::Csize_t)::Int32
        c_append(::$T, pointer, names, views) = @native $(call(:append))(pointer::Ptr{Cvoid},
            names::Ptr{Cstring}, views::Ptr{CView}, length(views)::Csize_t)::Int32
        c_replace_rows(::$T, pointer, name, rows, views) = @native $(call(:replace_rows))(pointer::Ptr{Cvoid},
            name::Cstring, rows::Ptr{CRows}, views::Ptr{CView})::Int32
        c_drop_rows(::$T, pointer, name, rows, out) = @native $(call(:drop_rows))(pointer::Ptr{Cvoid},
            name::Cstring, rows::Ptr{CRows}, out::Ptr{UInt64})::Int32
        c_remove_arrays(::$T, pointer, names) = @native $(call(:remove_arrays))(pointer::Ptr{Cvoid},
            names::Ptr{Cstring}, length(names)::Csize_t)::Int32
        c_rename_array(::$T, pointer, from, to) = @native $(call(:rename_array))(pointer::Ptr{Cvoid},
            from::Cstring, to::Cstring)::Int32
        c_compact_one(::$T, pointer, name, out) = @native $(call(:compact))(pointer::Ptr{Cvoid},
            name::Cstring, out::Ptr{UInt64})::Int32
        c_compact_all(::$T, pointer, out) = @native $(call(:compact))(pointer::Ptr{Cvoid}, C_NULL::Ptr{UInt8},
            out::Ptr{UInt64})::Int32
    end
end

c_array(::Store, pointer, name, out) =
    @native array_open(pointer::Ptr{Cvoid}, name::Cstring, out::Ptr{Ptr{Cvoid}})::Int32
c_array(::Writer, pointer, name, out) =
    @native writer_array(pointer::Ptr{Cvoid}, name::Cstring, out::Ptr{Ptr{Cvoid}})::Int32

"""
    batch(f, store)

Calls `f` with a [`Writer`](@ref), and makes all changes through it durable and visible at once, or, where `f`
throws, none. The store is locked meanwhile. Many small changes are much faster so than one by one.

```jldoctest
julia> store = Store("log.npk"; create = true);

julia> batch(store) do writer
           NumPack.save(writer, "step" => Int[], "loss" => Float32[])
           for step in 1:100
               append!(writer, "step" => [step], "loss" => [1.0f0 / step])
           end
       end

julia> length(store["loss"])
100
```
"""
function batch(f, store::Store)
    out = Ref{Ptr{Cvoid}}(C_NULL)
    change(store) do pointer
        @native store_begin(pointer::Ptr{Cvoid}, C_NULL::Ptr{CStoreOptions}, out::Ptr{Ptr{Cvoid}})::Int32
    end
    writer = Writer(Handle(out[], "writer", :writer_free))
    store.batching[] = current_task()
    try
        result = f(writer)
        commit(writer)
        return result
    finally
        store.batching[] = nothing
        close(writer.handle)
    end
end

"""Begins a store that appears whole with the commit."""
function new_writer(path; overwrite::Bool, wait::Bool = true)
    out = Ref{Ptr{Cvoid}}(C_NULL)
    options = Ref(CHANGES)
    patiently(wait) do
        if overwrite
            @native writer_replace(path::Cstring, options::Ptr{CStoreOptions}, out::Ptr{Ptr{Cvoid}})::Int32
        else
            @native writer_create(path::Cstring, options::Ptr{CStoreOptions}, out::Ptr{Ptr{Cvoid}})::Int32
        end
    end
    return Writer(Handle(out[], "writer", :writer_free))
end

function commit(writer::Writer)
    pointer = take(writer.handle)
    with_callbacks(nothing, warn) do callbacks
        check(@native writer_commit(pointer::Ptr{Cvoid}, callbacks.warning::Ptr{Cvoid},
                                    callbacks.user::Ptr{Cvoid})::Int32)
    end
end

const Named = Pair{<:Union{AbstractString,Symbol}}

function with_named(f, pairs)
    layouts = Layout[Layout(last(pair)) for pair in pairs]
    names = String[String(first(pair)) for pair in pairs]
    with_texts(texts -> with_views(views -> f(texts, views), layouts), names)
end

"""
    NumPack.save(path, name => array, …; overwrite = false)
    NumPack.save(store, name => array, …)

Writes arrays, all or none, and durably. Python and torch see the same indices, less one: no array needs to be
turned around for that, and views with steps, transposed ones and numbers serve too.

The suffix of the path says what is written. A `.pt`, `.pth`, `.bin` or `.ckpt` file is a dict of tensors,
which `torch.load` takes with `weights_only=True`; `.safetensors`, `.npz` and, of one array, `.npy` files are
what the libraries of these formats read. Any other path is a store: in one that is there, arrays of other
names stay. `overwrite` replaces a file or store whole.

| Julia | in the file |
|---|---|
| `Bool`, also in a `BitArray` | `bool` |
| `Int8` … `Int64`, `UInt8` … `UInt64` | `int8` … `uint64` |
| `Float16`, `Float32`, `Float64` | `float16`, `float32`, `float64` |
| `ComplexF32`, `ComplexF64` | `complex64`, `complex128` |
| `ComplexF16`, by a path | `complex32` |
| [`Raw`](@ref), by a path | `bfloat16`, `float8_e4m3fn`, … |

Errors: `ArgumentError` for elements of another type; [`NumPackError`](@ref) with the status `:exists` for a
file that is there, without `overwrite`.

```jldoctest
julia> A = reshape(collect(1.0f0:6), 2, 3);

julia> NumPack.save("a.npk", "a" => A, "rows" => view(A, 1:1, :), "turned" => A', "flags" => trues(3))

julia> NumPack.load("a.npk", "a") == A
true

julia> NumPack.load("a.npk", "turned") == A'
true
```
"""
function save(path::AbstractString, pairs::Named...; overwrite::Bool = false)
    kind = suffix(path)
    kind in TORCH && return save_torch(path, pairs, overwrite)
    kind in NEIGHBOURS && return save_by_store(path, pairs, overwrite)
    kind == "npkg" &&
        throw(ArgumentError("a package is made of a store; save to one that ends in .npk, then pack it"))
    any(pair -> is_logical(last(pair)), pairs) && return save_logical(path, pairs, overwrite)
    if ispath(path) && !overwrite
        return Store(store -> save(store, pairs...), path; create = true)
    end
    writer = new_writer(path; overwrite = overwrite)
    try
        save(writer, pairs...)
        commit(writer)
    finally
        close(writer.handle)
    end
end

function save(to::Changing, pairs::Named...)
    any(pair -> is_logical(last(pair)), pairs) && throw(ArgumentError(
        "Raw and ComplexF16 arrays go to the path of a store, not to an open one; save them by the path"))
    with_named(pairs) do names, views
        change(pointer -> c_save(to, pointer, names, views), to)
    end
end

const REFUSE, REPLACE, MERGE = Int32(3), Int32(2), Int32(1)
const TORCH = ("pt", "pth", "bin", "ckpt")
const NEIGHBOURS = ("safetensors", "npy", "npz")

suffix(path) = lowercase(lstrip(splitext(path)[2], '.'))

function save_torch(path, pairs, overwrite)
    # The format has no steps backwards.
    forward(A::AbstractArray) = any(s -> s < 0, Layout(A).strides) ? Array(A) : A
    forward(A) = A
    pairs = [first(pair) => forward(last(pair)) for pair in pairs]
    options = Ref(make(CSaveOptions; overwrite = overwrite))
    with_named(pairs) do names, views
        check(@native save_torch(path::Cstring, names::Ptr{Cstring}, views::Ptr{CView},
                                 length(views)::Csize_t, options::Ptr{CSaveOptions})::Int32)
    end
end

"""Calls `f` with tensors that have copies of the elements of views, in C order."""
function with_tensors(f, views)
    tensors = Handle[]
    try
        for view in views
            out = Ref{Ptr{Cvoid}}(C_NULL)
            check(@native tensor_copy(Ref(view)::Ptr{CView}, out::Ptr{Ptr{Cvoid}})::Int32)
            push!(tensors, Handle(out[], "tensor", :tensor_free))
        end
        return f([tensor.pointer for tensor in tensors])
    finally
        foreach(close, tensors)
    end
end

function save_by_store(path, pairs, overwrite)
    mktempdir() do folder
        store = joinpath(folder, "arrays.npk")
        save(store, pairs...)
        convert_file(store, path; overwrite = overwrite)
    end
    return nothing
end

"""A store holds such types as what they stand for, which only conversions write."""
function save_logical(path, pairs, overwrite)
    with_named(pairs) do names, views
        with_tensors(views) do tensors
            check(@native from_torch(names::Ptr{Cstring}, tensors::Ptr{Ptr{Cvoid}}, length(tensors)::Csize_t,
                                     path::Cstring, (overwrite ? REPLACE : MERGE)::Int32)::Int32)
        end
    end
end

is_logical(::Any) = false
is_logical(::Union{Raw,AbstractArray{ComplexF16},ComplexF16}) = true

"""
    store[name] = array

Writes an array in the place of one of its name, whatever that one's type and size.
"""
Base.setindex!(to::Changing, array, name::Union{AbstractString,Symbol}) = (save(to, name => array); to)

"""
    append!(store, name, rows)
    append!(store, name => rows, …)

Adds rows at the end of arrays, all or none. They have the type of the array's elements, and its size but for
the first dimension.

```jldoctest
julia> store = Store("grow.npk"; create = true);

julia> store["v"] = zeros(Float32, 2, 3);

julia> append!(store, "v", ones(Float32, 4, 3));

julia> size(store["v"])
(6, 3)
```
"""
Base.append!(to::Changing, name::Union{AbstractString,Symbol}, rows) = append!(to, name => rows)

function Base.append!(to::Changing, pairs::Named...)
    with_named([first(pair) => bits(last(pair)) for pair in pairs]) do names, views
        change(pointer -> c_append(to, pointer, names, views), to)
    end
    return to
end

bits(rows) = rows
bits(rows::Raw) = rows.bits

"""
    replace!(store, name, rows, values)

Replaces chosen rows of an array by those of `values`, in the order of the choice. `rows` is a number, a
range, a vector of numbers, a vector of `Bool`, or `:`; of a row that is chosen several times, the last one
counts. For one row by its number, `values` may have a dimension less.

Errors: `BoundsError` for a row that is not there; [`NumPackError`](@ref) with the status `:parameter` for
values that do not fit.

```jldoctest
julia> store = Store("change.npk"; create = true);

julia> store["v"] = [1, 2, 3, 4];

julia> replace!(store, "v", [4, 1], [40, 10]);

julia> store["v"]
4-element Vector{Int64}:
 10
  2
  3
 40
```
"""
function Base.replace!(to::Changing, name::Union{AbstractString,Symbol}, rows, values)
    shape = with_array(array -> array.info.shape, to, name)
    choice = choose(rows, rows_of(shape, name))
    layout = Layout(bits(values))
    rows isa Integer && length(layout.shape) == length(shape) - 1 && (layout = as_row(layout))
    with_rows(choice) do chosen
        with_views([layout]) do views
            change(pointer -> c_replace_rows(to, pointer, String(name), chosen, views), to)
        end
    end
    return to
end

function rows_of(shape::Dims, name)
    isempty(shape) && throw(ArgumentError("$name has no rows, only one element"))
    return shape[1]
end

"""
    drop!(store, name, rows)
    drop!(store, name…)

Drops rows of an array, or whole arrays, all or none. Of rows it returns how many; [`compact!`](@ref) frees
their room.

```jldoctest
julia> store = Store("less.npk"; create = true);

julia> store["v"] = [1, 2, 3, 4];

julia> drop!(store, "v", 1:2)
2

julia> store["v"] == [3, 4]
true

julia> drop!(store, "v");

julia> isempty(store)
true
```
"""
function drop!(to::Changing, name::Union{AbstractString,Symbol}, rows)
    choice = choose(rows, with_array(array -> rows_of(array.info.shape, name), to, name))
    out = Ref{UInt64}(0)
    with_rows(choice) do chosen
        change(pointer -> c_drop_rows(to, pointer, String(name), chosen, out), to)
    end
    return Int(out[])
end

drop!(to::Changing, name::Union{AbstractString,Symbol}) = drop_arrays(to, (name,))
drop!(to::Changing, name::Union{AbstractString,Symbol}, names::Union{AbstractString,Symbol}...) =
    drop_arrays(to, (name, names...))

function drop_arrays(to, names)
    with_texts(String[String(name) for name in names]) do texts
        change(pointer -> c_remove_arrays(to, pointer, texts), to)
    end
    return to
end

"""
    rename!(store, from => to)

Gives an array another name, which must be free.
"""
function rename!(store::Changing, names::Named)
    from, to = String(first(names)), String(last(names))
    change(pointer -> c_rename_array(store, pointer, from, to), store)
    return store
end

rename!(store::Changing, from, to) = rename!(store, from => to)

"""
    compact!(store)
    compact!(store, name)

Frees the room of dropped rows, of all arrays or of one. Returns how many rows went.
"""
function compact!(to::Changing)
    out = Ref{UInt64}(0)
    change(pointer -> c_compact_all(to, pointer, out), to)
    return Int(out[])
end

function compact!(to::Changing, name::Union{AbstractString,Symbol})
    out = Ref{UInt64}(0)
    change(pointer -> c_compact_one(to, pointer, String(name), out), to)
    return Int(out[])
end

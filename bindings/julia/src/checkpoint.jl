# Checkpoints: tensors of files.

"""
    Checkpoint(path; crc = :refuse)
    Checkpoint(f, path; …)

Opens a file with tensors for reading, told apart by content: whatever torch saves, `.safetensors`, `.npy` and
`.npz` files, stores and packages. Nothing found in it is executed, and tensors are read when asked for. `crc`
says what a wrong checksum is: `:refuse` an error, `:warn` a warning, `:off` nothing.

Tensors go by their dotted paths: `checkpoint["model.encoder.weight"]`. `keys`, `haskey`, `length`,
[`NumPack.list`](@ref) and [`NumPack.load`](@ref) are as for stores.

Errors: [`NumPackError`](@ref) with the status `:io` where there is no file, `:format` for a damaged one,
`:unsupported` for one of another kind.

```jldoctest
julia> NumPack.save("c.pt", "encoder.weight" => ones(Float32, 4, 2), "encoder.bias" => zeros(Float32, 4));

julia> Checkpoint("c.pt") do checkpoint
           keys(checkpoint), sum(checkpoint["encoder.weight"])
       end
(["encoder.weight", "encoder.bias"], 8.0f0)
```
"""
struct Checkpoint
    handle::Handle
    path::String
end

const CRC = Dict(:refuse => 0, :warn => 1, :off => 2)

function crc_number(crc)
    haskey(CRC, crc) || throw(ArgumentError("crc is :refuse, :warn or :off, not $(repr(crc))"))
    return CRC[crc]
end

function Checkpoint(path::AbstractString; crc::Symbol = :refuse)
    out = Ref{Ptr{Cvoid}}(C_NULL)
    options = Ref(make(CCheckpointOptions; crc = crc_number(crc)))
    check(@native checkpoint_open(path::Cstring, options::Ptr{CCheckpointOptions},
                                  out::Ptr{Ptr{Cvoid}})::Int32)
    return Checkpoint(Handle(out[], "checkpoint", :checkpoint_free), path)
end

Checkpoint(f::Function, path::AbstractString; options...) = closing(f, Checkpoint(path; options...))

Base.close(checkpoint::Checkpoint) = close(checkpoint.handle)
Base.isopen(checkpoint::Checkpoint) = isopen(checkpoint.handle)

"""
What is known of a tensor: its `name`, the `dtype` that it stands for, such as `:bfloat16`, the `eltype` and
`shape` that it is loaded with, its size in bytes, the number of its `storage`, which tensors that share
memory have in common, and whether it `requires_grad` and is a `parameter` of a module.
"""
struct TensorInfo
    name::String
    dtype::Symbol
    eltype::DataType
    shape::Dims
    nbytes::Int
    storage::Int
    requires_grad::Bool
    parameter::Bool
end

function TensorInfo(info::CTensorInfo)
    type = element_type(info.dtype)
    return TensorInfo(unsafe_string(info.name, info.name_length), type.name, type.type,
                      dims(info.shape, info.ndim), info.nbytes, info.storage,
                      info.requires_grad != 0, info.parameter != 0)
end

Base.show(io::IO, info::TensorInfo) = print(io, info.name, ": ", info.dtype, info.shape)

function tensor_info(pointer::Ptr{Cvoid}, index)
    TensorInfo(ask(CTensorInfo) do info
        @native checkpoint_get_info(pointer::Ptr{Cvoid}, index::Csize_t, info::Ptr{CTensorInfo})::Int32
    end)
end

list(checkpoint::Checkpoint) =
    use(pointer -> [tensor_info(pointer, i - 1) for i in 1:count_of(pointer)], checkpoint.handle)

count_of(pointer) = Int(@native checkpoint_count(pointer::Ptr{Cvoid})::Csize_t)

Base.length(checkpoint::Checkpoint) = use(count_of, checkpoint.handle)
Base.isempty(checkpoint::Checkpoint) = length(checkpoint) == 0
Base.keys(checkpoint::Checkpoint) = String[info.name for info in list(checkpoint)]
Base.haskey(checkpoint::Checkpoint, name::Union{AbstractString,Symbol}) = String(name) in keys(checkpoint)

function place_of(pointer::Ptr{Cvoid}, name)
    index = Ref{Csize_t}(0)
    text = String(name)
    check(@native checkpoint_find(pointer::Ptr{Cvoid}, text::Cstring, index::Ptr{Csize_t})::Int32)
    return index[]
end

info(checkpoint::Checkpoint, name::Union{AbstractString,Symbol}) =
    use(pointer -> tensor_info(pointer, place_of(pointer, name)), checkpoint.handle)

Base.getindex(checkpoint::Checkpoint, name::Union{AbstractString,Symbol}) = load(checkpoint, name)
Base.getindex(checkpoint::Checkpoint, name::Union{AbstractString,Symbol}, rows) =
    load(checkpoint, name; rows = rows)

function load(checkpoint::Checkpoint, name::Union{AbstractString,Symbol}; rows = :, mmap::Bool = false,
              lazy::Bool = false, as = nothing)
    options(rows, mmap, lazy, as)
    lazy && throw(ArgumentError("lazy is for stores; choose rows by `rows`, or map the tensor by mmap"))
    use(checkpoint.handle) do pointer
        index = place_of(pointer, name)
        info = tensor_info(pointer, index)
        mmap && return mapped(checkpoint, pointer, index, info)
        if rows isa Colon
            read = room(info.eltype, info.shape)
            check(@native checkpoint_read(pointer::Ptr{Cvoid}, index::Csize_t, read::Ptr{Cvoid},
                                          sizeof(read)::Csize_t)::Int32)
        else
            read = read_rows(pointer, index, info, rows)
        end
        return finished(sound(read), info.dtype, rows, as)
    end
end

function mapped(checkpoint::Checkpoint, pointer, index, info)
    data, size = Ref{Ptr{Cvoid}}(C_NULL), Ref{Csize_t}(0)
    check(@native checkpoint_map(pointer::Ptr{Cvoid}, index::Csize_t, data::Ptr{Ptr{Cvoid}},
                                 size::Ptr{Csize_t})::Int32)
    # A handle of its own, so that closing the checkpoint takes no memory away.
    kept = @native checkpoint_retain(pointer::Ptr{Cvoid})::Ptr{Cvoid}
    owner = Handle(kept, "checkpoint", :checkpoint_free)
    return lent(info.eltype, info.shape, data[], size[], owner, info.name)
end

"""Reads chosen rows, those that follow each other at once."""
function read_rows(pointer::Ptr{Cvoid}, index, info::TensorInfo, rows)
    total = rows_of(info.shape, info.name)
    choose(rows, total)
    wanted = rows isa AbstractVector{Bool} ? findall(rows) : rows isa Integer ? [rows] : rows
    read = room(info.eltype, (length(wanted), Base.tail(info.shape)...))
    row_size = isempty(wanted) ? 0 : div(sizeof(read), length(wanted))
    done = 0
    GC.@preserve read while done < length(wanted)
        first = wanted[done+1]
        count = 1
        while done + count < length(wanted) && wanted[done+count+1] == first + count
            count += 1
        end
        check(@native checkpoint_read_rows(pointer::Ptr{Cvoid}, index::Csize_t, (first - 1)::UInt64,
                                           count::UInt64,
                                           (Ptr{UInt8}(Base.pointer(read)) + done * row_size)::Ptr{Cvoid},
                                           (count * row_size)::Csize_t)::Int32)
        done += count
    end
    return read
end

"""
    NumPack.format(checkpoint)

What kind of file it is, in words, such as `"zip archive of torch, version 3"`.
"""
format(checkpoint::Checkpoint) = use(checkpoint.handle) do pointer
    unsafe_string(@native checkpoint_get_format(pointer::Ptr{Cvoid})::Ptr{UInt8})
end

"""
    NumPack.warnings(checkpoint)

What was odd about the file so far, though it can be read.
"""
function warnings(checkpoint::Checkpoint)
    found = String[]
    use(checkpoint.handle) do pointer
        with_callbacks(nothing, message -> push!(found, message)) do callbacks
            check(@native checkpoint_warnings(pointer::Ptr{Cvoid}, callbacks.warning::Ptr{Cvoid},
                                              callbacks.user::Ptr{Cvoid})::Int32)
        end
    end
    return found
end

function Base.show(io::IO, checkpoint::Checkpoint)
    print(io, "Checkpoint(", repr(checkpoint.path), ")", isopen(checkpoint) ? "" : " (closed)")
end

function Base.show(io::IO, ::MIME"text/plain", checkpoint::Checkpoint)
    show(io, checkpoint)
    isopen(checkpoint) || return
    print(io, ", a ", format(checkpoint))
    found = list(checkpoint)
    foreach(info -> print(io, "\n  ", info), Iterators.take(found, 50))
    length(found) > 50 && print(io, "\n  … ", length(found) - 50, " more")
end

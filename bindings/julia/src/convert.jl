# Conversions of whole files.

"""
    convert_file(input, output; overwrite = false, …)

Converts a file to the kind that the suffix of `output` says; streaming, nothing in the file is executed, and
the output appears whole or not at all.

| `output` | what is made |
|---|---|
| `.npk` | a store: of a checkpoint with all that is not a tensor too, so that the way back gives an equal object |
| `.pt .pth .bin .ckpt` | what torch loads with `weights_only=True`, if it could the first |
| `.safetensors .npy .npz` | the tensors, by their dotted names |
| `.npkg` | a package of a store, as [`NumPack.pack`](@ref) makes it |

| Option | |
|---|---|
| `overwrite` | an output that is there is replaced; else it is an error |
| `merge` | a store that is there is added to |
| `key` | only what stands at this key or dotted path; not to `.pt` |
| `names` | only these arrays; not to `.npk` |
| `progress` | called with how many bytes are done and how many there are |
| `warning` | called with what should be known though the work succeeded; `@warn` says it otherwise |
| `chunk_size` | upper bound of buffers in bytes |
| `crc` | what a wrong checksum is: `:refuse`, `:warn` or `:off` |
| `keep_objects` | to `.npk`: objects of unknown classes are carried over as recipes |
| `compact_views` | to `.npk`: each view gets an array of its own |
| `copy_shared` | to `.safetensors` and `.npz`: tensors that share memory are each written, not refused |
| `alignment` | to `.pt`: of each tensor's data, 64 or 4096 |

What `progress` or `warning` throws stops the work, leaves the output as it was, and is thrown on.

Returns how many tensors and bytes were written; of packages what [`NumPack.pack`](@ref) and
[`NumPack.unpack`](@ref) do.

```jldoctest
julia> NumPack.save("m.pt", "w" => ones(Float32, 4, 2));

julia> convert_file("m.pt", "m.npk")
(tensors = 1, bytes = 32)

julia> convert_file("m.npk", "m.safetensors").tensors
1

julia> convert_file("m.npk", "again.pt"; progress = (done, total) -> error("enough"))
ERROR: enough
```
"""
function convert_file(input::AbstractString, output::AbstractString; overwrite::Bool = false,
                      merge::Bool = false, key = nothing, names = nothing, progress = nothing, warning = warn,
                      chunk_size::Integer = 0,
                      crc::Symbol = :refuse, keep_objects::Bool = false, compact_views::Bool = false,
                      copy_shared::Bool = false, alignment::Integer = 64)
    kind = suffix(output)
    refused(name) = throw(ArgumentError("$name is not for an output that ends in .$kind"))
    to_store, to_torch, to_neighbour = kind == "npk", kind in TORCH, kind in NEIGHBOURS
    merge && !to_store && refused("merge")
    merge && overwrite && throw(ArgumentError("choose one of merge and overwrite"))
    key === nothing || to_store || to_neighbour || refused("key")
    names === nothing || to_torch || to_neighbour || refused("names")
    crc === :refuse || to_store || to_neighbour || refused("crc")
    (keep_objects || compact_views) && !to_store && refused(keep_objects ? "keep_objects" : "compact_views")
    copy_shared && !to_neighbour && refused("copy_shared")
    alignment == 64 || to_torch || refused("alignment")
    existing = overwrite ? REPLACE : merge ? MERGE : REFUSE
    tensors, bytes = Ref{UInt64}(0), Ref{UInt64}(0)

    function call(callbacks, key::Cstring, names::Ptr{Cstring}, count)
        if to_store
            chosen = Ref(make(CFromTorchOptions; existing = existing, key = key, chunk_size = chunk_size,
                              crc = crc_number(crc), keep_objects = keep_objects,
                              compact_views = compact_views, callbacks...))
            @native from_torch_file(input::Cstring, output::Cstring, chosen::Ptr{CFromTorchOptions},
                                    tensors::Ptr{UInt64}, bytes::Ptr{UInt64})::Int32
        elseif to_torch
            chosen = Ref(make(CToTorchOptions; existing = existing, array_names = names, array_count = count,
                              chunk_size = chunk_size, alignment = alignment, callbacks...))
            @native to_torch_file(input::Cstring, output::Cstring, chosen::Ptr{CToTorchOptions},
                                  tensors::Ptr{UInt64}, bytes::Ptr{UInt64})::Int32
        else
            chosen = Ref(make(CExportOptions; existing = existing, key = key, array_names = names,
                              array_count = count, chunk_size = chunk_size, crc = crc_number(crc),
                              copy_shared = copy_shared, callbacks...))
            @native export_file(input::Cstring, output::Cstring, chosen::Ptr{CExportOptions},
                                tensors::Ptr{UInt64}, bytes::Ptr{UInt64})::Int32
        end
    end

    if to_store || to_torch || to_neighbour
        if is_package(input) && to_store
            return unpack(input, output; overwrite = overwrite, warning = warning)
        end
        wanted = names === nothing ? String[] : String[String(name) for name in names]
        key_text = key === nothing ? "" : String(key)
        with_texts(wanted) do texts
            GC.@preserve key_text with_callbacks(progress, warning) do callbacks
                key_pointer = key === nothing ? Cstring(C_NULL) : Base.unsafe_convert(Cstring, key_text)
                pointer_to_names = names === nothing ? Ptr{Cstring}(C_NULL) : pointer(texts)
                check(call(callbacks, key_pointer, pointer_to_names, length(texts)))
            end
        end
        return (tensors = Int(tensors[]), bytes = Int(bytes[]))
    elseif kind == "npkg"
        return pack(input, output; overwrite = overwrite, warning = warning)
    end
    throw(ArgumentError("the suffix of $output says what to write: .npk, .pt, .pth, .bin, .ckpt, " *
                        ".safetensors, .npy, .npz or .npkg"))
end

is_package(path) = suffix(path) == "npkg"

"""
    NumPack.pack(store, package; compression = :none, overwrite = false, warning = …)

Makes a package, one file, of the store at a path. `compression` is `:none` or `:zlib`. Returns how many
`files` are in it, their `bytes`, and the `package_bytes`.

```jldoctest
julia> NumPack.save("p.npk", "a" => 1:3);

julia> NumPack.pack("p.npk", "p.npkg");

julia> NumPack.load("p.npkg", "a") == [1, 2, 3]
true

julia> NumPack.unpack("p.npkg", "q.npk");

julia> NumPack.load("q.npk", "a") == [1, 2, 3]
true
```
"""
function pack(store::AbstractString, package::AbstractString; compression::Symbol = :none,
              overwrite::Bool = false, warning = warn)
    compression in (:none, :zlib) ||
        throw(ArgumentError("compression is :none or :zlib, not $(repr(compression))"))
    files, bytes, package_bytes = Ref{UInt64}(0), Ref{UInt64}(0), Ref{UInt64}(0)
    with_callbacks(nothing, warning) do callbacks
        options = Ref(make(CPackOptions; compression = compression === :zlib, overwrite = overwrite,
                           warning = callbacks.warning, user = callbacks.user))
        check(@native pack(store::Cstring, package::Cstring, options::Ptr{CPackOptions}, files::Ptr{UInt64},
                           bytes::Ptr{UInt64}, package_bytes::Ptr{UInt64})::Int32)
    end
    return (files = Int(files[]), bytes = Int(bytes[]), package_bytes = Int(package_bytes[]))
end

"""
    NumPack.unpack(package, store; overwrite = false, wait = true, warning = …)

Makes a store of a package. Everything is checked before it appears, whole. Returns how many `files` it has,
and their `bytes`.
"""
function unpack(package::AbstractString, store::AbstractString; overwrite::Bool = false, wait::Bool = true,
                warning = warn)
    files, bytes = Ref{UInt64}(0), Ref{UInt64}(0)
    with_callbacks(nothing, warning) do callbacks
        options = Ref(make(CUnpackOptions; overwrite = overwrite, no_wait = 1, warning = callbacks.warning,
                           user = callbacks.user))
        patiently(wait) do
            @native unpack(package::Cstring, store::Cstring, options::Ptr{CUnpackOptions}, files::Ptr{UInt64},
                           bytes::Ptr{UInt64})::Int32
        end
    end
    return (files = Int(files[]), bytes = Int(bytes[]))
end

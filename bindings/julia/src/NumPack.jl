"""
Tensors in files: PyTorch checkpoints, NumPack stores and their neighbours, read and written without Python.

```jldoctest
julia> using NumPack

julia> NumPack.save("rows.npk", "ids" => [7, 8, 9], "vectors" => [1.0f0 2; 3 4; 5 6]);

julia> store = Store("rows.npk");

julia> keys(store)
2-element Vector{String}:
 "ids"
 "vectors"

julia> store["vectors", 2]
2-element Vector{Float32}:
 3.0
 4.0

julia> close(store)
```

| To | there is |
|---|---|
| open, make and list a store | [`Store`](@ref), [`NumPack.open`](@ref), [`NumPack.create`](@ref), `keys`, `haskey`, `length`, [`NumPack.list`](@ref), [`NumPack.info`](@ref) |
| read | [`NumPack.load`](@ref), `store[name]`, `store[name, rows]` |
| write | [`NumPack.save`](@ref), `append!`, `replace!`, [`drop!`](@ref), [`rename!`](@ref), [`compact!`](@ref), [`batch`](@ref) |
| read a checkpoint | [`Checkpoint`](@ref), `checkpoint[name]` |
| convert files | [`convert_file`](@ref), [`NumPack.pack`](@ref), [`NumPack.unpack`](@ref) |

Indices are the ones that Python has, plus one: an array of shape `(1000, 128)` there has the size
`(1000, 128)` here, and its `a[0, 1]` is `A[1, 2]`. Nothing is copied or turned around for that;
[`NumPack.load`](@ref) says how.

The files: `native.jl` has the C library, its errors and handles; `structs.jl` its structs; `types.jl` element
types; `memory.jl` how arrays lie in memory; `rows.jl` choices of rows; `callbacks.jl` functions that it
calls; `store.jl`, `changes.jl`, `read.jl`, `checkpoint.jl` and `convert.jl` what is said above.
"""
module NumPack

using Libdl
using LinearAlgebra: Adjoint, Transpose, transpose

export Store, Writer, Checkpoint, NumPackError, Raw
export batch, convert_file, drop!, rename!, compact!

include("native.jl")
include("structs.jl")
include("types.jl")
include("memory.jl")
include("rows.jl")
include("callbacks.jl")
include("store.jl")
include("changes.jl")
include("read.jl")
include("checkpoint.jl")
include("convert.jl")

end

# Run as `julia --project=bindings/julia bindings/julia/test/runtests.jl`, with LIBNUMPACK where the system
# has no libnumpack.

using NumPack
using SHA: sha256
using Test

const PACKAGE = dirname(@__DIR__)
const REPOSITORY = dirname(dirname(PACKAGE))
const FIXTURES = joinpath(@__DIR__, "fixtures")

"""Runs `f` in an empty folder."""
in_folder(f) = mktempdir(folder -> cd(f, folder))

"""The status of the error that `f` throws."""
function status_of(f)
    try
        f()
    catch e
        e isa NumPackError || rethrow()
        return e.status
    end
    return :none
end

"""A `.npy` file, written by its description: the bytes of the rows one after another."""
function write_npy(path, descr, shape, bytes)
    header = "{'descr': '$descr', 'fortran_order': False, 'shape': $shape, }"
    header *= " "^(63 - (10 + length(header)) % 64) * "\n"
    start = [b"\x93NUMPY\x01\x00"; reinterpret(UInt8, [UInt16(length(header))])]
    write(path, [start; codeunits(header); bytes])
end

"""What a `.npy` file says of itself, and its bytes."""
function read_npy(path)
    bytes = read(path)
    @assert bytes[1:8] == b"\x93NUMPY\x01\x00"
    length = Int(bytes[9]) + 256 * Int(bytes[10])
    return String(bytes[11:10+length]), bytes[11+length:end]
end

"""The elements in the order of the file: the last index steps fastest."""
c_order(A) = [A[i] for i in vec(permutedims(CartesianIndices(A), ndims(A):-1:1))]

"""Where in bytes others stand, from 0."""
place_of(part, bytes) =
    first(i for i in 0:length(bytes)-length(part) if view(bytes, i+1:i+length(part)) == part)

as_bytes(elements) = collect(reinterpret(UInt8, Vector(elements)))

@testset "NumPack" begin
    include("interface.jl")
    include("order.jl")
    include("types.jl")
    include("stores.jl")
    include("lifetimes.jl")
    include("checkpoints.jl")
    include("conversions.jl")
    include("tasks.jl")
    include("documentation.jl")
end

# Indices are Python's, plus one.

@testset "a file of rows" begin
    in_folder() do
        value(i, j) = Float32(1000i + j)
        rows = Float32[value(i, j) for i in 0:999 for j in 0:127]
        write_npy("a.npy", "<f4", "(1000, 128)", as_bytes(rows))
        A = NumPack.load("a.npy")
        @test size(A) == (1000, 128)
        @test A[1, 2] == value(0, 1)
        @test A[2, 1] == value(1, 0)
        @test A == [value(i, j) for i in 0:999, j in 0:127]
        # Nothing was copied to turn it.
        @test size(parent(A)) == (128, 1000) && vec(parent(A)) == rows
        convert_file("a.npy", "a.npk")
        for options in ((), (mmap = true,), (lazy = true,))
            B = NumPack.load("a.npk", "a"; options...)
            @test size(B) == (1000, 128)
            @test B[1, 2] == value(0, 1)
            @test B == A
        end
        B = NumPack.load("a.npy"; mmap = true)
        @test B[1, 2] == value(0, 1) && B == A
        # BLAS takes it as it is.
        x = Float32.(1:128)
        @test A * x ≈ Array(A) * x
        @test B * x ≈ Array(A) * x
    end
end

@testset "more dimensions, by NumPy" begin
    value(i, j, k) = Int32(100i + 10j + k)
    expected = [value(i, j, k) for i in 0:3, j in 0:2, k in 0:1]
    file = joinpath(FIXTURES, "order.npy")
    A = NumPack.load(file)
    @test A isa PermutedDimsArray && A == expected
    @test NumPack.load(file; rows = 2) == expected[2, :, :]
    @test NumPack.load(file; rows = 4:-2:1) == expected[4:-2:1, :, :]
    @test NumPack.load(file; rows = [3, 3, 1]) == expected[[3, 3, 1], :, :]
    @test NumPack.load(file; rows = [true, false, false, true]) == expected[[1, 4], :, :]
    @test size(NumPack.load(file; rows = 1:0)) == (0, 3, 2)
    in_folder() do
        NumPack.save("again.npk", "order" => expected)
        convert_file("again.npk", "again.npy"; names = ["order"])
        header, bytes = read_npy("again.npy")
        @test occursin("'shape': (4, 3, 2)", header) && occursin("'fortran_order': False", header)
        @test bytes == read_npy(file)[2]
    end
end

@testset "arrays of every layout" begin
    base = reshape(collect(Int32, 1:60), 5, 4, 3)
    matrix = base[:, :, 1]
    arrays = Dict(
        "whole" => base,
        "matrix" => matrix,
        "vector" => collect(Int32, 1:7),
        "steps" => view(matrix, 1:2:5, :),
        "backwards" => view(matrix, 5:-1:1, 4:-2:1),
        "column" => view(matrix, :, 2),
        "row" => view(matrix, 2, :),
        "chosen" => view(matrix, [5, 1], :),
        "transpose" => transpose(matrix),
        "adjoint" => matrix',
        "row vector" => transpose(collect(Int32, 1:7)),
        "adjoint of complex" => ComplexF64[1+2im 3-4im; 5im 6]',
        "permuted" => PermutedDimsArray(base, (3, 1, 2)),
        "part of permuted" => view(PermutedDimsArray(base, (3, 1, 2)), 2:3, 4:-1:2, 1),
        "part of transpose" => view(transpose(matrix), 2:3, 1:2:5),
        "reshaped" => reshape(view(base, :, :, 2), 4, 5),
        "reinterpreted" => reinterpret(Float32, matrix),
        "range" => 1:5,
        "step range" => 1.0:0.5:3.0,
        "number" => 2.5,
        "one element" => fill(Int8(3)),
        "no rows" => zeros(Float32, 0, 3),
        "empty rows" => zeros(Float32, 3, 0),
        "bits" => trues(3),
        "matrix of bits" => matrix .> 7,
        "part of bits" => view(trues(3, 3), 1:2, :),
    )
    # Loaded ones too, whose memory is the library's.
    in_folder() do
        NumPack.save("source.npk", "m" => matrix, "b" => base)
        loaded = NumPack.load("source.npk", "m")
        mapped = NumPack.load("source.npk", "m"; mmap = true)
        arrays["loaded"] = loaded
        arrays["part of loaded"] = view(loaded, 2:4, 3:-1:1)
        arrays["mapped"] = mapped
        arrays["part of mapped"] = view(mapped, 2:4, :)
        arrays["more of mapped"] = NumPack.load("source.npk", "b"; mmap = true)
        arrays["lazy"] = NumPack.load("source.npk", "m"; lazy = true)
        for (name, A) in arrays
            NumPack.save("all.npk", name => A)
            back = NumPack.load("all.npk", name)
            @test size(back) == size(A) && back == (A isa Number ? fill(A) : A)
            NumPack.save("one.npy", "a" => A; overwrite = true)
            header, bytes = read_npy("one.npy")
            shape = size(A)
            words = length(shape) == 1 ? "($(shape[1]),)" : "($(join(shape, ", ")))"
            @test occursin("'shape': $words", header)
            # Of arrays without elements either order is right.
            isempty(A) || @test bytes == as_bytes(A isa Number ? [A] : c_order(collect(A)))
        end
        @test Set(keys(Store("all.npk"))) == Set(keys(arrays))
        NumPack.save("all.pt", arrays...)
        from_file = NumPack.load("all.pt")
        for (name, A) in arrays
            @test from_file[name] == (A isa Number ? fill(A) : A)
        end
    end
end

# Element types, by NumPy, by torch, and by their definitions.

const PLAIN = (
    bool = Bool, int8 = Int8, int16 = Int16, int32 = Int32, int64 = Int64, uint8 = UInt8, uint16 = UInt16,
    uint32 = UInt32, uint64 = UInt64, float16 = Float16, float32 = Float32, float64 = Float64,
    complex64 = ComplexF32, complex128 = ComplexF64,
)

@testset "NumPy's types" begin
    expected(T) = T[0 1 2; 3 4 5]
    expected(::Type{Bool}) = [false true true; true true true]
    expected(T::Type{<:Complex}) = T[x - x * im for x in [0 1 2; 3 4 5]]
    in_folder() do
        convert_file(joinpath(FIXTURES, "types.npz"), "types.npk")
        Checkpoint(joinpath(FIXTURES, "types.npz")) do file
            @test Set(keys(file)) == Set(string.(keys(PLAIN)))
        end
        for source in (joinpath(FIXTURES, "types.npz"), "types.npk"), (name, T) in pairs(PLAIN)
            A = NumPack.load(source, name)
            @test eltype(A) === T
            @test A == expected(T)
        end
        for (name, T) in pairs(PLAIN)
            # Ours are the same bytes as NumPy's.
            NumPack.save("ours.npy", name => expected(T); overwrite = true)
            @test read_npy("ours.npy")[2] == as_bytes(c_order(expected(T)))
            NumPack.save("ours.npk", name => expected(T))
            NumPack.save("ours.pt", name => expected(T); overwrite = true)
            for source in ("ours.npk", "ours.pt")
                info = Checkpoint(c -> NumPack.info(c, name), source)
                @test (info.dtype, info.eltype, info.shape) == (name, T, (2, 3))
                @test NumPack.load(source, name) == expected(T)
            end
            @test NumPack.load("ours.npk", name; mmap = true) == expected(T)
            @test NumPack.load("ours.npk", name; lazy = true)[2, :] == expected(T)[2, :]
        end
        @test NumPack.load("types.npk", "int8"; as = Float32) isa AbstractMatrix{Float32}
        @test NumPack.load("types.npk", "int8"; as = Float32) == Float32[0 1 2; 3 4 5]
    end
end

@testset "truth values" begin
    in_folder() do
        NumPack.save("t.npk", "t" => trues(3))
        @test NumPack.info(Store("t.npk"), "t").dtype === :bool
        @test NumPack.load("t.npk", "t") == [true, true, true]
        # Whatever a file holds, what comes is true or false.
        write_npy("odd.npy", "|b1", "(4,)", [0x00, 0x01, 0x02, 0xff])
        for options in ((), (mmap = true,))
            A = NumPack.load("odd.npy"; options...)
            @test [reinterpret(UInt8, [x])[1] for x in A] == [0, 1, 1, 1]
        end
    end
end

@testset "types that Julia lacks" begin
    in_folder() do
        # A safetensors file, by its description: all 256 bytes as each type of 8 bits, and some of 16.
        types = ["F8_E4M3" => :float8_e4m3fn, "F8_E5M2" => :float8_e5m2, "F8_E8M0" => :float8_e8m0fnu]
        halves = [0x0000, 0x8000, 0x3f80, 0xc000, 0x4049, 0x7f80, 0xff80, 0x7fc0, 0x0001]
        entries = ["\"$t\":{\"dtype\":\"$t\",\"shape\":[256],\"data_offsets\":[$(256i),$(256i + 256)]}"
                   for (i, (t, _)) in zip(0:2, types)]
        push!(entries, "\"BF16\":{\"dtype\":\"BF16\",\"shape\":[9],\"data_offsets\":[768,786]}")
        json = "{" * join(entries, ",") * "}"
        json *= " "^(-length(json) & 7)
        all_bytes = collect(0x00:0xff)
        start = reinterpret(UInt8, [UInt64(length(json))])
        write("f.safetensors", start, json, all_bytes, all_bytes, all_bytes, halves)
        convert_file("f.safetensors", "f.npk")
        for source in ("f.safetensors", "f.npk")
            for (name, dtype) in types
                info = Checkpoint(c -> NumPack.info(c, name), source)
                @test (info.dtype, info.eltype) == (dtype, UInt8)
                @test NumPack.load(source, name) == all_bytes
            end
            @test NumPack.load(source, "BF16") == halves
            decoded = NumPack.load(source, "BF16"; as = Float32)
            @test isequal(decoded[1:8], Float32[0, -0.0, 1, -2, 3.140625, Inf, -Inf, NaN])
            @test decoded[9] == 2.0f0^-133
            @test NumPack.load(source, "BF16"; as = Float64, rows = 3:4) == [1.0, -2.0]
            value(name) = NumPack.load(source, name; as = Float32)
            # The largest, the smallest, and the special ones of the types' definitions.
            @test value("F8_E4M3")[1 .+ [0x7e, 0x38, 0x01, 0x08, 0xc0]] == Float32[448, 1, 2.0^-9, 2.0^-6, -2]
            @test isequal(value("F8_E4M3")[1 .+ [0x7f, 0xff, 0x80]], [NaN32, NaN32, -0.0f0])
            @test value("F8_E5M2")[1 .+ [0x7b, 0x3c, 0x01, 0x7c, 0xfc]] == 
                  Float32[57344, 1, 2.0^-16, Inf, -Inf]
            @test all(isnan, value("F8_E5M2")[1 .+ [0x7d, 0x7e, 0xff]])
            @test value("F8_E8M0")[1 .+ [0x00, 0x7f, 0xfe]] == Float32[2.0^-127, 1, 2.0^127]
            @test isnan(value("F8_E8M0")[256])
        end
    end
end

"""The library's own conversion of all bits of a type to floats."""
function by_the_library(dtype, bits)
    NumPack.with_views([NumPack.Layout(Raw(dtype, bits))]) do views
        made = map(1:2) do _
            Ref{Ptr{Cvoid}}(C_NULL)
        end
        NumPack.check(NumPack.@native tensor_copy(views::Ptr{NumPack.CView}, made[1]::Ptr{Ptr{Cvoid}})::Int32)
        NumPack.check(NumPack.@native tensor_to_dtype(made[1][]::Ptr{Cvoid}, 10::Int32,
                                                      made[2]::Ptr{Ptr{Cvoid}})::Int32)
        out = zeros(Float32, length(bits))
        NumPack.check(NumPack.@native tensor_read(made[2][]::Ptr{Cvoid}, out::Ptr{Cvoid},
                                                  sizeof(out)::Csize_t)::Int32)
        foreach(tensor -> NumPack.@native(tensor_free(tensor[]::Ptr{Cvoid})::Cvoid), made)
        return out
    end
end

@testset "floats of 8 and 16 bits, beside the library's conversion" begin
    for dtype in (:float8_e4m3fn, :float8_e4m3fnuz, :float8_e5m2, :float8_e5m2fnuz, :float8_e8m0fnu)
        bits = collect(0x00:0xff)
        @test isequal(NumPack.converted(bits, dtype, Float32), by_the_library(dtype, bits))
    end
    bits = collect(0x0000:0xffff)
    @test isequal(NumPack.converted(bits, :bfloat16, Float32), by_the_library(:bfloat16, bits))
end

@testset "raw elements are written" begin
    in_folder() do
        bits = UInt8[0x38 0x40; 0xb8 0xff]
        for path in ("r.npk", "r.pt", "r.safetensors")
            NumPack.save(path, "e" => Raw(:float8_e4m3fn, bits), "b" => Raw(:bfloat16, [0x3f80]), "n" => 1:2)
            Checkpoint(path) do file
                @test NumPack.info(file, "e").dtype === :float8_e4m3fn
                @test file["e"] == bits
                @test isequal(NumPack.load(file, "e"; as = Float32), Float32[1 2; -1 NaN])
                @test NumPack.load(file, "b"; as = Float32) == [1]
                @test file["n"] == 1:2
            end
        end
        Store("r.npk") do store
            append!(store, "b", Raw(:bfloat16, [0xc000]))
            @test NumPack.info(store, "b").dtype === :bfloat16
            @test NumPack.load(store, "b"; as = Float32) == [1, -2]
            @test_throws ArgumentError store["c"] = Raw(:bfloat16, [0x3f80])
        end
        halves = ComplexF16[1+2im 3; 4 5im]
        for path in ("c.npk", "c.pt")
            NumPack.save(path, "c" => halves)
            @test NumPack.load(path, "c") == halves
            @test NumPack.load(path, "c"; rows = 2) == halves[2, :]
        end
        @test_throws ArgumentError Raw(:bfloat16, [1.0f0])
        @test_throws ArgumentError Raw(:float7, [0x00])
        wrongs = (Any[1, 2], Int128[1], ["a"], [1//2], Complex{Int}[1im], Union{Missing,Int}[1, missing], "t")
        for wrong in wrongs
            @test_throws ArgumentError NumPack.save("wrong.npk", "w" => wrong)
            @test !ispath("wrong.npk")
        end
        NumPack.save("q.pt", "q" => Raw(:qint8, Int8[1, 2]))
        @test_throws ArgumentError NumPack.load("q.pt", "q"; as = Float32)
    end
end

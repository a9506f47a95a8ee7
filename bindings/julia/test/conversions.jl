# Files converted whole, and functions that are called meanwhile.

struct Stop <: Exception end

@testset "files of every kind" begin
    in_folder() do
        A, b = [1.5f0 2; 3 4], [1, 2, 3]
        NumPack.save("a.pt", "a" => A, "m.b" => b)
        paths = ("b.npk", "c.safetensors", "d.npz", "e.npkg", "f.npk", "g.pt", "h.npk", "i.PT")
        sources = ("a.pt", "b.npk", "b.npk", "b.npk", "c.safetensors", "d.npz", "e.npkg", "h.npk")
        for (from, to) in zip(sources, paths)
            convert_file(from, to)
            @test NumPack.load(to) == Dict("a" => A, "m.b" => b)
            @test status_of(() -> convert_file(from, to)) === :exists
            convert_file(from, to; overwrite = true)
            @test NumPack.load(to) == Dict("a" => A, "m.b" => b)
        end
        @test convert_file("a.pt", "only.npk"; key = "m.b") == (tensors = 1, bytes = 24)
        @test convert_file("b.npk", "names.pt"; names = ["m.b"]).tensors == 1
        @test NumPack.load("names.pt") == Dict("m.b" => b)
        NumPack.save("more.pt", "c" => A)
        convert_file("more.pt", "b.npk"; merge = true)
        @test sort(keys(Store("b.npk"))) == ["a", "c", "m.b"]
        for wrong in (
            () -> convert_file("a.pt", "x.txt"), () -> convert_file("a.pt", "x"),
            () -> convert_file("b.npk", "x.pt"; key = "a"),
            () -> convert_file("a.pt", "x.npk"; names = ["a"]),
            () -> convert_file("b.npk", "x.pt"; merge = true),
            () -> convert_file("a.pt", "x.npk"; copy_shared = true),
            () -> convert_file("b.npk", "x.pt"; crc = :off),
            () -> convert_file("b.npk", "x.pt"; keep_objects = true),
            () -> convert_file("a.pt", "x.npk"; alignment = 4096),
            () -> NumPack.pack("b.npk", "x.npkg"; compression = :lz4),
            () -> convert_file("a.pt", "x.npk"; merge = true, overwrite = true),
            () -> NumPack.save("x.npkg", "a" => A),
        )
            @test_throws ArgumentError wrong()
        end
        @test isempty(filter(startswith("x"), readdir()))
        convert_file("b.npk", "aligned.pt"; alignment = 4096)
        @test place_of(as_bytes(c_order(A)), read("aligned.pt")) % 4096 == 0
        # What shares memory is refused, or written twice.
        @test status_of(() -> convert_file(CHECKPOINT, "s.safetensors"; key = "model")) === :unsupported
        convert_file(CHECKPOINT, "s.safetensors"; key = "model", copy_shared = true)
        @test NumPack.load("s.safetensors", "output.weight") ==
              NumPack.load(CHECKPOINT, "model.output.weight")
    end
end

@testset "packages" begin
    in_folder() do
        NumPack.save("s.npk", "zeros" => zeros(1000, 10))
        stored = NumPack.pack("s.npk", "s.npkg")
        squeezed = NumPack.pack("s.npk", "z.npkg"; compression = :zlib)
        @test stored.bytes == squeezed.bytes > 80_000 > 10squeezed.package_bytes
        @test stored.package_bytes == filesize("s.npkg")
        @test status_of(() -> NumPack.pack("s.npk", "s.npkg")) === :exists
        @test NumPack.unpack("z.npkg", "t.npk").files == squeezed.files
        @test NumPack.load("t.npk", "zeros") == zeros(1000, 10)
        @test status_of(() -> NumPack.unpack("z.npkg", "t.npk")) === :exists
        NumPack.unpack("z.npkg", "t.npk"; overwrite = true)
    end
end

@testset "progress" begin
    in_folder() do
        big = zeros(UInt8, 40 << 20)
        NumPack.save("big.pt", "big" => big)
        seen = Tuple{Int,Int}[]
        convert_file("big.pt", "big.npk"; progress = (done, total) -> push!(seen, (done, total)))
        @test length(seen) >= 3 && issorted(first.(seen)) && last(seen) == (40 << 20, 40 << 20)
        # What it throws stops the work, whoever waits for it meanwhile.
        outputs = ("fresh.npk" => false, "there.pt" => true, "there.npk" => true, "e.npy" => false)
        for (output, already) in outputs
            already && NumPack.save(output, "old" => [1, 2])
            calls = 0
            source = endswith(output, ".npk") ? "big.pt" : "big.npk"
            progress(done, total) = (calls += 1; yield(); throw(Stop()))
            @test_throws Stop convert_file(source, output; overwrite = already, progress = progress)
            @test calls == 1
            @test ispath(output) == already
            already && @test NumPack.load(output) == Dict("old" => [1, 2])
        end
        idle(done, total) = nothing
        @test status_of(() -> convert_file("nowhere.pt", "x.npk"; progress = idle)) === :io
    end
end

@testset "warnings" begin
    in_folder() do
        messages = String[]
        # Of a checkpoint with a counter of epochs and the like.
        keep(message) = push!(messages, message)
        convert_file(CHECKPOINT, "w.safetensors"; copy_shared = true, warning = keep)
        @test length(messages) >= 1 && all(!isempty, messages)
        @test_throws Stop convert_file(CHECKPOINT, "x.safetensors"; copy_shared = true,
                                       warning = _ -> throw(Stop()))
        noisy() = convert_file(CHECKPOINT, "y.safetensors"; copy_shared = true)
        @test_logs (:warn, messages[1]) match_mode = :any noisy()
        convert_file(CHECKPOINT, "z.safetensors"; copy_shared = true, warning = nothing)
        @test ispath("z.safetensors")
    end
end

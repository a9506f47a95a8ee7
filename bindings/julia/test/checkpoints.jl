# Checkpoints of torch, beside what torch said of them.

const CHECKPOINT = joinpath(REPOSITORY, "examples", "checkpoint.pt")

"""What torch said of each tensor of the example."""
function truth()
    text = read(joinpath(REPOSITORY, "examples", "checkpoint.truth.json"), String)
    text = replace(text, r"\s" => "")
    entry = r""""name":"([^"]*)","dtype":"([^"]*)","shape":\[([^]]*)\],"storage":(\d+),"sha256":"([^"]*)\""""
    return map(eachmatch(entry, text)) do m
        shape = Tuple(parse(Int, n) for n in split(m[3], ','; keepempty = false))
        (name = String(m[1]), dtype = Symbol(m[2]), shape = shape, storage = parse(Int, m[4]),
         sha256 = String(m[5]))
    end
end

sha(A) = bytes2hex(sha256(as_bytes(c_order(A))))

@testset "every tensor of a checkpoint" begin
    in_folder() do
        convert_file(CHECKPOINT, "c.npk")
        convert_file("c.npk", "again.pt")
        NumPack.pack("c.npk", "c.npkg")
        expected = truth()
        @test length(expected) > 40
        for path in (CHECKPOINT, "c.npk", "again.pt", "c.npkg")
            Checkpoint(path) do checkpoint
                @test keys(checkpoint) == [e.name for e in expected]
                @test length(checkpoint) == length(expected) && !isempty(checkpoint)
                for e in expected
                    info = NumPack.info(checkpoint, e.name)
                    @test (info.name, info.dtype, info.shape) == (e.name, e.dtype, e.shape)
                    A = checkpoint[e.name]
                    @test size(A) == e.shape && sha(A) == e.sha256
                end
            end
        end
        # Tied weights are one storage.
        storages = Dict(i.name => i.storage for i in Checkpoint(NumPack.list, CHECKPOINT))
        for a in expected, b in expected
            (storages[a.name] == storages[b.name]) == (a.storage == b.storage) || @test false
        end
        for e in expected
            A = NumPack.load(CHECKPOINT, e.name; mmap = true)
            @test sha(A) == e.sha256
            @test sha(NumPack.load("c.npk", e.name)) == e.sha256
        end
        whole = NumPack.load(CHECKPOINT)
        @test all(e -> sha(whole[e.name]) == e.sha256, expected)
    end
end

@testset "a checkpoint's handle" begin
    checkpoint = Checkpoint(CHECKPOINT)
    @test haskey(checkpoint, "model.hidden.bias") && !haskey(checkpoint, "model.hidden")
    W = checkpoint["model.hidden.weight"]
    @test checkpoint["model.hidden.weight", 3] == W[3, :]
    @test checkpoint["model.hidden.weight", [96, 1, 2, 3, 1]] == W[[96, 1, 2, 3, 1], :]
    @test checkpoint["model.hidden.weight", 10:-3:2] == W[10:-3:2, :]
    @test_throws BoundsError checkpoint["model.hidden.weight", 97]
    @test status_of(() -> checkpoint["model.hidden"]) === :not_found
    bias = NumPack.load(checkpoint, "model.hidden.bias")
    half = NumPack.load(checkpoint, "model_bf16.hidden.bias"; as = Float32)
    # What torch rounded to bfloat16: 8 bits of precision.
    @test eltype(half) === Float32 && all(abs.(half .- bias) .<= abs.(bias) .* 2.0f0^-8)
    @test occursin("zip archive of torch", NumPack.format(checkpoint))
    @test NumPack.warnings(checkpoint) == String[]
    @test occursin("model.hidden.weight: float32(96, 96)", repr("text/plain", checkpoint))
    close(checkpoint)
    @test !isopen(checkpoint)
    @test_throws ArgumentError checkpoint["model.hidden.weight"]
    @test status_of(() -> Checkpoint("/nowhere.pt")) === :io
    in_folder() do
        write("text.pt", "no checkpoint at all")
        @test status_of(() -> Checkpoint("text.pt")) in (:format, :unsupported)
        damaged = read(CHECKPOINT)
        # Within the largest tensor.
        damaged[place_of(as_bytes(c_order(W))[1:64], damaged)+100] ⊻= 0xff
        write("damaged.pt", damaged)
        @test status_of(() -> NumPack.load("damaged.pt", "model.hidden.weight")) === :format
        @test Checkpoint(c -> size(c["model.hidden.weight"]), "damaged.pt"; crc = :off) == (96, 96)
        Checkpoint("damaged.pt"; crc = :warn) do checkpoint
            checkpoint["model.hidden.weight"]
            @test length(NumPack.warnings(checkpoint)) == 1
        end
        @test_throws ArgumentError Checkpoint("damaged.pt"; crc = :maybe)
    end
end

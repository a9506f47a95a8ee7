# Memory that the library lends, and who keeps it.

"""Whether a file below this folder is mapped."""
is_mapped(folder) = occursin(folder, read("/proc/self/maps", String))

function collect_garbage()
    for _ in 1:3
        GC.gc(true)
        yield()
    end
end

# In functions of their own, so that no forgotten variable keeps anything.
@noinline mapped_alone(path) = NumPack.load(Store(path), "a"; mmap = true)
@noinline lazy_alone(path) = NumPack.load(Store(path), "a"; lazy = true)
@noinline tensor_alone(path) = NumPack.load(Checkpoint(path), "a"; mmap = true)

@noinline function use_what_is_left(path, expected, make)
    A = make(path)
    collect_garbage()
    # Its memory is there though nobody has the store.
    @test is_mapped(realpath(path))
    row = view(A, 2, :)
    @test A == expected
    A = nothing
    collect_garbage()
    # A part of it keeps it too.
    @test row == expected[2, :]
    return nothing
end

@testset "arrays outlive their store" begin
    in_folder() do
        expected = [1000i + j for i in 1:300, j in 1:50]
        NumPack.save("m.npk", "a" => expected)
        NumPack.save("m.pt", "a" => expected)
        for (path, make) in ("m.npk" => mapped_alone, "m.pt" => tensor_alone)
            use_what_is_left(path, expected, make)
            collect_garbage()
            Sys.islinux() && @test !is_mapped(realpath(path))
        end
        lazy = lazy_alone("m.npk")
        collect_garbage()
        @test lazy[3:4, :] == expected[3:4, :]
        store = Store("m.npk")
        A = NumPack.load(store, "a"; mmap = true)
        close(store)
        checkpoint = Checkpoint("m.pt")
        B = NumPack.load(checkpoint, "a"; mmap = true)
        close(checkpoint)
        rm("m.npk"; recursive = true)
        collect_garbage()
        @test A == expected && B == expected
    end
end

@testset "collection while at work" begin
    in_folder() do
        Store("w.npk"; create = true) do store
            for i in 1:50
                # What is saved has no other owner than the call.
                NumPack.save(store, "a" => view(rand(50, 50), 1:2:49, :), "b" => fill(i, 20))
                i % 10 == 0 && GC.gc(true)
                @test all(==(i), store["b"])
            end
            for i in 1:2000
                # Arrays and lists that nobody closes.
                NumPack.load(store, "b"; mmap = true)[1]
            end
        end
        collect_garbage()
        # No more than a few are open.
        @test length(readdir("/proc/self/fd")) < 200
    end
end

# Stores: made, listed, changed.

@testset "opening and making" begin
    in_folder() do
        @test status_of(() -> Store("s.npk")) === :not_a_store
        @test status_of(() -> NumPack.open("s.npk")) === :not_a_store
        NumPack.create("s.npk") do store
            @test isempty(store) && length(store) == 0 && keys(store) == String[]
            @test store isa Store && isopen(store)
            store["a"] = [1, 2]
        end
        @test status_of(() -> NumPack.create("s.npk")) === :exists
        store = NumPack.open("s.npk")
        @test keys(store) == ["a"] && haskey(store, "a") && !haskey(store, "b")
        @test realpath(NumPack.path(store)) == realpath("s.npk")
        close(store)
        close(store)
        @test !isopen(store)
        @test_throws ArgumentError store["a"]
        @test_throws ArgumentError keys(store)
        @test sprint(show, store) == "Store (closed)"
        store = NumPack.create("s.npk"; overwrite = true)
        @test isempty(store)
        write("file", "something")
        @test status_of(() -> NumPack.create("file"; overwrite = true)) === :not_a_store
        @test read("file", String) == "something"
        @test Store(keys, "made.npk"; create = true) == String[]
        kept = Ref{Any}()
        @test_throws ErrorException Store("s.npk") do store
            kept[] = store
            error("within")
        end
        @test !isopen(kept[])
        @test_throws ArgumentError Store("with\0nul")
        @test_throws ArgumentError kept[]["with\0nul"]
    end
end

@testset "listing" begin
    in_folder() do
        NumPack.save("l.npk", "é" => zeros(Float32, 5, 2), "b" => 1)
        store = Store("l.npk")
        found = NumPack.list(store)
        @test [(i.name, i.dtype, i.eltype, i.shape, i.nbytes, i.hidden) for i in found] ==
              [("é", :float32, Float32, (5, 2), 40, false), ("b", :int64, Int64, (), 8, false)]
        @test abs(found[1].modified / 1e6 - time()) < 600
        @test NumPack.info(store, "é").shape == (5, 2)
        @test status_of(() -> NumPack.info(store, "x")) === :not_found
        @test occursin("é: float32(5, 2)", repr("text/plain", store))
        NumPack.save("l.npk", "more" => [1.0])
        @test keys(Store("l.npk")) == ["é", "b", "more"]
        NumPack.save("l.npk", "only" => [1.0]; overwrite = true)
        @test keys(Store("l.npk")) == ["only"]
    end
end

@testset "rows are appended, replaced, dropped" begin
    in_folder() do
        store = Store("r.npk"; create = true)
        A = [10i + j for i in 1:6, j in 1:2]
        NumPack.save(store, "a" => A, :symbol => [1, 2])
        @test store["symbol"] == [1, 2] && store[:symbol] == [1, 2]
        @test append!(store, "a", [71 72]) === store
        append!(store, "a" => view(A, 1:1, :), "symbol" => [3])
        expected = [A; 71 72; 11 12]
        @test store["a"] == expected && store["symbol"] == [1, 2, 3]
        # None of several, if one does not fit.
        @test status_of(() -> append!(store, "symbol" => [4], "a" => [1 2 3])) === :parameter
        @test store["symbol"] == [1, 2, 3]

        choices = (1, 8, 2:4, 8:-3:1, 1:0, [5, 1, 5], BitVector([1, 0, 0, 0, 0, 1, 0, 1]), :,
            UInt8(3):UInt8(4))
        for rows in choices
            @test store["a", rows] == expected[rows, :]
            @test NumPack.load(store, "a"; lazy = true)[rows, :] == expected[rows, :]
            @test NumPack.load(store, "a"; lazy = true)[rows, 2] == expected[rows, 2]
        end
        @test store["symbol", 2] === 2
        @test store["symbol", 3:-1:1] == [3, 2, 1]
        for rows in (0, 9, 0:2, 7:9, [1, 9], [0], trues(7))
            @test_throws BoundsError store["a", rows]
            @test_throws BoundsError drop!(store, "a", rows)
            @test_throws BoundsError replace!(store, "a", rows, A)
        end
        @test_throws ArgumentError store["a", "1"]
        @test_throws ArgumentError store["a", true]

        replace!(store, "a", 8:-7:1, [1 2; 3 4])
        expected[[8, 1], :] = [1 2; 3 4]
        replace!(store, "a", 2, [5, 6])
        expected[2, :] = [5, 6]
        replace!(store, "a", 3, [7 8])
        expected[3, :] = [7, 8]
        replace!(store, "a", [4, 4], [0 0; 9 9])
        expected[4, :] = [9, 9]
        replace!(store, "a", expected[:, 1] .== 51, [-1 -2])
        expected[5, :] = [-1, -2]
        @test store["a"] == expected
        @test status_of(() -> replace!(store, "a", 1:2, [1 2])) === :parameter
        replace!(store, "symbol", 2, 20)
        @test store["symbol"] == [1, 20, 3]

        @test drop!(store, "a", [1, 3]) == 2
        @test drop!(store, "a", 6:-1:5) == 2
        expected = expected[[2, 4, 5, 6], :]
        @test store["a"] == expected
        @test drop!(store, "symbol", :) == 3
        @test size(store["symbol"]) == (0,)
        # Rows that were dropped stand between: no map, but rows.
        @test status_of(() -> NumPack.load(store, "a"; mmap = true)) === :parameter
        lazy = NumPack.load(store, "a"; lazy = true)
        @test lazy == expected && Array(lazy) == expected && lazy[2, 1] == expected[2, 1]
        @test compact!(store, "a") == 4
        @test NumPack.load(store, "a"; mmap = true) == expected
        @test compact!(store) == 3
        # The state that it was opened in.
        drop!(store, "a", 1)
        @test lazy == expected

        rename!(store, "a" => "b")
        @test keys(store) == ["b", "symbol"] || keys(store) == ["symbol", "b"]
        @test status_of(() -> rename!(store, "b", "symbol")) === :parameter
        @test status_of(() -> drop!(store, "b", "nothing")) === :not_found
        @test haskey(store, "b")
        drop!(store, "b", "symbol")
        @test isempty(store)
        store["one"] = 5
        @test_throws ArgumentError store["one", 1]
        @test store["one"][] == 5
    end
end

@testset "many changes in one commit" begin
    in_folder() do
        store = Store("b.npk"; create = true)
        store["v"] = [1, 2, 3]
        result = batch(store) do writer
            append!(writer, "v", [4])
            replace!(writer, "v", 1, 10)
            drop!(writer, "v", 2)
            writer["w"] = [0.5]
            @test writer["v"] == [10, 3, 4]
            # Nobody else sees it yet.
            @test store["v"] == [1, 2, 3] && !haskey(store, "w")
            @test_throws ArgumentError store["x"] = [1]
            :done
        end
        @test result === :done
        @test store["v"] == [10, 3, 4] && store["w"] == [0.5]
        @test_throws ErrorException batch(store) do writer
            drop!(writer, "v")
            error("not after all")
        end
        @test store["v"] == [10, 3, 4]
        kept = Ref{Any}()
        batch(writer -> kept[] = writer, store)
        @test_throws ArgumentError kept[]["v"]
        store["x"] = [1]
        @test haskey(store, "x")
    end
end

@testset "errors say what to do" begin
    in_folder() do
        error = try
            Store("there is none.npk")
        catch e
            e
        end
        @test error isa NumPackError && error.code == 14 && error.status === :not_a_store
        @test occursin("there is none.npk", error.message)
        @test sprint(showerror, error) == "NumPackError (not_a_store): " * error.message
        A = NumPack.load(joinpath(FIXTURES, "order.npy"); mmap = true)
        @test_throws ArgumentError A[1, 1, 1] = 0
        @test_throws BoundsError A[5, 1, 1]
        @test_throws ArgumentError NumPack.load(joinpath(FIXTURES, "order.npy"); mmap = true, rows = 1)
        @test_throws ArgumentError NumPack.load(joinpath(FIXTURES, "order.npy"); lazy = true)
    end
end

# Tasks and threads.

@testset "a task waits for another's batch" begin
    in_folder() do
        store = Store("t.npk"; create = true)
        store["v"] = [1]
        other = Store("t.npk")
        waiting = nothing
        batch(store) do writer
            append!(writer, "v", [2])
            # On the same thread: it would never end if the thread waited.
            waiting = @async append!(other, "v", [3])
            sleep(0.05)
            @test !istaskdone(waiting)
            @test status_of(() -> Store(s -> append!(s, "v", [4]), "t.npk"; wait = false)) === :locked
        end
        wait(waiting)
        @test store["v"] == [1, 2, 3]
    end
end

@testset "two threads" begin
    program = joinpath(PACKAGE, "test", "threads.jl")
    command = `$(Base.julia_cmd()) --project=$PACKAGE --threads 2 $program`
    in_folder() do
        @test read(command, String) == "2 threads: done\n"
    end
end

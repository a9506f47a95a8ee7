# Run by `tasks.jl` with two threads; says so at its end.

using NumPack

# Each thread's errors are its own.
function own_errors(number)
    for i in 1:3000
        name = "thread $number, try $i"
        try
            Store(name)
            return "no error"
        catch e
            e isa NumPackError && occursin(name, e.message) || return "$name had $e"
        end
    end
    return ""
end

# One array read by both, while a third party closes the handles that are read from.
function reads(store, expected)
    for i in 1:300
        store["a", 1 + i % 100] == expected[1+i%100, :] || return "row $(1 + i % 100) is another"
    end
    return ""
end

function closed_meanwhile(path)
    for i in 1:100
        store = Store(path)
        reader = Threads.@spawn try
            while true
                size(store["a"]) == (100, 3) || return "another size"
            end
        catch e
            e isa ArgumentError ? "" : string(e)
        end
        i % 2 == 0 && yield()
        close(store)
        problem = fetch(reader)
        isempty(problem) || return problem
    end
    return ""
end

function appends(path, number)
    Store(path) do store
        for _ in 1:30
            append!(store, "log", [number])
            # Collection needs all threads to stop, whoever waits for the store.
            GC.gc(false)
        end
    end
    return ""
end

function both(f)
    results = Vector{String}(undef, 2)
    Threads.@threads for number in 1:2
        results[number] = f(number)
    end
    all(isempty, results) || error(join(results, "; "))
end

expected = [10i + j for i in 1:100, j in 1:3]
NumPack.save("both.npk", "a" => expected, "log" => Int[])
both(own_errors)
store = Store("both.npk")
both(_ -> reads(store, expected))
both(number -> number == 1 ? closed_meanwhile("both.npk") : reads(store, expected))
both(number -> appends("both.npk", number))
log = store["log"]
count(==(1), log) == count(==(2), log) == 30 || error("rows are lost: $log")

# A callback that yields goes on in the thread that it was called on.
both() do number
    threads = Set{Int}()
    NumPack.save("$number.pt", "big" => zeros(UInt8, 33 << 20))
    wait(Threads.@spawn convert_file("$number.pt", "$number.npk"; progress = (done, total) -> begin
        push!(threads, Threads.threadid())
        yield()
        push!(threads, Threads.threadid())
    end))
    length(threads) == 1 ? "" : "threads $threads"
end

println("$(Threads.nthreads()) threads: done")

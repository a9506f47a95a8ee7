# The examples of the README and of each documented name give what they say.

"""Blocks of examples in a text: what is typed, and what is shown."""
function examples(text)
    found = Vector{Tuple{String,String}}[]
    for block in eachmatch(r"```(?:jldoctest|julia)\n(julia> [\s\S]*?)```", text)
        steps = Tuple{String,String}[]
        for part in split(block[1], r"^julia> "m; keepempty = false)
            lines = split(chomp(part), '\n')
            typed = [lines[1]]
            rest = lines[2:end]
            while !isempty(rest) && startswith(rest[1], "       ")
                push!(typed, popfirst!(rest))
            end
            push!(steps, (join(typed, '\n'), strip(join(rest, '\n'))))
        end
        push!(found, steps)
    end
    return found
end

# Newer versions write the names of array types in another way.
function as_written(text)
    text = replace(text, r"Array\{([^{}]*(?:\{[^{}]*\})?),\s?1\}" => s"Vector{\1}")
    text = replace(text, r"Array\{([^{}]*(?:\{[^{}]*\})?),\s?2\}" => s"Matrix{\1}")
    return strip(replace(text, r"[ \t]+$"m => ""))
end

function shown(place, typed)
    value = try
        include_string(place, typed)
    catch e
        e isa LoadError && (e = e.error)
        return "ERROR: " * sprint(showerror, e)
    end
    (endswith(typed, ';') || value === nothing) && return ""
    return repr("text/plain", value; context = :limit => true)
end

function run_examples(name, blocks)
    place = Module(:Examples)
    # What is made in one block is there in the next.
    in_folder() do
        cp(CHECKPOINT, "model.pt")
        Core.eval(place, :(using NumPack))
        for steps in blocks, (typed, expected) in steps
            found = as_written(shown(place, typed))
            found == as_written(expected) || @error "an example of $name" typed expected found
            @test found == as_written(expected)
        end
    end
end

@testset "README" begin
    blocks = examples(read(joinpath(PACKAGE, "README.md"), String))
    @test length(blocks) >= 5
    run_examples("README", blocks)
end

@testset "documented names" begin
    documented = 0
    for (binding, multidoc) in Base.Docs.meta(NumPack), docstring in values(multidoc.docs)
        blocks = examples(join(docstring.text))
        documented += length(blocks)
        run_examples(binding, blocks)
    end
    @test documented >= 15
    for name in names(NumPack)
        @test haskey(Base.Docs.meta(NumPack), Base.Docs.Binding(NumPack, name)) 
    end
end

# The package beside `numpack.h`, and where the library is looked for.

const HEADER = read(joinpath(REPOSITORY, "include", "numpack.h"), String)

number_of(name) = parse(Int, match(Regex("#define $name (-?\\d+)\\n"), HEADER)[1])

"""The members of a struct of the header, in order, with their types."""
function members(name)
    body = match(Regex("typedef struct \\{((?:(?!typedef)[\\s\\S])*?)\\} $name;"), HEADER)[1]
    body = replace(body, r"/\*[\s\S]*?\*/" => "")
    return map(filter(!isempty, strip.(split(body, ';')))) do member
        words = match(r"^(.*?)(\w+)$", member)
        Symbol(words[2]), strip(words[1])
    end
end

# The size of each type of a member; pointers and functions have that of a pointer.
function size_of(type)
    (occursin('*', type) || endswith(type, "_fn")) && return 8
    return Dict("uint32_t" => 4, "int32_t" => 4, "uint64_t" => 8, "int64_t" => 8, "size_t" => 8)[type]
end

@testset "structs are those of the header" begin
    names = Dict(
        NumPack.CStoreOptions => "store_options", NumPack.CView => "view", NumPack.CRows => "rows",
        NumPack.CArrayInfo => "array_info", NumPack.CTensorInfo => "tensor_info",
        NumPack.CCheckpointOptions => "checkpoint_options", NumPack.CFromTorchOptions => "from_torch_options",
        NumPack.CToTorchOptions => "to_torch_options", NumPack.CExportOptions => "export_options",
        NumPack.CSaveOptions => "save_options", NumPack.CPackOptions => "pack_options",
        NumPack.CUnpackOptions => "unpack_options",
    )
    @test Set(keys(names)) == Set(NumPack.STRUCTS)
    for (S, name) in names
        found = members("numpack_$name")
        @test collect(fieldnames(S)) == first.(found)
        @test [sizeof(fieldtype(S, i)) for i in 1:fieldcount(S)] == size_of.(last.(found))
    end
end

@testset "numbers are those of the header" begin
    @test NumPack.ABI_VERSION == number_of("NUMPACK_ABI_VERSION")
    for (code, status) in enumerate(NumPack.STATUSES)
        @test number_of("NUMPACK_" * uppercase(string(status))) == code
    end
    @test NumPack.LOCKED == number_of("NUMPACK_LOCKED")
    found = eachmatch(r"#define NUMPACK_DTYPE_(\w+) (\d+)", HEADER)
    types = Dict(lowercase(m[1]) => parse(Int, m[2]) for m in found)
    @test Dict(string(t.name) => Int(t.number) for t in NumPack.ELEMENT_TYPES) == types
    @test NumPack.REFUSE == number_of("NUMPACK_EXISTING_REFUSE")
    @test NumPack.REPLACE == number_of("NUMPACK_EXISTING_REPLACE")
    @test NumPack.MERGE == number_of("NUMPACK_EXISTING_MERGE")
    for (crc, number) in NumPack.CRC
        @test number == number_of("NUMPACK_CRC_" * uppercase(string(crc)))
    end
    kinds = (ALL = Colon(), INDEX = 1, SLICE = 1:1, LIST = [1], MASK = [true])
    for (name, rows) in pairs(kinds)
        @test NumPack.choose(rows, 1).kind == number_of("NUMPACK_ROWS_$name")
    end
end

@testset "sizes of element types" begin
    for type in NumPack.ELEMENT_TYPES
        number = type.number
        size = NumPack.@native dtype_size(number::Int32)::Csize_t
        @test size == sizeof(type.type)
        name = NumPack.@native dtype_name(number::Int32)::Ptr{UInt8}
        @test unsafe_string(name) == string(type.name)
    end
end

@testset "the library is named by a variable" begin
    function first_use(setting)
        program = "using NumPack; try NumPack.version(); catch e; print(e.msg) end"
        command = `$(Base.julia_cmd()) --project=$PACKAGE -e $program`
        return read(setenv(command, merge(copy(ENV), Dict("LIBNUMPACK" => setting))), String)
    end
    @test NumPack.version() isa VersionNumber
    in_folder() do
        nowhere = first_use(joinpath(pwd(), "nowhere.so"))
        @test occursin("nowhere.so cannot be loaded; set the variable LIBNUMPACK", nowhere)
    end
    # Some other library.
    libraries = filter(l -> occursin(r"libjulia[^/]*\.so", l), NumPack.Libdl.dllist())
    @test occursin("is not libnumpack", first_use(first(libraries)))
end

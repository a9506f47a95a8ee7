# The structs of `numpack.h`, member by member; a test compares them with it.

struct CStoreOptions
    struct_size::UInt32
    no_wait::Int32
    in_place::Int32
    reserved::Int32
end

struct CView
    struct_size::UInt32
    dtype::Int32
    ndim::UInt32
    reserved::Int32
    shape::Ptr{UInt64}
    strides::Ptr{Int64}
    data::Ptr{Cvoid}
    nbytes::Csize_t
    offset::Csize_t
end

struct CRows
    struct_size::UInt32
    kind::Int32
    start::Int64
    stop::Int64
    step::Int64
    list::Ptr{Int64}
    mask::Ptr{UInt8}
    count::Csize_t
end

struct CArrayInfo
    struct_size::UInt32
    dtype::Int32
    name::Ptr{UInt8}
    name_length::Csize_t
    logical_dtype::Ptr{UInt8}
    shape::Ptr{UInt64}
    ndim::UInt32
    hidden::Int32
    rows::UInt64
    row_size::UInt64
    nbytes::UInt64
    stored_rows::UInt64
    modified_micros::Int64
end

struct CTensorInfo
    struct_size::UInt32
    dtype::Int32
    name::Ptr{UInt8}
    name_length::Csize_t
    shape::Ptr{UInt64}
    strides::Ptr{UInt64}
    ndim::UInt32
    storage::UInt32
    offset::UInt64
    storage_nbytes::UInt64
    nbytes::UInt64
    tensor::UInt32
    requires_grad::Int32
    parameter::Int32
    reserved::Int32
end

struct CCheckpointOptions
    struct_size::UInt32
    crc::Int32
end

struct CFromTorchOptions
    struct_size::UInt32
    existing::Int32
    key::Cstring
    chunk_size::UInt64
    crc::Int32
    keep_objects::Int32
    compact_views::Int32
    reserved::Int32
    progress::Ptr{Cvoid}
    warning::Ptr{Cvoid}
    user::Ptr{Cvoid}
end

struct CToTorchOptions
    struct_size::UInt32
    existing::Int32
    array_names::Ptr{Cstring}
    array_count::Csize_t
    chunk_size::UInt64
    alignment::UInt32
    reserved::Int32
    progress::Ptr{Cvoid}
    warning::Ptr{Cvoid}
    user::Ptr{Cvoid}
end

struct CExportOptions
    struct_size::UInt32
    existing::Int32
    key::Cstring
    array_names::Ptr{Cstring}
    array_count::Csize_t
    chunk_size::UInt64
    crc::Int32
    copy_shared::Int32
    progress::Ptr{Cvoid}
    warning::Ptr{Cvoid}
    user::Ptr{Cvoid}
end

struct CSaveOptions
    struct_size::UInt32
    overwrite::Int32
    alignment::UInt32
    reserved::Int32
end

struct CPackOptions
    struct_size::UInt32
    compression::Int32
    overwrite::Int32
    reserved::Int32
    warning::Ptr{Cvoid}
    user::Ptr{Cvoid}
end

struct CUnpackOptions
    struct_size::UInt32
    overwrite::Int32
    no_wait::Int32
    reserved::Int32
    warning::Ptr{Cvoid}
    user::Ptr{Cvoid}
end

const STRUCTS = (
    CStoreOptions, CView, CRows, CArrayInfo, CTensorInfo, CCheckpointOptions, CFromTorchOptions,
    CToTorchOptions, CExportOptions, CSaveOptions, CPackOptions, CUnpackOptions,
)

"""A struct of the C interface with some members set and zero for all others but its size."""
make(::Type{S}; members...) where {S} = filled(S, values(members))

# One for each set of members, so that making one takes no time.
@generated function filled(::Type{S}, members::NamedTuple{names}) where {S,names}
    unknown = setdiff(names, fieldnames(S))
    isempty(unknown) || error("$S has no $(join(unknown, " and "))")
    found = map(fieldnames(S), fieldtypes(S)) do name, type
        name === :struct_size && return :(UInt32(sizeof(S)))
        name in names && return :(member($type, members.$name))
        return :(member($type, 0))
    end
    return :(S($(found...)))
end

member(type::Type, value) = convert(type, value)
member(type::Type{<:Union{Ptr,Cstring}}, value::Integer) = type(C_NULL)
member(type::Type{Ptr{T}}, value::Ptr) where {T} = Ptr{T}(value)

"""Such a struct for a call to fill, and what it is then."""
function ask(call, ::Type{S}) where {S}
    out = Ref(make(S))
    check(call(out))
    return out[]
end

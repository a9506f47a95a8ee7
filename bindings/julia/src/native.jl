# The C library: where it is, its functions, errors and handles.

const ABI_VERSION = 1
const SETTING = "LIBNUMPACK"

const LIBRARY = Ref{Ptr{Cvoid}}(C_NULL)
const LIBRARY_LOCK = ReentrantLock()

"""The library that `ENV["LIBNUMPACK"]` names, else the system's; found at the first use."""
function library()
    LIBRARY[] == C_NULL || return LIBRARY[]
    lock(LIBRARY_LOCK) do
        LIBRARY[] == C_NULL && (LIBRARY[] = open_library())
        return LIBRARY[]
    end
end

function open_library()
    named = get(ENV, SETTING, "")
    suffix = Libdl.dlext
    candidates = isempty(named) ? ["libnumpack.$suffix.$ABI_VERSION", "libnumpack.$suffix"] : [named]
    for candidate in candidates
        handle = Libdl.dlopen(candidate; throw_error = false)
        handle === nothing && continue
        version = Libdl.dlsym(handle, :numpack_abi_version; throw_error = false)
        version === nothing && error("$candidate is not libnumpack; name that by the variable $SETTING")
        found = ccall(version, UInt32, ())
        found == ABI_VERSION && return handle
        error("$candidate has interface $found, and this package needs $ABI_VERSION; install them " *
              "together, or name another one by the variable $SETTING")
    end
    error("$(join(candidates, " and ")) cannot be loaded; set the variable $SETTING to where libnumpack is")
end

function address(slot::Ref{Ptr{Cvoid}}, name::Symbol)
    found = slot[]
    found == C_NULL || return found
    return slot[] = Libdl.dlsym(library(), name)
end

"""
    @native store_open(path::Cstring, …)::Int32

Calls `numpack_store_open`, which is looked up at the first call.
"""
macro native(signature)
    call, result = signature.args
    name = Symbol(:numpack_, call.args[1])
    slot = gensym(name)
    Core.eval(__module__, :(const $slot = Ref{Ptr{Cvoid}}(C_NULL)))
    types = Expr(:tuple, (p.args[2] for p in call.args[2:end])...)
    values = (p.args[1] for p in call.args[2:end])
    return esc(Expr(:call, :ccall, :($address($slot, $(QuoteNode(name)))), result, types, values...))
end

const STATUSES = (
    :io, :format, :unsupported, :parameter, :limit, :cancelled, :exists, :locked, :panic, :not_found,
    :changed, :forked, :poisoned, :not_a_store, :sharing, :type, :in_use, :out_of_memory, :device,
    :index,
)
const LOCKED = Int32(8)

"""
    NumPackError

What the library refused or could not do. `code` is the C interface's number, `status` its name, such as
`:not_found` of `NUMPACK_NOT_FOUND`, and `message` says what is wrong and what to do next.

| Status | |
|---|---|
| `:not_found` | there is no array of that name |
| `:not_a_store` | there is no store at the path |
| `:exists` | an output is there already |
| `:locked` | another writer has the store, and the call was not to wait |
| `:io` | the system refused or the disk failed |
| `:format` | a file is damaged or not what it should be |
| `:unsupported` | a file is of a kind that is not read, or holds what the output cannot hold |
| `:parameter` | an argument cannot be |
| `:limit` | a file asks for more than the limits allow |
| `:changed` | somebody else changed or replaced the store meanwhile |

The others are `:cancelled`, `:panic`, `:forked`, `:poisoned`, `:sharing`, `:type`, `:in_use`,
`:out_of_memory`, `:device` and `:index`; `numpack.h` says what they mean.

```jldoctest
julia> try
           Store("nowhere.npk")
       catch e
           e isa NumPackError && e.status
       end
:not_a_store
```
"""
struct NumPackError <: Exception
    code::Int32
    status::Symbol
    message::String
end

NumPackError(code::Integer, message) =
    NumPackError(code, 1 <= code <= length(STATUSES) ? STATUSES[code] : :unknown, message)

Base.showerror(io::IO, e::NumPackError) = print(io, "NumPackError (", e.status, "): ", e.message)

# The message belongs to the system's thread that made the call, so it is taken before anything may switch to
# another task.
function check(status::Int32)
    status == 0 || throw(NumPackError(status, last_error()))
    return nothing
end

function last_error()
    size = @native last_error(C_NULL::Ptr{UInt8}, 0::Csize_t)::Csize_t
    buffer = Vector{UInt8}(undef, size + 1)
    @native last_error(buffer::Ptr{UInt8}, length(buffer)::Csize_t)::Csize_t
    return String(resize!(buffer, size))
end

"""
What the library gave, and takes back when it is closed or nothing refers to it any more, and no call uses it.
"""
mutable struct Handle
    pointer::Ptr{Cvoid}
    what::String
    give_back::Ptr{Cvoid}
    users::Threads.Atomic{Int}
    open::Threads.Atomic{Int}

    function Handle(pointer::Ptr{Cvoid}, what::String, free::Symbol)
        give_back = Libdl.dlsym(library(), Symbol(:numpack_, free))
        handle = new(pointer, what, give_back, Threads.Atomic{Int}(1), Threads.Atomic{Int}(1))
        return finalizer(close, handle)
    end
end

Base.isopen(handle::Handle) = handle.open[] == 1

function Base.close(handle::Handle)
    Threads.atomic_xchg!(handle.open, 0) == 1 && leave(handle)
    return nothing
end

function leave(handle::Handle)
    if Threads.atomic_sub!(handle.users, 1) == 1 && handle.pointer != C_NULL
        ccall(handle.give_back, Cvoid, (Ptr{Cvoid},), handle.pointer)
        handle.pointer = C_NULL
    end
    return nothing
end

"""Calls `f` with the pointer, which stays good meanwhile whoever closes the handle."""
function use(f, handle::Handle)
    users = handle.users[]
    while true
        users > 0 && isopen(handle) || throw(ArgumentError("the $(handle.what) is closed; open it again"))
        seen = Threads.atomic_cas!(handle.users, users, users + 1)
        seen == users && break
        users = seen
    end
    try
        return f(handle.pointer)
    finally
        leave(handle)
    end
end

"""Takes the pointer out of a handle that a call ends."""
function take(handle::Handle)
    Threads.atomic_xchg!(handle.open, 0) == 1 || throw(ArgumentError("the $(handle.what) is closed"))
    pointer, handle.pointer = handle.pointer, C_NULL
    leave(handle)
    return pointer
end

"""
Makes a call until no other writer is in its way. Waiting here, not in the library, lets other tasks run: the
writer may be one of them, and a thread inside the library would hold up the garbage collection of all.
"""
function patiently(call, wait::Bool)
    pause = 0.001
    while true
        status = call()::Int32
        status == LOCKED && wait || return check(status)
        sleep(pause)
        pause = min(2pause, 0.05)
    end
end

"""Calls `f` with texts as C has them."""
function with_texts(f, texts)
    kept = String[text for text in texts]
    GC.@preserve kept begin
        f(Cstring[Base.unsafe_convert(Cstring, text) for text in kept])
    end
end

"""
    NumPack.version()

The version of the native library, such as `v"0.1.0"`.
"""
version() = VersionNumber(unsafe_string(@native version()::Ptr{UInt8}))

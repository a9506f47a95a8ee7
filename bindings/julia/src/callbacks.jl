# Julia functions that the library calls during one call of ours.

mutable struct Callbacks
    progress::Any
    warning::Any
    thrown::Any
    is_thrown::Bool
end

function on_progress(done::UInt64, total::UInt64, user::Ptr{Cvoid})::Int32
    callbacks = unsafe_pointer_to_objref(user)::Callbacks
    callbacks.is_thrown && return 1
    return guarded(() -> callbacks.progress(Int(done), Int(total)), callbacks)
end

function on_warning(message::Ptr{UInt8}, user::Ptr{Cvoid})::Cvoid
    callbacks = unsafe_pointer_to_objref(user)::Callbacks
    callbacks.is_thrown || guarded(() -> callbacks.warning(unsafe_string(message)), callbacks)
    return nothing
end

# Nothing may pass through C by throwing.
function guarded(f, callbacks::Callbacks)::Int32
    try
        f()
        return 0
    catch e
        callbacks.thrown, callbacks.is_thrown = e, true
        return 1
    end
end

warn(message) = @warn message

"""
Calls `call` with what the options of the C interface want: `progress`, `warning` and `user`. What a callback
throws stops the work, and is thrown in the place of the error that the stopped work gives.
"""
function with_callbacks(call, progress, warning)
    callbacks = Callbacks(progress, warning, nothing, false)
    # A callback may switch tasks. The library must go on where it was called, which is why the task stays.
    task = current_task()
    was_sticky, task.sticky = task.sticky, true
    try
        GC.@preserve callbacks begin
            call((
                progress = progress === nothing ? C_NULL :
                           @cfunction(on_progress, Int32, (UInt64, UInt64, Ptr{Cvoid})),
                warning = warning === nothing ? C_NULL :
                          @cfunction(on_warning, Cvoid, (Ptr{UInt8}, Ptr{Cvoid})),
                user = pointer_from_objref(callbacks),
            ))
        end
    catch
        callbacks.is_thrown || rethrow()
    finally
        task.sticky = was_sticky
    end
    callbacks.is_thrown && throw(callbacks.thrown)
    return nothing
end

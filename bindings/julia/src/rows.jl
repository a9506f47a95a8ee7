# Choices of rows, from 1 as in Julia.

"""Rows as the C interface takes them. `kept` is the memory of the list or mask."""
struct Choice
    kind::Int32
    start::Int
    stop::Int
    step::Int
    kept::Vector
    count::Int
end

const NO_ROWS = Int64[]
const TO_THE_END = typemin(Int64)

"""The rows that an index chooses of `total`."""
choose(::Colon, total) = Choice(0, 0, 0, 0, NO_ROWS, total)

function choose(row::Integer, total)
    row isa Bool && throw(ArgumentError("a row is chosen by a number, not by $row"))
    1 <= row <= total || throw(BoundsError(Base.OneTo(total), row))
    return Choice(1, row - 1, 0, 0, NO_ROWS, 1)
end

function choose(rows::AbstractRange{<:Integer}, total)
    isempty(rows) && return Choice(2, 0, 0, 1, NO_ROWS, 0)
    (1 <= minimum(rows) && maximum(rows) <= total) || throw(BoundsError(Base.OneTo(total), rows))
    stop = last(rows) - 1 + sign(step(rows))
    # A number below 0 would count from the end.
    return Choice(2, first(rows) - 1, stop < 0 ? TO_THE_END : stop, step(rows), NO_ROWS, length(rows))
end

function choose(mask::AbstractVector{Bool}, total)
    length(mask) == total || throw(BoundsError(Base.OneTo(total), (mask,)))
    return Choice(4, 0, 0, 0, collect(UInt8, mask), count(mask))
end

function choose(rows::AbstractVector{<:Integer}, total)
    all(row -> 1 <= row <= total, rows) || throw(BoundsError(Base.OneTo(total), (rows,)))
    return Choice(3, 0, 0, 0, Int64[row - 1 for row in rows], length(rows))
end

choose(rows, total) = throw(ArgumentError(
    "rows are chosen by a number, a range, a vector of numbers or of Bool, or :, not by a $(typeof(rows))"))

"""Calls `f` with a choice as C has it."""
function with_rows(f, choice::Choice)
    kept = choice.kept
    GC.@preserve kept begin
        list = choice.kind == 3 ? pointer(kept) : C_NULL
        mask = choice.kind == 4 ? pointer(kept) : C_NULL
        f(Ref(make(CRows; kind = choice.kind, start = choice.start, stop = choice.stop, step = choice.step,
                   list = list, mask = mask, count = length(kept))))
    end
end

# Finds values in JSON text, for any POSIX awk. A value is found by walking over what stands before
# it, and is given as it is written: strings with their quotes and escapes.

# The only argument of a function, whether it came with its name or by its position.
function argument(text, name) {
    return substr(text, 1, 1) == "[" ? first(text) : member(text, name)
}

# The first item of a JSON array, as it is written; empty if there is none.
function first(text,   at) {
    at = skip_space(text, 2)
    return substr(text, at, 1) == "]" ? "" : substr(text, at, end_of(text, at) - at)
}

# The value of a key of a JSON object, as it is written; empty if there is none.
function member(text, key,   at, start, found) {
    at = skip_space(text, 1) + 1
    while (1) {
        at = skip_space(text, at)
        if (substr(text, at, 1) != "\"")
            return ""
        start = at
        at = end_of(text, at)
        found = substr(text, start, at - start) == "\"" key "\""
        start = skip_space(text, skip_space(text, at) + 1)  # behind the colon
        at = end_of(text, start)
        if (found)
            return substr(text, start, at - start)
        at = skip_space(text, at) + 1  # behind the comma
    }
}

# Where the value that starts at `at` ends: the place behind it.
function end_of(text, at,   c, depth) {
    depth = 0
    do {
        c = substr(text, at, 1)
        if (c == "\"")
            at = end_of_string(text, at)
        else if (c == "[" || c == "{") {
            depth++
            at++
        } else if (c == "]" || c == "}") {
            depth--
            at++
        } else if (c == "," || c == ":" || is_space(c))
            at++
        else
            at = end_of_word(text, at)
    } while (depth > 0 && at <= length(text))
    return at
}

# Long strings are searched in parts: a part is short enough to be copied at no great cost.
function end_of_string(text, at,   part, quote, escape) {
    at++
    while (at <= length(text)) {
        part = substr(text, at, 256)
        quote = index(part, "\"")
        escape = index(part, "\\")
        if (escape && (!quote || escape < quote))
            at += escape + 1  # whatever is escaped is no end
        else if (quote)
            return at + quote
        else
            at += length(part)
    }
    return at
}

# Numbers, true, false and null end before whatever separates values.
function end_of_word(text, at,   c) {
    do {
        at++
        c = substr(text, at, 1)
    } while (c != "" && c != "," && c != "]" && c != "}" && !is_space(c))
    return at
}

function skip_space(text, at) {
    while (is_space(substr(text, at, 1)))
        at++
    return at
}

function is_space(c) {
    return c == " " || c == "\t" || c == "\r"
}

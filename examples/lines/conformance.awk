# The conformance worker of dialect `lines`: katamari check --dialect lines runs in full against it.
#
#   katamari check --dialect lines -- awk -W interactive -f json.awk -f conformance.awk
#
# Values go back as they are written, so nothing needs decoding.

{
    call = $0
    id = member(call, "id")
    name = member(call, "function")
    arguments = member(call, "arguments")
    if (name == "\"echo\"")
        answer("result", argument(arguments, "value"))
    else if (name == "\"fail\"")
        answer("error", argument(arguments, "message"))
    else if (name == "\"sleep\"") {
        # A quotient is a number, whatever came: nothing else reaches the shell.
        system("sleep " argument(arguments, "ms") / 1000)
        answer("result", "\"slept\"")
    } else
        answer("error", "\"there is no such function\"")
}

function answer(key, value) {
    if (value == "") {
        key = "error"
        value = "\"an argument is missing\""
    }
    printf "{\"id\":%s,\"%s\":%s}\n", id, key, value
    fflush()
}

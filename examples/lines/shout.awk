# A worker of dialect `lines`: turns text into capitals.
#
# A line is a call such as {"id":7,"function":"upper","arguments":{"text":"hello"},...}, and its
# answer is {"result":"HELLO"}. json.awk finds the values.

{
    text = argument(member($0, "arguments"), "text")
    if (member($0, "function") != "\"upper\"")
        print "{\"error\":\"there is no such function\"}"
    else if (substr(text, 1, 1) != "\"")
        print "{\"error\":\"expected a text\"}"
    else
        print "{\"result\":" capitals(text) "}"
    fflush()
}

# The text in capitals; escapes such as \n and \u00e9 stay as they are.
function capitals(text,   at, width, result) {
    for (at = 1; at <= length(text); at += width) {
        width = 1
        if (substr(text, at, 1) == "\\")
            width = substr(text, at + 1, 1) == "u" ? 6 : 2
        result = result (width == 1 ? toupper(substr(text, at, 1)) : substr(text, at, width))
    }
    return result
}

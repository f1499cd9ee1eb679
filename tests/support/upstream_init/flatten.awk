# One JSON document as lines PATH TAB VALUE, a line for each string, number and word in it; the path
# of the first mount's type is "mounts.0.type".

function fail(why) {
    print FILENAME ": " why ": " substr(rest, 1, 40) > "/dev/stderr"
    exit 1
}

function skip() {
    match(rest, /^[ \t\r\n]*/)
    rest = substr(rest, RLENGTH + 1)
}

# The next character after white space, which is taken when it is the one that is given.
function next_is(character) {
    skip()
    if (substr(rest, 1, 1) != character) return 0
    rest = substr(rest, 2)
    return 1
}

function hexadecimal(digits,   number, place) {
    number = 0
    for (place = 1; place <= length(digits); place++)
        number = number * 16 + index("0123456789abcdef", tolower(substr(digits, place, 1))) - 1
    return number
}

function unescaped(escape) {
    if (escape ~ /^u/) return sprintf("%c", hexadecimal(substr(escape, 2)))
    if (escape == "n" || escape == "t" || escape == "r") return " "
    return escape
}

function string(   raw, text) {
    skip()
    if (!match(rest, /^"([^"\\]|\\.)*"/)) fail("no string")
    raw = substr(rest, 2, RLENGTH - 2)
    rest = substr(rest, RLENGTH + 1)
    text = ""
    while (match(raw, /\\(u[0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F]|.)/)) {
        text = text substr(raw, 1, RSTART - 1) unescaped(substr(raw, RSTART + 1, RLENGTH - 1))
        raw = substr(raw, RSTART + RLENGTH)
    }
    return text raw
}

function value(path,   number, below) {
    below = path == "" ? "" : path "."
    if (next_is("{")) {
        if (next_is("}")) return
        do {
            number = string()
            if (!next_is(":")) fail("no colon")
            value(below number)
        } while (next_is(","))
        if (!next_is("}")) fail("an object does not end")
    } else if (next_is("[")) {
        if (next_is("]")) return
        number = 0
        do value(below number++); while (next_is(","))
        if (!next_is("]")) fail("a list does not end")
    } else if (substr(rest, 1, 1) == "\"") {
        print path "\t" string()
    } else {
        if (!match(rest, /^[-+.0-9A-Za-z]+/)) fail("no value")
        print path "\t" substr(rest, 1, RLENGTH)
        rest = substr(rest, RLENGTH + 1)
    }
}

{ rest = rest $0 "\n" }

END {
    value("")
    skip()
    if (rest != "") fail("more than one document")
}
